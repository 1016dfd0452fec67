"""Lab 10: `inpaint_step`, which puts the known pixels back into a noisy image."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like
from diffusion_lab.labs.repeats import refuse_randomness

NAMES = ("noisy_images", "known_images", "mask", "noises", "noise_rates", "signal_rates")


class InpaintStep(Exercise):
    name, takes = "inpaint_step", ", ".join(NAMES)
    praise = "the known pixels stay, and look just as noisy as their neighbours."
    shape_hint = "the mask has one channel and broadcasts over the colours: use it unchanged"
    results = {"noisy": "the noisy images"}

    def draw(self, rng):
        angles = rng.uniform(0.3, 1.2, (4, 1, 1, 1)).astype("float32")
        images = {
            name: rng.normal(size=(4, 5, 6, 3)).astype("float32")
            for name in ("noisy_images", "known_images", "noises")
        }
        mask = np.zeros((1, 5, 6, 1), "float32")
        mask[:, :3, :4] = 1
        mask[:, rng.integers(3), rng.integers(4)] = 0
        return images | {
            "mask": mask,
            "noise_rates": np.sin(angles),
            "signal_rates": np.cos(angles),
        }

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in NAMES]
        return {
            name: array(self.call(answer, *tensors), "the noisy images")
            for name in ("noisy", "again")
        }

    def examine(self, inputs, outputs):
        refuse_randomness(
            outputs["noisy"], outputs["again"], "Use the noise that you are given, `noises`."
        )
        super().examine(inputs, outputs)

    def rehearse(self, answer, inputs):
        images = ops.convert_to_tensor(noise_like(2, 4, 4, 3))
        mask = np.ones((1, 4, 4, 1), "float32")  # NumPy, as in the lab
        mask[:, :, 2:] = 0
        rates = ops.full((2, 1, 1, 1), 0.6), ops.full((2, 1, 1, 1), 0.8)
        for now in (rates, (0 * rates[0], ops.ones_like(rates[1]))):
            images = self.use(answer, images, ops.ones_like(images), mask, 2 * images, *now)
            images = ops.convert_to_tensor(0.5 * images, "float32")
        return images

    @staticmethod
    def right(noisy_images, known_images, mask, noises, noise_rates, signal_rates):
        noisy_known = signal_rates * known_images + noise_rates * noises
        return mask * noisy_known + (1 - mask) * noisy_images

    mistakes = [
        Mistake(
            "You swapped the two regions. The mask is 1 where the pixels are known: put the known"
            " image there.",
            (
                "mask * noisy_known + (1 - mask) * noisy_images",
                "(1 - mask) * noisy_known + mask * noisy_images",
            ),
        ),
        Mistake(
            "You put in the clean known image. The network would see clean pixels next to noisy"
            " ones: mix the known image with noise first, at the given rates.",
            ("mask * noisy_known", "mask * known_images"),
        ),
        Mistake(
            "The known pixels are darkened but have no noise. Add noise_rates * noises.",
            ("signal_rates * known_images + noise_rates * noises", "signal_rates * known_images"),
        ),
        Mistake(
            "You added noise to the full image. Multiply the known image by its signal rate, as in"
            " every noisy image.",
            ("signal_rates * known_images", "known_images"),
        ),
        Mistake(
            "You swapped the two rates. The signal rate belongs to the image, and the noise rate to"
            " the noise.",
            (
                "signal_rates * known_images + noise_rates * noises",
                "noise_rates * known_images + signal_rates * noises",
            ),
        ),
        Mistake(
            "You added the noise at full strength. Multiply it by its rate.",
            ("noise_rates * noises", "noises"),
        ),
        Mistake(
            "You used the squares of the rates. The rates are the factors themselves, so leave the"
            " squares out.",
            (
                "signal_rates * known_images + noise_rates * noises",
                "signal_rates**2 * known_images + noise_rates**2 * noises",
            ),
        ),
        Mistake(
            "You used 1 - signal rate for the noise. That is not the noise rate, because it is the"
            " squares of the rates that add up to 1: use noise_rates.",
            ("noise_rates * noises", "(1 - signal_rates) * noises"),
        ),
        Mistake(
            "You used 1 - noise rate for the image. That is not the signal rate, because it is the"
            " squares of the rates that add up to 1: use signal_rates.",
            ("signal_rates * known_images", "(1 - noise_rates) * known_images"),
        ),
        Mistake(
            "You subtracted the noise. Add it.",
            ("known_images + noise_rates", "known_images - noise_rates"),
        ),
        Mistake(
            "You replaced the whole picture with the known image (in this check, the hole is not"
            " the right half), so nothing is left to sample. Where the mask is 0, keep"
            " noisy_images.",
            ("mask * noisy_known + (1 - mask) * noisy_images", "noisy_known"),
        ),
        Mistake(
            "You returned noisy_images unchanged. Where the mask is 1, put the noisy known pixels.",
            ("mask * noisy_known + (1 - mask) * noisy_images", "noisy_images"),
        ),
        Mistake(
            "Where the mask is 1, you added the known pixels to the sampled ones. Multiply"
            " noisy_images by 1 - mask.",
            ("(1 - mask) * noisy_images", "noisy_images"),
        ),
        Mistake(
            "In the hole you added the known image to the sampled pixels. Multiply the noisy known"
            " image by the mask.",
            ("mask * noisy_known", "noisy_known"),
        ),
        Mistake(
            "Your hole contains zeros. Keep the pixels of noisy_images there: they are what the"
            " sampler has found so far.",
            (" + (1 - mask) * noisy_images", ""),
        ),
        Mistake(
            "You filled the hole with fresh noise, so the sampler forgets what it has found. Keep"
            " the pixels of noisy_images there.",
            ("(1 - mask) * noisy_images", "(1 - mask) * noise_rates * noises"),
        ),
        Mistake(
            "You put the noise into the hole. Keep the pixels of noisy_images there.",
            ("(1 - mask) * noisy_images", "(1 - mask) * noises"),
        ),
        Mistake(
            "The hole has the wrong sign: its factor is 1 - mask, and yours is mask - 1.",
            ("(1 - mask)", "(mask - 1)"),
        ),
        Mistake(
            "Parentheses are missing around 1 - mask. Python multiplies before it subtracts.",
            ("(1 - mask) * noisy_images", "1 - mask * noisy_images"),
        ),
        Mistake(
            "You put the known image in first, and then added noise everywhere. The hole is noisy"
            " already: add noise to the known image alone, before you put it in.",
            lambda noisy_images, known_images, mask, noises, noise_rates, signal_rates: (
                signal_rates * (mask * known_images + (1 - mask) * noisy_images)
                + noise_rates * noises
            ),
        ),
        Mistake(
            "You added noise to noisy_images, and put in a clean known image. It is the other way"
            " round: noisy_images is noisy already, and the known image needs the noise.",
            lambda noisy_images, known_images, mask, noises, noise_rates, signal_rates: (
                mask * known_images
                + (1 - mask) * (signal_rates * noisy_images + noise_rates * noises)
            ),
        ),
        Mistake(
            "You added the noise in the hole as well. The pixels of noisy_images are noisy already:"
            " add noise only to the known image.",
            (
                "return mask * noisy_known",
                "return (1 - mask) * noise_rates * noises + mask * noisy_known",
            ),
        ),
        Mistake(
            "You multiplied the pixels in the hole by the signal rate. They are noisy already: keep"
            " them unchanged.",
            ("(1 - mask) * noisy_images", "(1 - mask) * signal_rates * noisy_images"),
        ),
        Mistake(
            "You noised noisy_images, and left the hole as in the known image. It is the other way"
            " round: known_images receives the noise, where the mask is 1.",
            lambda noisy_images, known_images, *others: InpaintStep.right(
                known_images, noisy_images, *others
            ),
        ),
    ]
