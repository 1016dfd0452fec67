"""The prediction questions of lab 07."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "one_step": Question(
        text="Ben asks only once: one step, from pure noise straight to the predicted image. What do the pictures look "
             "like?",
        choices={
            "Like noise: one step can hardly remove any.":
                "One step removes all of it: what you see is no noisy image, but the network's guess at the clean one.",
            "Like flowers, only with coarser petals.":
                "From pure noise the network cannot know which flower it is to be, nor where its petals are. Think of the "
                "guess that is least wrong for all of these flowers at once.",
            "Like a soft disc, always of the same shape; at most its colour differs.":
                "The best guess in the mean square is the average of all the images that could hide in the noise, and "
                "in pure noise nearly every flower could: only the mean colour shows through. Later steps have less to "
                "average over, so they may commit.",
        },
        right=2,
    ),
}
