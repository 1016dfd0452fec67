"""Makes text and pictures from a submission safe to show on a page, in a table and in a terminal.

They contain no control codes, and their size is limited.
"""

import base64
import io
import re
from dataclasses import replace
from typing import Any

from PIL import Image

from diffusion_lab.instructor.verdicts import Result

MOST_PIXELS = 20_000_000
LONGEST = {
    "problem": 1_000,
    "sentence": 1_000,
    "remarks": 500,
    "details": 8_000,
    "texts": 30_000,
    "student": 200,
    "place": 500,
    "id": 100,
}
ONE_LINE = ("problem", "sentence", "remarks", "student", "place", "id")
TERMINAL_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)  # control codes and direction marks
LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # cannot be encoded


def presentable(result: Result) -> Result:
    """Returns a result whose texts are safe to show.

    They have no control codes and a limited length, and sentences and names are single lines.
    """
    return replace(
        result,
        student=clean(result.student, "student"),
        id=clean(result.id, "id"),
        place=clean(result.place, "place"),
        problem=clean(result.problem, "problem"),
        remarks=[clean(remark, "remarks") for remark in result.remarks],
        texts={name: clean(text, "texts") for name, text in result.texts.items()},
        verdicts=[
            replace(
                verdict,
                sentence=clean(verdict.sentence, "sentence"),
                details=clean(verdict.details, "details"),
            )
            for verdict in result.verdicts
        ],
    )


def clean(text: str, name: str) -> str:
    """Returns a text in a form that is safe for the field `name` of a report."""
    text = str(text)[: 2 * LONGEST[name]] + " …" * (len(str(text)) > 2 * LONGEST[name])
    text = LONE_SURROGATES.sub(
        "\ufffd", HIDDEN.sub("", TERMINAL_CODES.sub("", re.sub("\r\n?|[\u2028\u2029]", "\n", text)))
    )
    return shortened(
        " ".join(text.split()) if name in ONE_LINE and re.search("[\n\t]", text) else text,
        LONGEST[name],
    )


def shortened(text: str, longest: int) -> str:
    """Returns a text, cut to `longest` characters and with an ellipsis if it is longer."""
    return text if len(text) <= longest else text[:longest].rstrip() + " …"


def safe_picture(content: str | None) -> str | None:
    """Returns a PNG in base64, decoded and encoded again, of at most 900 × 900 pixels.

    Returns None if `content` is not a PNG of an acceptable size.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(content or "")), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:  # before decoding
                return None
            picture = picture.convert("RGB")
            picture.thumbnail((900, 900))
            return _encoded(picture, "PNG")
    except Exception:  # a hostile file may raise anything
        return None


def small_picture(picture: str | None, most_bytes: int) -> str | None:
    """Returns a picture from `safe_picture` as the largest JPEG of at most `most_bytes` in base64.

    Returns None if even a small one is larger.
    """
    if not picture:
        return None
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        for side in (600, 400, 280, 200, 140, 100, 70):
            if side > 70 and side >= 1.4 * max(image.size):
                continue  # the picture is smaller, so the next size gives the same
            image.thumbnail((side, side))
            small = _encoded(image.convert("RGB"), "JPEG", quality=70)
            if len(small) <= most_bytes:
                return small
    return None


def _encoded(picture: Image.Image, kind: str, **options: Any) -> str:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return base64.b64encode(content.getvalue()).decode()
