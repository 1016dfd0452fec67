"""The prediction questions of lab 03."""

from diffusion_lab.questions.core import Question

QUESTIONS = {
    "half_time": Question(
        text="Half of the time is over, t = 0.5. Under which schedule is most of the flower left?",
        choices={
            "linear":
                "Its name promises that, but what is linear is β, the dose per step. By half-time the doses have "
                "already multiplied up to a signal rate of about 0.28.",
            "cosine":
                "Its angle has turned by 45°, so noise and signal rate are equal, both 0.71: noise and flower in "
                "balance, while the linear schedule has a signal rate of 0.28 left.",
            "All the same: each of them runs from clean to noise, so at half-time it is half.":
                "They agree about the two ends, near enough; the way between is what a schedule is.",
        },
        right=1,
    ),
}
