"""The course site: its pages contain no answer, and its figures compute what Python computes."""

import functools
import gzip
import http.server
import importlib.util
import io
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.site import answers
from diffusion_lab.errors import UserError
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.instructor.build import REGION, TRIVIAL, sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.oral import ORAL, oral_page
from diffusion_lab.instructor.published import REPOSITORY
from diffusion_lab.instructor.source import read_source
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.models.io import load_model
from diffusion_lab.samplers import SAMPLERS, Run
from diffusion_lab.schedules import SCHEDULES
from tests.graded import LONG, SETTINGS, result
from tests.test_gradebook import png

ROOT = Path(__file__).parents[1]
OF_DOCS = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
PAGES = sorted(
    [path.name if path.parent.name == "pages" else path.as_posix() for path in OF_DOCS]
    + [f"notebooks/{path.stem}" for path in sources(ROOT)]
    + ["INSTRUCTORS", "CONTRIBUTING", "CHANGELOG"]
)
NAMES = {  # of the samplers in the figures
    "ddpm": "DDPM",
    "ddim": "DDIM",
    "heun": "Heun",
    "dpmpp_2m": "DPM-Solver++(2M)",
    "adams_bashforth": "Adams–Bashforth",
}


def build_site():
    specification = importlib.util.spec_from_file_location("b", ROOT / "docs" / "build_site.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", sources(ROOT), ids=lambda path: path.stem)
def test_a_page_of_a_lab_has_pictures_and_no_answer(source):
    page, solution = build_site().lab_page(source), read_source(source)
    lines = {line.strip() for cell in page.cells for line in cell.source.splitlines()}
    outputs = "".join(str(cell.get("outputs", "")) for cell in page.cells)
    answers = [
        line.strip()
        for cell in solution.cells
        for region in REGION.finditer(cell.source)
        for line in region[2].splitlines()
    ]
    long = {line for line in answers if len(line) > TRIVIAL}
    assert not long & lines and not [line for line in long if line in outputs]
    assert "<details><summary>Why this is the answer</summary>" not in lines
    pictures = [
        cell
        for cell in page.cells
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    ]
    assert pictures and all(cell.metadata.mystnb.image.alt for cell in pictures)


def test_plots_have_a_class_for_the_dark_theme_and_images_have_none():
    page = build_site().lab_page(ROOT / "solutions" / "08_exploring.py")
    classes = {
        cell.metadata.mystnb.image.alt.split(".")[0]: cell.metadata.mystnb.image.get("classes")
        for cell in page.cells
        if "mystnb" in cell.metadata
    }
    assert classes["KID of DDIM over the number of evaluations, log scales"] == "plot"
    assert classes["Five rows of flowers from the same noise"] is None


def test_live_figures_follow_their_cells():
    page = build_site().lab_page(ROOT / "solutions" / "02_forward_process.py")
    (place,) = (i for i, cell in enumerate(page.cells) if 'data-figure="forward"' in cell.source)
    before = page.cells[place - 1]
    assert before.source.startswith("widgets.corruption(") and before.outputs == []
    code = f"https://github.com/{REPOSITORY}/tree/main/diffusion_lab/gaussian_diffusion.py#L"
    assert f"[`q_sample`]({code}" in page.cells[place].source


def test_a_live_figure_names_the_lines_of_python_that_do_the_same():
    module = build_site()
    for name, places in module.PYTHON.items():
        links = module.re.findall(r"`\]\(\S+?/main/(\S+)#L(\d+)\)", module.live_figure(name))
        for (file, function), (linked, number) in zip(places, links, strict=True):
            assert linked == file
            assert f"def {function}(" in (ROOT / file).read_text().splitlines()[int(number) - 1]


def test_the_landing_page_has_live_figures(tmp_path):
    module = build_site()
    module.stage(tmp_path / "pages")
    page = (tmp_path / "pages" / "index.md").read_text(encoding="utf-8")
    for name in ("flowers", "training"):
        assert module.live_figure(name) in page


@pytest.mark.parametrize(
    "lab, name, first",
    [("03_schedules", "schedules", "## 8 ·"), ("07_ddim", "flowers", "For eta 0, 10 and 50 steps")],
)
def test_a_link_to_a_live_figure_leads_to_the_text_above_it(lab, name, first):
    page = build_site().lab_page(ROOT / "solutions" / f"{lab}.py")
    text = "".join(cell.source for cell in page.cells)
    target, figure = f"(live-{name})=\n", f'data-figure="{name}"'
    assert text.count(target) == 1 and text.index(target) < text.index(figure)
    assert text.partition(target)[2].startswith(first)


def test_each_lab_says_how_its_figure_of_flowers_starts():
    module = build_site()
    labs = [path for path in sources(ROOT) if '"live-flowers"' in path.read_text(encoding="utf-8")]
    assert {path.stem for path in labs} == set(module.START)
    for path in labs:
        text = "".join(cell.source for cell in module.lab_page(path).cells)
        settings = r'data-figure="flowers" data-network="(\w+)" data-steps="(\d+)">'
        ((network, steps),) = module.re.findall(settings, text)
        most = load_model(network)[0].config.most_steps
        assert network in module.NETWORKS and 1 <= int(steps) <= (most or 50)


def test_links_to_live_figures_stay_on_the_site():
    module = build_site()
    for source in sources(ROOT):
        text = source.read_text(encoding="utf-8")
        tags = set(module.re.findall(r'"live-(\w+)"', text))
        links = module.re.findall(
            rf"github\.io/REPO/notebooks/{source.stem}\.html#live-(\w+)\)", text
        )
        assert bool(tags) == bool(links) and set(links) <= tags, source.name
    text = "[see](https://o-1.github.io/r.e/notebooks/02_forward.html#live-forward)"
    assert module.ON_THE_SITE.sub(r"\1", text) == "[see](#live-forward)"


def test_a_link_that_leaves_the_site_leads_to_the_repository(tmp_path):
    module = build_site()
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "page.md"
    (tmp_path / "docs" / "labs.md").touch()
    code = "../diffusion_lab/samplers.py"
    text = f"[a](labs.md), [b]({code}#L3), [c](https://x.org), [d](../nowhere.md)"
    replace = functools.partial(module.to_repository, page, tmp_path)
    there = f"https://github.com/{REPOSITORY}/tree/main/diffusion_lab/samplers.py#L3"
    assert module.LINK.sub(replace, text) == text.replace(f"{code}#L3", there)


def test_without_node_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="need Node.js 20 or later: install it"):
        build_site().figures(tmp_path)


# the pictures of a figure, as soon as they are drawn and differ from those before
DRAWN = """([root, before]) => {
  const pictures = [...root.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL());
  return pictures.length && JSON.stringify(pictures) !== JSON.stringify(before) && pictures;
}"""
NODE = pytest.mark.skipif(
    shutil.which("npm") is None and os.environ.get("DIFFUSION_LAB_BROWSER") != "required",
    reason="the site needs Node.js",
)


@NODE
@pytest.mark.slow
def test_the_figures_own_tests_pass():
    for command in (["ci", "--no-audit", "--no-fund", "--silent"], ["test", "--silent"]):
        subprocess.run(["npm", *command], cwd=ROOT / "web", check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds the site, and returns its folder."""
    out = tmp_path_factory.mktemp("web") / "a" / "course"
    out.parent.mkdir()
    build_site().main(out)
    return out


@pytest.fixture(scope="module")
def site(built):
    """Yields the site's address on a server of this machine, which is not the server's root."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=built.parents[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a/course"
        server.shutdown()


@pytest.fixture
def page(browser, site, built):
    """Yields a page of the browser that fails the test for errors and for other hosts."""
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((site, built.as_uri(), "data:", "blob:"))
            or wrong.append(request.url)
        ),
    )
    yield page
    page.close()
    assert wrong == []


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_loads_nothing_from_other_hosts(name, theme, page, site):
    page.emulate_media(color_scheme=theme)
    page.goto(f"{site}/{name}.html")
    page.wait_for_load_state("networkidle")
    assert page.locator("html").get_attribute("data-theme") == theme
    assert violations(page) == []


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("motion, first", [("no-preference", "Stop"), ("reduce", "Play")])
def test_an_animation_can_be_stopped(motion, first, page, site):
    page.emulate_media(reduced_motion=motion)
    page.goto(f"{site}/notebooks/07_ddim.html")
    animation = page.locator('img[src^="data:image/webp"]')
    toggle = page.get_by_role("button", name="the animation")
    toggle.wait_for()
    for word in (first, {"Stop": "Play", "Play": "Stop"}[first]):
        assert toggle.inner_text() == f"{word} the animation"
        assert animation.is_visible() == (word == "Stop")
        toggle.click()


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("name, fits", [("02_forward_process", True), ("07_ddim", False)])
def test_binder_is_offered_for_labs_that_fit_into_its_memory(name, fits, page, site):
    page.goto(f"{site}/notebooks/{name}.html")
    assert page.locator("a[href*='colab.research.google.com']").count() > 0
    assert bool(page.locator("a[href*='mybinder.org']").count()) == fits


@NODE
@pytest.mark.slow
def test_a_lab_can_be_opened_in_a_codespace_and_downloaded(page, site):
    page.goto(f"{site}/notebooks/08_exploring.html")
    page.locator(f"a[href='https://codespaces.new/{REPOSITORY}']").wait_for(state="attached")
    address = page.locator(".dropdown-download-buttons a").first.evaluate("(link) => link.href")
    notebook = page.request.get(address).body()
    assert notebook == (ROOT / "notebooks" / "08_exploring.ipynb").read_bytes()


@NODE
@pytest.mark.slow
def test_the_reference_shows_signatures_not_their_source(page, site):
    page.goto(f"{site}/api.html")
    assert "eta=0.0" in page.locator("[id='diffusion_lab.samplers.ddim']").inner_text()
    assert "py:function" not in page.locator("article").inner_text()


def violations(page):
    """Returns [(rule, the first element that violates it)] of WCAG 2.1 A and AA, and more."""
    page.evaluate((ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js").read_text())
    options = {
        "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
        "rules": {"heading-order": {"enabled": True}},
    }
    found = page.evaluate("(options) => axe.run(options)", options)
    return [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]


@NODE
@pytest.mark.slow
def test_the_pages_of_the_grader_are_accessible(browser, site, tmp_path):
    """The fixture `site` has installed axe-core."""
    board = [[1.5, 0.1], [0.5, 0.1], [0.4, 0.1]]
    students = [
        result("Ada", picture=png((90, 30)), written=6.0, remarks=["Canvas: late"], board=board),
        result("Bob", (4.0, 4.0), problem="This file is no notebook."),
    ]
    students[0].answers["first"] = students[1].answers["first"] = LONG
    (tmp_path / "manual.csv").write_text("key,points,comment,7.1\nAda|12,3,Well done.,2\n")
    rows = write_gradebook(tmp_path, "07", SETTINGS, students, absent=["Eve"])
    (tmp_path / ORAL).write_bytes(oral_page("07", rows, {"first": [Mistake("Add it.", str)]}))
    for place in ("summary.html", ORAL, *(f"feedback/{row.page}" for row in rows)):
        page = browser.new_page()
        page.goto((tmp_path / place).as_uri())
        assert violations(page) == [], place
        page.close()


@pytest.fixture
def fresh(monkeypatch):
    """Returns the list of the fresh noise that our samplers have added."""
    drawn, draw = [], Run.draw_noise

    def record(run):
        drawn.append(draw(run))
        return drawn[-1]

    monkeypatch.setattr(Run, "draw_noise", record)
    return drawn


def numbers(array):
    return np.ravel(array).tolist()


# each sampler, and DDIM with fresh noise
WAYS = [*((name, {}) for name in SAMPLERS), ("ddim", {"eta": 0.6})]


NO_FIGURE = "accessibility"  # a page that loads no network by itself


def noise_for(count):
    return np.random.default_rng(0).normal(size=(count, 32, 32, 3)).astype("float32")


@NODE
@pytest.mark.slow
def test_flowers_in_the_browser_equal_ours(page, site):
    model, _ = load_model("flowers32_fewstep")
    noise = noise_for(16)
    page.goto(f"{site}/{NO_FIGURE}.html")
    theirs = page.evaluate(
        """async (noise) => {
          const { Network, SAMPLERS } = diffusionLab;
          const network = await Network.load("flowers32_fewstep");
          const start = Float64Array.from(noise);
          return [...await SAMPLERS.DDIM(network.denoise, network.schedule, start, 2)];
        }""",
        numbers(noise),
    )
    ours = model.sample("ddim", noise, steps=2)
    np.testing.assert_allclose(theirs, np.ravel(ours), atol=1e-4)


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("network", ["flowers32_fewstep", "flowers32"])
@pytest.mark.parametrize("sampler, options", WAYS)
def test_each_sampler_in_the_browser_makes_our_flowers(
    sampler, options, network, fresh, page, site
):
    noise = noise_for(2)
    ours = load_model(network)[0].sample(sampler, noise, steps=4, **options)
    page.goto(f"{site}/{NO_FIGURE}.html")
    theirs = page.evaluate(
        """async ([name, sampler, options, noise, fresh]) => {
          const { Network, SAMPLERS } = diffusionLab;
          const network = await Network.load(name);
          options.fresh = () => Float64Array.from(fresh.shift());
          const start = Float64Array.from(noise);
          return [...await SAMPLERS[sampler](network.denoise, network.schedule, start, 4, options)];
        }""",
        [network, NAMES[sampler], options, numbers(noise), [*map(numbers, fresh)]],
    )
    assert bool(fresh) == (sampler == "ddpm" or bool(options))
    np.testing.assert_allclose(theirs, np.ravel(ours), atol=1e-4)


@NODE
@pytest.mark.slow
@pytest.mark.parametrize(
    "label, guidance", [("red", 3.0), ("blue", 1.0), ("blue", 0.0), (None, 2.0)]
)
def test_guided_flowers_in_the_browser_equal_ours(label, guidance, page, site):
    model, _ = load_model("flowers32_conditional")
    noise = noise_for(3)
    page.goto(f"{site}/{NO_FIGURE}.html")
    theirs = page.evaluate(
        """async ([label, guidance, noise]) => {
          const { Network, SAMPLERS } = diffusionLab;
          const network = await Network.load("flowers32_conditional");
          const number = network.classNames.indexOf(label);
          const denoise = label ? network.guided(number, guidance) : network.denoise;
          const start = Float64Array.from(noise);
          return [...await SAMPLERS.DDIM(denoise, network.schedule, start, 3)];
        }""",
        [label, guidance, numbers(noise)],
    )
    ours = model.sample("ddim", noise, label, guidance, steps=3)
    np.testing.assert_allclose(theirs, np.ravel(ours), atol=1e-4)


def chosen_network(page, name):
    """Chooses a network in the live figure of flowers; returns the figure and its menus."""
    figure = page.locator("[data-figure=flowers]")
    figure.get_by_text("ms for one flower").wait_for()
    menus = dict(zip(("network", "class", "sampler"), figure.locator("select").all(), strict=True))
    menus["network"].select_option(name)
    return figure, menus


@NODE
@pytest.mark.slow
def test_a_visitor_chooses_a_colour_and_guidance(page, site):
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(f"{site}/index.html")
    page.locator("[data-figure=flowers]").get_by_text("ms for one flower").wait_for()
    assert [name for name in asked if name.endswith(".onnx")] == ["flowers32_fewstep.onnx"]
    figure, menus = chosen_network(page, "class-conditional")
    slider = figure.get_by_role("slider", name="Guidance")
    colours = load_model("flowers32_conditional")[0].class_names
    figure.get_by_role("img", name=f"the {colours[0]} flower, guidance 2").wait_for()
    assert menus["class"].locator("option").all_inner_texts() == [*colours, "any"]
    figure.get_by_text("steps: 10; network evaluations (NFE): 20").wait_for()
    menus["class"].select_option("purple")
    figure.get_by_role("img", name="the purple flower, guidance 2").wait_for()
    slider.press("ArrowLeft")
    slider.press("ArrowLeft")
    figure.get_by_role("img", name="the purple flower, guidance 1").wait_for()
    figure.get_by_text("network evaluations (NFE): 10").wait_for()
    assert violations(page) == []
    menus["class"].select_option("any")
    figure.get_by_role("img", name="the flower", exact=True).wait_for()
    slider.wait_for(state="hidden")
    menus["network"].select_option("tuned for 1 to 4 steps")
    menus["class"].wait_for(state="hidden")
    figure.get_by_text("steps: 2; network evaluations (NFE): 2").wait_for()
    steps = figure.get_by_role("slider", name="Steps", exact=True)
    steps.press("End")
    figure.get_by_text("steps: 4; network evaluations (NFE): 4").wait_for()
    menus["network"].select_option("not tuned")
    figure.get_by_text("steps: 4; network evaluations (NFE): 4").wait_for()
    assert steps.get_attribute("max") == "50", "the number of steps stays, and may be larger"


@NODE
@pytest.mark.slow
def test_flowers_start_as_the_lab_says(page, site):
    for lab, network, steps in [
        ("07_ddim", "not tuned", 10),
        ("08_exploring", "not tuned", 10),
        ("11_one_step", "tuned for 1 to 4 steps", 1),
    ]:
        page.goto(f"{site}/notebooks/{lab}.html")
        figure = page.locator("[data-figure=flowers]")
        figure.get_by_text(f"steps: {steps}; network evaluations (NFE): {steps}").wait_for()
        assert figure.locator("select").first.input_value() == network


@NODE
@pytest.mark.slow
def test_sixteen_flowers_follow_the_controls(page, site):
    page.goto(f"{site}/index.html")
    figure, menus = chosen_network(page, "class-conditional")
    figure.get_by_role("checkbox", name="16 flowers").check()
    figure.get_by_role("img", name="white flower, guidance 2, 16 of 16").wait_for()
    figure.get_by_role("slider", name="Guidance").press("ArrowRight")
    figure.get_by_role("img", name="white flower, guidance 2.5, 16 of 16").wait_for()
    fresh = figure.get_by_role("button", name="Same start, other fresh noise")
    assert fresh.is_disabled(), "DDIM adds no noise"
    figure.get_by_role("checkbox", name="16 flowers").uncheck()
    menus["sampler"].select_option("DDPM")
    page.wait_for_function("(button) => !button.disabled", arg=fresh.element_handle())


@NODE
@pytest.mark.slow
def test_new_data_ends_the_training(page, site):
    page.goto(f"{site}/index.html")
    figure = page.locator("[data-figure=training]")
    time, bar = figure.get_by_role("slider", name="Time"), figure.locator("progress")
    figure.get_by_text("Not trained yet: press Train.").wait_for()
    assert time.is_disabled()
    figure.get_by_role("button", name="Train").click()
    page.wait_for_function("(time) => !time.disabled", arg=time.element_handle())
    figure.get_by_role("button", name="Clear and draw").click()
    figure.get_by_text("Draw something, then press Train.").wait_for()
    assert time.is_disabled() and bar.evaluate("(bar) => bar.value") == 0
    assert figure.get_by_label("Data").input_value() == "your drawing"
    figure.get_by_role("application").press("Space")
    figure.get_by_text("New data: press Train.").wait_for()


@NODE
@pytest.mark.slow
def test_the_schedules_say_their_numbers(page, site):
    page.goto(f"{site}/notebooks/03_schedules.html")
    figure = page.locator("[data-figure=schedules]")
    figure.get_by_role("slider", name="Time").press("End")
    signals = []
    for name in ("linear", "cosine", "offset_cosine"):
        _, signal_rate = SCHEDULES[name](np.ones((1, 1, 1, 1), "float32"))
        signals.append(f"{name.replace('_', ' ')} {abs(np.asarray(signal_rate).item()):.2f}")
    figure.get_by_text(f"Signal rate at time 1.00: {'; '.join(signals)}.").wait_for()
    assert "cosine −∞; offset cosine −7.8." in figure.locator(".numbers").inner_text()


@NODE
@pytest.mark.slow
def test_no_page_is_wider_than_a_phone(page, site):
    page.set_viewport_size({"width": 375, "height": 800})
    for name in (*PAGES, "notebooks/03_schedules"):
        page.goto(f"{site}/{name}.html")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, name


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_formula_fits_or_shows_that_it_scrolls(width, page, site):
    page.set_viewport_size({"width": width, "height": 844})
    boxes = """() => [...document.querySelectorAll("div.math")].map((outer) => {
      const box = outer.querySelector("mjx-container");
      const { overflowX, scrollbarColor, backgroundImage } = getComputedStyle(box);
      return {
        fits: outer.scrollWidth <= outer.clientWidth && box.scrollWidth <= box.clientWidth,
        scrolls: overflowX === "auto" && box.tabIndex === 0,
        shows: scrollbarColor !== "auto" && backgroundImage.includes("gradient"),
      };
    })"""
    seen = []
    for path in sources(ROOT):
        page.goto(f"{site}/notebooks/{path.stem}.html")
        page.wait_for_load_state("networkidle")
        page.evaluate("MathJax.startup.promise")
        seen += [(path.stem, box) for box in page.evaluate(boxes)]
    assert len(seen) > 20
    for lab, box in seen:
        assert box["fits"] or (width < 600 and box["scrolls"] and box["shows"]), lab
    assert width > 600 or not all(box["fits"] for _, box in seen)


@NODE
@pytest.mark.slow
def test_a_formula_scrolls_with_the_keyboard(page, site):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/notebooks/11_one_step.html")
    page.wait_for_load_state("networkidle")
    formula = page.locator("div.math mjx-container").first
    formula.press("ArrowRight")
    page.wait_for_function("(box) => box.scrollLeft > 0", arg=formula.element_handle())


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_one_sees_where_one_can_draw(theme, page, site):
    page.emulate_media(color_scheme=theme)
    for name, figures in [
        ("index", ["training"]),
        ("notebooks/02_forward_process", ["forward"]),
        ("notebooks/09_past_ddim", ["samplers", "training"]),
    ]:
        page.goto(f"{site}/{name}.html")
        for figure in figures:
            sheet = page.locator(f"[data-figure={figure}]").get_by_role("application")
            style = sheet.evaluate("(canvas) => ({ ...getComputedStyle(canvas) })")
            assert style["borderTopStyle"] == "solid"
            page_colour = page.locator("body").evaluate(
                "(b) => getComputedStyle(b).backgroundColor"
            )
            assert contrast(style["borderTopColor"], page_colour) >= 3, figure


def contrast(*colours):
    """Returns the contrast of two CSS colours such as "rgb(0, 0, 0)", as WCAG defines it."""
    parts = [np.array(re.findall(r"[\d.]+", colour)[:3], float) / 255 for colour in colours]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in parts]
    low, high = sorted(c @ [0.2126, 0.7152, 0.0722] for c in linear)
    return (high + 0.05) / (low + 0.05)


@NODE
@pytest.mark.slow
def test_the_dark_theme_leaves_pictures_of_flowers_as_they_are(page, site):
    page.emulate_media(color_scheme="dark")
    for name, image in [
        ("index", "article img"),
        ("notebooks/08_exploring", ".cell_output img:not(.plot)"),
    ]:
        page.goto(f"{site}/{name}.html")
        style = page.locator(image).first.evaluate("(image) => ({ ...getComputedStyle(image) })")
        assert style["filter"] == "none" and style["paddingTop"] == "0px", name
    assert style["backgroundColor"] == "rgba(0, 0, 0, 0)", "outputs have no frame"


@NODE
@pytest.mark.slow
def test_excerpts_of_search_results_have_no_text_of_the_menus(page, site):
    page.goto(f"{site}/search.html?q=schedule")
    excerpts = page.locator("#search-results .context")
    excerpts.first.wait_for()
    page.wait_for_load_state("networkidle")
    texts = excerpts.all_inner_texts()
    assert texts and not [text for text in texts if "Light Dark" in text or "Contents" in text]


@NODE
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, figure, picture",
    [
        ("index", "training", ".beside canvas"),
        ("notebooks/03_schedules", "schedules", ".in-a-row canvas, .frames > canvas:first-child"),
    ],
)
def test_on_a_phone_a_control_and_its_picture_are_on_one_screen(name, figure, picture, page, site):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/{name}.html")
    root = page.locator(f"[data-figure={figure}]")
    page.wait_for_function(DRAWN, arg=[root.element_handle(), []])
    top = root.get_by_role("slider", name="Time").bounding_box()["y"]
    visible = [one.bounding_box() for one in root.locator(picture).all() if one.is_visible()]
    assert max(box["y"] + box["height"] for box in visible) - top < 844


@NODE
@pytest.mark.slow
def test_the_benchmark_measures_the_site_and_the_heart_is_learned(browser, site):
    rows = {row.name: row for row in answers(browser, site)}
    assert len(rows) == 8 and all(row.value > 0 for row in rows.values())
    for name in ("samples from the heart", "share of the heart with samples"):
        assert rows[name].holds, rows[name]


@NODE
@pytest.mark.slow
def test_a_page_with_all_figures_is_small(page, site):
    sizes = {}
    page.on("response", lambda got: sizes.update({got.url: len(gzip.compress(got.body()))}))
    page.goto(f"{site}/index.html")
    page.locator("[data-figure=flowers]").get_by_text("ms for one flower").wait_for()
    assert sum(sizes.values()) < 8e6
    assert next(size for url, size in sizes.items() if "figures.js" in url) < 150e3


def sees_still_flowers(page, reason):
    """Waits until the figure says why it has a still picture; fails unless that is shown."""
    figure = page.locator("[data-figure=flowers]")
    figure.get_by_text(f"The flowers cannot be computed here, because {reason}").wait_for()
    still = figure.get_by_role("img", name="16 flowers that the course's network drew earlier")
    page.wait_for_function("(still) => still.naturalWidth > 0", arg=still.element_handle())
    assert figure.locator("canvas, input").count() == 0


@NODE
@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["flowers32_fewstep.onnx", "flowers32_fewstep.json", "ort.wasm.min.js", "*.wasm"]
)
def test_a_download_that_breaks_off_gets_one_sentence_and_a_still_picture(file, browser, site):
    page = browser.new_page()
    page.route(f"**/{file}", lambda route: route.abort())
    page.goto(f"{site}/index.html")
    sees_still_flowers(page, "the download broke off. To try again, load the page again.")
    page.close()


@NODE
@pytest.mark.slow
def test_a_download_that_stalls_is_given_up(browser, site):
    page = browser.new_page()
    page.clock.install()
    page.route("**/*.onnx", lambda route: None)
    page.goto(f"{site}/index.html")
    page.get_by_text("Loading the network: 14 MB").wait_for()
    page.clock.fast_forward(5_000)
    assert page.get_by_text("Loading the network: 14 MB").is_visible()
    page.clock.fast_forward(20_000)
    sees_still_flowers(page, "the download broke off. To try again, load the page again.")
    page.close()


@NODE
@pytest.mark.slow
@pytest.mark.parametrize(
    "fault, reason",
    [
        ("ort.InferenceSession.create = fail", "this browser could not start the network"),
        ("ort.InferenceSession.prototype.run = fail", "the network does not run in this browser"),
    ],
)
def test_too_little_memory_gets_one_sentence_and_a_still_picture(fault, reason, browser, site):
    page = browser.new_page()

    def spoil(route):
        code = route.fetch().text()
        fail = "const fail = async () => { throw new RangeError('out of memory'); }"
        route.fulfill(body=f"{code}\n;{{ {fail}; {fault}; }}", content_type="text/javascript")

    page.route("**/ort.wasm.min.js", spoil)
    page.goto(f"{site}/index.html")
    sees_still_flowers(page, f"{reason}, perhaps for lack of memory.")
    page.close()


@NODE
@pytest.mark.slow
def test_without_webassembly_the_figure_says_so(browser, site):
    page = browser.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(f"{site}/index.html")
    sees_still_flowers(page, "this browser has no WebAssembly.")
    page.close()


@NODE
@pytest.mark.slow
def test_a_flower_that_fails_later_leaves_the_one_before(page, site):
    page.goto(f"{site}/index.html")
    figure = page.locator("[data-figure=flowers]")
    figure.get_by_text("ms for one flower").wait_for()
    page.evaluate("() => { ort.InferenceSession.prototype.run = () => Promise.reject(); }")
    figure.get_by_role("button", name="Another flower").click()
    figure.get_by_text("The new flower cannot be computed, because the network does not").wait_for()
    assert figure.get_by_role("img", name="the flower", exact=True).is_visible()


@NODE
@pytest.mark.slow
def test_a_page_opened_as_a_file_computes_all_but_the_flowers(page, built):
    for name, figures in [
        ("index", ["training"]),
        ("notebooks/02_forward_process", ["forward"]),
        ("notebooks/03_schedules", ["schedules"]),
        ("notebooks/09_past_ddim", ["samplers", "training"]),
    ]:
        page.goto((built / f"{name}.html").as_uri())
        for figure in figures:
            root = page.locator(f"[data-figure={figure}]")
            drawn = page.wait_for_function(DRAWN, arg=[root.element_handle(), []]).json_value()
            if figure == "training":
                root.get_by_role("button", name="Train").click()
            else:
                root.get_by_role("slider").first.press("ArrowRight")
            page.wait_for_function(DRAWN, arg=[root.element_handle(), drawn])
        if name == "index":
            sees_still_flowers(page, "this page was opened as a file, and the network needs a web")


@NODE
@pytest.mark.slow
def test_a_seed_names_a_flower(page, site):
    page.goto(f"{site}/index.html")
    figure = page.locator("[data-figure=flowers]")
    seed = figure.get_by_role("spinbutton", name="Flower (seed)")
    flower = figure.get_by_role("img", name="the flower", exact=True)
    seen = []

    def after(change):
        before = flower.evaluate("(canvas) => canvas.toDataURL()") if seen else None
        change()
        changed = "([canvas, before]) => canvas.toDataURL() !== before && canvas.toDataURL()"
        new = page.wait_for_function(changed, arg=[flower.element_handle(), before])
        seen.append(new.json_value())

    def type_seed(number):
        seed.fill(number)
        seed.press("Enter")

    after(lambda: figure.get_by_text("ms for one flower").wait_for())
    after(figure.get_by_role("button", name="Another flower").click)
    assert seed.input_value() == "2"
    after(lambda: type_seed("1"))
    after(lambda: type_seed("2"))
    assert seen[2] == seen[0] != seen[1] == seen[3]
    for wrong in ("-3", "2.5", "1000000", ""):
        type_seed(wrong)
        assert seed.input_value() == "2", wrong
    message = figure.get_by_text("The seed must be a whole number from 0 to 999999, so it is 2")
    assert message.is_visible()
    assert flower.evaluate("(canvas) => canvas.toDataURL()") == seen[3]
    after(lambda: type_seed("999999"))
    assert message.count() == 0
    after(figure.get_by_role("button", name="Another flower").click)
    assert seed.input_value() == "0"
    assert violations(page) == []


def painting(page, site):
    """Opens the figure of lab 02; returns it, its picture, and a function that reads the pixels."""
    page.goto(f"{site}/notebooks/02_forward_process.html")
    figure = page.locator("[data-figure=forward]")
    sheet = figure.get_by_role("application")
    sheet.wait_for()
    read = """(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, 64, 64);
      return [...data];
    }"""
    return figure, sheet, lambda: np.reshape(sheet.evaluate(read), (64, 64, 4))[..., :3]


@NODE
@pytest.mark.slow
def test_a_visitor_paints_with_the_pointer(page, site):
    figure, sheet, pixels = painting(page, site)
    figure.get_by_role("button", name="White sheet").click()
    assert np.all(pixels() == 255)
    figure.get_by_role("combobox", name="Paint").select_option("blue")
    jump = figure.get_by_role("img", name="the picture after one jump to the same time")
    before = page.wait_for_function(DRAWN, arg=[figure.element_handle(), []]).json_value()
    box = sheet.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=20)
    page.mouse.up()
    painted = pixels()
    blue = painted[16, 16]
    assert blue[2] > 200 > blue[0]
    assert np.all(painted[16, 16:48] == blue) and np.all(painted[32:] == 255)
    page.wait_for_function(DRAWN, arg=[figure.element_handle(), before])
    figure.get_by_role("slider", name="Time").press("Home")
    same = "([one, other]) => one.toDataURL() === other.toDataURL()"
    page.wait_for_function(same, arg=[sheet.element_handle(), jump.element_handle()])
    assert violations(page) == []


@NODE
@pytest.mark.slow
def test_controls_without_an_effect_stay_in_their_place(page, site):
    page.goto(f"{site}/index.html")
    figure, menus = chosen_network(page, "not tuned")
    figure.get_by_text("ms for one flower; steps: 10").wait_for()
    spacing = figure.get_by_role("slider", name="Spacing (above 1: shorter first steps)")
    eta = figure.get_by_role("slider", name="Fresh noise")
    assert spacing.is_enabled() and eta.is_enabled()
    height = figure.locator(".controls").last.bounding_box()["height"]
    menus["sampler"].select_option("Heun")
    figure.get_by_role("slider", name="Steps", exact=True).press("Home")
    figure.get_by_text("ms for one flower; steps: 1;").wait_for()
    assert spacing.is_disabled() and eta.is_disabled()
    assert figure.locator(".controls").last.bounding_box()["height"] == height
    reason = figure.get_by_title("Only DDIM has this setting.")
    assert reason.get_by_role("slider", name="Fresh noise").count() == 1
    menus["sampler"].select_option("DDIM")
    reason.wait_for(state="detached")


@NODE
@pytest.mark.slow
def test_a_visitor_paints_with_the_keyboard(page, site):
    figure, sheet, pixels = painting(page, site)
    figure.get_by_role("button", name="White sheet").click()
    sheet.press("ArrowUp")
    assert np.any(pixels() != 255), "the pen is shown"
    sheet.press("Space")
    for _ in range(10):
        sheet.press("ArrowUp")
    painted = pixels()
    assert painted[30, 32, 0] > 200 > painted[30, 32, 1], "red, where the pen was"
    assert np.all(painted[20, 32] == 255), "and nothing on its way"


def png_of(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png", compress_level=1)
    return stream.getvalue()


@NODE
@pytest.mark.slow
def test_pictures_of_any_size_and_kind_are_read(page, site, tmp_path):
    figure, sheet, pixels = painting(page, site)
    red, clear = np.uint8([200, 20, 20, 255]), np.uint8([0, 0, 0, 0])
    half = np.where(np.arange(40)[:, None, None] < 20, red, clear) * np.ones((1, 40, 1), "uint8")
    huge = np.zeros((6000, 9000, 3), "uint8")
    huge[:, 4500:] = 100
    for name, picture, left, below in [
        ("half transparent.png", half, [200, 20, 20], [255, 255, 255]),
        ("huge.png", huge, [0, 0, 0], [0, 0, 0]),
        ("a single pixel.png", np.uint8([[[9, 8, 7]]]), [9, 8, 7], [9, 8, 7]),
    ]:
        before = page.wait_for_function(DRAWN, arg=[figure.element_handle(), []]).json_value()
        (tmp_path / name).write_bytes(png_of(picture))
        figure.get_by_label("Your own picture").set_input_files(tmp_path / name)
        page.wait_for_function(DRAWN, arg=[figure.element_handle(), before])
        assert pixels()[4, 4].tolist() == left and pixels()[-4, 4].tolist() == below, name
    (tmp_path / "broken.png").write_bytes(png_of(half)[:60])
    (tmp_path / "notes.txt").write_text("This is no picture.")
    before = pixels()
    for name in ("broken.png", "notes.txt"):
        figure.get_by_label("Your own picture").set_input_files(tmp_path / name)
        figure.get_by_text(f"{name} is not a picture that this browser can read.").wait_for()
    assert np.all(pixels() == before)


@NODE
@pytest.mark.slow
def test_without_another_network_the_first_goes_on(browser, site):
    page = browser.new_page()
    page.route("**/flowers32_conditional.onnx", lambda route: route.abort())
    page.goto(f"{site}/index.html")
    figure, menus = chosen_network(page, "class-conditional")
    sentence = "The network cannot be loaded, because the download broke off. To try again, choose"
    figure.get_by_text(sentence).wait_for()
    assert menus["network"].input_value() == "tuned for 1 to 4 steps"
    figure.get_by_role("button", name="Another flower").click()
    figure.get_by_text("ms for one flower; steps: 2").wait_for()
    page.unroute("**/flowers32_conditional.onnx")
    menus["network"].select_option("class-conditional")
    figure.get_by_role("img", name="the white flower, guidance 2").wait_for()
    page.close()


@NODE
@pytest.mark.slow
def test_every_figure_answers_the_keyboard(page, site):
    for name, figure, label in [
        ("02_forward_process", "forward", "Time"),
        ("03_schedules", "schedules", "Time"),
        ("09_past_ddim", "samplers", "Network evaluations"),
        ("08_exploring", "flowers", "Steps"),
    ]:
        page.goto(f"{site}/notebooks/{name}.html")
        root = page.locator(f"[data-figure={figure}]")
        root.get_by_role("slider", name=label).first.wait_for()
        drawn = page.wait_for_function(DRAWN, arg=[root.element_handle(), []]).json_value()
        root.get_by_role("slider", name=label).first.press("ArrowRight")
        page.wait_for_function(DRAWN, arg=[root.element_handle(), drawn])


@NODE
@pytest.mark.slow
def test_points_can_be_drawn_with_the_keyboard(page, site):
    page.goto(f"{site}/notebooks/09_past_ddim.html")
    figure = page.locator("[data-figure=samplers]")
    figure.get_by_role("button", name="Clear and draw").click()
    pen = figure.get_by_role("application")
    pixels = "(canvas) => canvas.toDataURL()"
    pictures = [pen.evaluate(pixels)]
    for key in ("ArrowUp", "Space", "ArrowUp"):
        pen.press(key)
        pictures.append(pen.evaluate(pixels))
    assert pictures[1] != pictures[0] and pictures[3] != pictures[1], "a point stays behind the pen"


@NODE
@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", [1, 2])
@pytest.mark.parametrize("sampler, options", WAYS)
def test_the_samplers_of_the_figures_equal_ours(
    sampler, options, spacing, schedule, fresh, page, site
):
    rng = np.random.default_rng(0)
    noise, centres = rng.normal(size=(50, 1, 1, 2)), rng.normal(size=(6, 1, 1, 2))
    denoise, options = mixture_denoiser(centres, 0.3), options | {"spacing": spacing}
    start = noise.astype("float32")
    ours = SAMPLERS[sampler](denoise, SCHEDULES[schedule], start, steps=7, **options)
    page.goto(f"{site}/{NO_FIGURE}.html")
    theirs = page.evaluate(
        """async ([sampler, schedule, options, noise, centres, fresh]) => {
          const { SAMPLERS, SCHEDULES, mixtureDenoiser } = diffusionLab;
          const denoise = mixtureDenoiser(Float64Array.from(centres), 0.3);
          options.fresh = () => Float64Array.from(fresh.shift());
          const start = Float64Array.from(noise);
          return [...await SAMPLERS[sampler](denoise, SCHEDULES[schedule], start, 7, options)];
        }""",
        [
            NAMES[sampler],
            schedule.replace("_", " "),
            options,
            numbers(noise),
            numbers(centres),
            [*map(numbers, fresh)],
        ],
    )
    np.testing.assert_allclose(theirs, np.ravel(ours), atol=1e-4)
