"""Prediction questions of lab 06."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "first_shape": Question(
        text=(
            "Sampling runs from t = 999 down to t = 0. When does the image that the network "
            "<i>believes</i> is underneath first show what kind of flower it will be?"
        ),
        choices={
            "At once: the noise decides everything.": (
                "The noise at t = 999 leads somewhere, but every step adds fresh noise. And with "
                "almost no signal, even a perfect network could only guess an average flower."
            ),
            "About halfway or a little later, long before the noisy image shows it.": (
                "With the linear schedule, hardly any of the image is left above t = 700. At 700"
                " the overall tint of many images is settled, the outline follows around t = 600,"
                " and the flower itself by t = 400. The noisy image looks like noise until t ="
                " 200."
            ),
            "Only in the last fifty steps.": (
                "The last steps polish edges. The kind of flower was decided long before."
            ),
        },
        right=1,
    ),
    "simple": Question(
        text=(
            "The bound gives the squared error of the noise the weight w_t. At which timesteps is"
            " it largest?"
        ),
        choices={
            "At the noisy end, near t = 999.": (
                "There the guess moves the mean most, but the variance that the divergence divides"
                " by is also largest, 0.02. So w_t is about β_t / 2 = 0.01. At the other end it is"
                " 0.6."
            ),
            "At the clean end, near t = 0.": (
                "The posterior is very narrow there: its variance is tiny, and the divergence"
                " divides by it. So the bound cares most about noise that nobody can see."
            ),
            "It is nearly the same everywhere.": (
                "Then DDPM would drop nothing. Look at the variance that the divergence divides"
                " by: how does it change from t = 999 to t = 1?"
            ),
        },
        right=1,
    ),
    "fewer": Question(
        text=(
            "Give both samplers only 10 steps instead of 1,000. Which of them suffers more, in"
            " general, with any network?"
        ),
        choices={
            "DDPM, as in the paper.": (
                "The paper's network is right from the first step on. Ours is wrong above t = 750,"
                " as its garish first guesses showed. Which sampler can get rid of a wrong guess?"
            ),
            "DDIM: it adds no fresh noise, so a wrong guess stays.": (
                "With our network it does, if the ten steps begin at t = 1000, where its guesses"
                " are wrong. But what if there is no wrong guess to wash out?"
            ),
            "It depends on how good the first guesses are.": (
                "Where they are wrong, only DDPM can wash them out, so DDIM suffers more. Where"
                " they are good, DDPM suffers more: the variance of its noise is right only for"
                " short steps. Below you see both with this one network, because its guesses depend"
                " on where the steps begin."
            ),
        },
        right=2,
    ),
}
