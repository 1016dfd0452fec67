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
            "Like a soft disc without petals; little more than its colour and size differ.": (
                "The guess with the lowest mean squared error is the average of all images that "
                "could hide in the noise. In pure noise nearly every flower could, and only what "
                "is averaged over many pixels shows through: colour, size and place. Later steps "
                "have fewer images to average over, so they can commit to one."
            ),
        },
        right=2,
    ),
    "eta": Question(
        text=(
            "We sample with eta = 0, 0.5 and 1, each in 10 steps and in 50, always from the same "
            "initial noise. For which eta do 10 and 50 steps show the same flowers?"
        ),
        choices={
            "For all three: the initial noise is the same.": (
                "The initial noise decides only as long as nothing else is random. With a positive "
                "eta, every step replaces some of it."
            ),
            "Only for eta = 0.": (
                "With eta = 0 there is one path from each noise, and 10 steps follow it nearly as"
                " well as 50. Otherwise every step adds fresh noise, and 50 steps add different"
                " noise from 10 steps."
            ),
            "For none: the number of steps changes everything.": (
                "Look again at the rows above, which you sampled with eta = 0: from 5 steps on, "
                "the flowers hardly change."
            ),
        },
        right=1,
    ),
    "more_steps": Question(
        text=(
            "We measure the KID of your model with 1, 2, 5, 10 and 20 steps. How does it change "
            "with the number of steps?"
        ),
        choices={
            "Each step improves it by the same amount.": (
                "Compare the rows of section 3: what does the second step change, and what the "
                "twentieth?"
            ),
            "It falls steeply, then more and more slowly.": (
                "The first steps settle colours and shapes, later ones follow the path more "
                "exactly. Once the sampler makes hardly any errors, only those of the network are "
                "left, and they do not depend on the number of steps."
            ),
            "It falls and then rises, because the errors of many steps add up.": (
                "More steps are also smaller, and the error of a step shrinks faster than their "
                "number grows."
            ),
        },
        right=1,
    ),
}
