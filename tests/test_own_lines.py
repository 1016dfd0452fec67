"""The error of a cell, as a student reads it: the student's lines, and none of the grader's."""

from pathlib import Path

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master
from diffusion_lab.instructor.own_lines import MOST_LINES, own_lines
from diffusion_lab.instructor.running import grade_answers
from diffusion_lab.instructor.sandbox.bubblewrap import Limits

UNREADABLE = "def forward_step(images, noises:\n    return images\n"
STOPS = "import numpy as np\n\nnp.zeros(3) + np.zeros(4)\n"


def test_a_student_sees_no_frame_of_the_grader():
    master = Master(sources(Path(__file__).parents[1], ["02"])[0])
    answers = {"forward_step": UNREADABLE, "q_sample": STOPS}
    unreadable, stops = (v.details for v in grade_answers(master, answers, 1, Limits(), "none"))
    assert unreadable.splitlines() == [
        "File <forward_step>:1",
        "    def forward_step(images, noises:",
        "                    ^",
        "SyntaxError: '(' was never closed",
    ]
    assert stops.startswith("File <q_sample>:3\n") and stops.endswith("shapes (3,) (4,)")
    assert "_define" not in stops


def test_without_a_line_of_the_students_only_the_message_is_left():
    said = "Traceback:\n\nFile /box/own.py:1\n----> 1 load()\n\nOSError: the file is damaged\nHelp"
    assert own_lines(said, ["denoise"]) == "OSError: the file is damaged\nHelp"
    assert own_lines("", ["denoise"]) == ""


def test_a_long_error_keeps_both_ends():
    frames = "".join(f"File lib.py:{number}\n\n" for number in range(50))
    said = f"File <other>:1\n\nFile <denoise>:2\n\n{frames}ValueError: {'x' * 900}"
    lines = own_lines(said, ["denoise", "remix"]).splitlines()
    assert lines[0] == "File <denoise>:2" and lines[-1].startswith("ValueError: xxx")
    assert len(lines) == MOST_LINES + 1 and max(map(len, lines)) == 200
