"""The exceptions that speak to a person: one sentence each, also in a notebook."""

import os

BACKENDS = ("tensorflow", "jax", "torch")


class OneSentence:
    """Makes Jupyter show an exception's message alone; it asks an exception how its traceback should look."""

    def _render_traceback_(self):
        return [f"\x1b[31m✗ {self}\x1b[0m"]


class UserError(OneSentence, ValueError):
    """A mistake in what a person asked for; its message is one sentence that says what is wrong and what to do.

    The command line prints the message alone, with exit status 2; a notebook shows it under the cell.
    """


class NoGradient(UserError):
    """A loss that carries no gradient back to the weights."""


def about_backend(error):
    """The `UserError` for an import of Keras that failed because of its backend; None for any other exception."""
    name = (getattr(error, "name", None) or "").split(".")[0]
    from_file = "" if os.environ.get("KERAS_BACKEND") else "; it is Keras's file keras.json that chooses this backend"
    if name in BACKENDS:
        return UserError(f"Keras is to compute with {name}, which is not installed: install it (pip install {name}), or "
                         f"set the variable KERAS_BACKEND to tensorflow{from_file}.")
    if "Unable to import backend" in str(error):
        return UserError(f"{error}: set the variable KERAS_BACKEND to one of {', '.join(BACKENDS)}{from_file}.")
    return None
