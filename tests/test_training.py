"""Training runs: the learning rate, which model is kept, and how a killed run resumes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.metrics.kid import KIDEstimate
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model
from diffusion_lab.models.weights import read_arrays
from diffusion_lab.training import KeepBest, Trainer, TrainingConfig
from diffusion_lab.training.callbacks import SaveRun, WarmUp

RUN = """
import dataclasses, sys
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.training import Trainer, TrainingConfig
model = ModelConfig("plain_cnn", {"image_size": 8, "width": 8, "depth": 2})
sizes = {"count": 64, "batch_size": 8, "kid_images": 16, "kid_steps": 2}
config = TrainingConfig(model, epochs=int(sys.argv[2]), **sizes)
trainer = Trainer(config, sys.argv[1])
print("ready", trainer.epochs_done, flush=True)
trainer.fit()
print("done", trainer.epochs_done, flush=True)
"""


def start(folder, epochs):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, folder, str(epochs)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_killed_runs_resume_and_end_with_all_epochs_and_a_loadable_model(tmp_path):
    epochs, rng, resumed = 4, np.random.default_rng(0), []
    for _ in range(2):
        process = start(tmp_path, epochs)
        resumed.append(int(process.stdout.readline().split()[1]))
        checkpoint = tmp_path / "checkpoint.h5"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and not (
            checkpoint.exists() and checkpoint.stat().st_mtime_ns > before
        ):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))  # somewhere in the next epoch
        process.send_signal(signal.SIGKILL) if os.name != "nt" else process.kill()
        process.wait()
    process = start(tmp_path, epochs)
    output, _ = process.communicate()
    resumed.append(int(output.split()[1]))
    assert resumed[0] == 0 and 1 <= resumed[1] < resumed[2], resumed
    assert f"done {epochs}" in output and process.returncode == 0
    _, state = read_arrays(tmp_path / "checkpoint.h5")
    assert [entry["epoch"] for entry in state["history"]] == list(range(1, epochs + 1))
    model, _ = load_model(tmp_path / "model.weights.h5")
    assert np.isfinite(np.asarray(model.generate(2, 2))).all()
    assert {file.name for file in tmp_path.iterdir() if not file.name.startswith(".")} == {
        "checkpoint.h5",
        "model.weights.h5",
        "samples.png",
    }


@pytest.fixture
def trainer(tiny_config, tmp_path):
    sizes = {"count": 32, "batch_size": 8, "epochs": 2, "kid_images": 16, "kid_steps": 2}
    # wide enough for Muon
    wide = replace(tiny_config, network_arguments=tiny_config.network_arguments | {"width": 16})
    return Trainer(TrainingConfig(wide, optimizer="muon", **sizes), tmp_path)


def test_an_unknown_optimizer_is_a_user_error(tiny_config, tmp_path):
    with pytest.raises(UserError, match="no optimizer 'lion': choose one of muon, adamw"):
        Trainer(TrainingConfig(tiny_config, optimizer="lion"), tmp_path)


def test_a_resumed_run_equals_a_run_that_was_never_stopped(trainer, tiny_config, tmp_path):
    """The checkpoint contains everything that the second epoch depends on.

    This means weights, optimizer, EMA, seeds and the order of the data.
    """
    trainer.fit()
    one_go = trainer.model.get_weights()

    class Stop(Exception):
        pass

    def stop(epoch, logs):
        raise Stop

    halves = tmp_path / "halves"
    first = Trainer(trainer.config, halves)
    with pytest.raises(Stop):
        first.fit(callbacks=[SaveRun(first), keras.callbacks.LambdaCallback(on_epoch_end=stop)])
    second = Trainer(trainer.config, halves)
    assert second.epochs_done == 1
    second.fit()
    for expected, found in zip(one_go, second.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "kids, kept",
    [
        ([2, 1, 3], 2),
        ([2, 1, 1.4], 3),
        ([2, 1, 1.4, 1.6], 3),
        ([1, 1.4, 1.6], 2),
        ([1, float("nan")], 1),
        ([0.1, -0.1, 0], 2),
        ([-0.1, -0.06], 2),
    ],
)
def test_a_later_model_is_kept_unless_its_kid_exceeds_one_and_a_half_times_the_lowest(
    kids, kept, trainer, tmp_path, monkeypatch
):
    values = iter(kids)
    monkeypatch.setattr(trainer, "kid", lambda model: next(values))
    callback = SaveRun(trainer)
    callback.set_model(trainer.model)
    for epoch in range(len(kids)):
        callback.on_epoch_end(epoch, {"loss": 1.0})
    _, origin = load_model(tmp_path / "model.weights.h5")
    assert (origin["epochs"], origin["val_kid"]) == (kept, kids[kept - 1])


def test_a_folder_with_another_run_is_not_overwritten(trainer, tiny_config, tmp_path):
    trainer.save_checkpoint()
    with pytest.raises(
        UserError, match=r"other settings \(learning_rate: 0.002 there, 0.001 here\)"
    ):
        Trainer(replace(trainer.config, learning_rate=1e-3), tmp_path)
    assert Trainer(trainer.config, tmp_path).epochs_done == 0


def test_a_finished_run_continues_with_more_epochs_but_not_with_fewer(trainer, tmp_path):
    trainer.fit()
    longer = replace(trainer.config, epochs=trainer.config.epochs + 1)
    run = Trainer(longer, tmp_path)
    run.fit()
    assert [entry["epoch"] for entry in run.history] == list(range(1, longer.epochs + 1))
    with pytest.raises(UserError, match=r"other settings \(epochs\)"):
        Trainer(trainer.config, tmp_path)


@pytest.fixture
def folder_run(tmp_path):
    """Returns a function that makes the trainer of a conditional run.

    The data is a folder of two classes, and the run is in tmp_path/"run".
    """
    for number in range(20):
        picture = tmp_path / "pictures" / ("rose" if number % 2 else "tulip") / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (10 * number, 0, 0)).save(picture)
    model = ModelConfig("unet", {"image_size": 8, "widths": (8,)})

    def run(data):
        return Trainer(
            TrainingConfig(
                model,
                str(data),
                batch_size=4,
                epochs=2,
                kid_images=2,
                kid_steps=1,
                conditional=True,
            ),
            tmp_path / "run",
        )

    run(tmp_path / "pictures").save_checkpoint()
    return run


@pytest.mark.parametrize(
    "spelling", ["pictures", "pictures/", "./pictures", "run/../pictures", "moved"]
)
def test_a_run_resumes_with_the_same_data_in_any_spelling_of_the_path(
    folder_run, spelling, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if spelling == "moved":
        (tmp_path / "pictures").rename(tmp_path / "moved")
    folder_run(spelling)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            lambda folder: (folder / "rose").rename(folder / "zinnia"),
            r"class_names: \['rose', 'tulip'\] there, \['tulip', 'zinnia'\] here",
        ),
        (
            lambda folder: (folder / "rose" / "1.png").rename(folder / "tulip" / "1.png"),
            "contents_of_images",
        ),
        (
            lambda folder: [
                Image.new("RGB", (8, 8)).save(folder / "rose" / f"new{number}.png")
                for number in range(9)
            ],
            "training_images: .* there",
        ),
        (
            lambda folder: [Image.new("RGB", (8, 8)).save(path) for path in folder.glob("*/*.png")],
            "contents_of_images",
        ),
    ],
)
def test_a_run_does_not_resume_with_other_data_under_the_same_path(
    folder_run, change, sentence, tmp_path
):
    change(tmp_path / "pictures")
    with pytest.raises(UserError, match=f"other settings .*{sentence}"):
        folder_run(tmp_path / "pictures")


def test_a_second_training_in_the_folder_is_refused_and_continues_afterwards(trainer, tmp_path):
    other = Trainer(trainer.config, tmp_path)
    refused = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: pytest.raises(UserError, other.fit).match(
            "Another training is running"
        )
    )
    trainer.fit(callbacks=[refused, SaveRun(trainer)])
    other.fit()
    assert other.history == trainer.history and other.steps_done == trainer.steps_done


def test_a_file_in_the_place_of_the_folder_is_noticed_before_the_training(tiny_config, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        Trainer(TrainingConfig(tiny_config), tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_learning_rate_rises_then_stays_until_the_run_ends(trainer):
    schedule, rates = learning_rates(trainer, warmup=160)
    assert rates[:10] == pytest.approx(np.linspace(0.1, 1, 10)), "10 steps of 16 images"
    assert rates[10:] == pytest.approx([1.0] * 91)
    trainer.model.stop_training = False
    schedule.on_train_batch_end(0)
    assert trainer.model.stop_training


def test_with_a_cooldown_the_learning_rate_falls_to_zero(trainer):
    _, rates = learning_rates(trainer, warmup=160, cooldown=0.4)
    assert rates[10:61] == pytest.approx([1.0] * 51)
    assert rates[60:] == pytest.approx(np.linspace(1, 0, 41))


def learning_rates(trainer, **settings):
    """Returns a schedule with a peak of 1 when its run ends, and its 101 rates until then."""
    step, rates = 0, []
    config = TrainingConfig(learning_rate=1.0, batch_size=16, **settings)
    schedule = WarmUp(config, lambda: step / 100, lambda: step * 16)
    schedule.set_model(trainer.model)
    for step in range(101):
        schedule.on_train_batch_begin(0)
        rates.append(float(trainer.model.optimizer.learning_rate))
    return schedule, rates


def test_generating_in_batches_gives_the_count_and_repeats_for_a_seed(trainer):
    images = generate_in_batches(trainer.model, 10, 2, seed=1, batch_size=4)
    assert images.shape == (10, 8, 8, 3) and np.abs(images[:4] - images[4:8]).max() > 0.01
    np.testing.assert_array_equal(
        images, generate_in_batches(trainer.model, 10, 2, seed=1, batch_size=4)
    )
    with pytest.raises(UserError, match="count must be a whole number of at least 1"):
        generate_in_batches(trainer.model, 0, 2)


def test_nan_in_training_or_sampling_is_one_sentence(trainer, tiny_config, tmp_path):
    diverging = Trainer(
        replace(trainer.config, learning_rate=1e30, warmup=0), tmp_path / "diverging"
    )
    with pytest.raises(
        UserError, match="no longer a finite number after .* steps.*lower learning rate than 1e"
    ):
        diverging.fit()
    for weight in trainer.model.ema_network.weights:
        weight.assign(np.nan * weight)
    with pytest.raises(UserError, match="generates NaN"):
        generate_in_batches(trainer.model, 2, 1)


def test_validation_kid_is_near_zero_for_real_images_and_large_for_noise(trainer):
    class Copy:  # replaces a model
        def __init__(self, images):
            self.images = images

        def generate(self, count, steps, seed=None):
            return self.images[:count]

    real = load_dataset("procedural_flowers", "validation", 16, 8, count=128).images
    kid = ValidationKID(real[:64], steps=1)
    noise = np.random.default_rng(0).random((64, 16, 16, 3), "float32")
    assert abs(kid(Copy(real[64:] / np.float32(255)))) < 0.1 < 1 < kid(Copy(noise))
    value, error = kid.with_standard_error(Copy(noise))
    assert abs(value - kid(Copy(noise))) < 2 * error < value, "the same images, in random halves"


def test_a_single_validation_image_is_refused_before_training():
    with pytest.raises(UserError, match="too few validation images"):
        ValidationKID(np.zeros((1, 8, 8, 3), "uint8"), steps=1)


class GivenKID:
    """A KID with a given value for each epoch."""

    def __init__(self, *values):
        self.values = list(values)

    def with_standard_error(self, model):
        return KIDEstimate(self.values.pop(0), 0.1)


def test_the_kept_weights_are_restored_but_not_those_of_an_earlier_training(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    path = tmp_path / "new" / "best.weights.h5"
    keeper, weights = KeepBest(GivenKID(3.0, 1.0, 1.4, 2.0), path), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()[0].item())
    )
    x = np.ones((4, 1))
    history = model.fit(x, 5 * x, epochs=4, verbose=0, callbacks=[keeper, note])
    assert history.history["val_kid"] == [3.0, 1.0, 1.4, 2.0] and keeper.kept_kid == 1.4
    assert history.history["val_kid_error"] == 4 * [0.1]
    keeper.restore()
    assert model.get_weights()[0].item() == weights[2] != weights[3]
    interrupted = KeepBest(GivenKID(), path)
    with pytest.raises(IndexError):
        model.fit(x, x, verbose=0, callbacks=[interrupted])
    with pytest.raises(UserError, match="no trained model yet"):
        interrupted.restore()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file and cannot contain best.weights.h5"):
        KeepBest(GivenKID(), tmp_path / "file" / "best.weights.h5").on_train_begin()
