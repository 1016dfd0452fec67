"""Prediction questions of lab 09."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "equal_nfe": Question(
        text=(
            "With only 5 network evaluations per image, which sampler ends up nearest to the exact "
            "answer?"
        ),
        choices={
            "DDIM: simple methods are safest when steps are long.": (
                "First order means that the error is only halved when the step is halved. Even a "
                "rough guess of how the road continues is better than none here."
            ),
            "Heun: it looks twice at every step.": (
                "Looking twice costs twice as much: Heun takes 3 steps while the others take 5. "
                "It beats DDIM, but something better costs the same."
            ),
            "DPM-Solver++(2M) or Adams–Bashforth: they remember, which is free.": (
                "They take as many steps as DDIM, and at no extra cost they see how the road bends."
            ),
        },
        right=2,
    ),
    "first_guess": Question(
        text=(
            "At time 1 a noisy image is all noise. What does each network's first predicted "
            "image look like?"
        ),
        choices={
            "Both are a smooth average of all flowers.": (
                "That is the best possible guess, and the velocity network makes it. The noise "
                "network's image is a difference divided by 0.02, so every small error in the "
                "noise becomes 50 times as large."
            ),
            "The velocity network's image is a smooth average, and the noise network's image is blotchy.": (  # noqa: E501
                "The noise network must predict the noise to within 2 % before its image means "
                "anything. The velocity network's image is almost its own output, with the "
                "sign changed, and that is smooth."
            ),
            "Both look like noise.": (
                "At time 1, a network that predicts velocity returns minus the image, with hardly "
                "any noise in it."
            ),
        },
        right=1,
    ),
    "guidance": Question(
        text=(
            "We turn the guidance up from 1 to 8 and generate many red flowers. What happens to "
            "their variety?"
        ),
        choices={
            "It grows: more guidance, more freedom.": (
                "Guidance insists on the class: it pulls all flowers towards the most typical red "
                "one."
            ),
            "It shrinks: they all become the most typical red flower.": (
                "Guidance exaggerates everything that red flowers share, and their differences "
                "fade. In the end the colours saturate and the pictures look alike."
            ),
            "It stays the same: guidance only changes the colour.": (
                "The network does not know which pixels are 'the colour': it follows the whole "
                "difference between the two predictions, including shape and background."
            ),
        },
        right=1,
    ),
}
