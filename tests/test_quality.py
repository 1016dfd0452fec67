"""What students' own weights can draw: in the sandbox, and measured outside."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.command import run_grade
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.grading import Quality, grade_class
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.sandbox import INSTALL
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.submissions import find_submissions
from diffusion_lab.models.files import ModelConfig, save_model
from diffusion_lab.pretrained import shipped_file

ROOT = Path(__file__).parents[1]
SOURCE = sources(ROOT, ["07"])[0]


def write_class(folder):
    """One with the shipped weights, one whose network learned nothing, one whose file is none, one without any."""
    solution = read_source(SOURCE)
    right = {name: cell.source for _, name, cell in exercises(solution)}
    wrong = right | {"reverse_diffusion": right["reverse_diffusion"].replace("return pred_images", "return initial_noise")}
    for student, answers in {"good": right, "untrained": right, "noise": wrong, "broken": right, "without": right,
                             "unfinished": right}.items():
        notebook = hand_in(solution, answers)
        if student == "unfinished":
            notebook.cells = [cell for cell in notebook.cells if cell.id != "07-denoise"]
        (folder / student).mkdir(parents=True)
        (folder / student / "07_ddim.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    for student in ("good", "noise", "unfinished"):
        shutil.copy(shipped_file("flowers32"), folder / student / "my_flowers.weights.h5")
    model = ModelConfig("residual_unet", {"image_size": 8, "widths": (8, 16), "block_depth": 1}).build(seed=0)
    model.adapt(np.random.default_rng(0).random((4, 8, 8, 3)))
    save_model(model, folder / "untrained" / "my_flowers.weights.h5")
    (folder / "broken" / "my_flowers.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(5000))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bwrap") is None and os.environ.get("DIFFUSION_LAB_SANDBOX") != "required", reason=INSTALL)
def test_weights_earn_what_their_flowers_are_worth(tmp_path):
    write_class(tmp_path / "in")
    settings, results = grade_class(tmp_path / "in", SOURCE, tmp_path / "out", seed=1, quality=Quality(kid=4, points=5))
    rows = {row["student"]: row for row in write_gradebook(tmp_path / "out", "07", settings, results)}
    verdicts = {student: row["verdicts"][-1] for student, row in rows.items()}
    assert {student: verdict["points"] for student, verdict in verdicts.items()} == {
        "good": 5, "untrained": 0, "noise": 0, "broken": 0, "without": 0, "unfinished": 0}
    assert {student: row["points"] for student, row in rows.items()} == {
        "good": 23, "untrained": 18, "noise": 10, "broken": 18, "without": 18, "unfinished": 12}
    assert "KID of" in verdicts["good"]["sentence"] and "4 or less was asked for" in verdicts["noise"]["sentence"]
    assert "No weights were handed in" in verdicts["without"]["sentence"]
    assert "No images came out" in verdicts["broken"]["sentence"] and "damaged" in verdicts["broken"]["details"]
    assert "all three functions" in verdicts["unfinished"]["sentence"]
    assert rows["good"]["picture"] and not rows["broken"]["picture"]


def test_weights_are_found_beside_the_notebook_and_change_the_digest(tmp_path):
    for name in ("ada/07.ipynb", "ada/my.weights.h5", "bob/07.ipynb", "mayercem_1_2_07.ipynb", "mayercem_1_3_my.weights.h5", "dan.ipynb",
                 "dan.weights.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = {submission.student: submission for submission in find_submissions(tmp_path, with_weights=True)}
    assert {student: submission.weights for student, submission in found.items()} == {
        "ada": b"ada/my.weights.h5", "bob": b"", "mayercem": b"mayercem_1_3_my.weights.h5", "dan": b"dan.weights.h5"}
    without = {submission.student: submission for submission in find_submissions(tmp_path)}
    assert without["bob"].digest == found["bob"].digest and without["ada"].digest != found["ada"].digest
    assert not any(submission.weights for submission in without.values())


def test_only_lab_07_has_weights_to_measure(tmp_path):
    with pytest.raises(UserError, match="Only lab 07 hands in weights"):
        run_grade(tmp_path, "03", tmp_path / "out", ROOT, seconds=1, memory=1, kid=3.0)
