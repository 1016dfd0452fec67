"""The exceptions that speak to a person: one sentence each, also in a notebook."""


class OneSentence:
    """Makes Jupyter show an exception's message alone; it asks an exception how its traceback should look."""

    def _render_traceback_(self):
        return [f"\x1b[31m✗ {self}\x1b[0m"]


class UserError(OneSentence, ValueError):
    """A mistake in what a person asked for; its message is one sentence that says what is wrong and what to do.

    The command line prints the message alone, with exit status 2; a notebook shows it under the cell.
    """
