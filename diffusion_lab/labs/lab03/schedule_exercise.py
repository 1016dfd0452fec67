"""What the exercises on schedules share: pure functions of time that return both rates."""

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.blame import signature_mistake
from diffusion_lab.labs.evidence import names_in
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.outputs import array, arrays
from diffusion_lab.labs.rates import RATES, compare_rates

SQUARED = (
    "You returned the variances. The rates are the sine and the cosine themselves: do not square"
    " them."
)
DEGREES = "Your angles are in degrees, but sine and cosine take radians. A right angle is π / 2."
NOT_ONE_MINUS = (
    "Your noise rate is 1 - signal rate. The squares of the two add to 1, so take the sine of the"
    " same angle."
)
STRAIGHT_SIGNAL = "Your signal rate falls linearly with time. Let the angle grow linearly instead."
ROUNDED = "You rounded the times to whole numbers. Use them unchanged."
OWN_TIMES = "You made up your own times. Use the `diffusion_times` you receive, in their order."


class ScheduleExercise(Exercise):
    """The part that the three exercises share.

    Attributes:
        parameters: the names of the arguments after the times. If there are any, the answer is
            called a second time, with other values for them.
    """

    parameters = ()

    def draw(self, rng):
        # in random order, including both ends
        times = rng.permutation([0, 1, *rng.uniform(0.05, 0.95, 8)])
        return {"times": column(times)}

    def measure(self, answer, inputs):
        outputs = arrays(self.call(answer, inputs["times"]), *RATES)
        outputs["flattens"] = array("cumprod" in names_in(answer), "flattens")
        if self.parameters:
            others = {name: inputs[name].item() for name in self.parameters}
            if signature_mistake(answer, self.takes, (inputs["other_times"],), others):
                # the answer calls its arguments something else
                result = self.call(answer, inputs["other_times"], *others.values())
            else:
                result = self.call(answer, inputs["other_times"], **others)
            outputs |= {f"other_{name}": part for name, part in arrays(result, *RATES).items()}
        return outputs

    def rehearse(self, answer, inputs):
        for count in (1, 201):  # one clean image, and a curve
            times = column(np.linspace(0, 1, count))
            for rates in parts(answer(times)):
                if ops.convert_to_numpy(rates).shape != times.shape:
                    raise CheckFailed(
                        f"The rates are right for {inputs['times'].size} times, but for {count}"
                        f" they have the shape {np.shape(rates)}. Return rates of the same shape as"
                        f" the times, {times.shape}."
                    )

    def examine(self, inputs, outputs):
        self.examine_rates("", inputs, outputs)
        if self.parameters:
            values = ", ".join(f"{name}={inputs[name].item():.3g}" for name in self.parameters)
            self.examine_rates("other_", inputs, outputs, f" with {values}")

    def examine_rates(self, prefix, inputs, outputs, setting=""):
        """Raises CheckFailed unless both rates of one call are right.

        `prefix` is the beginning of the names of its arrays.
        """
        noise_rates, signal_rates = names = [prefix + name for name in RATES]
        right = self.measured(self.right, inputs)
        both = zip(
            self.known_results(noise_rates, inputs), self.known_results(signal_rates, inputs)
        )
        known = ((hint, (noise, signal)) for (hint, noise), (_, signal) in both)
        compare_rates(
            inputs[f"{prefix}times"],
            [outputs[name] for name in names],
            [right[name] for name in names],
            known,
            self.tolerance,
            setting,
            "`np.cumprod` flattens its input." if outputs["flattens"] else "",
        )


def at_times(change, right):
    """Returns the right answer at `change(times)` instead of the times."""
    return lambda times, *parameters: right(change(times), *parameters)


def with_rates(change, right):
    """Returns the right answer with `change(noise_rates, signal_rates)` in place of its rates."""
    return lambda times, *parameters: change(*right(times, *parameters))


def evenly(times):
    """Returns as many evenly spaced times as there are `times`."""
    return np.linspace(0, 1, times.size).reshape(times.shape)


def column(times):
    """Reshapes times to (B, 1, 1, 1), float32."""
    return np.asarray(times, "float32").reshape(-1, 1, 1, 1)
