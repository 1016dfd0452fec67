"""The prediction questions of lab 05."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "far": Question(
        text="To guess one pixel of the clean flower, how far around it will the trained U-Net look?",
        choices={
            "Equally far at every noise level: the architecture decides that.":
                "The architecture decides how far it <i>can</i> look. How far it does, the weights decide, and they "
                "are told the noise level.",
            "Furthest when there is little noise: then there is much to see.":
                "There is much to see, but little to find out: with hardly any noise, the pixel itself and its "
                "neighbours say almost everything.",
            "Furthest when there is much noise.":
                "A pixel that drowns in noise says nothing about itself. Only the average over many others does, and "
                "the place where the flower is.",
        },
        right=2,
    ),
    "depth": Question(
        text="The second tower has no additions, but as many layers and as many weights. How does its training go?",
        choices={
            "Just as well: it has the same weights, after all.":
                "It could represent much the same. But ask what its first output is made of, when all weights are "
                "random.",
            "Much worse: from the first epoch on it lags behind.":
                "Every block mixes the image with random weights, again and again, and the gradient comes back "
                "through all of them. With the additions there is a straight road through, both ways.",
            "Better: the additions only carry the noise along.":
                "They carry the noisy image along, and that is just what the network needs in order to say which "
                "noise is in it.",
        },
        right=1,
    ),
    "skips": Question(
        text="We silence the skips of the highest resolution in the trained network. What is wrong with its predicted "
             "images?",
        choices={
            "They are blurred: the fine detail came through the skips.":
                "A good thought for a network that predicts the <i>image</i>. But this one predicts what to take away, "
                "and the rest of the noisy image stays where it is.",
            "They are grainy: the noise stays in.":
                "Noise is the finest detail there is, a different number in every pixel. What the network cannot see "
                "exactly, it cannot take away.",
            "They are black: nothing gets through.":
                "The way through the lowest level is still open, and colours and shapes find it.",
        },
        right=1,
    ),
    "told_wrong": Question(
        text="The image is half noise, but we tell the network that it is nearly clean. What does it return?",
        choices={
            "The same as always: it sees for itself how noisy the image is.":
                "It could learn to, but it never had to: the number it was told was always right. So it believes the "
                "number.",
            "An image that is still grainy: it takes too little away.":
                "It trusts what it is told, looks for a trace of noise, and leaves the rest as if it belonged to the "
                "flower.",
            "A blur: it takes too much away.":
                "That would be the opposite lie: being told of more noise than there is.",
        },
        right=1,
    ),
}
