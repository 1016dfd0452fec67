"""Code of the package, shown in notebooks without docstrings."""

from diffusion_lab.labs.listing import code_of, show_code


class Example:
    def documented(self):
        """Returns one.

        In two paragraphs.
        """
        # a comment stays
        return 1

    def bare(self):
        return "two"


def test_a_docstring_is_left_out_and_the_rest_stays(capsys):
    assert code_of(Example.documented) == (
        "def documented(self):\n    # a comment stays\n    return 1"
    )
    show_code(Example.documented, Example.bare)
    printed = capsys.readouterr().out
    assert printed.endswith('    return 1\n\ndef bare(self):\n    return "two"\n')
