"""Pictures of the labs are not cut off, and unsolved exercises give one sentence."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.labs import pictures as core
from diffusion_lab.labs.compose import labelled_strip, picture_of
from diffusion_lab.labs.lab01.pictures import boltzmann
from diffusion_lab.labs.lab03.experiments import finished
from diffusion_lab.labs.lab03.pictures import cloud_rows, rate_curves
from diffusion_lab.labs.lab04.pictures import influence_maps
from diffusion_lab.labs.lab05 import pictures as of_lab05
from diffusion_lab.labs.lab06.pictures import explore_score, score_fields
from diffusion_lab.labs.lab08.pictures import dots
from diffusion_lab.labs.lab09.pictures import paths
from diffusion_lab.labs.widgets.schedules import schedule_curves
from diffusion_lab.networks import unet
from diffusion_lab.plots import SAMPLERS
from diffusion_lab.schedules import cosine_diffusion_schedule, linear_diffusion_schedule

ROOT = Path(__file__).parents[1]
CLOUDS = 6 * [np.random.default_rng(0).normal(size=(50, 1, 1, 2))]
PICTURES = np.zeros((6, 8, 8, 3))


@pytest.fixture
def shown(monkeypatch):
    """The pictures that a notebook would show, as arrays."""
    pictures = []
    monkeypatch.setattr(
        core,
        "show_png",
        lambda png, alt, **width: pictures.append(
            np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        ),
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


SCHEDULES = {"cosine": cosine_diffusion_schedule, "linear": linear_diffusion_schedule}
PLOTS = {
    "clouds": lambda: core.clouds({"t = 0": CLOUDS[0]}),
    "rows": lambda: core.show_rows({"label": PICTURES}, 6 * ["title"]),
    "curves": lambda: core.curves({"one": [1, 2], "two": [2, 1]}, "x", "y"),
    "samplers": lambda: core.by_evaluations({"Heun": [(1, 2), (9, 1)]}, "KID", orders=(1,)),
    "energies": lambda: boltzmann(np.arange(3.0), np.arange(3.0), (1, 2)),
    "rates": lambda: rate_curves(SCHEDULES),
    "influence": lambda: influence_maps({"title": np.eye(3)}),
    "score": lambda: score_fields(lambda points, *_: -points, CLOUDS[0], [(0.6, 0.8)]),
    "dots": lambda: dots({"one": np.arange(3)}, "distance"),
    "paths": lambda: paths({"DDIM": [CLOUDS[0], 9 + CLOUDS[0]]}, CLOUDS[0]),
}


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_text_of_one_kind_has_one_size_and_pictures_are_sharp(plot, monkeypatch):
    figures, shown = [], []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *_, **__: figures.append(figure) or save(figure, *_, **__)
    )
    monkeypatch.setattr(core, "display", lambda data, metadata, raw: shown.append((data, metadata)))
    plot()
    (figure,), ((data, metadata),) = figures, shown
    sizes = {"title": set(), "label": set(), "small": set()}
    for axis in figure.axes:
        legend = axis.get_legend()
        labels = [*axis.get_xticklabels(), *axis.get_yticklabels()]
        sizes["title"].add(axis.title.get_size())
        sizes["label"] |= {axis.xaxis.label.get_size(), axis.yaxis.label.get_size()}
        sizes["small"] |= {text.get_size() for text in labels + (legend.texts if legend else [])}
    assert sizes["title"] == {10} and sizes["label"] == {9} and sizes["small"] <= {8}
    width = Image.open(io.BytesIO(b64decode(data["image/png"]))).width
    assert abs(width / metadata["image/png"]["width"] - 1.5) < 0.01
    assert metadata["image/png"]["alt"].startswith("Figure: ")


def test_paths_stay_within_their_frame(monkeypatch):
    figures = []
    monkeypatch.setattr("diffusion_lab.labs.lab09.pictures.show_figure", figures.append)
    PLOTS["paths"]()
    assert figures[0].axes[0].get_xlim()[1] > np.max(9 + CLOUDS[0])


def test_samplers_keep_their_colours_and_have_different_markers(monkeypatch):
    figures = []
    monkeypatch.setattr(core, "show_figure", figures.append)
    core.by_evaluations({"mine": [(1, 2), (9, 1)], "DDIM": [(1, 2), (9, 1)]}, "KID")
    mine, ddim = figures[0].axes[0].get_lines()
    assert ddim.get_color() == SAMPLERS["DDIM"]
    assert (mine.get_marker(), mine.get_linestyle()) != (ddim.get_marker(), ddim.get_linestyle())


def heights_of_rows():
    labs = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("solutions/*.py"))
    return sorted({float(height) for height in re.findall(r"show_rows\(.*height=([\d.]+)", labs)})


@pytest.mark.parametrize("options", [{}, *({"height": height} for height in heights_of_rows())])
def test_images_in_rows_are_large_enough(options, monkeypatch):
    figures = []
    monkeypatch.setattr(core, "show_figure", figures.append)
    core.show_rows({"a label": PICTURES, "another": PICTURES}, **options)
    picture_of(figures[0])  # at the density of the page
    assert all(axis.get_window_extent().width >= 96 for axis in figures[0].axes)


@pytest.mark.parametrize("size", [8, 28, 32, 40, 64, 128])
@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("width", [640, 820])
def test_images_of_a_strip_are_large_enough_and_keep_their_pixels(size, count, width):
    images = np.zeros((count, size, size, 3))
    picture = labelled_strip(images, count * ["t = 0.5"], width, chosen=0)
    assert picture.shape[1] <= width
    dark = (picture < 10).all(-1)
    side = int(dark.sum() // count) ** 0.5
    assert side >= 96 and side % size == 0 and dark.sum() == count * side**2


@pytest.mark.parametrize(
    "show",
    [
        lambda: cloud_rows({}, CLOUDS[0], ["t = 0"]),
        lambda: cloud_rows({"linear": []}, CLOUDS[0]),
        lambda: core.show_rows({}, ["t = 0"]),
        lambda: core.new_figure(0),
        lambda: schedule_curves(None, {}),
    ],
)
def test_nothing_to_show_is_one_sentence(show, shown):
    with pytest.raises(UserError, match="nothing to show yet: solve the exercises above"):
        show()
    assert not shown


@pytest.mark.parametrize("images", [np.zeros((8, 8, 3)), np.zeros((0, 8, 8, 3))])
def test_images_that_are_not_a_batch_get_one_sentence(images, shown):
    with pytest.raises(UserError, match=r"write image\[None\]"):
        core.show_images(images)
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


def test_an_animation_is_returned_and_a_page_without_it_shows_stills(monkeypatch):
    shown = []
    monkeypatch.setattr(core, "display", lambda data, **_: shown.append(data))
    frames = [np.full((8, 8, 3), grey, np.uint8) for grey in range(0, 201, 10)]
    webp = core.show_animation(frames, 0.1, 'From "black" to grey.', stills=3)
    assert Image.open(io.BytesIO(webp)).n_frames == len(frames)
    still = np.asarray(Image.open(io.BytesIO(b64decode(shown[0]["image/png"]))))
    assert still.shape == (3 * 8, 8, 3) and (still[0, 0, 0], still[-1, 0, 0]) == (0, 200)
    assert 'alt="From &quot;black&quot; to grey."' in shown[0]["text/html"]


def test_the_slider_of_the_score_moves_the_arrows_and_the_noise():
    def towards_the_origin(noisy_points, noise_rates, signal_rates):
        return -noisy_points

    explorer = explore_score(towards_the_origin, CLOUDS[0])
    before = explorer.picture.value
    explorer.controls["time"].value = 1.0
    assert explorer.wait() and explorer.error.value == "" and explorer.picture.value != before
    assert "noise rate <b>1.00</b> · signal rate <b>0.00</b>" in explorer.readout.value


@pytest.mark.parametrize("values", [(62, 32), (20, 0.3), (2.2, 1.9)])
def test_a_logarithmic_axis_has_numbers_on_it(values, monkeypatch):
    figures = []
    monkeypatch.setattr(core, "show_figure", figures.append)
    core.by_evaluations({"mine": list(zip((1, 20), values))}, "KID", logarithmic=True)
    figures[0].draw_without_rendering()
    axis = figures[0].axes[0]
    low, high = axis.get_ylim()
    ticks = [*axis.yaxis.get_major_ticks(), *axis.yaxis.get_minor_ticks()]
    assert any(tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high)


def test_dotted_lines_have_the_slopes_of_the_orders(monkeypatch):
    figures = []
    monkeypatch.setattr(core, "show_figure", figures.append)
    points = {"Euler": [(2, 1.0), (8, 0.25)], "Heun": [(3, 2.0), (15, 0.1)]}
    core.by_evaluations(points, "error", logarithmic=True, orders=(1, 2))
    lines = [line.get_xydata() for line in figures[0].axes[0].lines if line.get_linestyle() == ":"]
    slopes = [np.diff(np.log(line[:, 1]))[0] / np.diff(np.log(line[:, 0]))[0] for line in lines]
    np.testing.assert_allclose(slopes, [-1, -2])
    assert max(line[-1, 1] for line in lines) < 0.1, "below the curves"


def test_the_noise_level_has_an_arrow_to_each_box_of_the_unet(monkeypatch):
    figures = []
    monkeypatch.setattr(of_lab05, "show_figure", figures.append)
    network = unet(image_size=16, widths=(8, 16, 16), block_depth=2)
    of_lab05.draw_unet(network, PICTURES[0], PICTURES[0])
    texts = figures[0].axes[0].texts
    arrows = [text for text in texts if getattr(text, "arrow_patch", None)]
    noise = {
        tuple(arrow.xy)
        for arrow in arrows
        if to_hex(arrow.arrow_patch.get_edgecolor()) == of_lab05.NOISE_LINE
    }
    boxes = [text.get_text() for text in texts if "residual block" in text.get_text()]
    blocks = sorted(int(box.split("\n")[0].split()[0]) for box in boxes if box[0].isdigit())
    assert len(noise) == len(blocks) == 5, "two levels have two sides, and one has none"
    assert blocks == [2, 2, 3, 3, 2 + 1 + 3]
