"""The training panel: a bar and a picture in a notebook, a line for each epoch elsewhere.

An interrupt leaves it tidy.
"""

import base64
import io
import signal

import keras
import numpy as np
import pytest
from PIL import Image

from diffusion_lab.labs import training_panel as panel
from diffusion_lab.labs.training_panel import TrainingPanel, TrainingStopped
from diffusion_lab.metrics.kid import KIDEstimate
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.energy_based import EnergyBasedModel, contrastive_divergence
from diffusion_lab.networks import energy_network, plain_cnn
from diffusion_lab.training.callbacks import KeepBest, TrainingWatch

IMAGES = np.random.default_rng(0).uniform(size=(24, 8, 8, 3)).astype("float32")


class Handle:
    def __init__(self, bundle):
        self.bundles = [bundle]

    def update(self, bundle, raw, metadata=None):
        assert raw
        self.bundles.append(bundle)


@pytest.fixture
def outputs(monkeypatch):
    """Returns what a notebook would show: a list of handles, each with everything it has shown."""
    shown = []

    def display(bundle, raw, display_id, metadata=None):
        assert raw and display_id
        if "image/png" in bundle:
            assert metadata["image/png"]["alt"].startswith("Loss curve")
        shown.append(Handle(bundle))
        return shown[-1]

    monkeypatch.setattr(panel, "display", display)
    monkeypatch.setattr(panel, "in_notebook", lambda: True)
    return shown


def tiny_model(tiny_config):
    model = tiny_config.build(seed=0)
    model.adapt(IMAGES)
    model.compile("adam", "mse", run_eagerly=True)  # three steps take less time than compiling them
    return model


def samples():
    return np.full((4, 8, 8, 3), 0.5)


def train(model, *callbacks, epochs=2, images=IMAGES, **arguments):
    return model.fit(
        images, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


def last_lines(outputs):
    return [handle.bundles[-1]["text/plain"] for handle in outputs]


def test_a_metric_that_the_model_never_updates_is_not_shown(tiny_config, outputs, monkeypatch):
    model = tiny_model(tiny_config)
    monkeypatch.setattr(model.noise_loss_tracker, "update_state", lambda value: None)
    train(model, TrainingPanel(samples), validation_data=(IMAGES[:8],))
    last = last_lines(outputs)[0]
    assert "n_loss" not in last and "i_loss" in last and "val_loss" in last


def test_a_loss_of_zero_is_shown():
    assert panel.numbers({"loss": 0.0, "n_loss": 0.0}) == "loss 0.0000"


def test_the_first_epoch_already_shows_the_errors_of_noise_and_image(
    tiny_config, outputs, monkeypatch
):
    monkeypatch.setattr(panel, "BAR_SECONDS", 0.0)
    train(tiny_model(tiny_config), TrainingPanel(samples), validation_data=(IMAGES[:8],))
    first, *_, other = [bundle["text/plain"] for bundle in outputs[0].bundles[1:-1]]
    assert "epoch 1 of 2" in first and "n_loss" in first and "i_loss" in first
    assert "val_loss" not in first and "val_loss" in other


def test_the_kid_has_its_standard_error(tiny_config, outputs, tmp_path, monkeypatch):
    monkeypatch.setattr(ValidationKID, "with_standard_error", lambda *_: KIDEstimate(1.236, 0.11))
    keeper = KeepBest(ValidationKID(IMAGES[:8], steps=1), tmp_path / "best.weights.h5")
    train(tiny_model(tiny_config), keeper, TrainingPanel(samples), epochs=1)
    assert last_lines(outputs)[0].endswith(" · val_kid 1.24 ± 0.11")


def test_a_notebook_gets_one_bar_and_one_picture_and_keeps_their_last_state(tiny_config, outputs):
    train(tiny_model(tiny_config), TrainingPanel(samples), validation_data=(IMAGES[:8],))
    bar, picture = outputs
    assert "compiles" in bar.bundles[0]["text/plain"]
    last = bar.bundles[-1]["text/plain"]
    assert (
        "100%" in last
        and "2 of 2 epochs, 6 steps" in last
        and "val_loss" in last
        and "░" not in last
    )
    assert set(picture.bundles[-1]) == {"image/png", "text/plain"}
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.bundles[-1]["image/png"]))))
    # the grey samples next to the curve
    assert (pixels[:40, 440:480] == 128).all() and pixels.shape[1] > 700
    assert (pixels[:, :420] < 100).any()


def test_updates_are_as_frequent_as_the_settings_say(tiny_config, outputs, monkeypatch):
    for seconds in ("BAR_SECONDS", "CURVE_SECONDS"):
        monkeypatch.setattr(panel, seconds, 1000.0)
    train(tiny_model(tiny_config), TrainingPanel(samples, interval=1000.0), epochs=1)
    seldom = [len(handle.bundles) for handle in outputs]
    outputs.clear()
    monkeypatch.setattr(panel, "BAR_SECONDS", 0.0)
    train(tiny_model(tiny_config), TrainingPanel(samples, interval=0.0), epochs=2)
    often = [len(handle.bundles) for handle in outputs]
    # with long intervals, the first and the last; with none, one for each step
    assert seldom == [2, 1] and often == [8, 7]
    line = outputs[0].bundles[-2]["text/plain"]
    assert "epoch 2 of 2" in line and "steps/s" in line and "left" in line and "loss" in line


def test_the_curve_is_updated_between_two_sets_of_samples(tiny_config, outputs, monkeypatch):
    drawn = []
    monkeypatch.setattr(panel, "CURVE_SECONDS", 0.0)
    train(
        tiny_model(tiny_config),
        TrainingPanel(lambda: drawn.append(1) or samples(), interval=1000.0),
        epochs=1,
    )
    assert len(outputs[1].bundles) == 4 and len(drawn) == 1


def test_outside_a_notebook_each_epoch_prints_a_line(tiny_config, capsys):
    train(tiny_model(tiny_config), TrainingPanel(samples))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14] for line in lines] == [
        "epoch 1 of 2 ·",
        "epoch 2 of 2 ·",
    ] and "loss" in lines[0]


def test_default_samples_of_all_models(tiny_config, outputs):
    network = plain_cnn(image_size=8, width=8, depth=2)
    energy = EnergyBasedModel(
        energy_network(image_size=8, channels=3, widths=(8,), dense_width=8),
        buffer_size=16,
        langevin_steps=2,
        seed=0,
    )
    ddpm = DDPM(network, seed=0)
    ddpm.compile("adam", "mse", run_eagerly=True)
    energy.compile("adam", contrastive_divergence, run_eagerly=True)
    for model in (tiny_model(tiny_config), ddpm, energy):
        outputs.clear()
        watch = TrainingPanel()
        train(model, watch, epochs=1)
        assert (
            watch.images.shape == (12, 8, 8, 3)
            and watch.images.min() >= 0
            and watch.images.max() <= 1
        )
        assert last_lines(outputs)[1] == "Loss curve and samples after 3 training steps"


def test_samples_that_fail_do_not_end_the_training(tiny_config, outputs, capsys):
    def broken():
        raise RuntimeError("no such flower")

    history = train(tiny_model(tiny_config), TrainingPanel(broken, interval=0.0))
    assert len(history.history["loss"]) == 2 and "100%" in last_lines(outputs)[0]
    assert capsys.readouterr().out.count("no such flower") == 1


class InterruptAt(keras.callbacks.Callback):
    """Presses Ctrl-C in the middle of a training step."""

    def __init__(self, step, times=1):
        super().__init__()
        self.step, self.times = step, times

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_test_begin(self, logs=None):
        if self.step == "validation":
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptible():
    """Handles Ctrl-C as a notebook does, even if these tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_leaves_a_tidy_panel_and_no_stack_trace(tiny_config, outputs, interruptible):
    before = signal.getsignal(signal.SIGINT)
    model = tiny_model(tiny_config)
    with pytest.raises(TrainingStopped) as stopped:
        train(model, TrainingPanel(samples), InterruptAt(1), epochs=4)
    assert (
        isinstance(stopped.value, KeyboardInterrupt)
        and len(stopped.value._render_traceback_()) == 1
    )
    bar, picture = last_lines(outputs)
    assert (
        "stopped" in bar
        and "0 of 4 epochs, 2 steps" in bar
        and picture.endswith("after 2 training steps")
    )
    assert signal.getsignal(signal.SIGINT) is before
    assert int(model.optimizer.iterations) == 2
    train(model, TrainingPanel(samples), epochs=1)  # and continues


@pytest.mark.parametrize("when, steps", [(0, "1 step\n"), ("validation", "3 steps\n")])
def test_an_interrupt_in_the_first_epoch_shows_the_loss_and_no_samples(
    when, steps, tiny_config, outputs, interruptible
):
    drawn = []
    with pytest.raises(TrainingStopped):
        train(
            tiny_model(tiny_config),
            TrainingPanel(lambda: drawn.append(1) or samples()),
            InterruptAt(when),
            epochs=4,
            validation_data=(IMAGES[:8],),
        )
    bar, _ = last_lines(outputs)
    assert f"0 of 4 epochs, {steps}" in bar and "nan" not in bar and not drawn


def test_the_second_interrupt_stops_at_once(tiny_config, outputs, interruptible):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tiny_model(tiny_config), TrainingPanel(samples), InterruptAt(1, times=2))
    assert (
        not isinstance(stopped.value, TrainingStopped) and signal.getsignal(signal.SIGINT) is before
    )


def test_losses_are_those_of_the_last_steps(tiny_config):
    watch = TrainingWatch(batch_size=2)
    watch.set_params({"steps": 30, "epochs": 2})
    watch.on_train_begin()
    truth = np.random.default_rng(0).uniform(size=(2, 30))
    for epoch, losses in enumerate(truth):
        watch.on_epoch_begin(epoch)
        for batch in range(30):  # Keras reports the mean since the beginning of the epoch
            watch.on_train_batch_end(batch, {"loss": losses[: batch + 1].mean()})
        watch.on_epoch_end(epoch, {"loss": losses.mean(), "val_loss": 1.0})
    assert [entry["images"] for entry in watch.losses] == [40, 60, 60, 100, 120, 120]
    found = [entry["loss"] for entry in watch.losses if "loss" in entry]
    np.testing.assert_allclose(
        found, [part.mean() for losses in truth for part in (losses[:20], losses[20:])]
    )


@pytest.mark.parametrize("steps, images", [(25, [20, 45]), (30, [20, 30, 50, 60]), (5, [5, 10])])
def test_the_mean_of_a_few_last_steps_is_no_point_of_the_curve(steps, images):
    watch = TrainingWatch(batch_size=1)
    watch.set_params({"steps": steps, "epochs": 2})
    watch.on_train_begin()
    for epoch in range(2):
        watch.on_epoch_begin(epoch)
        for batch in range(steps):
            watch.on_train_batch_end(batch, {"loss": 1.0})
        watch.on_epoch_end(epoch, {"loss": 1.0})
    assert [entry["images"] for entry in watch.losses] == images


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_data_set_of_unknown_length(tiny_config, outputs, monkeypatch):
    monkeypatch.setattr(panel, "BAR_SECONDS", 0.0)
    batches = ((IMAGES[:8],) for _ in range(3))
    tiny_model(tiny_config).fit(
        batches, shuffle=False, epochs=1, verbose=0, callbacks=[TrainingPanel(samples)]
    )
    assert "100%" in last_lines(outputs)[0] and "1 of 1 epochs, 3 steps" in last_lines(outputs)[0]
