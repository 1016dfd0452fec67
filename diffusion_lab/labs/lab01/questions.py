"""The prediction questions of lab 01."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "shift": Question(
        text="We raise the whole landscape by 5: every energy becomes $E(x) + 5$. What happens to the probabilities?",
        choices={
            "All of them shrink, because all energies are higher now.":
                "All weights $e^{-E}$ shrink, by the same factor, and so does their sum $Z$, by which they are divided.",
            "Nothing: only differences of energy matter.":
                "Every weight is multiplied by $e^{-5}$, and so is $Z$; the factor cancels. Only differences matter, which "
                "is why training needs something to keep energies from drifting.",
            "The valleys become less likely, the plateau likelier.":
                "That is what a higher *temperature* does; a shift changes no difference between two places.",
        },
        right=1,
    ),
    "no_noise": Question(
        text="Now without the knocks: the grains only roll downhill. Where are they after 400 steps?",
        choices={
            "All at the bottom of the deeper valley.":
                "For that, a grain in the left valley would have to climb over the ridge, and without knocks nobody climbs.",
            "At the bottoms of both valleys, about as many in each as started nearer to it.":
                "Each grain rolls to the bottom of its own valley and stays there. How deep the valley is makes no "
                "difference, and the spread around the bottom is gone, too.",
            "Spread over both valleys as with knocks, only more slowly.":
                "The spread around the bottom comes from the knocks alone; without them all grains of a valley meet.",
        },
        right=1,
    ),
}
