"""The benchmarks: both sides do the same work, and the tables are right and complete."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import nbformat
import numpy as np
import pytest
from keras import layers
from PIL import Image

from benchmarks import samples, textbook
from benchmarks.flops import forward_flops
from benchmarks.made_up_class import FIRST_ID, SLIPS, write_class, wrong_answers
from benchmarks.peers import DOCUMENTED, OURS, PEERS, RATES, Budget
from benchmarks.peers import rows as peer_rows
from benchmarks.plain_tensorflow import plain_tensorflow
from benchmarks.profile import read_times
from benchmarks.quality import rows as quality_rows
from benchmarks.report import Row, in_turn, in_words, publish, times_faster
from benchmarks.runs import Measure
from benchmarks.speedrun import RECORDS, when_reached
from benchmarks.speedrun import rows as speedrun_rows
from diffusion_lab.commands.cli import app
from diffusion_lab.gaussian_diffusion import GaussianDiffusion
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.platforms.rosters import match, read_roster
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.submissions import find_submissions
from diffusion_lab.instructor.verdicts import Result
from diffusion_lab.labs import checks
from diffusion_lab.labs.exercise import CheckFailed
from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import attention_unet, plain_cnn, residual_unet
from diffusion_lab.networks.blocks import PixelAttention
from diffusion_lab.plots import image_grid
from diffusion_lab.training import TrainingConfig

ROOT = Path(__file__).parents[1]


def randomise(network):
    """Sets weights that are nowhere zero, so that a network's output depends on its input."""
    rng = np.random.default_rng(0)
    network.set_weights(
        [np.abs(rng.normal(0.1, 0.05, weight.shape)) for weight in network.get_weights()]
    )


def test_the_wrong_answers_of_the_grading_benchmark_are_wrong():
    """Runs outside a sandbox; test_mistakes.py checks the hints of the exercises' tables."""
    right = {
        name: cell.source for _, name, cell in exercises(read_source(sources(ROOT, ["07"])[0]))
    }
    for name, answers in wrong_answers(right).items():
        assert len(answers) == len(set(answers)) >= 10 and right[name] not in answers
        for answer in answers[-len(SLIPS[name]) - 1 :]:
            namespace = {"math": math, "np": np, "ops": keras.ops}
            exec(answer, namespace)
            with pytest.raises(CheckFailed):
                checks.exercises()[name].diagnose(namespace[name])


def test_the_made_up_class_makes_every_mistake_and_its_students_are_recognised(tmp_path):
    solution = read_source(sources(ROOT, ["07"])[0])
    right = {name: cell.source for _, name, cell in exercises(solution)}
    answers = {name: set() for name in right}
    for export, scores in write_class(tmp_path, 100).items():
        found = list(find_submissions(export))
        for submission in found:
            for _, name, cell in exercises(nbformat.reads(submission.content, 4)):
                answers[name].add(cell.source)
        matches = match(
            [Result(one.student, one.id, one.place, key=one.key) for one in found],
            read_roster(export.with_suffix(".csv"), "07"),
        )
        assert {int(one.id) - FIRST_ID for one in matches.results} == scores.keys()
        assert not matches.absent
    for name, wrong in wrong_answers(right).items():
        assert answers[name] >= {*wrong, right[name]}


@pytest.mark.slow
def test_the_textbook_samples_what_we_sample():
    model = DDPM(
        attention_unet(8, 8, (1, 2), (False, True), 1), GaussianDiffusion(timesteps=5), seed=0
    )
    randomise(model.ema_network)
    np.testing.assert_allclose(
        textbook.generate_by_predict(model, 3, seed=1), model.generate_images(3, seed=1), atol=1e-4
    )

    network = plain_cnn(8, width=8, depth=2)
    book, ours = (
        textbook.TextbookDiffusion(network),
        DiffusionModel(network, prediction="noise", loss_on="noise"),
    )
    images = np.random.default_rng(1).random((8, 8, 8, 3), "float32")
    for model in (book, ours):
        randomise(model.ema_network)
        model.normalizer.adapt(images)
    np.testing.assert_allclose(book.generate(2, 3, seed=1), ours.generate(2, 3, seed=1), atol=1e-4)


def test_the_textbook_measures_what_we_measure():
    images = np.random.default_rng(0).random((9, 32, 32, 3), "float32")
    extractor = flower_features()
    features = [encode(extractor, part) for part in (images, images[:, ::-1])]
    assert textbook.kid_of_validation(extractor, images, images[:, ::-1], 4) == pytest.approx(
        kernel_inception_distance(*features), abs=1e-6
    )


@pytest.mark.slow
def test_the_textbook_learns():
    images = np.tile(np.linspace(0, 1, 8, dtype="float32")[:, None, None], (64, 8, 8, 1)).repeat(
        3, -1
    )[:, :8]
    model = textbook.compile_textbook(
        textbook.TextbookDiffusion(residual_unet(8, (8, 16), block_depth=1), second_average=True)
    )
    model.normalizer.adapt(images)
    history = model.fit(images, batch_size=16, epochs=12, verbose=0).history["n_loss"]
    assert history[-1] < 0.72, "without learning it would be √(2/π) = 0.80"
    book, second, own = (
        np.abs(network.get_weights()[-2]).sum()
        for network in (model.ema_network, model.ema.network, model.network)
    )
    assert 0 < book < 0.5 * own < second, (
        "both EMAs follow, but the one without a warm-up is far behind"
    )


def test_operations_are_counted():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, strides=2, padding="same")(inputs)
    x = PixelAttention()(x, x, x)
    network = keras.Model(inputs, layers.Dense(7)(layers.Flatten()(x)))
    convolution, attention, dense = 2 * 9 * 3 * 5 * 16, 2 * 2 * 16 * 16 * 5, 2 * 80 * 7
    assert forward_flops(network) == convolution + attention + dense


@pytest.mark.slow
def test_the_textbook_trains_in_a_process_without_our_settings():
    with plain_tensorflow() as process:
        assert process.submit(os.getenv, "TF_ENABLE_ONEDNN_OPTS").result() is None
        assert process.submit(eval, "'tensorflow' in __import__('sys').modules").result(), (
            "it has read its settings"
        )


def test_a_profile_adds_the_times_that_onednn_reports():
    head, tail = (
        "onednn_verbose,v1,primitive,exec,cpu,",
        ",src:f32::blocked:acdb::f0,attr-scratchpad:user,alg:convolution_direct,mb32",
    )
    lines = [
        f"{head}convolution,jit:avx2,{direction}{tail},{time}"
        for direction, time in [
            ("forward_training", 2.5),
            ("backward_weights", 8),
            ("forward_training", 1.5),
        ]
    ]
    lines += [
        "onednn_verbose,v1,info,cpu,isa:Intel AVX2",
        f"{head}reorder,jit:uni,undef{tail},0.25",
    ]
    assert list(read_times(lines).items()) == [
        ("convolutions, gradients with respect to weights", 0.008),
        ("convolutions, forward", 0.004),
        ("oneDNN's activations, pooling, reordering", 0.00025),
    ]


def test_the_first_round_does_not_count_and_ratios_are_within_a_round():
    calls = []
    seconds = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3 and {name: len(values) for name, values in seconds.items()} == {
        "a": 2,
        "b": 2,
    }
    assert times_faster({"slow": [2.0, 40.0, 9.0], "fast": [1.0, 10.0, 1.0]}, "slow", "fast") == 4


def test_the_table_shows_which_goals_are_reached(tmp_path, capsys):
    rows = [
        Row("one", 2.0, at_least=1.4),
        Row("two", 16.0, at_most=15, unit="s", numbers={"import": 7.123, "peak MB": 1898.6}),
        Row("three", 1.0),
    ]
    publish("A table", "make table", rows, tmp_path / "out" / "table")
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "holds" in line and "one" in line]
    assert [
        line
        for line in printed.splitlines()
        if "falls short" in line and "two" in line and "7.12" in line
    ]
    assert [
        row["name"] for row in json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    ] == ["one", "two", "three"]
    assert (tmp_path / "out" / "table.png").stat().st_size > 5000
    assert "| two | 16.00 s | ≤ 15 | falls short | import: 7.12; peak MB: 1,899 |" in (
        tmp_path / "out" / "table.md"
    ).read_text(encoding="utf-8")


def test_a_picture_is_described_by_its_rows(tmp_path):
    kids = [Row("ours", 0.81, unit=""), Row("theirs", 24_164.0, unit=""), Row("speed", 9.0)]
    publish("KID by recipe", "make", kids, tmp_path / "kids", lambda *_: None)
    assert (
        "![Rows of generated images. KID by recipe: from 0.81 (ours) to 24164.00 (theirs).]"
        "(kids.png)"
    ) in (tmp_path / "kids.md").read_text()
    goals = [Row("one", 2.0, at_least=1.4), Row("two", 3.0, at_most=1), Row("three", 9.0)]
    assert in_words("Bar chart", "Speed", goals) == (
        "Bar chart. Speed: from 2.00 × (one) to 9.00 × (three). Goals reached: 1 of 2."
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "benchmarks").glob("*.json")), ids=lambda path: path.stem
)
def test_each_page_describes_its_picture(path):
    rows = [Row(**row) for row in json.loads(path.read_text())["rows"]]
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    title = page.partition("\n")[0].removeprefix("# ")
    words = {
        f"![{in_words(kind, title, rows)}]({path.stem}.png)"
        for kind in ("Bar chart", "Rows of generated images")
    }
    assert len(words & set(page.splitlines())) == 1


def test_a_table_without_targets_leaves_their_columns_out(tmp_path):
    publish(
        "A table",
        "make table",
        [Row("one", 2.0, unit="", numbers={"parameters": 7})],
        tmp_path / "table",
        lambda *_: None,
    )
    assert (
        "|  | measured | computed from |\n|---|---|---|\n| one | 2.00 | parameters: 7 |"
        in (tmp_path / "table.md").read_text()
    )


def test_the_time_to_the_textbooks_kid_is_the_training_time_until_then():
    points = [
        {"images": 1, "cpu_seconds": 10.0, "kid": 9.0},
        {"images": 2, "cpu_seconds": 20.0, "kid": 4.0},
        {"images": 3, "cpu_seconds": 30.0, "kid": 1.0},
    ]
    ours = {"kid": 1.0, "cpu_seconds": 30.0, "parameters": 5, "points": points}
    book = {"kid": 6.0, "cpu_seconds": 30.0, "parameters": 5, "points": []}
    kid, seconds = quality_rows("textbook", "DDIM", [book], [ours])
    assert kid.value == 1 / 6 and kid.holds
    assert math.isclose(seconds.value, 0.5), "6 is halfway between 9 and 4 on a logarithmic scale"
    assert not quality_rows("textbook", "DDIM", [book | {"kid": 0.5}], [ours])[1].holds, (
        "a KID that was never reached has an infinite time"
    )


def test_a_speedrun_ends_where_the_logarithm_of_kid_crosses_the_goal():
    points = [{"kid": 4.0, "images": 100}, {"kid": 1.0, "images": 200}]
    assert when_reached(points, "images", goal=2.0) == 150
    assert when_reached(points, "images", goal=4.0) == 100
    assert when_reached(points, "images", goal=0.5) == math.inf


def test_a_speedrun_compares_records_within_a_seed():
    def result(*cpu_seconds):
        points = [{"kid": 0.25, "cpu_seconds": s, "seconds": s, "images": s} for s in cpu_seconds]
        return {"points": points, "parameters": 5}

    seeds = {
        "first": [result(8), result(10), result(90)],
        "last": [result(2), result(5), result(9)],
    }
    first, last, ratio = speedrun_rows(seeds)
    assert (first.value, last.value, ratio.value) == (10, 5, 4) and ratio.holds
    *_, ratio = speedrun_rows(seeds | {"not kept": 3 * [result(1)]}, tried=["not kept"])
    assert ratio.value == 4


def test_the_last_record_is_how_the_package_trains():
    recipe, config = list(RECORDS.values())[-1], TrainingConfig()
    for setting in ("optimizer", "batch_size", "learning_rate", "warmup", "loss"):
        assert getattr(recipe, setting) == getattr(config, setting)
    for setting in ("prediction", "loss_on", "schedule", "ema_decay"):
        assert getattr(recipe, setting) == getattr(ModelConfig(), setting)


def test_other_libraries_count_with_the_rate_that_suits_them_best():
    def result(at_10, at_50):
        return {"KID, 10 NFE": at_10, "KID, 50 NFE": at_50}

    results = {(OURS, DOCUMENTED): [result(0.5, 0.25), result(1.0, 1.0), result(0.25, 0.25)]}
    for name in PEERS:
        results[name, DOCUMENTED] = [result(4.0, 1.0), result(9.0, 7.0), result(0.5, 0.5)]
        results |= {(name, rate): [result(3.0, 3.0)] for rate in RATES}
        results[name, RATES[1]] = [result(0.75, 0.5), result(1.0, 1.0), result(9.0, 9.0)]
    ours, *others = peer_rows(results)
    assert ours.value == 0.5
    assert [row.value for row in others] == 3 * [4.0] + 3 * [1.5], "the medians of three ratios"
    assert [row.holds for row in others] == 3 * [True] + 3 * [False]
    assert all(row.numbers["rate"] == RATES[1] for row in others[3:])


def test_a_budget_of_cpu_seconds_begins_after_the_first_step(monkeypatch):
    clock = iter([100.0, 103.0])  # read at the end of the first step, and when asked
    monkeypatch.setattr("benchmarks.peers.time.process_time", lambda: next(clock))
    budget = Budget(12)
    assert budget.share_used() == 0
    budget.count_step()
    budget.count_step()
    assert budget.share_used() == 0.25


@pytest.mark.parametrize("goal, images_seen", [(-math.inf, [32, 64, 128]), (0.1, [32])])
def test_a_run_is_measured_when_it_is_due_until_the_goal_is_reached(tmp_path, goal, images_seen):
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype("uint8")
    generates = {
        tmp_path / "black": lambda count, steps, seed: 0 * images,
        tmp_path / "same": lambda count, steps, seed: images[::-1] / 255,
    }
    for folder in generates:
        folder.mkdir()
    measure = Measure(generates, images, due=[20, 64, 100], batch_size=32, goal=goal)
    model = SimpleNamespace(network=residual_unet(8, (8, 16), block_depth=1), stop_training=False)
    measure.set_model(model)
    while not model.stop_training:
        measure.on_train_batch_begin(0)
        measure.on_train_batch_end(0)
    measure.on_train_end()
    black, same = (json.loads((folder / "result.json").read_text()) for folder in generates)
    assert (
        [point["images"] for point in same["points"]]
        == [point["images"] for point in black["points"]]
        == images_seen
    )
    assert same["kid"] == same["points"][-1]["kid"] < 0.1 < black["kid"], (
        "one generates the real images, the other only black"
    )


def test_the_page_of_samples_says_how_to_generate_them(tmp_path, monkeypatch):
    shown = samples.Samples("The weaker model", "flowers32_guide", 1)
    monkeypatch.setattr(samples, "ALL", [shown])
    monkeypatch.setattr(sys, "argv", ["samples", "--count", "64", "--out", str(tmp_path)])
    samples.main()
    page = (tmp_path / "samples.md").read_text()
    (picture,) = (tmp_path / "samples").iterdir()
    assert f"samples/{picture.name}" in page and f"`{shown.options}`" in page
    app(["sample", *shown.options.split(), "--out", str(tmp_path / "x.png")], standalone_mode=False)
    assert np.array_equal(
        Image.open(tmp_path / "x.png"), image_grid(shown.generate(samples.SHOWN), scale=4)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, arguments, file",
    [
        ("speed", ["--quick"], "table.json"),
        ("quality", ["--images", "40", "--seeds", "1"], "quality.json"),
        ("profile", ["--quick"], "table.json"),
    ],
)
def test_every_benchmark_runs(tmp_path, module, arguments, file):
    out = tmp_path if module == "quality" else tmp_path / "table"
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--out", out],
        cwd=ROOT,
        check=True,
    )
    rows = json.loads((tmp_path / file).read_text())["rows"]
    assert len(rows) == {"speed": 16, "quality": 12, "profile": 5}[module] and all(
        row["value"] >= 0 for row in rows
    )


def visit_a_gpu(out, **variables):
    """Runs benchmarks/gpu_session.sh; returns (exit status, its summary)."""
    environment = os.environ | {"REHEARSE": "1", "PYTHON": sys.executable} | variables
    script = str(ROOT / "benchmarks" / "gpu_session.sh")
    result = subprocess.run([script, str(out)], env=environment, capture_output=True, text=True)
    assert result.stdout == (out / "summary.txt").read_text()
    return result.returncode, result.stdout


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")


@ON_LINUX
@pytest.mark.slow
def test_a_visit_to_a_gpu_can_be_rehearsed(tmp_path):
    lab = "solutions/02_forward_process.ipynb"
    status, summary = visit_a_gpu(tmp_path, LABS=lab, MINUTES="60")  # a busy machine is slow
    assert status == 0 and summary.count("exit status 0") == 3, summary
    assert json.loads((tmp_path / "gpu.json").read_text())["backend"] == "jax"
    assert (tmp_path / "training" / "model.weights.h5").exists()


@ON_LINUX
@pytest.mark.parametrize("step, status", [("nbval", 1), ("benchmarks.gpu", 1), ("_lab train", 0)])
def test_only_the_training_of_a_visit_may_run_out_of_time(tmp_path, step, status):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *"{step}"*) exit 124;; esac\n')
    python.chmod(0o755)
    found, summary = visit_a_gpu(tmp_path / "out", PYTHON=str(python), LABS="solutions")
    assert found == status and summary.count("exit status 124") == 1, summary


@ON_LINUX
def test_a_visit_without_time_says_what_it_left_out(tmp_path):
    status, summary = visit_a_gpu(tmp_path, MINUTES="0")
    assert status == 1
    assert summary.splitlines() == [
        f"{step}: no time left" for step in ("labs", "benchmark", "training")
    ]
