"""Prediction questions of lab 06."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "first_shape": Question(
        text=(
            "Sampling runs from t = 999 down to t = 0. When does the image that the network "
            "<i>believes</i> is underneath first show what kind of flower it will be?"
        ),
        choices={
            "At once: the noise decides everything.": (
                "The noise at t = 999 leads somewhere, but every step adds fresh noise. And with "
                "almost no signal, the network can only believe in an average flower."
            ),
            "About halfway or a little later, long before the noisy image shows it.": (
                "With the linear schedule, hardly any of the image is left above t = 600. Below "
                "that, colours settle first, then the outline. The noisy image itself looks like "
                "noise for much longer."
            ),
            "Only in the last fifty steps.": (
                "The last steps polish edges. The kind of flower was decided long before."
            ),
        },
        right=1,
    ),
    "fewer": Question(
        text="We give both samplers only 10 steps instead of 1,000. Which of the two suffers more?",
        choices={
            "DDIM: it never doubts its first guess.": (
                "This network predicts the noise, so its first guesses of the image are far off, "
                "especially in colour. DDIM keeps these errors until the last step. DDPM's fresh "
                "noise covers a part of them in each step, and the network guesses again. (With "
                "good first guesses the order is reversed, as you will see in lab 08.)"
            ),
            "DDPM: its fresh noise has too few steps to be removed again.": (
                "That costs a little, and it matters most when the first guesses are good (lab "
                "08). Here they are far off, so it helps more to cover them with fresh noise."
            ),
            "Both alike.": (
                "They would, if only the number of questions counted. But only one of them can "
                "get rid of a mistake that it made at the beginning."
            ),
        },
        right=0,
    ),
}
