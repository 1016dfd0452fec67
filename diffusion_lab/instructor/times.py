"""Reads points in time, as people and platforms write them."""

import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ZONE = r"(?P<zone>Z|[+-]\d\d:?\d\d|[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*)?"
FORMS = [
    re.compile(pattern + rf"\s*{ZONE}", re.IGNORECASE)
    for pattern in (
        # ISO 8601, Gradescope, nbgrader, Blackboard
        r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)[T -](?P<hour>\d\d?)[:-](?P<minute>\d\d)"
        r"(?:[:-](?P<second>\d\d)(?:\.\d+)?)?",
        # Moodle and Brightspace in English: `Monday, 1 June 2026, 11:59 PM`
        r"(?:\w+day,? )?(?P<day>\d\d?) (?P<month>[a-z]{3})[a-z]*,? (?P<year>\d{4}),?"
        r" (?P<hour>\d\d?):?(?P<minute>\d\d)(?::(?P<second>\d\d))?(?: ?(?P<half>[AP])M)?",
        # Brightspace: `Jun 1, 2026 1159 PM`
        r"(?:\w+day,? )?(?P<month>[a-z]{3})[a-z]* (?P<day>\d\d?),? (?P<year>\d{4}),?"
        r" (?P<hour>\d\d?):?(?P<minute>\d\d)(?::(?P<second>\d\d))?(?: ?(?P<half>[AP])M)?",
    )
]


def read_time(text: str, zone: tzinfo | None = None) -> datetime | None:
    """Returns a time with its zone, or None if `text` is not a time.

    If the text has no time zone, it is in `zone`, or by default in that of this machine.
    """
    match = next(filter(None, (form.fullmatch(" ".join(text.split())) for form in FORMS)), None)
    if match is None:
        return None
    parts = match.groupdict()
    try:
        hour = int(parts["hour"])
        if parts.get("half"):
            hour = hour % 12 + 12 * (parts["half"].upper() == "P")
        time = datetime(
            int(parts["year"]),
            _month(parts["month"]),
            int(parts["day"]),
            hour,
            int(parts["minute"]),
            int(parts["second"] or 0),
            tzinfo=_zone(parts["zone"]) or zone,
        )
        return time.astimezone(time.tzinfo)
    except (ValueError, KeyError, OverflowError, OSError):  # such as 31 June, or an unknown zone
        return None


def zone_in(text: str) -> tzinfo | None:
    """Returns the time zone that is written in a time, or None."""
    forms = (form.fullmatch(" ".join(text.split())) for form in FORMS)
    match = next(filter(None, forms), None)
    return _zone(match["zone"]) if match else None


def read_deadline(text: str, zone: tzinfo | None = None) -> datetime | None:
    """Returns the last moment that `text` includes, or None if it is not a time.

    A time without seconds includes its whole minute, because platforms show only minutes.
    """
    time = read_time(text, zone)
    if time and not re.search(r"\d:\d\d:\d\d", text):
        time += timedelta(minutes=1, microseconds=-1)
    return time


def _month(text: str) -> int:
    return int(text) if text.isdigit() else 1 + MONTHS.index(text.lower())


def _zone(text: str | None) -> tzinfo | None:
    """Returns the time zone with this name, or None for the local one. Raises an error if there is
    none.
    """
    if not text:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return timezone.utc
    if text[0] in "+-":
        hours, minutes = int(text[1:3]), int(text[-2:])
        return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
    return ZoneInfo(text)
