"""`diffusion-lab doctor`: what is here, what is missing, and what to do about it."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from typing import NamedTuple

PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy", "tensorflow-datasets", "matplotlib", "jupyterlab", "nbval")


class Finding(NamedTuple):
    """A line of the report. `advice` is one sentence on what to do, or None where nothing is missing."""

    subject: str
    finding: str
    advice: str | None = None


def examine():
    """Looks at versions, backend, devices, data sets, weights and sandbox. Returns a list of `Finding`."""
    return [*_versions(), *_devices(), *_data_sets(), *_weights(), _sandbox()]


def print_report(findings):
    """Prints the findings as a table, and below it the advice."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "found", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.subject, f"[yellow]{finding.finding}[/]" if finding.advice else finding.finding)
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.advice:
            console.print(f"[yellow]{finding.subject}:[/] {finding.advice}", soft_wrap=True)


def _versions():
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        try:
            yield Finding(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            optional = package in ("jax", "torch")
            advice = None if optional else f"Install it with: {sys.executable} -m pip install {package}"
            yield Finding(package, "not installed (optional)" if optional else "missing", advice)


def _devices():
    try:
        import keras

        devices = keras.distribution.list_devices()
    except Exception as error:  # whatever is broken there, the rest of the report is still worth reading
        yield Finding("backend", f"does not start: {error}", "Set KERAS_BACKEND to a backend that is installed.")
        return
    yield Finding("backend", keras.backend.backend())
    slow = all(device.startswith("cpu") for device in devices)
    advice = "Fine for every lab in its small version; for a GPU: pip install 'diffusion-lab[gpu]'." if slow else None
    yield Finding("devices", ", ".join(devices), advice)


def _data_sets():
    from diffusion_lab.data import SOURCES, dataset_status

    for name in SOURCES:
        status = dataset_status(name)
        missing = status == "needs a download"
        advice = "Downloaded when first used; without network, use procedural_flowers." if missing else None
        yield Finding(name, status, advice)


def _weights():
    from diffusion_lab.errors import UserError
    from diffusion_lab.metrics.features import flower_features
    from diffusion_lab.models.files import load_model, shipped_weights

    loaders = {"feature network": flower_features}
    loaders |= {name: lambda name=name: load_model(name) for name in shipped_weights() or ["flowers32"]}
    for name, load in loaders.items():
        try:
            load()
            yield Finding(name, "shipped weights load")
        except UserError as error:
            yield Finding(name, "missing or damaged", str(error))


def _sandbox():
    """Graders need bubblewrap. Some systems have it and still forbid it, so a trial box is opened."""
    if shutil.which("bwrap") is None:
        advice = "Only graders need it. Debian, Ubuntu: apt install bubblewrap; on Windows use WSL2."
        return Finding("sandbox", "bubblewrap is not installed", advice)
    box = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]
    if subprocess.run(box, capture_output=True).returncode:
        return Finding("sandbox", "bubblewrap is forbidden here", "Only graders need it. Allow user namespaces.")
    return Finding("sandbox", "bubblewrap works")
