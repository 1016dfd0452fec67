"""Prediction questions of lab 03."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "random_times": Question(
        text=(
            "A batch of 64 images gets random times. The first image happens to get time 1, so "
            "it should drown in noise. What signal rate does the book's function return for it?"
        ),
        choices={
            "About 0.007, almost nothing.": (
                "That would be right for time 1. But what has <code>cumprod</code> multiplied "
                "before it writes its first entry?"
            ),
            "About 0.5, like all images in this batch.": (
                "You are on the right track, because the batch plays a role. But the first entry "
                "of a running product is not the product of all factors."
            ),
            "About 0.98, nearly clean.": (
                "The first entry of a running product is a single factor, 1 − 0.02. The position "
                "in the batch decides, and the time hardly matters."
            ),
        },
        right=2,
    ),
    "half_time": Question(
        text=(
            "Half of the time is over, t = 0.5. Which schedule has kept the largest part of the "
            "flower?"
        ),
        choices={
            "linear": (
                "Its name suggests that, but only β, the dose per step, is linear. Work out how "
                "many doses have accumulated by then."
            ),
            "cosine": (
                "Its angle has turned by 45°, so the noise rate and the signal rate are both "
                "0.71. Noise and flower are in balance, while the linear schedule has only a "
                "signal rate of 0.28 left."
            ),
            "offset cosine": (
                "It starts at 0.95 instead of 1, and by then its constant speed has brought it "
                "down to a signal rate of 0.59."
            ),
            "All the same: each of them runs from clean to noise, so halfway it is half.": (
                "They (nearly) agree at the two ends. A schedule is the path between them."
            ),
        },
        right=1,
    ),
    "hopeless": Question(
        text=(
            "Call a time hopeless if the signal rate is below 0.1: one part signal to a hundred "
            "parts noise, in variance. How much of its time does the linear schedule spend "
            "there?"
        ),
        choices={
            "About 6 %, as the cosine schedule does.": (
                "The cosine schedule gets there late. Look again at the plot of the signal rates: "
                "where does the linear one fall below 0.1?"
            ),
            "About a third.": (
                "From t = 0.68 on there is next to nothing left of a cloud of points, so three of "
                "ten training examples teach the network next to nothing."
            ),
            "About two thirds.": (
                "It is fast, but not that fast: at t = 0.33 its signal rate is still 0.57."
            ),
        },
        right=1,
    ),
}
