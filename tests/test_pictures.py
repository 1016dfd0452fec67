"""Pictures of the labs are not cut off, and unsolved exercises give one sentence."""

import io

import numpy as np
import pytest
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.labs import pictures as core
from diffusion_lab.labs.lab03.experiments import finished
from diffusion_lab.labs.lab03.pictures import cloud_rows, quarter_circles
from diffusion_lab.labs.widgets.schedules import schedule_curves
from diffusion_lab.schedules import cosine_diffusion_schedule

CLOUDS = 6 * [np.random.default_rng(0).normal(size=(50, 1, 1, 2))]
PICTURES = np.zeros((6, 8, 8, 3))


@pytest.fixture
def shown(monkeypatch):
    """The pictures that a notebook would show, as arrays."""
    pictures = []
    monkeypatch.setattr(
        core,
        "display",
        lambda image: pictures.append(np.asarray(Image.open(io.BytesIO(image.data)).convert("L"))),
    )
    return pictures


@pytest.mark.parametrize(
    "show",
    [
        lambda titles: cloud_rows({"": CLOUDS}, CLOUDS[0], titles),
        lambda titles: cloud_rows(
            {"linear": CLOUDS, "a schedule with a name of some length": CLOUDS}, CLOUDS[0], titles
        ),
        lambda titles: core.show_rows({"a label of some length": PICTURES}, titles),
    ],
)
@pytest.mark.parametrize(
    "title", ["t = 0", "noise rate 0\nsignal rate 1.00", "one\ntwo\nthree\nfour"]
)
def test_titles_and_labels_are_not_cut_off(show, title, shown):
    show(6 * [title])
    (picture,) = shown
    assert (picture < 128).any()
    for edge in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]):
        assert (edge == 255).all()


@pytest.mark.parametrize(
    "show",
    [
        lambda: cloud_rows({}, CLOUDS[0], ["t = 0"]),
        lambda: cloud_rows({"linear": []}, CLOUDS[0]),
        lambda: core.show_rows({}, ["t = 0"]),
        lambda: quarter_circles({}),
        lambda: core.new_figure(0),
        lambda: schedule_curves(None, {}),
    ],
)
def test_nothing_to_show_is_one_sentence(show, shown):
    with pytest.raises(UserError, match="nothing to show yet: solve the exercises above"):
        show()
    assert not shown


def unsolved(diffusion_times):
    raise NotImplementedError("Exercise 3.1: write linear_diffusion_schedule.")


def test_unwritten_schedules_are_named_and_left_out(capsys):
    solved = {"cosine": cosine_diffusion_schedule}
    assert finished({"linear": unsolved} | solved) == solved
    assert capsys.readouterr().out == "linear is not written yet, so it is left out below.\n"
    # the lab shows this error as one sentence, here and in the cells below
    with pytest.raises(NotImplementedError, match="Exercise 3.1"):
        finished({"linear": unsolved, "cosine": unsolved})
