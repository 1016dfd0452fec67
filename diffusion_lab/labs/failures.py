"""The exceptions that say what a check found."""

from diffusion_lab.errors import OneSentence


class CheckFailed(OneSentence, AssertionError):
    """A wrong or missing answer; the message is the diagnosis that the student reads.

    Args:
        hint: the kind of mistake, and what to do.
        detail: the expected numbers. Grading does not show them, because a student who hands in
            a second time could return them.
    """

    _keras_call_info_injected = True  # keeps Keras from adding its own words to the message

    def __init__(self, hint="", detail=""):
        super().__init__(f"{hint} {detail}".strip())
        self.hint = hint


class Undiagnosed(CheckFailed):
    """Wrong numbers that match no known mistake."""


class NotDone(CheckFailed):
    """The answer is still the stub."""
