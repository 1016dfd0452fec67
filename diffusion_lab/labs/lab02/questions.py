"""The prediction questions of lab 02."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "variance": Question(
        text="We add the dust, but leave out the factor √(1 − β) that makes the copy paler. What happens to "
             "the variance of the cloud over 200 copies?",
        choices={
            "It stays near 1: each dose of dust is tiny.":
                "Each dose is tiny, but there are 200 of them, and variances of independent noises add up.",
            "It grows, by the sum of all the variances of the dust.":
                "Independent variances add, and nothing takes any away: after t copies it is "
                "1 + β₁ + … + βₜ. The pale factor removes, in every step, just what the dust brings.",
            "It shrinks towards 0: the picture is lost, after all.":
                "The picture is lost in the noise, but noise has a variance, too, and here nothing is ever "
                "multiplied by a number below 1.",
        },
        right=1,
    ),
    "half_gone": Question(
        text="One copy keeps the fraction 1 − β of the image's variance, and β grows from 0.001 to 0.06. "
             "About when is half of the image's variance gone?",
        choices={
            "After about 20 of the 200 copies.":
                "The first copies hardly do anything: twenty times a few thousandths is far from one half.",
            "After about 65 of the 200 copies, a third of the way.":
                "The product of all the 1 − β is near exp(−Σβ), and the sum of the betas, which grows with "
                "the square of the time, reaches ln 2 = 0.69 there.",
            "After 100 copies, half of the way.":
                "That would be so if each copy took the same share of the whole; but what is left is multiplied each "
                "time, and the doses grow. Sum the betas up and see when you reach about 0.7.",
            "After about 180 copies, because the large doses come last.":
                "The large doses come last, but by then the medium ones have already been at work a hundred times.",
        },
        right=1,
    ),
}
