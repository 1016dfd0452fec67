"""`diffusion-lab doctor`: what is installed, what is missing, and how to fix it."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from typing import NamedTuple

from diffusion_lab.errors import UserError, about_backend
from diffusion_lab.startup.quiet import keras_file, keras_settings

OPTIONAL = ("jax", "torch", "nbval")  # other backends; grading
PACKAGES = (
    "tensorflow",
    "keras",
    "jax",
    "torch",
    "numpy",
    "tensorflow-datasets",
    "matplotlib",
    "jupyterlab",
    "nbval",
)
# (system, machine): TensorFlow 2.16 was the last for Intel Macs
WITHOUT_TENSORFLOW = {("Darwin", "x86_64"), ("Windows", "ARM64")}
WORK_ELSEWHERE = (
    "There is no current PyTorch or JAX for it either: work in Colab or Codespaces. (On Windows,"
    " Linux in WSL 2 may also work.)"
)


class Finding(NamedTuple):
    """A line of the report.

    `advice` is a sentence on what to do, or None if nothing is missing.
    """

    subject: str
    finding: str
    advice: str | None = None


def examine() -> list[Finding]:
    """Examines versions, backend, devices, data sets, weights and sandbox."""
    findings = []
    for subject, section in SECTIONS.items():
        try:
            findings += section()
        except Exception as error:  # the rest of the report is still worth reading
            known = error if isinstance(error, UserError) else about_backend(error)
            findings.append(
                Finding(subject, f"cannot be examined: {type(error).__name__}", str(known))
                if known
                else Finding(
                    subject,
                    f"cannot be examined: {type(error).__name__}: {error}",
                    "Install Diffusion Lab again.",
                )
            )
    return findings


def print_report(findings: list[Finding]) -> None:
    """Prints the findings as a table, and the advice below it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # shows brackets in paths as they are

    table = Table("", "found", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.subject, Text(finding.finding, "yellow" if finding.advice else ""))
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.advice:
            line = Text.assemble((f"{finding.subject}:", "yellow"), f" {finding.advice}")
            console.print(line, soft_wrap=True)


def _versions() -> Iterator[Finding]:
    yield Finding(
        "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    for package in PACKAGES:
        try:
            yield Finding(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            if package in OPTIONAL:
                yield Finding(package, "not installed (optional)")
            else:
                install = f"Install it with: {sys.executable} -m pip install {package}"
                yield Finding(package, "missing", install)
    yield from _conflicts()


def _conflicts() -> Iterator[Finding]:
    """Yields what keeps TensorFlow from working on some machines."""
    try:
        version = importlib.metadata.version("tensorflow-metal")
        yield Finding(
            "tensorflow-metal",
            version,
            "It breaks TensorFlow 2.18 and later. Remove it with:"
            f" {sys.executable} -m pip uninstall tensorflow-metal",
        )
    except importlib.metadata.PackageNotFoundError:
        pass
    if (platform.system(), platform.machine()) in WITHOUT_TENSORFLOW:
        yield Finding("this machine", "has no current TensorFlow", WORK_ELSEWHERE)


def _keras_settings() -> Iterator[Finding]:
    """Yields what an old keras.json asks for, but the course does not do."""
    settings = keras_settings()
    others = [
        f"{name} {settings[name]}"
        for name, ours in (("floatx", "float32"), ("image_data_format", "channels_last"))
        if settings.get(name, ours) != ours
    ]
    if others:
        yield Finding(
            "Keras's settings",
            ", ".join(others),
            "The course ignores this: it uses float32 and channels_last. For your other programs,"
            f" correct {keras_file()} or delete it.",
        )


def _backend() -> Iterator[Finding]:
    from diffusion_lab.backend import BACKEND, devices, has_accelerator

    yield Finding("backend", BACKEND)
    advice = "Enough for the demo. For an NVIDIA GPU on Linux, install the extra 'gpu'."
    yield Finding("devices", ", ".join(devices()), None if has_accelerator() else advice)


def _data_sets() -> Iterator[Finding]:
    from diffusion_lab.data import SOURCES, dataset_status

    downloads = []
    for name in SOURCES:
        status = dataset_status(name)
        if status == "needs a download":
            downloads.append(name)
        else:
            yield Finding(name, status)
    if downloads:
        advice = "Each is downloaded at its first use. Without a network, use procedural_flowers."
        yield Finding(", ".join(downloads), "need a download", advice)


def _weights() -> Iterator[Finding]:
    from diffusion_lab.metrics.features import flower_features
    from diffusion_lab.models.io import load_model, shipped_weights

    loaders = {"feature network": flower_features}
    loaders |= {
        name: lambda name=name: load_model(name) for name in shipped_weights() or ["flowers32"]
    }
    for name, load in loaders.items():
        try:
            load()
            yield Finding(name, "shipped weights load")
        except UserError as error:
            yield Finding(name, "missing or damaged", str(error))


def _sandbox() -> Iterator[Finding]:
    """Opens each sandbox as a trial, since a system may have one and still forbid it."""
    if sys.platform != "linux":
        advice = "Only grading needs it. On Windows, use WSL2; on a Mac, a virtual machine."
        yield Finding("sandbox", "needs Linux", advice)
        return
    try:
        from diffusion_lab.instructor.sandbox.choice import BOXES, why_closed
        from diffusion_lab.instructor.sandbox.visible import hidden
    except ImportError:  # students' version of the package cannot grade
        return
    reasons = {box: why_closed(box) for box in BOXES}
    opens = [box for box in BOXES if not reasons[box]]
    for box, reason in reasons.items():
        found = "does not work here" if reason else "works, and grading uses it"
        if box in opens[1:]:
            found = "works"
        advice = f"Only grading needs it. {reason}" if reason and not opens else None
        yield Finding(f"sandbox {box}", found, advice)
    copies = [path for path in hidden() if os.path.isdir(path) and not path.endswith("-info")]
    if copies:
        yield Finding("hidden from students", ", ".join(copies))


SECTIONS = {
    "packages": _versions,
    "Keras's settings": _keras_settings,
    "backend": _backend,
    "data sets": _data_sets,
    "weights": _weights,
    "sandbox": _sandbox,
}
