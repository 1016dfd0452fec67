"""The sentences that students read in every lab, in the language of the lab.

The code has them in English. Each file `languages/NAME.json` has their translations into one
language, {English: translated}. What it lacks stays English.
"""

import json
from functools import lru_cache
from pathlib import Path

from diffusion_lab.errors import UserError

FOLDER = Path(__file__).with_name("languages")
_translations = {}  # of the language that the lab has chosen


def say(sentence, **values):
    """Returns a sentence in the language of the lab, with the values in place of {their names}."""
    return _translations.get(sentence, sentence).format(**values)


def speak(language):
    """Makes `say` use a language, such as "de"; "en" is English.

    Raises:
        UserError: if there are no translations into this language.
    """
    known = {"en": {}} | languages()
    if language not in known:
        raise UserError(
            f"There is no language {language!r}: choose one of {', '.join(sorted(known))}, or add"
            f" {language}.json in {FOLDER}."
        )
    _translations.clear()
    _translations.update(known[language])


@lru_cache
def languages():
    """Returns {language: its translations}, without English."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    }
