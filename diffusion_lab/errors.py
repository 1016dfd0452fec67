"""The one exception that means "the person at the keyboard can mend this"."""


class UserError(ValueError):
    """A mistake in what a person asked for; its message is one sentence that says what is wrong and what to do.

    The command line prints the message alone, with exit status 2; a notebook shows it under the cell.
    """
