"""Prediction questions of lab 04."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "loss": Question(
        text=(
            "You have read the functions. The training loop calls <code>script_step</code> for "
            "each batch and prints its losses in each epoch. How do they change?"
        ),
        choices={
            "Down, slowly: the learning rate is small.": (
                "A small learning rate makes learning slow. But find the line in which anything "
                "is learned at all."
            ),
            "Down at first, and then up again, because the network overfits.": (
                "Before a network can overfit, it must fit something. Which line changes a weight?"
            ),
            "They do not: they are the same in each epoch, apart from small fluctuations.": (
                "Every call makes a new network, and no line changes a weight. In the hundredth "
                "epoch the networks are as untrained as in the first."
            ),
            "The script stops with an error: the shapes do not fit.": (
                "The shapes fit everywhere. That is the cruel part: to one line three numbers per "
                "pixel look like an image, and to the next they look like three classes."
            ),
        },
        right=2,
    ),
    "wasted": Question(
        text=(
            "Each step of the walk multiplies the image by 1/√1.02, about 0.99. There are 1,000 "
            "steps. After how many of them is less than 2 % of the image left?"
        ),
        choices={
            "After about 400.": (
                "After t steps the signal rate is 0.990148 to the power of t, which falls below "
                "0.02 at t = 396. The other 604 steps turn noise into noise."
            ),
            "After about 800.": (
                "Use logarithms: each step subtracts 0.0099 from the natural logarithm, and the "
                "logarithm of 0.02 is −3.9."
            ),
            "After about 990: a walk of 1,000 steps is designed to end there.": (
                "Nobody tuned it. Each step removes 1 % of what is left, and if you do that 1,000 "
                "times, you remove a lot."
            ),
        },
        right=0,
    ),
    "bribe": Question(
        text=(
            "Suppose the network returns exactly the true noise, multiplied by a number k. At k "
            "= 1 it is perfect. Where is the softmax cross-entropy lowest?"
        ),
        choices={
            "At k = 1, as for any loss that deserves the name.": (
                "A cross-entropy is lowest at the truth if the truth is a set of shares: none is "
                "negative, and they add up to 1. Is noise like that?"
            ),
            "At k = 0: a cautious answer is never very wrong.": (
                "Caution pays if errors are punished. Look at how the true noise enters this "
                "loss: it multiplies the answer."
            ),
            "Nowhere: the larger k is, the lower the loss, without limit.": (
                "A negative target rewards every bit of probability that is moved away from it, "
                "and the network can always move more. The loss has no minimum."
            ),
        },
        right=2,
    ),
    "pixel": Question(
        text=(
            "A single grey pixel, with no neighbours, has the value 1.0. It is image plus noise, "
            "and at full size both have variance 1. How much noise do you think is in it?"
        ),
        choices={
            "0.5, half of it: image and noise are equal partners.": (
                "They are equal partners only at one noise level. At noise rate 0.1, would you "
                "call half of it noise?"
            ),
            (
                "That depends on the noise level: the more noise there is, the larger its share of "
                "the pixel."
            ): (
                "The best guess of the noise, at full size, is the noise rate times the value: 0.1 "
                "at a noise rate of 0.1, and 0.99 at 0.99. (It is mixed in times the rate, so its "
                "share of the pixel is the rate squared, 1 % and 98 %.) Without the noise level "
                "there is no right answer."
            ),
            "1.0, all of it, to be on the safe side.": (
                "That is right for pure noise, and only then. For a nearly clean image it would "
                "erase the picture."
            ),
        },
        right=1,
    ),
    "reach": Question(
        text=(
            "One 3 × 3 convolution lets a pixel see its neighbours, one on each side. How wide "
            "is the square that a pixel sees after ten convolutions?"
        ),
        choices={
            "3 pixels: the filters are 3 × 3, however many there are.": (
                "The second convolution looks at three pixels, and each of them has already "
                "looked at three."
            ),
            "21 pixels.": (
                "Each layer adds one pixel on each side: 1 + 2 · 10. From the middle, that is two "
                "thirds of a 32-pixel image; from a corner, it is one third."
            ),
            "30 pixels: three for each layer.": (
                "Neighbouring squares overlap. Draw two layers: 3 wide, then 5, not 6."
            ),
            "All 32: ten layers are plenty.": (
                "Crossing an image in steps of one pixel takes many layers. How many would reach "
                "from edge to edge?"
            ),
        },
        right=1,
    ),
}
