"""The prediction questions of lab 04."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "loss": Question(
        text="You have read the script. It prints its losses in each epoch. Where do they go?",
        choices={
            "Down, slowly: the learning rate is small.":
                "A small learning rate makes learning slow. But find the line in which anything is learned at all.",
            "Down at first, and then up again, because the network overfits.":
                "To overfit, a network must have fitted something. Which line changes a weight?",
            "Nowhere: the same from epoch to epoch, but for a little trembling.":
                "Every call makes a new network, and no line changes a weight. The hundredth epoch asks the same "
                "untrained beginners as the first.",
            "The script stops with an error: the shapes do not fit.":
                "The shapes fit everywhere. That is the cruel part: three numbers per pixel look like an image to "
                "one line and like three classes to the next.",
        },
        right=2,
    ),
    "wasted": Question(
        text="Each step of the walk multiplies the image by 1/√1.02, about 0.99. There are 1,000 steps. After how "
             "many of them is less than 2 % of the image left?",
        choices={
            "After about 400.":
                "After t steps the signal rate is 0.990148 to the power of t, which falls below 0.02 at t = 396. The "
                "other 604 steps turn noise into noise.",
            "After about 800.":
                "Multiply logarithms: one step takes away 0.0099 of the natural logarithm, and 0.02 is at −3.9.",
            "After about 990: a walk of 1,000 steps is made to end there.":
                "Nobody tuned it. Each step takes 1 % of what is left, and 1 % of what is left, 1,000 times, is a "
                "lot.",
        },
        right=0,
    ),
    "bribe": Question(
        text="Suppose the network answers with exactly the true noise, times a number k. At k = 1 it is perfect. "
             "Where is the softmax cross-entropy lowest?",
        choices={
            "At k = 1, as for any loss that deserves the name.":
                "A cross-entropy is lowest at the truth if the truth is a set of shares: none below 0, all adding up "
                "to 1. Is noise like that?",
            "At k = 0: a cautious answer is never very wrong.":
                "Caution pays where errors are punished. Look at how the true noise enters this loss: it multiplies "
                "the answer.",
            "Nowhere: the larger k, the lower the loss, without end.":
                "A target below 0 pays a reward for every bit of probability that is taken away from it, and there "
                "is always more to take. The loss has no bottom.",
        },
        right=2,
    ),
    "pixel": Question(
        text="A single grey pixel, with no neighbours, has the value 1.0. It is image plus noise, both of unit "
             "variance at full size. How much noise do you guess is in it?",
        choices={
            "0.5: half of it, image and noise are equal partners.":
                "They are equal partners at one noise level only. At noise rate 0.1, would you call half of it "
                "noise?",
            "That depends on the noise level: the more noise there is, the more of the pixel I would blame on it.":
                "The best guess is the noise rate times the value: 0.1 at a noise rate of 0.1, and 0.99 at 0.99. "
                "Without the noise level there is no right answer.",
            "1.0: to be on the safe side, all of it.":
                "That is right for pure noise, and just there. For a nearly clean image it would wipe the picture "
                "out.",
        },
        right=1,
    ),
    "reach": Question(
        text="One 3 × 3 convolution lets a pixel see its neighbours, one to each side. How wide is the square that a "
             "pixel sees after ten of them?",
        choices={
            "3 pixels: the filters are 3 × 3, however many there are.":
                "The second convolution looks at three pixels each of which has already looked at three.",
            "21 pixels.":
                "Each layer adds one pixel to each side: 1 + 2 · 10. That is two thirds of a 32-pixel image, from "
                "the middle; from a corner it is a third.",
            "30 pixels: three for each layer.":
                "Neighbouring squares overlap. Draw two layers: 3 wide, then 5, not 6.",
            "All 32: ten layers are plenty.":
                "It takes a while to cross an image in steps of one pixel. How many layers would reach from edge to "
                "edge?",
        },
        right=1,
    ),
}
