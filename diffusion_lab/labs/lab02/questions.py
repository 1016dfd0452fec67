"""Prediction questions of lab 02."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "variance": Question(
        text=(
            "We add the dust, but leave out the factor √(1 − β) that makes the copy paler. What "
            "happens to the variance of the cloud over 200 copies?"
        ),
        choices={
            "It stays near 1: each dose of dust is tiny.": (
                "Each dose is tiny, but there are 200 of them, and the variances of independent "
                "noise add up."
            ),
            "It grows by the sum of all the variances of the dust.": (
                "Variances of independent numbers add, and nothing reduces them: after t copies "
                "the variance is 1 + β₁ + … + βₜ. With the factor √(1 − β), each copy would lose "
                "exactly as much variance as the dust adds."
            ),
            "It shrinks towards 0, because the picture is lost.": (
                "The picture is lost in the noise, but noise also has a variance, and nothing "
                "here is ever multiplied by a number below 1."
            ),
        },
        right=1,
    ),
    "half_gone": Question(
        text=(
            "One copy keeps the fraction 1 − β of the image's variance, and β grows from 0.001 "
            "to 0.06. Roughly when is half of the image's variance gone?"
        ),
        choices={
            "After about 20 of the 200 copies.": (
                "The first copies hardly change anything: twenty times a few thousandths is far "
                "less than one half."
            ),
            "After about 65 of the 200 copies, a third of the way.": (
                "The product of all 1 − β is close to exp(−Σβ). The sum of the betas grows with "
                "the square of the time, and it reaches ln 2 = 0.69 there."
            ),
            "After 100 copies, halfway.": (
                "That would be true if each copy removed the same share of the original image. "
                "But each copy removes a share of the rest, and the doses grow. Add up the betas "
                "and see when you reach about 0.7."
            ),
            "After about 180 copies, because the large doses come last.": (
                "The large doses come last, but by then the medium ones have already been at work "
                "a hundred times."
            ),
        },
        right=1,
    ),
}
