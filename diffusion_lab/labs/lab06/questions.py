"""The prediction questions of lab 06."""

from diffusion_lab.labs.question import Question

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
            "DDIM: it never doubts its first guess.":
                "This network predicts the noise, so its first guesses of the image are far off, in colour above all. "
                "DDIM carries them on to the end. DDPM's fresh noise covers a part of them in each step, and the network "
                "guesses anew. (Where first guesses are good, the order turns round: you will see it in lab 08.)",
            "DDPM: its fresh noise has too few steps to be removed again.":
                "That costs a little, and with a network whose first guesses are good it decides (lab 08). Here they are "
                "far off, and to have them covered by fresh noise is worth more.",
            "Both alike.":
                "They would, if the number of questions were all that counted; but only one of them can get rid of a "
                "mistake that it made at the beginning.",
        },
        right=0,
    ),
}
