"""How late a submission is, and what that costs.

The time of handing in comes from a table or from the platform. The times of files are not used,
because students can change them. A submission without a known time loses nothing.
"""

import math
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.platforms.roster import Roster
from diffusion_lab.instructor.platforms.rosters import Matches
from diffusion_lab.instructor.rows import Late
from diffusion_lab.instructor.time_tables import (
    DUE_TITLES,
    TIME_TITLES,
    Entry,
    read_entries,
    times_of_students,
)
from diffusion_lab.instructor.times import read_deadline, read_time, zone_in
from diffusion_lab.instructor.verdicts import Result

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LATE = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<percent>%?)\s*/\s*(?P<unit>day|hour)")
UNKNOWN = "submission time unknown, so no late deduction"
MOST_NAMES = 10  # in a sentence


@dataclass(frozen=True)
class Policy:
    """When a lab is due, and what each started day or hour costs."""

    due: datetime
    amount: float = 0.0
    percent: bool = True  # of the points that the student has; otherwise points
    unit: str = "day"
    grace: timedelta = timedelta()
    extensions: list[Entry] = field(default_factory=list)  # other due times
    times: list[Entry] = field(default_factory=list)  # of handing in, instead of the platform's
    zone: tzinfo | None = None  # of the due time and of times without a zone; None is the local one

    def late(self, due: datetime, time: datetime) -> Late:
        """Returns what a submission loses that was handed in at `time`.

        If `due` is not that of the class, it is an extension, and the rule names it.
        """
        start = due.astimezone(timezone.utc) + self.grace
        over = time.astimezone(timezone.utc) - start
        if over <= timedelta():
            return Late(f"on time{self.extension(due)}" if self.extension(due) else "")
        if self.unit == "day":  # by the clock on the wall, because a day may have 23 or 25 hours
            over = self._on_the_wall(time) - self._on_the_wall(start)
        units = max(1, math.ceil(over / UNITS[self.unit[0]]))
        rule = f"{units} {self.unit}{'s' * (units > 1)} late{self.extension(due)}"
        if not self.amount:
            return Late(rule)
        lost = units * self.amount
        if self.percent:
            lost = min(lost, 100)
            return Late(f"{rule}: −{lost:g} %", percent=lost)
        return Late(f"{rule}: −{lost:g} point{'s' * (lost != 1)}", points=lost)

    def within_grace(self, due: datetime, time: datetime) -> str:
        """Returns how late a submission was that only the grace period puts on time, or ""."""
        over = time.astimezone(timezone.utc) - due.astimezone(timezone.utc)
        if not timedelta() < over <= self.grace:
            return ""
        minutes = math.ceil(over / UNITS["m"])
        return f"{minutes} minute{'s' * (minutes > 1)} late, within the grace period"

    def extension(self, due: datetime) -> str:
        """Returns ` (extension until …)`, or "" if `due` is the due time of the class."""
        if due == self.due:
            return ""
        due = due.astimezone(self.zone)
        return f" (extension until {due.day} {due:%B %Y, %H:%M})"

    def _on_the_wall(self, time: datetime) -> datetime:
        return time.astimezone(self.zone).replace(tzinfo=None)


def read_policy(
    due: str | None,
    late: str | None = None,
    grace: str | None = None,
    extensions: Path | None = None,
    times: Path | None = None,
) -> Policy | None:
    """Returns the policy that the options of the command line describe, or None without `due`.

    Raises:
        UserError: for an option that cannot be read, or one that needs `due`.
    """
    if due is None:
        for name, value in {
            "--late": late,
            "--grace": grace,
            "--extensions": extensions,
            "--times": times,
        }.items():
            if value is not None:
                raise UserError(f"{name} needs the time when the lab is due: give --due as well.")
        return None
    deadline = read_deadline(due)
    if deadline is None:
        raise UserError(f"--due: {due!r} is not a time. Write it as 2026-11-30T23:59.")
    rate = LATE.fullmatch((late or "0%/day").strip())
    if rate is None:
        raise UserError(f"--late: {late!r} must look like 10%/day, 5%/hour or 2/day.")
    return Policy(
        deadline,
        float(rate["amount"]),
        bool(rate["percent"]),
        rate["unit"],
        _duration(grace or "0m"),
        read_entries(extensions, DUE_TITLES, zone_in(due)) if extensions else [],
        read_entries(times, TIME_TITLES, zone_in(due)) if times else [],
        zone_in(due),
    )


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})\s*([mhd])", text.strip())
    if match is None:
        raise UserError(f"--grace: {text!r} must look like 15m, 2h or 1d.")
    return int(match[1]) * UNITS[match[2]]


def judge_lateness(
    matches: Matches, roster: Roster | None, policy: Policy
) -> tuple[list[Result], dict[str, Late], list[str]]:
    """Finds out how late each submission is.

    Args:
        matches: the results, and who they belong to.
        roster: of the class, which may have times of handing in, or None.
        policy: the rules.

    Returns:
        (the results with remarks, {key of a result: what it loses}, sentences for the instructor).

    Raises:
        UserError: if a line of a table fits several students.
    """
    sentences: list[str] = []
    extended = times_of_students(policy.extensions, matches, roster, sentences)
    listed = times_of_students(policy.times, matches, roster, sentences)
    times = {
        result.key: listed.get(result.key) or _from_platform(result, matches, roster, policy.zone)
        for result in matches.results
        if not result.outdated
    }
    late: dict[str, Late] = {}
    results = []
    unknown = [result.student for result in matches.results if not times.get(result.key)]
    for result in matches.results:
        due, time = extended.get(result.key, policy.due), times.get(result.key)
        judged = policy.late(due, time) if time else Late(policy.extension(due).strip(" ()"))
        # what holds for all students is said once, in a sentence
        doubt = not time and len(unknown) < len(matches.results)
        grace = policy.within_grace(due, time) if time else ""
        remarks = filter(None, [judged.rule, grace, UNKNOWN * doubt])
        results.append(replace(result, remarks=[*result.remarks, *remarks]))
        if time or judged.rule:
            late[result.key] = judged
    if unknown:
        sentences.append(_about_unknown(unknown, len(results), bool(policy.times)))
    return results, late, sentences


def _about_unknown(names: list[str], total: int, listed: bool) -> str:
    """Returns sentences about the submissions of these students, which have no time.

    `listed` is True if --times names other students.
    """
    count = len(names)
    which = "all submissions" if count == total else f"{count} of {total} submissions"
    more = f"; and {count - MOST_NAMES} more" if count > MOST_NAMES else ""
    advice = (
        f"Add these students to the table of --times: {'; '.join(names[:MOST_NAMES])}{more}."
        if listed
        else "Give a table with --times."
    )
    return f"The submission time is unknown for {which}, so they get no late deduction. {advice}"


def _from_platform(
    result: Result, matches: Matches, roster: Roster | None, zone: tzinfo | None
) -> datetime | None:
    """Returns when a result was handed in, according to the roster or the platform."""
    indices = matches.people.get(result.key, [])
    texts = [roster.handed_in.get(index, "") for index in indices] if roster else []
    times = [time for text in texts if (time := read_time(text, zone))]
    return max(times) if times else read_time(result.handed_in, zone)
