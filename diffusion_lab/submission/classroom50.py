"""Feedback for Classroom 50: `python -m diffusion_lab.submission.classroom50 07`.

Classroom 50 runs this in the student's own repository, where the student can change everything. So
it is feedback only: grade with `diffusion-lab grade`. The formats are those of "Advanced
Autograding" in Classroom 50's wiki.
"""

import argparse
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from diffusion_lab.storage import write_atomically
from diffusion_lab.submission.answers import Answers, read_answers
from diffusion_lab.submission.handout import GivenExercise, Handout, handouts
from diffusion_lab.submission.precheck import Finding, task_findings
from diffusion_lab.submission.reading import LARGEST, Unreadable
from diffusion_lab.submission.trying import try_answers

SCHEMA = "classroom50/result/v1"
ENVIRONMENT = {  # {field of the result: environment variable that Classroom 50 sets}
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}
Findings = list[tuple[GivenExercise, Finding]]


def answers_in(folder: Path, handout: Handout) -> tuple[Answers, str]:
    """Returns (the answers in the notebook that has the most, its path), or empty ones and ""."""
    best: tuple[Answers, str] = Answers(), ""
    for path in sorted(folder.rglob("*.ipynb")):
        if path.parent.name == ".ipynb_checkpoints":
            continue
        try:
            if path.stat().st_size > LARGEST:
                continue
            answers = read_answers(path.read_bytes(), handout)
        except (OSError, Unreadable):
            continue
        if len(answers.sources) > len(best[0].sources):
            best = answers, path.relative_to(folder).as_posix()
    return best


def result(findings: Findings, environment: Mapping[str, str], now: datetime) -> dict[str, object]:
    """Returns the content of result.json.

    Classroom 50 counts in whole numbers. If an exercise has a fraction of a point, they are
    hundredths of points.
    """
    unit = 1 if all(float(task.points).is_integer() for task, _ in findings) else 100
    tests = [
        {
            "test-name": f"{task.number} {task.name}",
            "passed": finding.good is True,
            "score": round(unit * task.points) if finding.good else 0,
            "max-score": round(unit * task.points),
        }
        for task, finding in findings
    ]
    return {
        "schema": SCHEMA,
        **{field: environment.get(name, "") for field, name in ENVIRONMENT.items()},
        "datetime": f"{now.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }


def release_body(findings: Findings, notebook: str) -> str:
    """Returns the page that the student reads, in Markdown."""
    lines = [
        f"# What the grader would say about {notebook}" if notebook else "# No notebook of this lab"
    ]
    lines += [
        f"* {'✓' if finding.good else '✗'} **{task.number} `{task.name}`**: {finding.sentence}"
        for task, finding in findings
    ]
    lines += ["", "This is feedback, not your grade. The written part is graded by a person."]
    return "\n".join(lines) + "\n"


def main(lab: str) -> None:
    """Reads the notebook of a lab below the working directory, and writes result.json and
    release-body.md.
    """
    handout = next((handout for handout in handouts() if handout.lab == lab), None)
    if handout is None:
        raise SystemExit(f"There is no lab {lab}: give the number of a lab, such as 07.")
    answers, notebook = answers_in(Path("."), handout)
    findings = task_findings(handout, answers, try_answers)
    content = result(findings, os.environ, datetime.now(timezone.utc))
    write_atomically("result.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically("release-body.md", release_body(findings, notebook).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the feedback for Classroom 50.")
    parser.add_argument("lab", help="the number of the lab, such as 07")
    main(parser.parse_args().lab)
