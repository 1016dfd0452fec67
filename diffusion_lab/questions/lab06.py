"""The prediction questions of lab 06."""

from diffusion_lab.questions.core import Question

QUESTIONS = {
    "first_shape": Question(
        text="Sampling runs from t = 999 down to t = 0. When can you first tell, in the image that the network *believes* "
             "in, what kind of flower it will be?",
        choices={
            "At once: the noise decides everything.":
                "The noise at t = 999 leads somewhere, but fresh noise comes in at every step, and from so little signal "
                "the network can only believe in an average flower.",
            "About half way or a little later, long before the noisy image shows it.":
                "With the linear schedule hardly any image is left above t = 600. Below, colours settle first, then the "
                "outline; the noisy image itself looks like noise for a good while longer.",
            "Only in the last fifty steps.":
                "The last steps polish edges. What the flower is has been decided long before.",
        },
        right=1,
    ),
    "fewer": Question(
        text="We give both samplers only 10 steps in place of 1,000. Which of the two suffers more?",
        choices={
            "DDIM: it was not made for this network.":
                "The network only separates image and noise, and does not care who asks. DDIM asks the same questions.",
            "DDPM: its fresh noise has too few steps to be removed again.":
                "In long steps the noise that comes in is large, and the steps that are left do not suffice to clear it "
                "up: the pictures stay rough. Without fresh noise nothing has to be cleared up.",
            "Both alike.":
                "They would, if the number of questions were all that counted; but one of them undoes part of its own "
                "work in each step.",
        },
        right=1,
    ),
}
