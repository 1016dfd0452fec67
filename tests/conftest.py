"""Shared by several tests: a tiny network, and a separate cache for data sets."""

import atexit
import os
import shutil
import sys
import tempfile

# set before anything reads them: tests neither fill nor trust the user's cache, and labs are small
# workers share the cache of the process that started them
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["DIFFUSION_LAB_CACHE"] = tempfile.mkdtemp(prefix="diffusion-lab-tests-")
    atexit.register(shutil.rmtree, os.environ["DIFFUSION_LAB_CACHE"], ignore_errors=True)
os.environ.setdefault("DIFFUSION_LAB_PROFILE", "smoke")

import pytest  # noqa: E402

import diffusion_lab  # noqa: E402, F401  silences TensorFlow's start before Keras starts it

# A worker runs whole files. Those that take minutes start first, so that no worker is still busy
# with one when the others have finished.
LONGEST = (
    "test_hostile",
    "test_sandbox",
    "test_promises",
    "test_benchmarks",
    "test_quality",
    "test_defences",
    "test_mistakes",
    "test_grading",
    "test_words",
    "test_master",
    "test_cli",
    "06_ddpm",
    "08_exploring",
    "test_browser",
)

# without grading, because the modules that limit a process do not exist
if sys.platform == "win32":
    collect_ignore = [
        "test_board.py",
        "test_defences.py",
        "test_grading.py",
        "test_hostile.py",
        "test_promises.py",
        "test_quality.py",
        "test_sandbox.py",
        "test_tampering.py",
    ]


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: (
            LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
        )
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Fixes Keras's global seed, also for the fixtures of a module.

    It determines initial weights, dropout and the order of the images, so no test depends on those
    before it.
    """
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def tiny_config():
    """The default model with the smallest network that can learn in a second."""
    from diffusion_lab.models.config import ModelConfig

    return ModelConfig(
        network="plain_cnn", network_arguments={"image_size": 8, "width": 8, "depth": 2}
    )


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command in this process; returns (exit status, stdout, stderr)."""
    from diffusion_lab.commands import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["diffusion-lab", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def browser():
    """Yields Chromium."""
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        if os.environ.get("DIFFUSION_LAB_BROWSER") == "required":
            pytest.fail("There is no Chromium, and these tests are required.")
        pytest.skip(
            "no Chromium: install it (on Debian and Ubuntu: apt install chromium) to try the"
            " sliders and the course site"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
