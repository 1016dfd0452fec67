"""Labs 03, 07, 08 and 10, and grading reports, in a real JupyterLab and a real browser.

The labs run, and every slider moves its picture. These tests need Chromium: without it they are
skipped, or fail if DIFFUSION_LAB_BROWSER is "required". Screenshots go to out/browser.
"""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.manual import ByHand, read_manual
from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.source import read_source
from diffusion_lab.instructor.verdicts import Result, Verdict

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "out" / "browser"
TOKEN = "only-for-this-test"
ODD_SAMPLER = """def reverse_diffusion(self, initial_noise, diffusion_steps):
    return 0 * initial_noise + ops.convert_to_tensor([99.0, -99.0, -99.0])"""
# A kernel answers in order: after this answer, it has seen all that sliders sent before.
ASK_THE_KERNEL = """() => jupyterapp.shell.currentWidget.sessionContext.session.kernel
    .requestExecute({code: "", silent: true}).done.then(() => null)"""
SETTINGS = {  # without them, JupyterLab renders only the cells in view
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": (
        '{"fetchNews": "false", "checkForUpdates": false}'
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yields the address of a JupyterLab with the solutions of the five labs, without outputs.

    It also has the notebook "odd".
    """
    root, settings = tmp_path_factory.mktemp("labs"), tmp_path_factory.mktemp("settings")
    for path in sources(ROOT, ["03", "07", "08", "10", "11"]):
        nbformat.write(read_source(path), root / path.with_suffix(".ipynb").name)
    nbformat.write(with_an_odd_sampler(read_source(sources(ROOT, ["07"])[0])), root / "odd.ipynb")
    for name, text in SETTINGS.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
    ]
    environment = os.environ | {
        "DIFFUSION_LAB_PROFILE": "smoke",
        "PYTHONPATH": str(ROOT),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTER_CONFIG_DIR": str(settings),
    }
    log = open(root / "server.log", "w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{address}/api?token={TOKEN}"), 120, "JupyterLab to start")
        yield address
    finally:
        process.terminate()
        process.wait()
        log.close()


def with_an_odd_sampler(notebook):
    """Returns lab 07 up to its slider; before that, the student's sampler becomes `ODD_SAMPLER`."""
    last = next(
        number
        for number, cell in enumerate(notebook.cells)
        if cell.source.startswith("widgets.sampling(")
    )
    notebook.cells = notebook.cells[: last + 1]
    notebook.cells[last].source = f"{ODD_SAMPLER}\n\n{notebook.cells[last].source}"
    return notebook


def answers(address):
    try:
        return urllib.request.urlopen(address, timeout=2).status == 200
    except OSError:
        return False


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)


@pytest.mark.parametrize(
    "lab",
    [
        pytest.param("03_schedules", marks=pytest.mark.slow),
        "07_ddim",
        pytest.param("08_exploring", marks=pytest.mark.slow),
        pytest.param("10_editing", marks=pytest.mark.slow),
        pytest.param("11_one_step", marks=pytest.mark.slow),
    ],
)
def test_sliders_move_their_pictures(browser, server, lab):
    page = run_all_cells(browser, f"{server}/lab/tree/{lab}.ipynb?token={TOKEN}&reset")
    explorers = page.locator(".diffusion-lab-explorer")
    page.screenshot(path=PICTURES / f"{lab}.png")
    assert explorers.count() >= 1
    for number in range(explorers.count()):
        explorer = explorers.nth(number)
        explorer.scroll_into_view_if_needed()
        sliders = explorer.locator(".noUi-handle")
        assert sliders.count() >= 1
        for index in range(sliders.count()):
            assert any(
                moves(page, explorer, sliders.nth(index)) for _ in menu_entries(page, explorer)
            ), f"slider {index} moves nothing"
        explorer.screenshot(path=PICTURES / f"{lab}-{number}.png")
        assert explorer.locator(".diffusion-lab-error").inner_text().strip() == ""
    assert (
        page.locator(
            '[data-mime-type="application/vnd.jupyter.error"],'
            ' .jp-OutputArea-output[data-mime-type*="stderr"]'
        ).count()
        == 0
    )
    page.close()


@pytest.mark.slow
def test_the_slider_of_lab_07_runs_the_students_own_sampler(browser, server):
    page = run_all_cells(browser, f"{server}/lab/tree/odd.ipynb?token={TOKEN}&reset")
    explorer = page.locator(".diffusion-lab-explorer")
    explorer.scroll_into_view_if_needed()
    assert share_of_red(explorer) > 0.8, "with eta = 0, the student's sampler runs"
    eta = explorer.locator(".diffusion-lab-slider-eta .noUi-handle")
    assert moves(page, explorer, eta), "the slider moves nothing"
    explorer.screenshot(path=PICTURES / "odd.png")
    assert share_of_red(explorer) < 0.2, "with fresh noise, the package's ddim runs"
    page.close()


def share_of_red(explorer):
    """Returns the share of the picture's pixels that are as red as those of `ODD_SAMPLER`."""
    with Image.open(io.BytesIO(explorer.locator(".diffusion-lab-picture").screenshot())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return np.mean(np.all(pixels == (255, 0, 0), axis=-1))


def run_all_cells(browser, address):
    """Opens a notebook and runs its cells; returns the page."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(address)
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")

    def done():
        return all(text.strip() not in ("[*]:", "[ ]:", "") for text in prompts.all_inner_texts())

    try:
        wait_for(done, 300, "all cells to run")
    except AssertionError:
        page.screenshot(path=PICTURES / "stuck.png")
        raise
    return page


def menu_entries(page, explorer):
    """Chooses each entry of the explorer's menu in turn; some sliders affect only one entry."""
    menu = explorer.locator("select")
    if menu.count() == 0:
        yield
    for entry in range(menu.locator("option").count()):
        menu.select_option(index=entry)
        page.evaluate(ASK_THE_KERNEL)
        wait_for(lambda: settled(explorer), 120, "the menu's choice")
        yield


def moves(page, explorer, handle):
    """True if dragging the slider's handle changes the picture and the line of numbers."""
    before, start = seen(explorer), handle.get_attribute("aria-valuenow")
    for _ in range(5):  # a page that still grows can move the handle away from the mouse
        drag(page, handle)
        if handle.get_attribute("aria-valuenow") != start:
            break
    for _ in range(3):  # a slider sends its last position when the kernel has taken the one before
        page.evaluate(ASK_THE_KERNEL)
        wait_for(lambda: settled(explorer), 120, "the picture of the new position")
        if all(old != new for old, new in zip(before, seen(explorer))):
            return True
    return False


def seen(explorer):
    """Returns what a person sees: the picture's pixels and the line of numbers."""
    return (
        explorer.locator(".diffusion-lab-picture").screenshot(),
        explorer.locator(".diffusion-lab-readout").inner_text(),
    )


def settled(explorer):
    return "computing" not in explorer.locator(".diffusion-lab-busy").inner_text()


def drag(page, handle):
    """Drags a slider's handle along its track, to the side with more room."""
    handle.scroll_into_view_if_needed()
    box, track = (
        handle.bounding_box(),
        handle.locator("xpath=ancestor::*[contains(@class,'noUi-target')]").bounding_box(),
    )
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    middle = track["x"] + track["width"] / 2
    target = x + track["width"] * (0.3 if x < middle else -0.3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move((x + target) / 2, y, steps=4)
    page.mouse.move(target, y, steps=4)
    page.mouse.up()


@pytest.fixture
def reports(tmp_path):
    """A folder with the reports of four students.

    One has no notebook, and one a long name. A fifth has manual points, but no submission.
    """
    out = tmp_path / "out"
    verdicts = [
        Verdict(
            f"4.{place}",
            f"an_exercise_with_a_long_name_{place}",
            "wrong",
            0.0,
            4.0,
            "sentence " * 30,
            "x" * 300,
        )
        for place in range(1, 7)
    ]
    results = [
        Result(
            name,
            "1",
            f"{name}.ipynb",
            problem="No notebook." * (name == "Bob"),
            remarks=["r" * 90],
            verdicts=verdicts,
            texts={"summary": "word " * 99} if name != "Bob" else {},
            written=6.0,
        )
        for name in ("Ada", "Bob", "=Cem", "D" * 80)
    ]
    out.mkdir()
    (out / "manual.csv").write_text(
        "key,points,comment,hold,4.1,4.9\n"
        'Ada|1,2,"good, but ""short""",,1.5,\nGone|7,3,ill,"a ""case""",,2\n'
    )
    write_gradebook(out, "04", Settings("", "04_first_network.py", 5, Limits()), results)
    return out


def test_manual_points_are_saved_and_the_page_warns_before_they_are_lost(browser, reports):
    page = browser.new_page()
    page.goto(f"file://{reports}/summary.html")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator(".points >> nth=2").fill("4.5")
    assert page.locator("#unsaved").is_visible()
    page.goto("about:blank")
    assert asked == ["beforeunload"]
    page.goto(f"file://{reports}/summary.html")
    page.locator(".points >> nth=2").fill("4.5")
    work = page.locator(".work >> nth=2")
    work.locator("summary").click()
    work.locator('[name="4.1"]').fill("0")
    work.locator('[name="hold"]').fill("=hearing")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(reports / "manual.csv")
    assert not page.locator("#unsaved").is_visible()
    page.goto("about:blank")
    assert asked == ["beforeunload"], "there is no warning once everything is saved"
    assert read_manual(reports / "manual.csv") == {
        "Ada|1": ByHand("2", 'good, but "short"', "", {"4.1": "1.5"}),
        "Bob|1": ByHand(),
        "=Cem|1": ByHand("4.5", "", "=hearing", {"4.1": "0"}),
        f"{'D' * 80}|1": ByHand(),
        "Gone|7": ByHand("3", "ill", 'a "case"', {"4.9": "2"}),
    }
    page.close()


@pytest.mark.parametrize("width", [500, 1200])
def test_reports_fit_on_small_and_large_screens(width, browser, reports):
    page = browser.new_page(viewport={"width": width, "height": 900})
    for path in (reports / "summary.html", *(reports / "feedback").iterdir()):
        page.goto(f"file://{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (
            "nothing is cut off on the right"
        )
        tops = page.evaluate(
            "[...document.querySelectorAll('.bars div')].map(bar => bar.getBoundingClientRect().top"
            " - bar.parentElement.previousElementSibling.getBoundingClientRect().bottom)"
        )
        assert all(top >= 0 for top in tops), "no bar covers the heading"
    page.close()
