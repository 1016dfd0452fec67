"""Prediction questions of lab 10."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "hole": Question(
        text=(
            "The right half of each flower is missing. We run the sampler once from noise to image,"
            " with your <code>inpaint_step</code> before each step. What will the right halves look"
            " like?"
        ),
        choices={
            "Blurred: the network averages over all flowers that fit.": (
                "A single step averages, as in lab 07. But the sampler takes many, and each one"
                " decides a little more."
            ),
            "Like good halves of flowers that do not quite belong to the left halves.": (
                "At the noisy end, the left half is buried in noise too, so the network can hardly"
                " use it when it decides the colour on the right. Later, the left half is put back"
                " in, but the right half is not decided again."
            ),
            "Perfect: the network sees the left half in each step.": (
                "It does see it, but how well? Remember what is left of an image at time 0.9, when"
                " the colours are decided."
            ),
        },
        right=1,
    ),
    "strength": Question(
        text=(
            "The more noise we add to a drawing, the more of it is forgotten. Which is forgotten"
            " first: how many petals it has, or which colour they have?"
        ),
        choices={
            "The number of petals.": (
                "Petals have edges, and edges are details, which drown in noise first. A large"
                " patch of one colour consists of many pixels: their noise averages out, as in lab"
                " 02, and the colour can still be read."
            ),
            "Their colour.": (
                "Think of lab 02, where eight flowers turned into noise. What could you still"
                " recognise when the petals were gone?"
            ),
            "Both at the same time: noise treats all pixels alike.": (
                "It does treat all pixels alike. But does it treat one pixel and the mean of a"
                " hundred pixels alike?"
            ),
        },
        right=0,
    ),
    "views": Question(
        text=(
            "The network has only seen white noise: normally distributed, with variance 1, and"
            " independent from pixel to pixel. Which of these changes of an image would break that,"
            " and so cannot be a view?"
        ),
        choices={
            "Turning it by 180 degrees.": (
                "The same numbers in other places. Does it matter to independent numbers where they"
                " are?"
            ),
            "Taking its negative.": (
                "A normal distribution with mean 0 is symmetric. What happens to it when you change"
                " the sign?"
            ),
            "Sending red to green, green to blue and blue to red.": (
                "All three channels hold the same kind of noise, so they may change places."
            ),
            "Blurring it a little.": (
                "A blur averages neighbours. The variance shrinks, and neighbours become alike: to"
                " the network, this is not noise but a faint picture of clouds."
            ),
        },
        right=3,
    ),
}
