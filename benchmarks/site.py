"""How fast the course site answers: `python -m benchmarks.site`, in Chromium.

It needs what `make site` installs, Playwright and Chromium.
"""

import argparse
import functools
import gzip
import http.server
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.report import Row, publish

ROOT = Path(__file__).parents[1]
DRAWN = """() => document.querySelector("[data-figure=flowers]")
    ?.textContent.includes("ms for one flower") && performance.now()"""
MOVED = """async ([slider, picture, value]) => {
  const [before, begin] = [picture.toDataURL(), performance.now()];
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
  while (picture.toDataURL() === before) await new Promise(requestAnimationFrame);
  return performance.now() - begin;
}"""
BLUE = """(canvas) => {  // the places of the samples' pixels, from 0 to 1
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const places = [];
  for (let i = 0; i < width * height; i++)
    if (data[4 * i] < 60 && data[4 * i + 2] > 150 && data[4 * i + 3] > 200)
      places.push([(i % width) / width, Math.floor(i / width) / height]);
  return places;
}"""
RANGE = 4.8  # of the plane on which the visitor draws
NOTE = """\
The first flower is timed from the start of the navigation, in a new browser without a cache, with
the site on the same machine. A slider is timed from its move to the new picture, ten times. The
heart is the training figure's own, and its samples are the blue pixels: the rows say how far they
are from the nearest drawn point on average (the heart is 3 wide, and a dot 0.04), and what share of
the drawn points has a sample within 0.15. The weight is that of the landing page with both of its
figures."""


def build(folder):
    """Returns a row of the seconds that building the site takes."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "docs/build_site.py", "--out", folder], cwd=ROOT, check=True)
    return Row("building the site", time.perf_counter() - begin, at_most=180, unit="s")


@contextmanager
def served(folder):
    """Yields the address of a web server for the folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def first_flower(browser, site, rounds=3):
    seconds = []
    for _ in range(rounds):
        page = browser.new_page()
        page.goto(f"{site}/index.html", wait_until="commit")
        seconds.append(page.wait_for_function(DRAWN, timeout=0).json_value() / 1000)
        page.close()
    numbers = {f"round {i}": value for i, value in enumerate(seconds, 1)}
    return Row("first flower", statistics.median(seconds), at_most=3, unit="s", numbers=numbers)


def moved_slider(page, steps):
    figure = page.locator("[data-figure=flowers]")
    figure.get_by_role("slider", name="Steps", exact=True).fill(str(steps))
    figure.get_by_text(f"steps: {steps};").wait_for()
    slider = figure.get_by_role("slider", name="Blend").element_handle()
    picture = figure.get_by_role("img", name="the flower", exact=True).element_handle()
    times = [page.evaluate(MOVED, [slider, picture, move / 10]) for move in range(1, 11)]
    numbers = {"fastest": min(times), "slowest": max(times)}
    name = f"a moved slider, {steps} step{'s' * (steps > 1)}"
    return Row(name, statistics.median(times), at_most=150, unit="ms", numbers=numbers)


def heart(page):
    """Returns rows of the training figure: the seconds it takes, and what it has learned."""
    figure = page.locator("[data-figure=training]")
    begin = time.perf_counter()
    figure.get_by_role("button", name="Train").click()
    figure.get_by_text("Done.").wait_for(timeout=0)
    seconds = time.perf_counter() - begin
    figure.get_by_role("slider", name="Time").fill("0")
    page.wait_for_timeout(500)  # until the samples at time 0 are drawn
    places = np.array(figure.get_by_role("img", name="samples of the network").evaluate(BLUE))
    samples = RANGE * (places - 0.5) * [1, -1]
    data = np.reshape(page.evaluate("[...diffusionLab.DRAWINGS.heart()]"), (-1, 2))
    distances = np.linalg.norm(samples[:, None] - data, axis=-1)
    covered = float(np.mean(distances.min(0) < 0.15))
    return [
        Row("training on the heart", seconds, at_most=15, unit="s"),
        Row("samples from the heart", float(distances.min(1).mean()), at_most=0.1, unit=""),
        Row("share of the heart with samples", covered, at_least=0.95, unit=""),
    ]


def weight(browser, site):
    page, responses = browser.new_page(), []
    page.on("response", lambda one: responses.append(one))
    page.goto(f"{site}/index.html")
    page.wait_for_function(DRAWN, timeout=0)
    sizes = {one.url: len(gzip.compress(one.body())) for one in responses}
    page.close()
    bundle = next(size for url, size in sizes.items() if "figures.js" in url)
    return [
        Row("landing page, gzipped", sum(sizes.values()) / 1e6, at_most=8, unit="MB"),
        Row("script of the figures, gzipped", bundle / 1e3, at_most=150, unit="kB"),
    ]


def answers(browser, site):
    """Returns the rows that a browser measures."""
    first = first_flower(browser, site)
    page = browser.new_page()
    page.goto(f"{site}/index.html")
    page.wait_for_function(DRAWN, timeout=0)
    rows = [first, moved_slider(page, 1), moved_slider(page, 2), *heart(page)]
    page.close()
    return [*rows, *weight(browser, site)]


def main():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, help="a folder with the built site; else it is built")
    parser.add_argument("--out", type=Path, default=Path("out/bench/site"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.site or Path(scratch, "site")
        built = [] if arguments.site else [build(folder)]
        with served(folder) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            rows = [*answers(browser, site), *built]
            browser.close()
    publish("The course site", "python -m benchmarks.site", rows, arguments.out, note=NOTE)


if __name__ == "__main__":
    main()
