"""Writes the files with grades and feedback that a platform imports as they are."""

import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from diffusion_lab.instructor.naming_schemes import platform_of
from diffusion_lab.instructor.platforms import canvas, moodle
from diffusion_lab.instructor.platforms.roster import Roster, Upload
from diffusion_lab.instructor.platforms.rosters import Matches
from diffusion_lab.instructor.rows import Row
from diffusion_lab.instructor.verdicts import Result
from diffusion_lab.storage import replacing, write_atomically

MOST_NAMES = 5  # in a sentence
PLATFORMS = {"canvas": canvas, "moodle": moodle}


def remove_uploads(out: Path) -> None:
    """Removes the files of an earlier grading, so that nobody imports old points."""
    for platform in PLATFORMS:
        for name in (f"upload-{platform}.csv", f"feedback-{platform}.zip"):
            with suppress(NotADirectoryError):  # the grader reports it
                (out / name).unlink(missing_ok=True)


def remarks_on_platform(roster: Roster, results: list[Result]) -> list[str]:
    """Returns a sentence if the roster is from one platform and the submissions from another."""
    theirs = platform_of(result.place for result in results)
    if theirs.lower() not in PLATFORMS or roster.platform in ("", theirs.lower()):
        return []
    return [
        f"The roster is from {roster.platform.capitalize()}, but the submissions come from"
        f" {theirs}: unless this is deliberate, give {theirs}'s roster with --roster."
    ]


def remarks_on_class(roster: Roster, matches: Matches) -> list[str]:
    """Returns a sentence if the roster fits none of the submissions."""
    if matches.people or not matches.results:
        return []
    missing = f", so there is no upload-{roster.platform}.csv" if roster.platform else ""
    return [
        f"None of the {len(matches.results)} submissions is on this roster{missing}. Is it the"
        " roster of another class?"
    ]


def write_uploads(
    out: Path, lab: str, rows: list[Row], roster: Roster, matches: Matches
) -> list[str]:
    """Writes `upload-PLATFORM.csv` and `feedback-PLATFORM.zip`, if the roster is from a platform.

    Args:
        out: the folder of the grade book.
        lab: such as "07".
        rows: of the grade book.
        roster: of the class.
        matches: who the rows belong to.

    Returns:
        Sentences for the instructor.
    """
    graded = {
        index: row
        for row in rows
        if not row.hold and not row.outdated and (not row.failed or _all_by_hand(row))
        for index in matches.people.get(row.key, ())
    }
    if not roster.platform or not matches.people:
        return []
    if not graded:
        return [
            f"There is no upload-{roster.platform}.csv: the submissions of all students on the"
            " roster are on hold, outdated, or could not be graded."
        ]
    platform = PLATFORMS[roster.platform]
    ours = max(row.possible for row in graded.values())
    theirs = _number(roster.possible) or ours
    points = {
        index: graded[index].points * theirs / graded[index].possible for index in sorted(graded)
    }
    upload = Upload(lab, theirs, points, graded)
    write_atomically(
        out / f"upload-{roster.platform}.csv", platform.grades(roster, upload).encode()
    )
    files = {
        index: platform.feedback(
            roster.people[index], row, (out / "feedback" / row.page).read_bytes()
        )
        for index, row in graded.items()
    }
    found = dict(filter(None, files.values()))
    if found:
        _write_zip(out / f"feedback-{roster.platform}.zip", found)
    remarks = _remarks(rows, roster, upload, ours)
    without = {index: graded[index] for index, file in files.items() if not file}
    remarks += _without_feedback(roster, without, len(graded))
    written = f"{out}/upload-{roster.platform}.csv"
    if found:
        written += f" and {out}/feedback-{roster.platform}.zip"
    return [*remarks, f"For {roster.platform.capitalize()}: {written}."]


def _all_by_hand(row: Row) -> bool:
    """True if a person gave points for each exercise, whatever became of the submission."""
    return all(row.overrides.get(verdict.number) for verdict in row.verdicts)


def _without_feedback(roster: Roster, rows: dict[int, Row], total: int) -> list[str]:
    """Returns why the platform gets no feedback for `rows` of `total` students.

    `rows` is {index of a line of the roster: row}.
    """
    theirs = roster.platform.capitalize()
    kinds, ids, foreign = [], [], []
    for index, row in rows.items():
        if platform_of([row.place]) != theirs:
            foreign.append(row)
        elif f"_{roster.people[index].id}_" not in row.place:  # found by name, or in a group
            ids.append(row)
        else:
            kinds.append(f"{row.student} ({PurePosixPath(row.place).name})")
    sentences = {
        f"{_some(kinds)}: {theirs} can attach it only to a notebook or a zip. Their pages are in"
        " feedback/.": kinds,
        f"{len(ids)} of {total} students, because the IDs in the names of their files are not"
        " theirs on the roster.": ids,
        f"{len(foreign)} of {total} students, because their files do not come from"
        f" {theirs}.": foreign,
    }
    return [
        f"{theirs} gets no feedback for {text}" for text, applies in sentences.items() if applies
    ]


def _some(names: list[str]) -> str:
    more = f"; and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return "; ".join(names[:MOST_NAMES]) + more


def _remarks(rows: list[Row], roster: Roster, upload: Upload, possible: float) -> list[str]:
    """Returns what an instructor should know before the import.

    `possible` are the points of the lab. Those of `upload` are the platform's.
    """
    held = sum(bool(row.hold) for row in rows)
    left_out = len(rows) - held - len({row.key for row in upload.rows.values()})
    platform = roster.platform.capitalize()
    sentences = {
        f"upload-{roster.platform}.csv leaves out {left_out} of {len(rows)} submissions: it is not"
        " clear who they belong to, or they could not be graded.": left_out,
        f"upload-{roster.platform}.csv and feedback-{roster.platform}.zip leave out {held} of"
        f" {len(rows)} submissions, because these are on hold in manual.csv.": held,
        f"The assignment has {upload.possible:g} points in {platform}, and the lab has"
        f" {possible:g}. The points in the upload are converted.": upload.possible != possible,
        f"The roster has no assignment with the number {upload.lab}, so {platform} will offer to"
        " create one. Choose another with --assignment.": roster.grade is None,
        "The upload is for the assignment"
        f" {roster.header[roster.grade or 0]!r}; --assignment chooses another.": roster.platform
        == "canvas"
        and roster.grade is not None,
    }
    return [sentence for sentence, applies in sentences.items() if applies]


def _number(text: str) -> float:
    """Returns a number that may have a decimal comma, or 0 for other text."""
    with suppress(ValueError):
        return max(0.0, float(text.replace(",", ".")))
    return 0.0


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    with (
        replacing(path) as draft,
        zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in files.items():
            archive.writestr(name, content)
