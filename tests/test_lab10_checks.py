"""Lab 10: wrong answers get a sentence, and the four ways of editing do what they promise."""

import math

import jupytext
import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.ideal_denoisers import dataset_denoiser, gaussian_denoiser
from diffusion_lab.labs.lab10.drawing import crude_flower, read_picture
from diffusion_lab.labs.lab10.experiments import (
    blurred,
    negative,
    noise_statistics,
    pieces_exchanged,
)
from diffusion_lab.labs.lab10.explorer import sketching
from diffusion_lab.labs.lab10.inpainting import InpaintStep
from diffusion_lab.labs.lab10.pictures import bicubic, pixelated, with_hole
from diffusion_lab.samplers import adams_bashforth, ddim, ddpm, time_grid
from diffusion_lab.schedules import offset_cosine_diffusion_schedule as schedule
from tests.misconceptions import assert_hint, not_done, wrong
from tests.test_labs import ROOT

unchanged = (lambda images: images, lambda images: images)


def names_of_lab_10(*names, **space):
    """Returns functions of the lab's source by name, defined with the names in `space`."""
    space |= {"ops": ops, "ddim": ddim, "np": np, "keras": keras}
    for cell in jupytext.read(ROOT / "solutions" / "10_editing.py").cells:
        if any(f"def {name}(" in cell.source for name in names):
            exec(cell.source, space)
    return [space[name] for name in names]


def calls_at_once(denoise, views):
    return [denoise, views]


def two_arguments(denoise, views):
    return lambda noisy_images, rates: denoise(noisy_images, *rates)


def only_noise(denoise, views):
    return lambda noisy_images, noise_rates, signal_rates: noisy_images


def returns_nothing(denoise, views):
    return lambda noisy_images, noise_rates, signal_rates: None


def stops(denoise, views):
    return lambda noisy_images, noise_rates, signal_rates: views[7]


def one_channel(noisy_images, known_images, mask, *others):
    return InpaintStep.right(noisy_images, known_images, mask, *others)[..., :1]


def one_image(noisy_images, *others):
    return InpaintStep.right(noisy_images, *others)[0]


def own_noise(noisy_images, known_images, mask, noises, *rates):
    noises = keras.random.normal(ops.shape(noises))
    return InpaintStep.right(noisy_images, known_images, mask, noises, *rates)


def assigned(noisy_images, known_images, mask, *others):
    noisy_images[mask == 1] = known_images[mask == 1]
    return noisy_images


def sdedit_with(times=lambda times, start: start * times, sampler=ddim, ones=ops.ones):
    """Returns an answer to exercise 10.2 that may look up other times."""

    def sdedit(denoise, schedule, images, noises, start, steps):
        noise_rates, signal_rates = schedule(start * ones((images.shape[0], 1, 1, 1)))
        halfway = signal_rates * images + noise_rates * noises
        return sampler(denoise, lambda t: schedule(times(t, start)), halfway, steps)

    return sdedit


def schedule_with_the_old_name(denoise, schedule, images, noises, start, steps):
    def schedule(times):
        return schedule(start * times)

    return ddim(denoise, schedule, images, steps)


def lambda_with_the_old_name(denoise, schedule, images, noises, start, steps):
    schedule = lambda times: schedule(start * times)  # noqa: E731
    return ddim(denoise, schedule, images, steps)


def rates_for_a_schedule(denoise, schedule, images, noises, start, steps):
    return ddim(denoise, schedule(start * ops.ones((4, 1, 1, 1))), images, steps)


def predicts_at_once(denoise, views):
    return sum(back(denoise(there)) for there, back in views)


def without_a_function(denoise, views):
    return sum(back(denoise(there(noisy_images))) for there, back in views)  # noqa: F821


WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.inpaint_step,
        {
            "but should be (4, 5, 6, 3)": one_channel,
            "is (5, 6, 3)": one_image,
            "Two calls with the same arguments gave different results": own_noise,
            "you cannot assign to the elements of a tensor": assigned,
            "Not done yet: exercise 10.1": not_done,
        },
    ),
    *wrong(
        checks.sdedit,
        {
            "`return` missing": lambda *arguments: None,
            "must be an array of numbers": lambda *arguments: "flowers",
            "times from 0.8": sdedit_with(lambda times, start: 0.8 + 2 * (times - 0.5)),
            "Two calls with the same arguments": sdedit_with(sampler=ddpm),
            "`noise_rates` is float64": sdedit_with(ones=np.ones),
            "ddim cannot call your schedule": rates_for_a_schedule,
            "your function `schedule` calls itself": schedule_with_the_old_name,
            "`schedule` calls itself endlessly": lambda_with_the_old_name,
            "you have 6 instead of 5": sdedit_with(
                sampler=lambda denoise, schedule, noise, steps: ddim(
                    denoise, schedule, noise, steps + (steps == 5)
                )
            ),
            "Not done yet: exercise 10.2": not_done,
        },
    ),
    *wrong(
        checks.anagram_denoise,
        {
            "it must return a function": calls_at_once,
            "must return a function that is called like `denoise`": predicts_at_once,
            "it must return a function that is called": without_a_function,
            "must take the three arguments": two_arguments,
            "must return 2 values, pred_noises, pred_images": only_noise,
            "returns nothing: is its `return` missing, or in a loop": returns_nothing,
            "IndexError": stops,
            "Not done yet: exercise 10.3": not_done,
        },
    ),
]


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_filling_finds_the_only_image_that_fits():
    """Each known half belongs to one of three images, so only that image fits."""
    images = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 4, 4, 1)), "float32")
    mask = np.ones((1, 4, 4, 1), "float32")
    mask[:, :, 2:] = 0
    model = type("Model", (), {"denormalize": staticmethod(lambda images: images)})
    fill = lambda repeats: names_of_lab_10(
        "inpaint_step",
        "fill",
        **{"denoise": dataset_denoiser(images), "schedule": schedule, "steps": 20, "model": model},
        **{"math": math, "time_grid": time_grid},
    )[1](images, mask, seed=1, repeats=repeats)
    np.testing.assert_allclose(fill(8), images, atol=1e-3)


def test_sdedit_keeps_an_image_without_noise_and_forgets_it_at_time_1():
    (sdedit,) = names_of_lab_10("sdedit")
    rng = np.random.default_rng(0)
    images, noises = (rng.normal(size=(2, 4, 4, 1)).astype("float32") for _ in range(2))
    denoise = gaussian_denoiser(0.0, 1.0)
    nearly, forgotten = (
        sdedit(denoise, schedule, images, noises, start, 10) for start in (1e-4, 1.0)
    )
    assert np.abs(nearly - images).mean() < np.abs(forgotten - images).mean() / 2
    np.testing.assert_allclose(forgotten, ddim(denoise, schedule, noises, 10), atol=0.1)


def test_an_anagram_is_likely_in_both_views():
    """Of three images, one is the negative of another: only these two are chosen."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4, 4, 1)).astype("float32")
    (anagram_denoise,) = names_of_lab_10("anagram_denoise")
    denoise = anagram_denoise(
        dataset_denoiser(np.stack([one, -one, other])), [unchanged, (negative, negative)]
    )
    noise = keras.random.normal((16, 4, 4, 1), seed=1)
    images = np.array(adams_bashforth(denoise, schedule, noise, 20))
    distances = np.minimum(
        np.abs(images - one).max(axis=(1, 2, 3)), np.abs(images + one).max(axis=(1, 2, 3))
    )
    assert np.mean(distances < 0.05) > 0.7


def test_small_pictures_are_kept_exactly():
    _, keep_small = names_of_lab_10("shrink", "keep_small")
    small = keras.random.normal((2, 4, 4, 3), seed=1)
    noise = keras.random.normal((2, 16, 16, 3), seed=2)
    large = ddim(keep_small(gaussian_denoiser(0.0, 0.5), small), schedule, noise, 5)
    np.testing.assert_allclose(ops.average_pool(large, 4, 4), small, atol=1e-5)


def test_views_keep_noise_white_and_a_blur_does_not():
    for view in (negative, pieces_exchanged):
        spread, correlation = noise_statistics(view)
        assert abs(spread - 1) < 0.02 and abs(correlation) < 0.02
    spread, correlation = noise_statistics(blurred)
    assert spread < 0.5 and correlation > 0.5


def test_exchanging_pieces_twice_changes_nothing():
    images = keras.random.normal((2, 8, 8, 3), seed=0)
    assert not np.allclose(pieces_exchanged(images), images)
    np.testing.assert_array_equal(pieces_exchanged(pieces_exchanged(images)), images)


def test_drawings_differ_with_every_argument():
    first = crude_flower(5, 0.9, 0.3)
    assert first.shape == (32, 32, 3) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1
    for other in ((6, 0.9, 0.3), (5, 0.5, 0.3), (5, 0.9, 0.7)):
        assert not np.allclose(crude_flower(*other), first)


def test_a_picture_file_becomes_a_square(tmp_path):
    Image.new("RGB", (90, 60), "red").save(tmp_path / "red.png")
    picture = read_picture(tmp_path / "red.png")
    assert picture.shape == (32, 32, 3) and picture.dtype == np.float32
    np.testing.assert_allclose(picture, np.broadcast_to([1.0, 0, 0], picture.shape))


def test_a_file_that_is_no_picture_gets_one_sentence(tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UserError, match=r"notes\.png cannot be read as a picture"):
        read_picture(tmp_path / "notes.png")
    with pytest.raises(UserError, match=r"There is no file .*missing\.png"):
        read_picture(tmp_path / "missing.png")


def test_small_pictures_are_enlarged_and_holes_are_grey():
    images = np.random.default_rng(0).random((2, 4, 4, 3))
    assert pixelated(images, 8).shape == bicubic(images, 8).shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(pixelated(images, 8)[:, ::2, 1::2], images)
    mask = np.zeros((1, 4, 4, 1))
    assert len(np.unique(with_hole(images, mask))) == 1


def test_the_slider_shows_one_sentence_for_a_missing_or_wrong_answer(tiny_config):
    denoise = lambda images, noise_rates, signal_rates: (images, images)
    model = tiny_config.build()
    explorer = sketching(model, denoise, not_done, steps=2)
    assert "an answer that is still missing" in explorer.error.value
    explorer = sketching(model, denoise, lambda *arguments: np.zeros((1, 2, 2, 3)), steps=2)
    assert "sdedit must return images of shape" in explorer.error.value
    explorer = sketching(model, denoise, *names_of_lab_10("sdedit"), steps=2)
    before = explorer.picture.value
    for control in ("strength", "petals", "petal_hue", "background_hue"):
        explorer.controls[control].value = explorer.controls[control].min
        assert explorer.wait() and not explorer.error.value
        assert explorer.picture.value != before
        before = explorer.picture.value
