"""Replaces printed symbols that a terminal cannot show, for example with cp1252 on Windows."""

import codecs
import sys
import unicodedata

PLAIN = {
    "✓": "OK",
    "✗": "X",
    "√": "sqrt",
    "ᾱ": "alpha_bar",
    "∞": "inf",
    "→": "->",
    "←": "<-",
    "−": "-",
    "–": "-",
    "·": "-",
    "•": "-",
    "×": "x",
    "±": "+-",
    "²": "^2",
    "³": "^3",
    "°": " degrees",
    "½": "1/2",
    "¼": "1/4",
    "∇": "grad ",
    "█": "#",
    "▀": "#",
    "░": ".",
    "○": "o",
    "◐": "+",
    "●": "*",
    "━": "-",
}
ERRORS = "diffusion_lab.plain"  # the name by which Python finds `in_plain_letters`


def in_plain_letters(error):
    """Returns an ASCII spelling of characters that cannot be encoded, or "?".

    This is an error handler for `codecs.register_error`.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter):
    if letter in PLAIN or unicodedata.combining(letter):
        return PLAIN.get(letter, "")
    name = unicodedata.name(letter, "").split(" LETTER ")
    if name[0] in ("GREEK SMALL", "GREEK CAPITAL"):
        return (
            name[1].split(" ")[0].lower()
            if name[0] == "GREEK SMALL"
            else name[1].split(" ")[0].capitalize()
        )
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if part.isascii())
    return base or "?"


def tolerate_code_pages():
    """Makes standard output and error accept any symbol; does nothing if they already do."""
    codecs.register_error(ERRORS, in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "backslashreplace") and hasattr(
            stream, "reconfigure"
        ):
            stream.reconfigure(errors=ERRORS)
