"""The images of students' own weights: generated in the sandbox, measured outside."""

import base64
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from diffusion_lab.commands.grade import run_grade
from diffusion_lab.errors import UserError
from diffusion_lab.instructor import quality
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.inside import generating
from diffusion_lab.instructor.inside.drawing import fingerprint
from diffusion_lab.instructor.master import Master
from diffusion_lab.instructor.measuring_kid import Measured
from diffusion_lab.instructor.quality import grade_quality
from diffusion_lab.instructor.same_weights import with_remarks_on_same_weights
from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL, Limits
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.submissions import find_submissions
from diffusion_lab.instructor.verdicts import Quality, Result
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.io import save_model
from diffusion_lab.models.weights import read_arrays, shipped_file, write_arrays

ROOT = Path(__file__).parents[1]
SOURCE = sources(ROOT, ["07"])[0]


RIGHT = {name: cell.source for _, name, cell in exercises(read_source(SOURCE))}
BOXED = pytest.mark.skipif(
    shutil.which("bwrap") is None and os.environ.get("DIFFUSION_LAB_SANDBOX") != "required",
    reason=INSTALL,
)


def other_weights(change):
    """Returns the content of a file with changed arrays of flowers32."""
    groups, about = read_arrays(shipped_file("flowers32"))
    return written(groups | {"network": [change(array) for array in groups["network"]]}, about)


def written(groups, about):
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder, "weights"), groups, about)
        return Path(folder, "weights").read_bytes()


def noisy(array):
    return array + np.random.default_rng(0).normal(
        0, 0.04 * (np.std(array) if array.size > 1 else 0), array.shape
    ).astype(array.dtype)


def untrained():
    model = ModelConfig(
        "residual_unet", {"image_size": 8, "widths": (8, 16), "block_depth": 1}
    ).build(seed=0)
    model.adapt(np.random.default_rng(0).random((4, 8, 8, 3)))
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder, "weights"))
        return Path(folder, "weights").read_bytes()


@pytest.fixture(scope="module")
def graded():
    """Returns {kind of file: its result}, each from two real sandboxes."""
    noise = RIGHT | {
        "reverse_diffusion": RIGHT["reverse_diffusion"].replace(
            "return pred_images", "return initial_noise"
        )
    }
    handed_in = {
        "good": (RIGHT, other_weights(noisy)),
        "noise": (noise, other_weights(noisy)),
        "untrained": (RIGHT, untrained()),
        "broken": (RIGHT, b"\x89HDF\r\n\x1a\n" + bytes(5000)),
    }
    master = Master(SOURCE)
    return {
        name: grade_quality(
            master, answers, weights, Quality(kid=4, points=5), seed=1, limits=Limits()
        )
        for name, (answers, weights) in handed_in.items()
    }


@BOXED
@pytest.mark.slow
def test_points_depend_on_the_kid_of_the_images(graded):
    verdicts = {name: result.verdict for name, result in graded.items()}
    assert {name: verdict.points for name, verdict in verdicts.items()} == {
        "good": 5,
        "noise": 0,
        "untrained": 0,
        "broken": 0,
    }
    assert (
        "KID of" in verdicts["good"].sentence
        and "A KID of 4 or less earns the points" in verdicts["noise"].sentence
    )
    assert (
        "No images can be generated" in verdicts["broken"].sentence
        and "damaged" in verdicts["broken"].details
    )
    assert graded["good"].picture and not graded["broken"].picture and not graded["good"].remarks


@pytest.fixture
def pretended(monkeypatch):
    """Replaces the two sandboxes and the measurement.

    The returned dictionary sets their results.
    """
    values = {"own": 1.0, "students": 1.0, "calls": b"10", "pixels": 32}

    def images(pixels):
        return bytes(3 * quality.COUNT * pixels**2)

    def by_us(weights, seed, step_counts, limits, box):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "weights").write_bytes(weights)
            arrays = read_arrays(Path(folder, "weights"))[0]["network"]
        return {"images-10": images(32), "weights": fingerprint(arrays)}, ""

    def by_student(*arguments):
        return {"images": images(values["pixels"]), "calls": values["calls"]}, ""

    monkeypatch.setattr(quality, "generated_by_us", by_us)
    monkeypatch.setattr(quality, "generated_by_student", by_student)
    monkeypatch.setattr(
        quality,
        "measure_kid",
        lambda *more: Measured([values["students"], values["own"]], [0.1, 0.1], "picture"),
    )
    return values


def grade(weights, answers=RIGHT):
    return grade_quality(
        SimpleNamespace(prelude=""),
        answers,
        weights,
        Quality(kid=4, points=5),
        seed=1,
        limits=Limits(),
    )


GIVEN = {
    "unchanged": lambda array: array,
    "scaled": lambda array: array * (1 + 1e-6),
    "in float32": lambda array: array.astype("float32"),
    "nearly": lambda array: (array.astype("float32") * (1 + 1e-3)).astype("float16"),
}


@pytest.mark.parametrize("change", GIVEN.values(), ids=GIVEN)
def test_shipped_weights_earn_nothing_and_cause_a_remark(pretended, change):
    graded = grade(other_weights(change))
    assert (
        graded.verdict.points == 0 and "come with the course (flowers32)" in graded.verdict.sentence
    )
    assert graded.remarks == ["the weights are the shipped ones, flowers32"]


MODELS = {  # (results of the sandboxes, points, words of the sentence or the remark)
    "a trained model": ({}, 5, "4 or less"),
    "images that do not come from the network": (
        {"own": 20.0},
        0,
        "must reach that as well, but have a KID of 20.00.",
    ),
    "good weights, poor functions": ({"students": 20.0}, 0, "a KID of 20.00"),
    "network not called": (
        {"calls": b"0"},
        5,
        "the images were generated without calling the network",
    ),
    "images of another size": ({"pixels": 64}, 0, "Your functions returned no images"),
    "images of one pixel": ({"pixels": 1}, 0, "Your functions returned no images"),
}


@pytest.mark.parametrize("change, points, words", MODELS.values(), ids=MODELS)
def test_only_a_trained_model_earns_points(pretended, change, points, words):
    pretended.update(change)
    graded = grade(other_weights(noisy))
    assert graded.verdict.points == points and words in "; ".join(
        [graded.verdict.sentence, *graded.remarks]
    )


def test_missing_and_long_answers_are_not_run(pretended):
    weights = other_weights(noisy)
    assert "No weights were handed in" in grade(b"").verdict.sentence
    assert "all three functions" in grade(weights, {"denoise": ""}).verdict.sentence
    packed = RIGHT | {
        "reverse_diffusion": RIGHT["reverse_diffusion"] + f"\nIMAGES = {'x' * 20_000!r}"
    }
    assert "too long to run" in grade(weights, packed).verdict.sentence


def test_students_with_the_same_weights_get_a_remark():
    arrays = [np.arange(10_000.0), np.ones(3)]
    networks = {
        "ada": arrays,
        "bob": [1.0001 * array for array in arrays],
        "cem": [np.arange(10_000.0)[::-1], np.ones(3)],
    }
    results = [
        Result(
            name,
            "",
            f"{name}.ipynb",
            remarks=["late"],
            weights=base64.b64encode(fingerprint(arrays)).decode(),
        )
        for name, arrays in networks.items()
    ] + [Result(name, "", f"{name}.ipynb") for name in ("dan", "eva")]
    results = with_remarks_on_same_weights(results)
    assert [result.remarks for result in results] == [
        ["late", "the same weights as bob"],
        ["late", "the same weights as ada"],
        ["late"],
        [],
        [],
    ]
    assert not any(result.weights for result in results)


ARGUMENTS = {"image_size": 32, "widths": [8, 16]}
HOSTILE = {
    "enormous widths": {
        "network": "residual_unet",
        "network_arguments": ARGUMENTS | {"widths": [8, 10**6]},
    },
    "many levels": {
        "network": "residual_unet",
        "network_arguments": ARGUMENTS | {"widths": [8] * 5000},
    },
    "many blocks": {"network": "unet", "network_arguments": ARGUMENTS | {"block_depth": 10**5}},
    "an enormous embedding": {
        "network": "unet",
        "network_arguments": ARGUMENTS | {"embedding_dims": 10**9},
    },
    "enormous images": {"network": "unet", "network_arguments": ARGUMENTS | {"image_size": 2**20}},
    "a path for a name": {"network": "../../etc/passwd", "network_arguments": ARGUMENTS},
    "a list for a name": {"network": ["unet"], "network_arguments": ARGUMENTS},
    "text for a number": {"network": "unet", "network_arguments": ARGUMENTS | {"image_size": "32"}},
    "no arguments": {"network": "unet"},
    "a list": ["unet"],
    "nothing": None,
}


@pytest.mark.parametrize("config", HOSTILE.values(), ids=HOSTILE)
def test_an_impossible_configuration_is_refused_before_the_network_is_built(
    config, tmp_path, monkeypatch
):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "weights.h5").write_bytes(
        written({"network": [np.ones(2)], "normalizer": [np.ones(3)] * 2}, {"config": config})
    )
    monkeypatch.setenv("DIFFUSION_LAB_BOX", str(tmp_path))
    monkeypatch.setattr(
        generating,
        "NETWORKS",
        dict.fromkeys(generating.NETWORKS, lambda **more: pytest.fail("built")),
    )
    with pytest.raises(UserError, match="These weights belong to"):
        generating.trained_network()


def test_weights_are_found_next_to_the_notebook_and_change_the_digest(tmp_path):
    for name in (
        "ada/07.ipynb",
        "ada/my.weights.h5",
        "bob/07.ipynb",
        "mayercem_1_2_07.ipynb",
        "mayercem_1_3_my.weights.h5",
        "dan.ipynb",
        "dan.weights.h5",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = {
        submission.student: submission
        for submission in find_submissions(tmp_path, weights="my_flowers.weights.h5")
    }
    assert {student: submission.weights for student, submission in found.items()} == {
        "ada": b"ada/my.weights.h5",
        "bob": b"",
        "mayercem": b"mayercem_1_3_my.weights.h5",
        "dan": b"dan.weights.h5",
    }
    without = {submission.student: submission for submission in find_submissions(tmp_path)}
    assert (
        without["bob"].digest == found["bob"].digest
        and without["ada"].digest != found["ada"].digest
    )
    assert not any(submission.weights for submission in without.values())


def test_only_lab_07_has_weights_to_measure(tmp_path):
    with pytest.raises(UserError, match="hand in with lab 07"):
        run_grade(tmp_path, "03", tmp_path / "out", ROOT, seconds=1, memory=1, kid=3.0)
