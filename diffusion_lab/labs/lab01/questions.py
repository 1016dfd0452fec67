"""Prediction questions of lab 01."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "shift": Question(
        text=(
            "We raise the whole landscape by 5: every energy becomes $E(x) + 5$. What happens to "
            "the probabilities?"
        ),
        choices={
            "All of them shrink, because all energies are higher now.": (
                "All weights $e^{-E}$ shrink by the same factor. But their sum $Z$, which divides "
                "them, shrinks by that factor as well."
            ),
            "Nothing: only energy differences matter.": (
                "Every weight is multiplied by $e^{-5}$, and so is $Z$, so the factor cancels. "
                "Only differences matter. That is why training needs something that keeps the "
                "energies from drifting."
            ),
            "The valleys become less likely, the plateau likelier.": (
                "That is what a higher temperature does. A shift does not change the difference "
                "between two places."
            ),
        },
        right=1,
    ),
    "no_noise": Question(
        text=(
            "Now without the knocks: the grains only roll downhill. Where are they after 400 steps?"
        ),
        choices={
            "All at the bottom of the deeper valley.": (
                "For that, a grain in the left valley would have to climb over the ridge, and "
                "without knocks no grain climbs."
            ),
            "At the bottoms of both valleys: each grain in the valley where it started.": (
                "Each grain rolls to the bottom of its own valley and stays there. The depth of "
                "the valley makes no difference, and the spread around the bottom is gone as "
                "well."
            ),
            "Spread over both valleys, as with knocks, only more slowly.": (
                "The spread around the bottom comes only from the knocks. Without them, all "
                "grains in a valley end at the same point."
            ),
        },
        right=1,
    ),
}
