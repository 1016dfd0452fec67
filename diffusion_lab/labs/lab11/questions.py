"""Prediction questions of lab 11."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "along_the_path": Question(
        text=(
            "DDIM walks from one noise image to one flower in 20 steps. We look at the network's"
            " guess of the clean image at each step. How does it change?"
        ),
        choices={
            "Hardly: the path leads to this flower from the beginning.": (
                "The path does, but the network does not know it. Its guess is the average of all"
                " flowers that fit, and at first nearly all of them do."
            ),
            "It begins as a blur, and becomes this flower little by little.": (
                "At each step fewer flowers fit to what is on the sheet, so their average becomes"
                " sharper. A consistency model is trained to name the flower at once."
            ),
            "It jumps from flower to flower.": (
                "An average of many flowers changes smoothly when the noisy image changes a little."
            ),
        },
        right=1,
    ),
    "gap": Question(
        text="We train with a gap of 1. Which model does the loss then train?",
        choices={
            "An ordinary diffusion model.": (
                "Every earlier time is below 0, so the target is always the clean image. That is"
                " the loss on the image of lab 04 and lab 07."
            ),
            "A model for one step.": (
                "It has to name the clean image in one step, but it is shown a different image for"
                " each noise that fits, so it learns the average."
            ),
            "Nothing: the target is the prediction itself.": (
                "That would be a gap of 0, where the loss is always zero."
            ),
        },
        right=0,
    ),
    "variety": Question(
        text=(
            "The tuned model makes sharp flowers in two steps. What may have been lost, although"
            " each flower looks good?"
        ),
        choices={
            "Nothing: KID would show it.": (
                "KID does notice missing variety, but sharp images can outweigh it. So measure the"
                " variety as well."
            ),
            "Variety: rare flowers are dropped first.": (
                "The targets come from the model itself. What it is unsure about, it makes more"
                " alike with each round, so the tails of the distribution are the first to go."
            ),
            "Colour: it predicts the noise.": (
                "It predicts images by way of the velocity, like the model that it was tuned from."
            ),
        },
        right=1,
    ),
}
