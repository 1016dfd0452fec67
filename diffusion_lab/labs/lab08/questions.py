"""Prediction questions of lab 08."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "steps": Question(
        text=(
            "We turn each of eight noise samples into an image, with 1, 2, 3, 5, 10, 20 and "
            "50 steps. How are the images from one noise sample related?"
        ),
        choices={
            "Each number of steps gives a different flower.": (
                "Nothing random happens after the first noise, and all of them follow the same "
                "network. They differ only in how exactly they follow it."
            ),
            "It is the same flower, first blurred and dull, then more and more detailed.": (
                "With one step it is the average of all flowers that could be hidden in this "
                "noise. Colour and position settle within a few steps, petals take longer, and "
                "after about twenty hardly anything changes."
            ),
            "They are the same to the last pixel: the noise is the same.": (
                "The way is fixed, but a driver who looks up only twice leaves it at the first "
                "bend."
            ),
        },
        right=1,
    ),
    "eta": Question(
        text=(
            "With eta = 1, we start three times from the <i>same</i> noise, with 20 steps each. "
            "What do the three images have in common?"
        ),
        choices={
            "Everything: the noise decides.": (
                "That is true for eta = 0. With eta = 1, every step adds fresh noise, which is "
                "different each time."
            ),
            "Next to nothing: three flowers, often in three colours.": (
                "The fresh noise replaces the first noise long before the petals settle. Only "
                "traces of the first noise are left."
            ),
            "The flower, but not the background.": (
                "Fresh noise does not distinguish between petals and background: it falls on "
                "every pixel."
            ),
        },
        right=1,
    ),
    "samplers": Question(
        text=(
            "Five samplers start from the same noise: ddim, ddpm, heun, dpmpp_2m, "
            "adams_bashforth. How many of them end at the same flower?"
        ),
        choices={
            "All five: the noise is the address.": (
                "One of the five does not respect addresses. Which of them uses random numbers on "
                "the way?"
            ),
            "Four of them.": (
                "Four solve the same differential equation, more or less exactly. ddpm adds fresh "
                "noise, as ddim does with eta = 1, and ends up elsewhere."
            ),
            "None: they are different methods.": (
                "They are different methods for the same equation, just as there are many ways to "
                "compute an integral."
            ),
        },
        right=1,
    ),
    "half_way": Question(
        text=(
            "Two independent noise samples a and b have a standard deviation of 1. What is the "
            "standard deviation of their mean, ½ a + ½ b?"
        ),
        choices={
            "1: the mean of two noise samples is noise like any other.": (
                "It is noise, but where a is large and positive, b often is not, so they partly "
                "cancel."
            ),
            "About 0.71.": (
                "Variances add with the squares of the weights: ¼ + ¼ = ½, and the square root of "
                "that is 0.71."
            ),
            "0.5: each of the two is halved.": (
                "Each is halved, but then they are added. And it is the variances that add, not "
                "the standard deviations."
            ),
            "0: they cancel.": "They would if b were −a. Independent noise cancels only in part.",
        },
        right=1,
    ),
    "same_noise": Question(
        text=(
            "We generate a flower from noise that we know (50 steps), and <code>invert</code> "
            "looks for the flower's noise (50 steps). Is it ours?"
        ),
        choices={
            "Yes, apart from rounding: DDIM is a map, and this is its inverse.": (
                "A map has an inverse only if different noise always leads to different images. "
                "Does the sampler lose anything on its way, perhaps in its very last step?"
            ),
            "No, but it leads to nearly the same flower.": (
                "The last step throws away the remaining fine noise. So many noise samples lead "
                "to nearly the same image, and nothing marks one of them as ours."
            ),
            "No, and it leads to a different flower.": (
                "Above, real flowers came back from their noise. Why should the model's own "
                "flowers do worse?"
            ),
        },
        right=1,
    ),
    "average": Question(
        text=(
            "We continue to train a trained model with a high learning rate. Every 10 steps we "
            "generate images from the same eight noise samples, with the raw weights and with "
            "their average. What do we see?"
        ),
        choices={
            "Both hardly change: in 10 steps a trained model learns next to nothing.": (
                "It does learn next to nothing. But it moves: each batch pulls the weights in its "
                "own direction."
            ),
            "Flowers from the raw weights change their colours each time; flowers from the average change much less.": (  # noqa: E501
                "The next batch undoes what one batch did, and in the average these pulls cancel."
            ),
            "The average lags behind: it draws the flowers that the raw weights drew some steps earlier.": (  # noqa: E501
                "That would be true if the weights travelled somewhere. A trained model's weights "
                "mostly go round in circles."
            ),
        },
        right=1,
    ),
    "memorised": Question(
        text=(
            "Measured by the median distance, generated flowers are a little <i>nearer</i> to the "
            "training flowers than unseen real ones are. Has the model memorised its training set?"
        ),
        choices={
            "Yes, in part: otherwise it would be as far away as unseen flowers are.": (
                "That is one explanation. But is there another way to be nearer to all flowers at "
                "once, without knowing any of them?"
            ),
            "No: its flowers look different from their neighbours, and that is proof enough.": (
                "Eight pairs are no proof, and the median did move. That needs an explanation."
            ),
            "We cannot say yet: something else, such as blurrier images, may bring them nearer.": (
                "So we need one more comparison: unseen real flowers that are blurred in the same "
                "way."
            ),
        },
        right=2,
    ),
    "fooled": Question(
        text="Which of the two bad models gets a good KID?",
        choices={
            "The one that memorises.": (
                "Its images <i>are</i> real flowers, as different from each other as they should "
                "be. KID never sees the training set, so it cannot notice that they are copies."
            ),
            "The collapsed one.": (
                "Its flowers are all alike. Look at the formula: which term becomes large then?"
            ),
            "Both.": (
                "For one of them, the second term of the formula is too large: the generated "
                "images are more similar to each other than real ones are."
            ),
            "Neither.": (
                "One of them returns real flowers. How should KID tell them from other real "
                "flowers?"
            ),
        },
        right=0,
    ),
}
