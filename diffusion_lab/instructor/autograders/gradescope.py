"""Gradescope's autograder: grades one submission in Gradescope's container.

`python -m diffusion_lab.instructor.autograders.gradescope` runs there. It reads the submission and
its metadata, and writes `results/results.json`. The formats are those of
gradescope-autograders.readthedocs.io ("Specifications" and "Submission Metadata").
"""

import html
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.lateness import read_policy
from diffusion_lab.instructor.manual import ByHand
from diffusion_lab.instructor.pages import TEMPLATES, in_html
from diffusion_lab.instructor.results import Settings, grade_submission
from diffusion_lab.instructor.rows import Late, Row, row_of
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.choice import choose_box
from diffusion_lab.instructor.submissions import (
    HANDED_IN,
    Submission,
    find_submissions,
    relevance_to,
)
from diffusion_lab.instructor.times import read_time
from diffusion_lab.instructor.verdicts import BOARD_STEPS, Verdict
from diffusion_lab.storage import write_atomically

AUTOGRADER = Path("/autograder")
METADATA = "submission_metadata.json"
OPTIONS = "autograder.json"  # in the root of the zip, as `writing.write_gradescope` writes it
INSTRUCTORS_ONLY, STUDENTS = "hidden", "visible"
GRADER_MEMORY = 10**9  # bytes, of the grader itself
# where the kernel says how much memory a container has
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def grade_in_container(autograder: Path = AUTOGRADER, sandbox: str = "auto") -> dict[str, Any]:
    """Grades the submission in `autograder`, and returns the content of results.json.

    Raises:
        UserError: if no sandbox opens in this container, or grading fails for a reason that is not
            the student's.
    """
    root = autograder / "source"
    options = json.loads((root / OPTIONS).read_text(encoding="utf-8"))
    (source,) = sources(root, [options["lab"]])
    private = [root, autograder / "submission", autograder / "results"]
    settings = Settings(
        source.read_text(encoding="utf-8"),
        source.name,
        secrets.randbits(48),
        limits(),
        choose_box(sandbox, private),
        board=options["board"],
    )
    metadata = json.loads((autograder / METADATA).read_text(encoding="utf-8"))
    result = grade_submission(submission_in(autograder, options, metadata), settings)
    if result.failed:  # then Gradescope shows an error, instead of 0 points
        raise UserError(result.problem)
    late = lateness(metadata, options["late"], options["grace"])
    return results_of(row_of(result, ByHand(), late), settings.box)


def limits(memory_limits: Iterable[Path] = MEMORY_LIMITS) -> Limits:
    """Returns what a submission may use in this container.

    Gradescope stops after ten minutes, and a student whose answers all run forever should still get
    a result before. The memory leaves enough for the grader.
    """
    usual = Limits(seconds=20)
    sizes = [path.read_text(encoding="ascii").strip() for path in memory_limits if path.exists()]
    left = [
        max(int(size) - GRADER_MEMORY, int(size) // 2) for size in sizes if size.isdigit()
    ]  # and not "max", which means no limit
    return replace(usual, memory=min([usual.memory, *left]))


def lateness(metadata: dict[str, Any], rate: str | None, grace: str | None) -> Late:
    """Returns what a submission loses by the time in its metadata.

    Gradescope knows extensions: a student's own due time precedes that of the assignment. In a
    group, the latest counts.
    """
    own = [(user.get("assignment") or {}).get("due_date") for user in metadata["users"]]
    times = [*filter(None, own)] or [*filter(None, [metadata["assignment"].get("due_date")])]
    handed_in = read_time(str(metadata.get("created_at")))
    policies = filter(None, (read_policy(time, rate, grace) for time in times))
    policy = max(policies, key=lambda policy: policy.due, default=None)
    if policy is None or handed_in is None or rate is None:
        return Late()
    return policy.late(policy.due, handed_in)


def submission_in(
    autograder: Path, options: dict[str, Any], metadata: dict[str, Any]
) -> Submission:
    """Returns the submission in Gradescope's container, with the names of its students."""
    name = f"submission_{metadata['id']}"
    people = [
        {f":{key}": str(user.get(key) or "") for key in ("name", "email", "sid")}
        for user in metadata["users"]
    ]
    lab = options["lab"]
    weights = HANDED_IN.get(lab) if options["board"] else None
    with tempfile.TemporaryDirectory() as folder:
        # like a class of one in Gradescope's export, so all files belong to one student
        shutil.copytree(autograder / "submission", Path(folder, name), symlinks=True)
        listed = {name: {":submitters": people}}
        Path(folder, "submission_metadata.yml").write_text(json.dumps(listed), encoding="utf-8")
        try:
            return next(find_submissions(folder, relevance_to(lab), weights))
        except (UserError, StopIteration):
            student = ", ".join(person[":name"] for person in people)
            return Submission(student, "", name, problem="No notebook (.ipynb) was handed in.")


def results_of(row: Row, box: str) -> dict[str, Any]:
    """Returns the content of results.json for a row of the grade book."""
    picture = TEMPLATES.from_string(
        '<img alt="Your picture" src="data:image/png;base64,{{ picture }}">'
    ).render(picture=row.picture)
    notes = [*row.remarks, f"sandbox: {box}"]
    sentences = [f"<p>{html.escape(text)}</p>" for text in (row.problem, row.late) if text]
    return {
        "score": row.points,
        "output": "".join(sentences) + (picture if row.picture else ""),
        # Markdown would interpret the underscores, stars and links in a student's own lines, and
        # what it makes of a picture in the page is not documented. HTML can be escaped.
        "output_format": "html",
        "visibility": STUDENTS,
        "stdout_visibility": INSTRUCTORS_ONLY,
        "tests": [
            *map(_test, row.verdicts),
            {
                "name": "For instructors",
                "output": "\n".join(notes),
                "output_format": "text",
                "visibility": INSTRUCTORS_ONLY,
            },
        ],
        "leaderboard": [
            {"name": f"KID, {steps} step{'s' * (steps > 1)}", "value": kid, "order": "asc"}
            for steps, (kid, _) in zip(BOARD_STEPS, row.board)
        ],
    }


def _test(verdict: Verdict) -> dict[str, Any]:
    """Returns an exercise as a test case."""
    details = f"<pre>{html.escape(verdict.details)}</pre>" if verdict.details else ""
    return {
        "name": verdict.name,
        "number": verdict.number,
        "score": verdict.points,
        "max_score": verdict.possible,
        "status": "passed" if verdict.points == verdict.possible else "failed",
        "output": f"<p>{in_html(verdict.sentence)}</p>{details}",
        "output_format": "html",
        "visibility": STUDENTS,
    }


def main() -> None:
    """Grades the submission in this container, and writes the results."""
    try:
        results = grade_in_container()
    except UserError as error:
        raise SystemExit(str(error)) from None
    write_atomically(AUTOGRADER / "results" / "results.json", json.dumps(results).encode())


if __name__ == "__main__":
    main()
