"""The prediction questions of lab 09."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "equal_nfe": Question(
        text="With only 5 network evaluations per image: which sampler ends nearest to the exact answer?",
        choices={
            "DDIM: simple methods are safest when steps are long.":
                "First order means that its error only halves when the steps do; even a rough guess of how the road goes "
                "on beats none here.",
            "Heun: it looks twice at every step.":
                "Looking twice costs twice: Heun has 3 steps where the others have 5. It beats DDIM, but there is something "
                "better to be had for the same price.",
            "DPM-Solver++(2M) or Adams–Bashforth: they remember, which is free.":
                "They take as many steps as DDIM and see the bend of the road at no extra cost.",
        },
        right=2,
    ),
    "first_guess": Question(
        text="At time 1 a noisy image is all noise. What does each network's first predicted image look like?",
        choices={
            "Both are a smooth average of all flowers.":
                "That is the best possible guess, and the velocity network makes it. The noise network's image is a "
                "difference divided by 0.02, and every small error of the noise is 50 times as large in it.",
            "The velocity network's is a smooth average, the noise network's is blotchy.":
                "The noise network must predict the noise to within 2 % before its image means anything; the velocity "
                "network's image is hardly more than its own output, and that is smooth.",
            "Both look like noise.":
                "A network that predicts velocity returns minus the image at time 1; there is hardly any noise left in "
                "what it says.",
        },
        right=1,
    ),
    "guidance": Question(
        text="We turn the guidance up from 1 to 8 and draw many red flowers. What happens to their variety?",
        choices={
            "It grows: more guidance, more freedom.":
                "Guidance is insistence: all flowers are drawn towards what is most typical of red ones.",
            "It shrinks: they all become the most typical red flower.":
                "Everything that red flowers share is exaggerated, and what makes them different fades. In the end the "
                "colours saturate and the pictures look alike.",
            "It stays: guidance changes the colour only.":
                "The network does not know which pixels are 'the colour': it follows the whole difference between the two "
                "predictions, shape and background with it.",
        },
        right=1,
    ),
}
