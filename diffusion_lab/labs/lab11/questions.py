"""Prediction questions of lab 11."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "along_the_path": Question(
        text=(
            "DDIM walks from one noise image to one flower in 20 steps. We look at the clean image"
            " that the network predicts at each step. How does it change?"
        ),
        choices={
            "Hardly: the path leads to this flower from the beginning.": (
                "The path does, but the network does not know it. Its prediction is the average of"
                " all flowers that fit the noisy image, and at first very many of them do."
            ),
            "It begins as a blur, and becomes this flower little by little.": (
                "With each step fewer flowers fit the noisy image, so their average becomes"
                " sharper. A consistency model is trained to predict the flower at once."
            ),
            "It jumps from flower to flower.": (
                "An average of many flowers changes smoothly when the noisy image changes a little."
            ),
        },
        right=1,
    ),
    "gap": Question(
        text="We tune a copy of the teacher with a gap of 1. What does it learn?",
        choices={
            "Nothing: it remains what it is.": (
                "Every time is below the gap, so the target is always the image that the teacher"
                " predicts. The copy predicts the same image, and the loss is zero."
            ),
            "To make sharp flowers in one step.": (
                "For that, the target at t = 1 would have to be a sharp flower. Which of the two"
                " cases of the target applies if the gap is 1, and what is it at t = 1?"
            ),
            "What any diffusion model learns: the clean image.": (
                "A diffusion model compares with the training image. Does this loss, anywhere?"
            ),
        },
        right=0,
    ),
    "fresh_noise": Question(
        text=(
            "We let the tuned model take two steps in two ways, from the same first noise. Which"
            " flowers are better, those with fresh noise in the second step, or those of DDIM?"
        ),
        choices={
            "Fresh noise: the second step starts from a new, clean path.": (
                "That would be true if the first jump had arrived at a real flower. What happens to"
                " the errors of the first image when it is mixed with new noise?"
            ),
            "DDIM: it stays on the path on which it started.": (
                "Image and noise are predicted together: mixed at the old rates, they give back"
                " exactly the noisy image. So what the predicted image lacks is still in the"
                " predicted noise. Fresh noise throws it away."
            ),
            "They are equally good: the network predicts the same image everywhere.": (
                "Everywhere on the same path. With fresh noise, the second step is on another path."
            ),
        },
        right=1,
    ),
    "variety": Question(
        text=(
            "How varied are the flowers that our tuned model makes in one step, compared with real"
            " flowers?"
        ),
        choices={
            "Much less: it has learned a few flowers and repeats them.": (
                "That is what happens to some models whose training is a game of two networks. Our"
                " targets come from the teacher's paths. Do they end at a few flowers only?"
            ),
            "Almost as varied.": (
                "Each noise image has its own target, the end of its path, and the loss favours"
                " none of them. What suffers first is sharpness."
            ),
            "More varied: one step leaves more randomness.": (
                "The noise is the same for any number of steps, and an error in the prediction"
                " averages over several flowers, which makes them more alike."
            ),
        },
        right=1,
    ),
}
