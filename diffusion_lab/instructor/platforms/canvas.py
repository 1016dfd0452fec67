"""Canvas: reads its grade book, and writes grades and feedback that it imports.

The formats are those of Canvas's own `gradebook_exporter.rb`, `gradebook_importer.rb` and
`abstract_assignment.rb` (github.com/instructure/canvas-lms).
"""

import html
import io
import re
import zipfile
from pathlib import PurePosixPath

import nbformat.v4 as nbformat

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.naming_schemes import PLATFORMS
from diffusion_lab.instructor.pages import in_html
from diffusion_lab.instructor.platforms.roster import Person, Roster, Upload, person_at
from diffusion_lab.instructor.rows import Row
from diffusion_lab.instructor.tables import number, table

IDS = ("ID", "SIS User ID", "SIS Login ID", "Integration ID")
ASSIGNMENT = re.compile(r"(?P<title>.*) \((?P<id>\d+)\)", re.DOTALL)
POSSIBLE = "Points Possible"  # begins the line with the points of the assignments
NUMBER_ONLY = 1  # how well `Quiz 7` fits lab 07: see `_fit`
TEST_STUDENT = "Student, Test"  # is Canvas's own, and in every course


def read(
    header: list[str], lines: list[list[str]], lab: str, assignment: str | None
) -> Roster | None:
    """Returns the roster in an exported grade book, or None for any other table.

    Args:
        header: the first line.
        lines: the other lines.
        lab: such as "07".
        assignment: the title or ID of its assignment, or None to look for the lab in the titles.

    Raises:
        UserError: if a column is missing, there is no such assignment, or it is not clear which one
            is meant.
    """
    names = [0, 1][: 2 if header[:2] == ["LastName", "FirstName"] else 1]
    begins = header[: len(names) + 1] in (["Student", "ID"], ["LastName", "FirstName", "ID"])
    if not begins or "Section" not in header:
        if any("".join(line[:1]).strip() == POSSIBLE for line in lines):
            missing = [title for title in ("ID", "Section") if title not in header]
            fault = f"has no column {missing[0]}" if missing else "begins with other columns"
            raise UserError(
                f"The roster is Canvas's grade book, but it {fault}. Export it again, and do not"
                " change its columns."
            )
        return None
    ids = [header.index(name) for name in IDS if name in header]
    people = {
        index: person_at(line, names, ids)
        for index, line in enumerate(lines)
        if line[ids[0]].strip()
        and ", ".join(line[column].strip() for column in names) not in (TEST_STUDENT, POSSIBLE)
    }
    column = _column_for(lab, assignment, header)
    possible = [line[column].strip() for line in lines if column and line[0].strip() == POSSIBLE]
    return Roster("canvas", header, lines, people, column, "".join(possible[:1]))


def _column_for(lab: str, assignment: str | None, header: list[str]) -> int | None:
    """Returns the column of the assignment, or None if the grade book has none for this lab."""
    found = {
        column: match
        for column in range(header.index("Section") + 1, len(header))
        if (match := ASSIGNMENT.fullmatch(header[column]))
    }
    fits = {column: _fit(match, lab, assignment) for column, match in found.items()}
    best = max(fits.values(), default=0)
    columns = [column for column, fit in fits.items() if fit and fit == best]
    if len(columns) == 1 and best > NUMBER_ONLY:
        return columns[0]
    if not columns and assignment is None:
        return None
    titles = ", ".join(repr(header[column]) for column in columns or found) or "none"
    if best == NUMBER_ONLY:
        raise UserError(
            f"No assignment on the roster is called Lab {lab}, and these titles match only in their"
            f" number: {titles}. Choose one with --assignment, or create Lab {lab} in Canvas and"
            " export the grade book again."
        )
    raise UserError(
        (
            f"The roster has several assignments that may be lab {lab}: {titles}."
            if columns
            else f"The roster has no assignment {assignment!r}. It has: {titles}."
        )
        + " Choose one with --assignment."
    )


def _fit(match: re.Match[str], lab: str, assignment: str | None) -> int:
    """Returns how well the title of an assignment fits, from 3 for an exact match to 0.

    Args:
        match: the title and the ID.
        lab: its number. Titles such as `Lab 07` are the best, then `Lab 7: DDIM`, then all others
            with the number.
        assignment: the title or ID that was asked for, or its beginning; or None.
    """
    if assignment in (match["id"], match[0]):
        return 3
    name = re.escape(assignment) if assignment else rf"lab[\s_-]*0*{int(lab)}"
    begins = re.match(rf"\s*{name}(?!\.?\w)\s*", match["title"], re.IGNORECASE)
    if begins:
        return 3 if begins[0] == match["title"] else 2
    numbers = map(int, re.findall(r"\d+", match["title"]))
    return NUMBER_ONLY * (assignment is None and int(lab) in numbers)


def grades(roster: Roster, upload: Upload) -> str:
    """Returns the CSV file for *Grades, Import*.

    It contains only the students of `upload`, because an empty cell would delete a grade.
    """
    width = roster.header.index("Section") + 1
    title = f"Lab {upload.lab}" if roster.grade is None else roster.header[roster.grade]
    first = [f"    {POSSIBLE}", *[""] * (width - 1), number(upload.possible)]
    lines = [
        [*roster.lines[index][:width], number(points)] for index, points in upload.points.items()
    ]
    return table([[*roster.header[:width], title], first, *lines])


def feedback(person: Person, row: Row, page: bytes) -> tuple[str, bytes] | None:
    """Returns (name, content) of the file that *Upload Submissions* attaches to a submission.

    Canvas finds the submission by two numbers in the file's name, and shows the file under the name
    that the student gave it. So feedback on a notebook is a notebook, and feedback on a zip is a
    zip. None if the submission does not come from Canvas, or is another kind of file.
    """
    parts = PurePosixPath(row.place).parts
    named = [part for part in parts if PLATFORMS["Canvas"].fullmatch(part)]
    name = next((part for part in named if f"_{person.id}_" in part), "")
    if name.lower().endswith(".ipynb"):
        cell = nbformat.new_markdown_cell(_markdown(row), id="feedback")
        return name, nbformat.writes(nbformat.new_notebook(cells=[cell])).encode()
    if not name.lower().endswith(".zip"):
        return None
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feedback.html", page)
    return name, content.getvalue()


def _markdown(row: Row) -> str:
    """Returns a student's feedback as Markdown, in which quoted code makes no link or picture."""
    lines = [f"# {row.points:g} of {row.possible:g} points", *filter(None, [row.awaited])]
    if row.problem:
        lines.append(f"<p>{html.escape(row.problem)}</p>")
    for verdict in row.verdicts:
        lines.append(
            f"<p><b>{verdict.number} <code>{verdict.name}</code>: {verdict.points:g} of"
            f" {verdict.possible:g}.</b> {in_html(row.feedback_on(verdict))}</p>"
        )
    lines += [f"<p>{html.escape(text)}</p>" for text in (row.given, row.late, row.comment) if text]
    return "\n\n".join(lines)
