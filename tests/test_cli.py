"""The command line: what it writes, and one sentence with exit status 2 for user errors."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from diffusion_lab import training
from diffusion_lab.commands import cli, doctor, instructors
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.naming_schemes import PLATFORMS
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.io import load_model, save_model


@pytest.fixture
def weights(tiny_config, tmp_path):
    model = tiny_config.build(seed=0)
    model.adapt(np.random.default_rng(0).random((16, 8, 8, 3), "float32"))
    path = tmp_path / "tiny.weights.h5"
    save_model(model, path, {"data": "procedural_flowers"})
    return path


def test_the_learning_rate_is_lower_for_the_network_that_predicts_noise_unless_it_is_given(
    run, monkeypatch
):
    seen = []

    def stop(config, out):
        seen.append(config.learning_rate)
        raise UserError("enough")

    monkeypatch.setattr(training, "Trainer", stop)
    for options in (
        [],
        ["--network", "attention_unet", "--widths", "32,64"],
        ["--learning-rate", "0.5"],
    ):
        assert run("train", *options)[0] == 2
    assert seen == [2e-3, 1e-3, 0.5]


def test_sample_writes_the_picture_of_as_many_images(run, weights, tmp_path):
    picture = tmp_path / "folder" / "grid.png"
    status, out, _ = run(
        "sample", "--weights", weights, "--count", 10, "--steps", 2, "--out", picture
    )
    assert status == 0 and str(picture) in out
    # two rows of eight, 16 times as large
    assert Image.open(picture).size == ((8 * 9 - 1) * 16, (2 * 9 - 1) * 16)


def test_a_weaker_model_guides_samples_and_their_measurement(run, weights, tmp_path):
    options = ["--weights", weights, "--steps", 2, "--seed", 3]
    for name, guide in (("plain", []), ("guided", ["--guide", weights, "--guidance", 3])):
        picture = tmp_path / f"{name}.png"
        assert run("sample", *options, *guide, "--count", 4, "--out", picture)[0] == 0
    plain, guided = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "guided"))
    assert plain == guided, "a model's own errors are as large as its own"
    status, out, _ = run("evaluate", *options, "--count", 8, "--guide", weights)
    assert status == 0 and f"guided by {weights}" in out


def test_a_new_process_repeats_a_sample_whatever_an_old_keras_json_asks_for(run, weights, tmp_path):
    options = ["sample", "--weights", weights, "--count", "4", "--steps", "2", "--out"]
    assert run(*options, tmp_path / "here.png")[0] == 0
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float16", "image_data_format": "channels_first"}'
    )
    result = subprocess.run(
        [sys.executable, "-m", "diffusion_lab", *options, tmp_path / "there.png"],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_HOME": str(tmp_path)},
    )
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["sample", "--weights", "nowhere.weights.h5"], "There is no weights file"),
        (["grade", "a.zip", "--lab", "02", "b.zip"], "put a.zip, b.zip into one folder"),
        (["sample", "--weights", "flower64"], "did you mean flowers64?"),
        (["sample", "--weights", "."], "is a folder"),
        (["sample", "--out", "a.jpg"], "such as a.png"),
        (["sample", "--out", "."], "is a folder"),
        (["sample", "--steps", "0"], "at least 1"),
        (["sample", "--steps", "-5"], "at least 1"),
        (["sample", "--sampler", "ddpm", "--eta", "0.5"], "Only ddim takes --eta"),
        (["sample", "--eta", "2"], "eta must be in"),
        (["sample", "--spacing", "0"], "spacing must be in"),
        (["sample", "--min-signal-rate", "1"], "min-signal-rate must be in"),
        (
            ["evaluate", "--weights", "flowers32_ddpm", "--min-signal-rate", "0.01"],
            "this one has linear: leave it out",
        ),
        (["sample", "--label", "red"], "takes no labels: leave"),
        (["sample", "--guidance", "2"], "no effect without a label"),
        (["sample", "--guide", "flowers32_guide", "--label", "red"], "choose one of them"),
        (["sample", "--guide", "flowers32_guid"], "did you mean flowers32_guide?"),
        (["sample", "--guide", "flowers64", "--count", "1"], "choose one trained on the same"),
        (["sample", "--weights", "flowers32_fewstep", "--steps", "50"], "tuned for 1 to 4 steps"),
        (["evaluate", "--guidance", "2"], "no effect without a guide"),
        (["train", "--image-size", "30"], "multiple of 4"),
        (["train", "--widths", "wide"], "not a list of whole numbers"),
        (["train", "--widths", "10,20"], "multiples of 8"),
        (["train", "--widths", "12"], "multiples of 8"),
        (["train", "--widths", "4"], "multiples of 8"),
        (["train", "--widths", "8,8000"], "at most 4096"),
        (["train", "--widths", "9" * 5000], "not a list of whole numbers"),
        (["train", "--widths", "12,24", "--network", "attention_unet"], "multiples of 8"),
        (["train", "--widths", "64,32", "--network", "attention_unet"], "multiples of the first"),
        (["train", "--widths", "32,64,96,128,160,192,224", "--image-size", "32"], "multiple of 64"),
        (["train", "--widths", "0,32"], "not a list of whole numbers"),
        (["train", "--conditional", "--network", "plain_cnn"], "takes no labels"),
        (["train", "--network", "attention_unet", "--prediction", "velocity"], "it predicts noise"),
        (["train", "--network", "attention_unet", "--loss-on", "image"], "its loss on noise"),
        (["train", "--network", "attention_unet", "--widths", "32,48"], "multiples of the first"),
        (["train", "--data", "procedural_flower"], "did you mean"),
        (["train", "--data", "no/such/folder"], "no folder"),
    ],
)
def test_user_errors_are_one_sentence(run, weights, arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "sample" and "--weights" not in arguments:
        arguments = [*arguments, "--weights", weights]
    status, out, err = run(*arguments)
    assert status == 2 and sentence in err and "Traceback" not in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error, sentence",
    [
        (PermissionError(13, "Permission denied", "my.ipynb"), "my.ipynb (Permission denied)"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("the file is truncated"), "the file is truncated"),
    ],
)
def test_an_error_of_the_system_is_one_sentence(run, monkeypatch, error, sentence):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("diffusion_lab.submission.precheck.precheck_notebook", fail)
    status, _, err = run("precheck", "my.ipynb")
    assert status == 2 and sentence in err and err.count("\n") == 1


def test_the_help_names_every_platform_and_the_default_of_late(run):
    text = " ".join(re.sub(r"[│\s]+", " ", run("grade", "--help")[1]).split())
    for platform in (*PLATFORMS, "nbgrader", "Google Classroom"):
        assert platform.split(",")[0] in text
    assert "By default nothing: the reports only say how late" in text


NUMBERS = [
    (command.callback.__name__, f"--{name.replace('_', '-')}", kind)
    for command in cli.app.registered_commands
    for name, hint in get_type_hints(command.callback).items()
    for kind in (int, float)
    if hint in (kind, kind | None)
]


@pytest.mark.parametrize("command, option, kind", NUMBERS)
def test_every_number_of_the_command_line_has_bounds(
    run, command, option, kind, tmp_path, monkeypatch
):
    """Covers all commands, so an option that is added later is tested as well."""
    monkeypatch.chdir(tmp_path)
    for value in (
        "-1" + 30 * "0",
        "1" + 30 * "0",
        *(["nan", "inf", "-inf", "1e300"] if kind is float else []),
    ):
        status, _, err = run(command, f"{option}={value}")
        assert (
            status == 2
            and err.startswith(f"diffusion-lab: {option} must ")
            and err.count("\n") == 1
        ), (value, err)
    assert list(tmp_path.iterdir()) == []


def test_the_options_list_what_the_library_has():
    from diffusion_lab.commands import options
    from diffusion_lab.networks import NETWORKS
    from diffusion_lab.predictions import LOSSES, PREDICTIONS
    from diffusion_lab.samplers import SAMPLERS
    from diffusion_lab.schedules import SCHEDULES

    for kind, table in (
        (options.Sampler, SAMPLERS),
        (options.Schedule, SCHEDULES),
        (options.Prediction, PREDICTIONS),
        (options.Loss, LOSSES),
        (options.Network, NETWORKS),
    ):
        assert [member.value for member in kind] == list(table)


def test_there_are_numbers_to_try():
    assert {
        ("sample", "--guidance", float),
        ("train", "--seed", int),
        ("demo", "--minutes", float),
    } <= set(NUMBERS)


def test_train_on_a_folder_of_images_resumes_its_run(run, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png"
        )
    out = tmp_path / "run"
    command = [
        "train",
        "--data",
        tmp_path,
        "--image-size",
        8,
        "--network",
        "plain_cnn",
        "--batch-size",
        8,
        "--epochs",
        1,
        "--out",
        out,
    ]
    status, text, _ = run(*command)
    assert status == 0 and "Lowest KID" in text
    assert {"model.weights.h5", "samples.png", "checkpoint.h5"} <= set(os.listdir(out))
    status, _, err = run(*command)
    assert status == 0 and "This run is finished, after 1 epoch." in err


@pytest.mark.parametrize(
    "epochs_done, sentence", [(0, "Nothing was saved"), (3, "resumes after epoch 3.")]
)
def test_a_training_that_is_interrupted_says_what_is_saved(run, monkeypatch, epochs_done, sentence):
    def fit(callbacks):
        raise KeyboardInterrupt

    trainer = SimpleNamespace(
        fit=fit,
        epochs_done=epochs_done,
        dataset=SimpleNamespace(images=range(64)),
        validation=SimpleNamespace(images=range(16)),
        kid=None,
        share_done=None,
    )
    monkeypatch.setattr(training, "Trainer", lambda config, out: trainer)
    status, _, err = run("train")
    assert status == 130 and sentence in err


@pytest.mark.slow
def test_a_conditional_model_is_trained_sampled_and_measured(run, tmp_path):
    out = tmp_path / "run"
    status, text, err = run(
        "train",
        "--conditional",
        "--image-size",
        8,
        "--widths",
        8,
        "--count",
        32,
        "--epochs",
        1,
        "--out",
        out,
    )
    assert status == 0 and "Lowest KID" in text, err
    model, origin = load_model(out / "model.weights.h5")
    rng = np.random.default_rng(0)  # one step of training is too little to tell labels apart
    model.ema_network.set_weights(
        [w + 0.1 * rng.normal(size=w.shape) for w in model.ema_network.get_weights()]
    )
    weights, pictures = tmp_path / "shaken.weights.h5", []
    save_model(model, weights, origin)
    for label in ("red", "blue"):
        picture = tmp_path / f"{label}.png"
        status, *_ = run(
            "sample",
            "--weights",
            weights,
            "--label",
            label,
            "--guidance",
            9,
            "--count",
            8,
            "--steps",
            2,
            "--out",
            picture,
        )
        assert status == 0
        pictures.append(picture.read_bytes())
    assert pictures[0] != pictures[1]
    status, _, err = run("sample", "--weights", weights, "--label", "green")
    assert status == 2 and "choose one of white, yellow, orange" in err
    status, out, _ = run("evaluate", "--weights", weights, "--count", 16, "--steps", 2)
    assert status == 0 and "KID" in out


@pytest.mark.slow
def test_an_attention_unet_becomes_a_ddpm(run, tmp_path):
    out = tmp_path / "run"
    status, text, err = run(
        "train",
        "--network",
        "attention_unet",
        "--image-size",
        8,
        "--widths",
        "8,16",
        "--count",
        32,
        "--epochs",
        1,
        "--out",
        out,
    )
    assert status == 0 and "Lowest KID" in text, err
    model, _ = load_model(out / "model.weights.h5")
    assert isinstance(model, DDPM) and model.diffusion.timesteps == 1000
    assert model.config.network_arguments["attention_levels"] == [False, True]
    status, *_ = run(
        "sample",
        "--weights",
        out / "model.weights.h5",
        "--sampler",
        "ddpm",
        "--steps",
        2,
        "--count",
        8,
        "--out",
        tmp_path / "s.png",
    )
    assert status == 0


def test_evaluate_prints_kid_and_memorisation(run, weights):
    status, _, err = run(
        "evaluate", "--weights", weights, "--count", 16, "--steps", 2, "--data", "digits"
    )
    assert status == 2 and "3 colour channel(s), but those of digits have 1" in err
    status, out, _ = run("evaluate", "--weights", weights, "--count", 16, "--steps", 2)
    assert (
        status == 0
        and "KID (flowers features)" in out
        and "±" in out
        and "nearest training image" in out
    )


def test_doctor_reports_and_advises(run):
    status, out, _ = run("doctor")
    assert status == 0
    for subject in (
        "Python",
        "keras",
        "backend",
        "devices",
        "procedural_flowers",
        "feature network",
        "sandbox",
    ):
        assert subject in out


@pytest.mark.parametrize(
    "enough, size, choice", [(0, 16, "fast enough for flowers"), (10**9, 8, "so these are 8 × 8")]
)
def test_demo_fills_its_page_with_images_that_fit_the_machine(
    run, tiny_config, tmp_path, monkeypatch, enough, size, choice
):
    from diffusion_lab.commands import demo, demo_page

    arguments = tiny_config.network_arguments | {"image_size": 16}
    save_model(replace(tiny_config, network_arguments=arguments).build(), tmp_path / "m.weights.h5")
    monkeypatch.setattr(demo, "SHIPPED", str(tmp_path / "m.weights.h5"))
    monkeypatch.setattr(demo, "ENOUGH", enough)
    monkeypatch.setattr(demo_page, "ENOUGH", 10**9)
    folder = tmp_path / "demo[old]"
    status, out, err = run("demo", "--minutes", 0.05, "--out", folder)
    assert status == 0 and "index.html" in out and "make lab" in out
    assert str(folder) in err.replace("\n", "")
    page = (folder / "index.html").read_text()
    for picture in (file for file in os.listdir(folder) if file.endswith((".png", ".webp"))):
        assert picture in page, f"{picture} is nowhere on the page"
    assert (
        f"sample --weights {folder}/model.weights.h5" in page
        and (folder / "model.weights.h5").exists()
    )
    assert "…" not in page.split("<th>sampler</th>")[1].split("</table>")[0], (
        "the table is complete"
    )
    assert choice in page
    assert load_model(folder / "model.weights.h5")[0].image_shape == (size, size, 3)
    assert re.search(r"[\d,]+ training images are not enough. .* demo --minutes \d+", page)
    numbers = json.loads((folder / "kid.json").read_text())
    assert [row["name"] for row in numbers["samplers"]] == [
        "DDPM",
        "DDIM",
        "DPM-Solver++(2M)",
        "Adams–Bashforth",
        "Adams–Bashforth from purer noise",
    ]
    assert all(
        np.isfinite(row[owner]["kid"])
        for row in numbers["samplers"]
        for owner in ("yours", "shipped")
    )


@pytest.mark.parametrize(
    "command", [["-m", "diffusion_lab", "sample"], ["-c", "import diffusion_lab.labs.start"]]
)
@pytest.mark.parametrize(
    "backend, sentence",
    [("torch", "torch, which is not installed"), ("nonsense", "one of tensorflow, jax")],
)
def test_a_missing_backend_is_one_sentence(command, backend, sentence, tmp_path):
    """This includes the first cell of a lab, where Jupyter shows only the last line."""
    # missing, wherever this runs
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None")
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment
    )
    assert result.returncode != 0 and sentence in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr or command[0] == "-c"


@pytest.mark.parametrize("package, extra", [("nbclient", "lab"), ("jupytext", "instructor")])
def test_a_missing_package_of_an_extra_is_named_with_its_extra(run, monkeypatch, package, extra):
    def fails(*arguments):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("diffusion_lab.instructor.build.stale", fails)
    status, _, err = run("build", "--check")
    assert status == 2 and package in err and f"'.[{extra}]'" in err


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_grading_needs_linux_and_says_what_to_use_instead(run, monkeypatch, system):
    monkeypatch.setattr(instructors.sys, "platform", system)
    status, _, err = run("grade", "--sample")
    assert status == 2 and "on Windows, use WSL2, and on a Mac, a virtual machine" in err


def test_doctor_names_what_keeps_tensorflow_from_working(monkeypatch):
    versions = {"tensorflow-metal": "1.2.0"}

    def version(package):
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    advice = {finding.subject: finding.advice for finding in doctor._versions()}
    assert "pip uninstall tensorflow-metal" in advice["tensorflow-metal"]
    assert "Colab or Codespaces" in advice["this machine"]
    assert advice["jax"] is None and "pip install keras" in advice["keras"]


def test_doctor_survives_a_missing_backend():
    command = [sys.executable, "-m", "diffusion_lab", "doctor"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "nonsense"}
    )
    assert (
        result.returncode == 0
        and "cannot be examined" in result.stdout
        and "KERAS_BACKEND" in result.stdout
    )


def test_doctor_shows_brackets_as_they_are(capsys):
    finding = "cannot be examined: [/opt/x]"
    advice = "Install it with: /home/me/env[old]/bin/python -m pip install keras"
    doctor.print_report([doctor.Finding("keras", finding, advice), doctor.Finding("jax", "[1]")])
    shown = capsys.readouterr().out
    assert finding in shown and f"keras: {advice}" in shown and "[1]" in shown
