"""Prediction questions of lab 05."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "far": Question(
        text=(
            "How far around a pixel does the trained U-Net look when it computes that pixel "
            "of its output?"
        ),
        choices={
            "Equally far at every noise level: the architecture decides that.": (
                "The architecture decides how far it <i>can</i> look. The weights decide how far "
                "it does, and the noise level is one of their inputs."
            ),
            "Furthest when there is little noise, because then there is a lot to see.": (
                "There is a lot to see, but little to find out: with hardly any noise, the pixel "
                "itself and its neighbours say almost everything."
            ),
            "Furthest when there is a lot of noise.": (
                "A pixel that drowns in noise says nothing about itself. What helps is the "
                "average over many other pixels, and the position of the flower."
            ),
        },
        right=2,
    ),
    "levels": Question(
        text="Where will the bare number do much worse than the waves?",
        choices={
            "In both training runs: with all noise levels, and with ours only.": (
                "Look at the formula: between 0.0975 and 1 the gain falls slowly from 8 % to 0."
            ),
            "Only in the training run with all noise levels.": (
                "There the gain falls from 99 % to 8 % in the first tenth of the scale. In the "
                "rest, nothing happens that a small network could not follow."
            ),
            "Nowhere: a network can make waves itself.": (
                "In principle it can. But it would need weights in the thousands, and small"
                " gradient steps take a long time to get there."
            ),
        },
        right=1,
    ),
    "depth": Question(
        text=(
            "The second tower has no additions, but the same number of layers and weights. How "
            "does its training go?"
        ),
        choices={
            "Just as well: it has the same weights, after all.": (
                "It could represent much the same functions. But think about its first output, "
                "when all weights are random."
            ),
            "Much worse: it lags behind from the first epoch.": (
                "Every block mixes the image with random weights, again and again, and the "
                "gradient comes back through all of them. With the additions, there is a straight "
                "road through the tower, in both directions."
            ),
            "Better: the additions only carry the noise along.": (
                "They carry the noisy image along, and the network needs exactly that to say "
                "what noise is in it."
            ),
        },
        right=1,
    ),
    "normalisation": Question(
        text=(
            "The two training runs end with losses that differ by a few percent. Which of the two "
            "networks draws better flowers?"
        ),
        choices={
            "The one with BatchNorm: it sees more images when it computes its averages.": (
                "It does in training, and these images have all noise levels. In sampling it uses "
                "the running averages of them all, although its images are then equally noisy."
            ),
            "The one with GroupNorm: it normalises each image by its own numbers.": (
                "What it does to an image depends on this image only. So it is the same function "
                "in training and in sampling, at every noise level."
            ),
            "Neither: equal losses mean equal pictures.": (
                "The loss is a mean over all noise levels. A sampler starts at the highest, and "
                "what goes wrong there stays in the picture."
            ),
        },
        right=1,
    ),
    "skips": Question(
        text=(
            "We silence the skips at the highest resolution in the trained network. What is "
            "wrong with its predicted images?"
        ),
        choices={
            "They are blurred: the fine detail came through the skips.": (
                "That would be right for a network that predicts the <i>image</i>. But this one "
                "predicts what to subtract, and the rest of the noisy image stays where it is."
            ),
            "They are grainy: the noise stays in.": (
                "Noise is the finest detail there is, a different number in every pixel. The "
                "network cannot remove what it cannot see exactly."
            ),
            "They are black: nothing gets through.": (
                "The way through the lowest level is still open, and colours and shapes get "
                "through."
            ),
        },
        right=1,
    ),
    "told_wrong": Question(
        text=(
            "Two thirds of the image's variance is noise, but we tell the network that it is "
            "nearly clean. What does it return?"
        ),
        choices={
            "The same as always: it sees for itself how noisy the image is.": (
                "It could have learned to, but it never had to: the noise level that it received "
                "was always right. So it believes the number."
            ),
            "An image that is still grainy: it removes too little.": (
                "It trusts its input, looks for a trace of noise, and leaves the rest as if it "
                "belonged to the flower."
            ),
            "A blur: it removes too much.": (
                "You expect this of the opposite lie, a noise level that is too high. The last "
                "rows below show what that does."
            ),
        },
        right=1,
    ),
}
