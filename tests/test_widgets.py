"""Explorers follow their sliders, skip outdated positions, and recover from errors."""

import base64
import io
import re
import threading

import ipywidgets
import keras
import numpy as np
import pytest
from IPython.utils.dir2 import get_real_method
from PIL import Image

from diffusion_lab import widgets
from diffusion_lab.errors import UserError
from diffusion_lab.labs.compose import grid
from diffusion_lab.labs.widgets.models import Chains, circular_interpolation
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.networks import energy_network
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import SCHEDULES, cosine_diffusion_schedule

VIEW = "application/vnd.jupyter.widget-view+json"


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def shade(value):
    return np.full((4, 6, 3), value, np.uint8)


def shades(calls, cache_size=128):
    """Returns an explorer of grey pictures; `calls` collects the positions that it renders."""

    def render(value):
        calls.append(value)
        return shade(value), f"value <b>{value}</b>"

    return widgets.Explorer(
        render, {"value": widgets.slider("grey", 0, 255, 10, 1)}, "A grey field.", cache_size
    )


class Gate:
    """A `render` that waits at every position but the first until it may continue."""

    def __init__(self):
        self.calls, self.entered, self.open = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, value):
        self.calls.append(value)
        if value != 10:
            self.entered.release()
            assert self.open.acquire(timeout=30)
        return shade(value), str(value)


def gated():
    gate = Gate()
    return gate, widgets.Explorer(
        gate, {"value": widgets.slider("grey", 0, 255, 10, 1)}, "A grey field."
    )


def test_the_first_picture_comes_at_once_and_later_ones_follow():
    calls = []
    explorer = shades(calls)
    assert calls == [10] and (pixels(explorer.picture.value) == 10).all()
    explorer.controls["value"].value = 200
    assert explorer.wait()
    assert (
        pixels(explorer.picture.value) == 200
    ).all() and explorer.readout.value == "value <b>200</b>"
    assert "computing" not in explorer.busy.value and explorer.error.value == ""


def test_positions_seen_before_are_not_rendered_again():
    calls = []
    explorer = shades(calls)
    for value in (20, 10, 20):
        explorer.controls["value"].value = value
        assert explorer.wait()
        assert (pixels(explorer.picture.value) == value).all()
    assert calls == [10, 20]


def test_the_cache_drops_the_least_recently_used_position():
    calls = []
    explorer = shades(calls, cache_size=2)
    for value in (20, 10, 30, 10, 20):  # 30 evicts 20, because 10 has been seen since
        explorer.controls["value"].value = value
        assert explorer.wait()
    assert calls == [10, 20, 30, 20]


def test_positions_that_a_moving_slider_has_left_are_skipped():
    gate, explorer = gated()
    explorer.controls["value"].value = 20
    assert gate.entered.acquire(timeout=30)
    assert "computing" in explorer.busy.value and not explorer.wait(timeout=0.01)
    for value in range(30, 100, 10):
        explorer.controls["value"].value = value
    gate.open.release()
    gate.open.release()
    assert explorer.wait()
    assert gate.calls == [10, 20, 90]
    assert (pixels(explorer.picture.value) == 90).all() and "computing" not in explorer.busy.value


def test_an_old_picture_never_replaces_a_newer_one():
    gate, explorer = gated()
    explorer.controls["value"].value = 20
    assert gate.entered.acquire(timeout=30)
    explorer.controls["value"].value = 30
    # cached: shown at once, while 20 is still being rendered and 30 waits
    explorer.controls["value"].value = 10
    assert explorer.readout.value == "10" and "computing" not in explorer.busy.value
    gate.open.release()
    assert explorer.wait()
    assert explorer.readout.value == "10" and (pixels(explorer.picture.value) == 10).all()
    explorer.controls["value"].value = 20  # the rendered picture is cached anyway
    assert explorer.wait() and explorer.readout.value == "20" and gate.calls == [10, 20]


def test_only_one_thread_renders():
    running, most, lock = [0], [0], threading.Lock()

    def render(value):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1
        return shade(value)

    explorer = widgets.Explorer(
        render, {"value": widgets.slider("grey", 0, 255, 10, 1)}, "A grey field."
    )
    movers = [
        threading.Thread(
            target=lambda part=part: [
                setattr(explorer.controls["value"], "value", value) for value in range(part, 256, 4)
            ]
        )
        for part in range(4)
    ]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert explorer.wait() and most[0] == 1
    assert (pixels(explorer.picture.value) == explorer.controls["value"].value).all()


@pytest.mark.parametrize(
    "error, expected",
    [
        (UserError("Take fewer steps."), "Take fewer steps."),
        (
            ZeroDivisionError("division by zero\nmore"),
            "could not be drawn. ZeroDivisionError: division by zero",
        ),
        (
            NotImplementedError("Exercise 8.2: write slerp"),
            "an answer that is still missing. Exercise 8.2: write slerp",
        ),
        (ValueError("a < b"), "a &lt; b"),
    ],
)
def test_an_error_is_one_red_sentence_and_the_next_position_works(error, expected):
    def render(value):
        if value == 13:
            raise error
        return shade(value)

    explorer = widgets.Explorer(
        render, {"value": widgets.slider("grey", 0, 255, 10, 1)}, "A grey field."
    )
    explorer.controls["value"].value = 13
    assert explorer.wait()
    assert (
        expected in explorer.error.value
        and "#c62828" in explorer.error.value
        and "more" not in explorer.error.value
    )
    assert "computing" not in explorer.busy.value
    explorer.controls["value"].value = 14
    assert explorer.wait()
    assert explorer.error.value == "" and (pixels(explorer.picture.value) == 14).all()
    explorer.controls["value"].value = 13
    assert explorer.wait() and expected in explorer.error.value


def test_an_error_in_the_first_picture_does_not_stop_the_notebook():
    def render(value):
        return shade(100 // value)

    explorer = widgets.Explorer(
        render, {"value": widgets.slider("divisor", 0, 9, 0, 1)}, "A grey field."
    )
    data, _ = explorer._repr_mimebundle_()
    assert "ZeroDivisionError" in data["text/plain"] and "image/png" not in data
    explorer.controls["value"].value = 2
    assert explorer.wait() and (pixels(explorer.picture.value) == 50).all()


def test_pages_without_a_kernel_show_a_picture_with_its_caption():
    explorer = shades([])
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {VIEW, "text/plain", "image/png"}
    assert data["text/plain"] == "A grey field." and metadata["image/png"]["alt"] == "A grey field."
    still = pixels(base64.b64decode(data["image/png"]))
    assert (still[:4, :6] == 10).all() and (still[4:, 6:] == 255).any()
    assert (still[8:] < 128).any()  # the caption is below the picture


def test_ipywidgets_7_shows_the_still_picture_as_well(monkeypatch):
    """Colab has it, and its boxes have a method that shows the widget alone."""
    monkeypatch.setattr(ipywidgets.VBox, "_ipython_display_", lambda box: None, raising=False)
    assert get_real_method(shades([]), "_ipython_display_") is None


def test_the_parts_have_classes_for_browser_tests():
    explorer = shades([])
    assert "diffusion-lab-explorer" in explorer._dom_classes
    assert "diffusion-lab-readout" in explorer.readout._dom_classes
    assert "diffusion-lab-busy" in explorer.busy._dom_classes
    assert set(explorer.controls["value"]._dom_classes) == {
        "diffusion-lab-slider",
        "diffusion-lab-slider-value",
    }


def test_corruption_mixes_with_the_rates_of_the_schedule():
    images = np.random.default_rng(0).uniform(0.2, 0.8, (3, 8, 8, 3)).astype("float32")
    explorer = widgets.corruption(images, {"cosine": cosine_diffusion_schedule})
    explorer.controls["diffusion_time"].value = 0.0
    assert explorer.wait()
    clean = pixels(explorer.picture.value)
    scale = clean.shape[0] // 8
    np.testing.assert_allclose(clean[::scale, ::scale][:8, :8], np.rint(images[0] * 255), atol=1)
    assert (
        "noise rate <b>0.000</b> · signal rate <b>1.000</b> · log-SNR <b>∞</b>"
        in explorer.readout.value
    )
    explorer.controls["diffusion_time"].value = 0.2  # 18 degrees
    assert explorer.wait()
    assert (
        "noise rate <b>0.309</b> · signal rate <b>0.951</b> · log-SNR <b>2.25</b>"
        in explorer.readout.value
    )


def test_corruption_refuses_invalid_images():
    for images in (
        np.zeros((8, 8, 3)),
        np.full((1, 8, 8, 3), 200.0),
        np.full((1, 8, 8, 3), np.nan),
    ):
        with pytest.raises(UserError, match=r"\[0, 1\]"):
            widgets.corruption(images)


def test_schedule_curves_has_a_slider_for_each_parameter_that_a_schedule_takes():
    assert {"beta_start", "beta_end", "min_signal_rate", "max_signal_rate"} < set(
        widgets.schedule_curves().controls
    )

    def without_square_root(diffusion_times, beta_end=0.02):
        noise_rates, signal_rates = SCHEDULES["linear"](diffusion_times, beta_end=beta_end)
        return noise_rates**2, signal_rates**2

    schedules = {"mine": without_square_root, "cosine": cosine_diffusion_schedule}
    explorer = widgets.schedule_curves(np.zeros((8, 8, 1)), schedules)
    assert set(explorer.controls) == {"schedule", "beta_end"}
    assert (
        "mine 1.000 → 0.000" in explorer.readout.value
        and "misses 1 by up to 0.50" in explorer.readout.value
    )
    before = explorer.picture.value
    explorer.controls["beta_end"].value = 0.04
    assert explorer.wait() and explorer.picture.value != before and explorer.error.value == ""
    explorer.controls["schedule"].value = "cosine"
    assert explorer.wait() and "noise² + signal² = 1" in explorer.readout.value


def test_a_schedule_that_returns_one_array_gets_a_sentence():
    explorer = widgets.schedule_curves(schedules={"mine": lambda diffusion_times: diffusion_times})
    assert "noise_rates, signal_rates" in explorer.error.value


def test_sampling_begins_with_the_same_noise_and_counts_evaluations(tiny_config):
    model = tiny_config.build(seed=0)
    explorer = widgets.sampling(model, num_images=4)
    assert (
        "NFE <b>10</b>" in explorer.readout.value
        and " s</b> for 4 images" in explorer.readout.value
    )
    first = pixels(explorer.picture.value)
    explorer.controls["eta"].value = 1.0
    assert explorer.wait() and "eta <b>1</b>" in explorer.readout.value
    with_noise = pixels(explorer.picture.value)
    explorer.controls["eta"].value, explorer.controls["steps"].value = 0.0, 3
    assert explorer.wait() and "NFE <b>3</b>" in explorer.readout.value
    explorer.controls["seed"].value = 2
    assert explorer.wait() and not np.array_equal(pixels(explorer.picture.value), first)
    assert explorer.error.value == "" and not np.array_equal(with_noise, first)


def test_sampling_offers_the_steps_that_a_model_can_take(tiny_config):
    explorer = widgets.sampling(tiny_config.build(seed=0), num_images=4, steps=(1, 2, 3, 4))
    assert tuple(explorer.controls["steps"].options) == (1, 2, 3, 4)
    assert "NFE <b>1</b>" in explorer.readout.value and explorer.error.value == ""


def test_sampling_runs_the_models_own_sampler_unless_there_is_fresh_noise(tiny_config, monkeypatch):
    model = tiny_config.build(seed=0)
    monkeypatch.setattr(
        model, "reverse_diffusion", lambda noise, steps: keras.ops.full_like(noise, steps / 100)
    )
    explorer = widgets.sampling(model, num_images=4)

    def shown(steps, eta):
        explorer.controls["steps"].value, explorer.controls["eta"].value = steps, eta
        assert explorer.wait() and explorer.error.value == ""
        return pixels(explorer.picture.value)

    def as_picture(images):
        picture = grid(keras.ops.convert_to_numpy(images), columns=6, width=600)
        return np.asarray(Image.fromarray(picture).convert("RGB"))

    for steps in (50, 20):
        np.testing.assert_array_equal(
            shown(steps, eta=0), as_picture(np.full((4, 8, 8, 3), steps / 100, "float32"))
        )
    fresh = as_picture(model.generate(4, 5, seed=1, sampler=ddim, eta=0.5))
    np.testing.assert_allclose(shown(5, eta=0.5).astype(float), fresh, atol=1)


def test_interpolation_generates_each_pair_once_and_uses_the_given_slerp(tiny_config):
    model, positions = tiny_config.build(seed=0), []

    def slerp(first, second, position):
        assert first.shape == (1, 8, 8, 3)
        positions.append(position)
        return (1 - position) * first + position * second  # a straight line, which loses variance

    explorer = widgets.interpolation(model, slerp, steps=2, num_positions=5)
    assert positions == [0, 0.25, 0.5, 0.75, 1]
    position, deviation = map(float, re.findall("<b>(.*?)</b>", explorer.readout.value))
    assert position == 0.5 and 0.6 < deviation < 0.8
    before = explorer.picture.value
    explorer.controls["position"].value = 0.25
    assert explorer.wait() and len(positions) == 5 and explorer.picture.value != before
    explorer.controls["second_seed"].value = 5
    assert explorer.wait() and len(positions) == 10 and explorer.error.value == ""


def test_interpolation_says_what_a_wrong_slerp_returns(tiny_config):
    explorer = widgets.interpolation(
        tiny_config.build(), lambda first, second, position: first[0], num_positions=3
    )
    assert "slerp must return noise of shape (1, 8, 8, 3)" in explorer.error.value


def test_circular_interpolation_keeps_the_ends_and_the_variance():
    first, second = keras.random.normal((2, 1, 32, 32, 3), seed=0)
    np.testing.assert_allclose(circular_interpolation(first, second, 0.0), first, atol=1e-6)
    np.testing.assert_allclose(circular_interpolation(first, second, 1.0), second, atol=1e-6)
    assert abs(float(keras.ops.std(circular_interpolation(first, second, 0.5))) - 1) < 0.03


def tiny_energy_model():
    return EnergyBasedModel(
        energy_network(image_size=8, channels=1, widths=(8,), dense_width=8), buffer_size=4, seed=0
    )


def test_langevin_runs_each_stretch_once(monkeypatch):
    model, walked = tiny_energy_model(), []
    walk = model.langevin_sampling
    monkeypatch.setattr(
        model,
        "langevin_sampling",
        lambda images, steps, **arguments: (walked.append(steps), walk(images, steps, **arguments))[
            1
        ],
    )
    explorer = widgets.langevin(model, num_images=3, max_steps=40, stride=5)
    explorer.controls["steps"].value = 20
    assert explorer.wait() and "mean energy" in explorer.readout.value
    assert walked == [5] * 8  # 40 steps at first, and none for going back
    explorer.controls["seed"].value = 1
    assert explorer.wait() and walked == [5] * 12 and explorer.error.value == ""


def test_langevin_chains_do_not_depend_on_the_order_of_calls():
    model = tiny_energy_model()
    forth, back = (Chains(model, 2, 5, 0, {"noise_std": 0.1}) for _ in range(2))
    images = [forth.after(steps)[0] for steps in (5, 10)]
    np.testing.assert_allclose(back.after(10)[0], images[1], atol=1e-5)
    np.testing.assert_allclose(back.after(5)[0], images[0], atol=1e-5)
    assert np.abs(images[0] - images[1]).max() > 0.01
