"""The prediction questions of lab 03."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "random_times": Question(
        text="A batch of 64 images gets random times. The first image happens to get the time 1, so "
             "it should drown in noise. What signal rate does the book's function give it?",
        choices={
            "About 0.007, nearly nothing.":
                "That is what time 1 deserves. But what has `cumprod` multiplied before it writes its first entry?",
            "About 0.5, like everybody in this batch.":
                "You are on the right track, the batch has a hand in it; but the first entry of a running product is "
                "not the product of all.",
            "About 0.98, nearly clean.":
                "The first entry of a running product is one factor alone, 1 − 0.02. The position in the batch "
                "decides, and the time hardly matters.",
        },
        right=2,
    ),
    "half_time": Question(
        text="Half of the time is over, t = 0.5. Under which schedule is most of the flower left?",
        choices={
            "linear":
                "Its name promises that, but what is linear is β, the dose per step. Work out how many doses have "
                "multiplied up by then.",
            "cosine":
                "Its angle has turned by 45°, so noise and signal rate are equal, both 0.71: noise and flower in "
                "balance, while the linear schedule has a signal rate of 0.28 left.",
            "All the same: each of them runs from clean to noise, so at half-time it is half.":
                "They agree about the two ends, near enough; the way between is what a schedule is.",
        },
        right=1,
    ),
    "hopeless": Question(
        text="Call a time hopeless if the signal rate is below 0.1: one part of signal to a hundred of noise, in "
             "variance. How much of its time does the linear schedule spend there?",
        choices={
            "About 6 %, as the cosine schedule does.":
                "The cosine schedule arrives there late. Look once more at the left plot of the curves: where does the "
                "linear signal rate touch the floor?",
            "About a third.":
                "From t = 0.67 on there is next to nothing left. Of ten images in training, three teach the network "
                "nothing.",
            "About two thirds.":
                "It hurries, but not as much as that: at t = 0.33 its signal rate is still 0.57.",
        },
        right=1,
    ),
}
