"""The first cell of every lab: it chooses the lab's size and installs plain error messages."""

import inspect
import os
import sys
from dataclasses import dataclass
from functools import partial
from traceback import walk_tb

from diffusion_lab.errors import OneSentence, UserError, about_backend, in_red

try:
    import keras
except (ImportError, ValueError) as error:
    raise about_backend(error) or error from None

from diffusion_lab import checks
from diffusion_lab.backend import BACKEND, devices, has_accelerator
from diffusion_lab.data import dataset_status
from diffusion_lab.labs import exercise, progress
from diffusion_lab.labs.blame import first_line
from diffusion_lab.labs.evidence import stub_of
from diffusion_lab.labs.language import say, speak

PROFILES = ("smoke", "cpu", "gpu", "gpu-test")


@dataclass(frozen=True)
class Profile:
    """Chooses the numbers in a lab's settings.

    `profile` is "smoke" (seconds, for tests), "cpu" (minutes, on a laptop), "gpu" (the full models
    on real photographs), or "gpu-test" (as large as "gpu", as short as "smoke").
    """

    profile: str

    def size(self, smoke, cpu, gpu):
        """Returns the size of something, such as images, widths and batches."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu, "gpu-test": gpu}[self.profile]

    def amount(self, smoke, cpu, gpu):
        """Returns a number that decides how long something takes: epochs, images, steps."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu, "gpu-test": smoke}[self.profile]

    def data(self, small, full):
        """Returns the name of the data set: `full` on a GPU, else `small`.

        The profile "gpu-test" takes `full` only if it has already been downloaded.
        """
        if self.profile == "gpu-test" and dataset_status(full) == "needs a download":
            return small
        return self.size(small, small, full)


def start(language="en"):
    """Prepares the notebook, prints one line about the machine, and returns a `Profile`.

    The environment variable DIFFUSION_LAB_PROFILE chooses the profile; without it, the profile is
    "gpu" on a machine with a GPU and "cpu" elsewhere.

    Args:
        language: of the sentences that all labs share, such as "de"; see `language`.

    Raises:
        UserError: for a profile or a language that does not exist.
    """
    speak(language)
    profile = os.environ.get("DIFFUSION_LAB_PROFILE") or ("gpu" if has_accelerator() else "cpu")
    if profile not in PROFILES:
        raise UserError(
            f"DIFFUSION_LAB_PROFILE is {profile!r}: choose one of {', '.join(PROFILES)}, or"
            " unset it."
        )
    if BACKEND == "tensorflow":
        import tensorflow as tf

        # otherwise TensorFlow reserves all memory of the GPU
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    keras.utils.set_random_seed(0)
    _install_error_messages()
    machine = f"{BACKEND} · {', '.join(devices())}"
    print(
        say(
            "Keras {version} on {machine} · profile: {profile}",
            version=keras.__version__,
            machine=machine,
            profile=profile,
        )
    )
    if "DIFFUSION_LAB_PROFILE" not in os.environ:  # a student's run, not a test or a build
        _keep_record()
    return Profile(profile)


def _keep_record():
    """Prints how many exercises are solved, and makes the checks add to the record."""
    record = progress.RECORD.resolve()  # a cell may change the folder
    if done := progress.solved(record):
        print(progress.summary(done, {each.number for each in checks.exercises().values()}))
    exercise.on_solved[:] = [partial(progress.remember, record)]


def _install_error_messages():
    """Makes a cell that fails name the missing or wrong answer, mostly in one line."""
    try:
        shell = get_ipython()  # noqa: F821  only Jupyter has it
    except NameError:
        return

    missing = []  # the missing answers named so far

    def show(shell, kind, error, traceback, tb_offset=None):
        sentence = _explanation(error, traceback, missing)
        if sentence:
            sys.last_type, sys.last_value, sys.last_traceback = kind, error, traceback  # for %tb
            return shell._showtraceback(kind, error, in_red(sentence))
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        if guess := _possible_cause(error):
            print(guess)

    shell.set_custom_exc((Exception,), show)


def _explanation(error, traceback, missing):
    """Returns a sentence if an exercise is to blame for an exception in a cell, otherwise None."""
    cell, *deeper = [frame.f_code for frame, _ in walk_tb(traceback)][1:] or [None]
    in_the_cell = cell and all(map(_is_part_of_its_cell, deeper))
    stub, finished = stub_of(error) or (None, False)
    # autograph adds the prefix tf__
    unfinished = _exercise(stub.co_name.removeprefix("tf__")) if stub else None
    if unfinished and finished:
        return say(
            "{exercise}, ends at the line `raise NotImplementedError(...)`, the placeholder for"
            " your answer: remove that line.",
            exercise=unfinished.title,
        )
    if unfinished:
        missing.append(
            say(
                "Exercise {number}: write {name}",
                number=unfinished.number,
                name=unfinished.name,
            )
        )
        return say("This cell needs an answer that is still missing. {answer}", answer=missing[-1])
    if type(error) is NameError and _exercise(error.name):
        return say(
            "{error}: run the cell with your answer. If it stops with an error, fix that first.",
            error=error,
        )
    if type(error) is NameError and in_the_cell and missing:
        return say(
            "{error}: a cell above has not finished. {answer}", error=error, answer=missing[0]
        )
    guess = _possible_cause(error)
    # other errors in the cell itself have short tracebacks
    if guess and (deeper or type(error) is NameError):
        return say(
            "This cell stops with {error}. {guess} (%tb shows where.)",
            error=first_line(error),
            guess=guess,
        )
    return None


def _exercise(name):
    """Returns the check of the exercise with this name, or None."""
    return checks.exercises().get(name)


def _is_part_of_its_cell(code):
    """True for a comprehension or a class body, which count as part of their cell."""
    return code.co_name.startswith("<") or not code.co_flags & inspect.CO_OPTIMIZED


def _possible_cause(error):
    """Returns a sentence on the wrong answers that may have caused an error, or ""."""
    if not exercise.unsolved or isinstance(error, (OneSentence, SyntaxError, ImportError)):
        return ""
    return say(
        "An answer may not be right yet: {names}. Run its check to see what is wrong.",
        names=", ".join(sorted(exercise.unsolved)),
    )
