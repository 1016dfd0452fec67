"""What the first cell of every lab calls: it looks at the machine and chooses how large the lab will be."""

import os
import re
from dataclasses import dataclass

from diffusion_lab.errors import UserError, about_backend

try:
    import keras
except (ImportError, ValueError) as error:
    raise about_backend(error) or error from None

from diffusion_lab.backend import BACKEND, devices, has_accelerator
from diffusion_lab.data import dataset_status

PROFILES = ("smoke", "cpu", "gpu", "gpu-test")


@dataclass(frozen=True)
class Lab:
    """How large the numbers of a lab are.

    `profile` is "smoke" (seconds, for tests), "cpu" (minutes, on a laptop), "gpu" (the full models on real photographs),
    or "gpu-test" (as large as "gpu", as short as "smoke").
    """

    profile: str

    def size(self, smoke, cpu, gpu):
        """How large something is: image sizes, widths, batches."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu, "gpu-test": gpu}[self.profile]

    def amount(self, smoke, cpu, gpu):
        """How long something takes: epochs, numbers of images and of steps."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu, "gpu-test": smoke}[self.profile]

    def data(self, small, full):
        """The name of the data set: `full` on a GPU, else `small`; a test takes `full` only if it is here already."""
        if self.profile == "gpu-test" and dataset_status(full) == "needs a download":
            return small
        return self.size(small, small, full)


def start():
    """Prepares the notebook, prints one line about the machine, and returns a `Lab`.

    The environment variable DIFFUSION_LAB_PROFILE chooses the profile; without it, "gpu" where there is a GPU and "cpu"
    where there is none. Raises UserError for a profile that does not exist.
    """
    profile = os.environ.get("DIFFUSION_LAB_PROFILE") or ("gpu" if has_accelerator() else "cpu")
    if profile not in PROFILES:
        raise UserError(f"DIFFUSION_LAB_PROFILE is {profile!r}: choose one of {', '.join(PROFILES)}, or unset it.")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):  # else TensorFlow takes the whole memory at once
            tf.config.experimental.set_memory_growth(gpu, True)
    keras.utils.set_random_seed(0)
    _speak_plainly_of_exercises_not_done()
    print(f"Keras {keras.__version__} on {BACKEND} · {', '.join(devices())} · profile: {profile}")
    return Lab(profile)


def _speak_plainly_of_exercises_not_done():
    """Cells that need an answer which is still missing fail with one line instead of a traceback."""
    try:
        shell = get_ipython()  # noqa: F821  only Jupyter has it
    except NameError:
        return

    missing = []  # what cells have waited for so far

    def show(shell, kind, error, traceback, tb_offset=None):
        unfinished = re.search(r"Exercise \d+\.\d+: .*", str(error))
        in_the_cell = traceback is not None and traceback.tb_next is not None and traceback.tb_next.tb_next is None
        if kind is NotImplementedError and unfinished:
            missing.append(unfinished[0])
            lines = [f"\x1b[31m✗ This cell needs an answer that is not there yet. {unfinished[0]}\x1b[0m"]
        elif kind is NameError and missing and in_the_cell:
            lines = [f"\x1b[31m✗ {error}: a cell above has not come to its end. {missing[0]}\x1b[0m"]
        else:
            lines = shell.InteractiveTB.structured_traceback(kind, error, traceback, tb_offset=tb_offset)
        shell._showtraceback(kind, error, lines)

    shell.set_custom_exc((NotImplementedError, NameError), show)
