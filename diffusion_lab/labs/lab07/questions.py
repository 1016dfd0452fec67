"""Prediction questions of lab 07."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "one_step": Question(
        text=(
            "Ben asks only once: one step, from pure noise straight to the predicted image. What "
            "do the pictures look like?"
        ),
        choices={
            "Like noise: one step can hardly remove any.": (
                "One step removes all of it: you do not see a noisy image but the network's guess "
                "of the clean one."
            ),
            "Like flowers, only with coarser petals.": (
                "From pure noise the network cannot know which flower it will be, or where its "
                "petals are. Think of the guess that is least wrong for all of these flowers at "
                "once."
            ),
            "Like a soft disc, always of the same shape; only its colour may differ.": (
                "The guess with the lowest mean squared error is the average of all images that "
                "could hide in the noise. In pure noise nearly every flower could, and only the "
                "mean colour shows through. Later steps have fewer images to average over, so "
                "they can commit to one."
            ),
        },
        right=2,
    ),
}
