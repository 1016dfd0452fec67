"""Lab 08: `polynomial_mmd`, the formula behind KID."""

import numpy as np

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like

SIZES = (
    (9, 7),
    (6, 8),
    (7, 5),
)  # real and generated images; several, so that no two mistakes agree
# parts of `PolynomialMMD.right`
KERNEL = "(x @ y.T / x.shape[1] + 1) ** 3"
WITHIN = "(np.sum(pairs) - np.trace(pairs)) / (len(x) * (len(x) - 1))"
RETURNED = "within(real_features) + within(generated_features) - 2 * between"


class PolynomialMMD(Exercise):
    name, takes = "polynomial_mmd", "real_features, generated_features"
    praise = "two sets of images are alike if each is as similar to the other as to itself."
    shape_hint = "real features (n, d) times the transpose of the generated ones (m, d) is (n, m)"
    results = {"mmd": "the squared MMD", "equal sets": "the squared MMD of two equal sets"}

    def draw(self, rng):
        sets = {}
        for index, (real, generated) in enumerate(SIZES):
            sets[f"real {index}"] = rng.normal(0.3, 1, (real, 6)).astype("float32")
            sets[f"generated {index}"] = rng.normal(1.3, 0.7, (generated, 6)).astype("float32")
        return sets

    def measure(self, answer, inputs):
        pairs = [(inputs[f"real {i}"], inputs[f"generated {i}"]) for i in range(len(SIZES))]
        return {
            "mmd": np.array([self.result_of(answer, *pair) for pair in pairs]),
            "equal sets": self.result_of(answer, *pairs[0][:1] * 2),  # negative
        }

    def result_of(self, answer, *features):
        """Returns the answer's result for two sets. Raises CheckFailed if it is an array."""
        result = array(self.call(answer, *features), "the result")
        if result.shape:
            raise CheckFailed(
                f"You returned an array of shape {result.shape}. Return one number: a mean over"
                " pairs for each of the three terms."
            )
        return result

    def rehearse(self, answer, inputs):
        format(answer(noise_like(40, 128), noise_like(30, 128)), ".2f")  # as the lab prints it

    @staticmethod
    def right(real_features, generated_features):
        def kernel(x, y):
            return (x @ y.T / x.shape[1] + 1) ** 3

        def within(x):
            pairs = kernel(x, x)
            return (np.sum(pairs) - np.trace(pairs)) / (len(x) * (len(x) - 1))

        between = np.mean(kernel(real_features, generated_features))
        return within(real_features) + within(generated_features) - 2 * between

    mistakes = [
        Mistake(  # first: for two equal sets, the next one is also 0
            "You cut off negative values. Keep them: an unbiased estimate must scatter on both"
            " sides of 0.",
            (RETURNED, f"np.maximum({RETURNED}, 0)"),
        ),
        Mistake(
            "You kept the diagonal, on which each image is compared with itself, so the result is"
            " too large. Leave these pairs out of the two terms within a set.",
            (WITHIN, "np.mean(pairs)"),
        ),
        Mistake(
            "You left out the diagonal, but still divided by n². Without it there are n(n - 1)"
            " pairs.",
            (WITHIN, "(np.sum(pairs) - np.trace(pairs)) / len(x) ** 2"),
        ),
        Mistake(
            "You divided by n(n - 1), but kept the diagonal in the sum. Subtract its sum, the"
            " trace.",
            ("(np.sum(pairs) - np.trace(pairs))", "np.sum(pairs)"),
        ),
        Mistake(
            "You counted each pair once, but divided by n(n - 1), in which it counts twice. Sum"
            " over all of the matrix except its diagonal.",
            ("(np.sum(pairs) - np.trace(pairs))", "np.sum(np.triu(pairs, 1))"),
        ),
        Mistake(
            "You also left the diagonal out of the third term. Those are pairs of different images:"
            " take the mean of all of them.",
            (
                "between = np.mean(kernel(real_features, generated_features))",
                "pairs = kernel(real_features, generated_features)\n"
                "    between = (np.sum(pairs) - np.trace(pairs)) / (pairs.size - min(pairs.shape))",
            ),
        ),
        Mistake("The factor 2 of the third term is missing.", ("2 * between", "between")),
        Mistake("You added the third term. Subtract it.", ("- 2 *", "+ 2 *")),
        Mistake(
            "The sign is wrong: similarity within the sets counts as positive, between them as"
            " negative.",
            (RETURNED, RETURNED.replace("w", "-w", 1).replace("+ w", "- w").replace("- 2", "+ 2")),
        ),
        Mistake(
            "The terms within the sets are missing. Add both, without their diagonals.",
            (RETURNED, "-2 * between"),
        ),
        Mistake(
            "The term within the generated images is missing. It is what notices that they are all"
            " alike.",
            ("within(generated_features)", "0"),
        ),
        Mistake(
            "The term within the real images is missing. Without it, the result does not scatter"
            " around 0 for two sets of real images.",
            ("within(real_features)", "0"),
        ),
        Mistake(
            "Your third term compares the real images with themselves. Compare them with the"
            " generated ones.",
            ("kernel(real_features, generated_features)", "kernel(real_features, real_features)"),
        ),
        Mistake(
            "You did not divide the dot product by d, the number of features.",
            (" / x.shape[1]", ""),
        ),
        Mistake(
            "You divided the dot product by the number of images. Divide by d, the number of"
            " features.",
            ("/ x.shape[1]", "/ len(x)"),
        ),
        Mistake(
            "You divided by √d, as attention does. Divide by d.",
            ("x.shape[1]", "x.shape[1] ** 0.5"),
        ),
        Mistake(
            "You divided by d after the power. Divide the dot product, before you add 1.",
            (KERNEL, "(x @ y.T + 1) ** 3 / x.shape[1]"),
        ),
        Mistake(
            "The 1 is missing, or you added it after the power, where it cancels. Add it to the dot"
            " product first.",
            (" + 1) ** 3", ") ** 3"),
        ),
        Mistake("You squared. The degree is 3.", (" ** 3", " ** 2")),
        Mistake(
            "The power is missing, so you compare only the means of the features. Raise the sum to"
            " the power of 3.",
            (" ** 3", ""),
        ),
        Mistake(
            "You multiplied the sum by 3. Raise it to the power of 3: `** 3`.", ("** 3", "* 3")
        ),
        Mistake(
            "You took the square root. KID is the squared MMD, which may be slightly negative.",
            (RETURNED, f"np.sqrt({RETURNED})"),
        ),
        Mistake(
            "You divided each image's features by their length. Use the features as they are.",
            (KERNEL, "(unit(x) @ unit(y).T / x.shape[1] + 1) ** 3"),
        ),
        Mistake(
            "You multiplied by 1000, as some papers do in their tables. Return KID itself.",
            (RETURNED, f"1000 * ({RETURNED})"),
        ),
        Mistake(
            "You used a Gaussian kernel. KID's is a polynomial, (x · y / d + 1)³.",
            (KERNEL, "np.exp(-np.square(x[:, None] - y).sum(-1) / (2 * x.shape[1]))"),
        ),
    ]


def unit(features):
    """Returns the features of each image divided by their length: (n, d)."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)
