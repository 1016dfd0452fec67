"""Options of the command line: numbers within bounds, and names from the library's tables."""

import ast
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import typer

import diffusion_lab
from diffusion_lab.errors import (
    LARGEST_SEED,
    LEAST_SPACING,
    MOST_SPACING,
    finite_number,
    whole_number,
)

MANY = 1_000_000_000
FEW = 2  # steps of a model that was tuned for few
WEIGHTS = (
    "Shipped weights, such as flowers32, flowers64 or flowers32_conditional, or a .weights.h5 file"
    " that `train` or `demo` wrote."
)
GUIDE = (
    "Weights of a weaker model, such as flowers32_guide: autoguidance leads away from its errors."
    " Each step then needs an evaluation of both networks."
)
DATA = (
    "procedural_flowers, digits, mnist, fashion_mnist, cifar10, oxford_flowers102, or a folder of"
    " a few hundred images or more, which are cropped to squares."
)


def whole(least: float, most: float, help: str | None = None) -> Any:
    """Returns an option for a whole number in [least, most]."""
    return _checked(whole_number, least, most, help)


def real(least: float, most: float, help: str | None = None) -> Any:
    """Returns an option for a real number in [least, most].

    Typer's own ranges would accept NaN.
    """
    return _checked(finite_number, least, most, help)


def _checked(check: Callable[..., float], least: float, most: float, help: str | None) -> Any:
    def callback(option: typer.CallbackParam, value: Any) -> Any:
        return value if value is None else check(option.opts[0], value, least, most)

    return typer.Option(callback=callback, help=help)


def names_in(table: str, module: str) -> list[str]:
    """Returns the names in a table of the library, such as "SAMPLERS" in "samplers.py".

    They are read from the source, because importing the module would import TensorFlow, and
    `--help` should answer at once. A table is a dictionary or tuple, and may unpack another one.
    """
    path = Path(diffusion_lab.__file__).parent / module
    tables = {
        statement.targets[0].id: statement.value
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }

    def names(value: ast.expr) -> list[str]:
        match value:
            case ast.Name(id=other):
                return names(tables[other])
            case ast.Starred(value=other):
                return names(other)
            case ast.Tuple(elts=items):
                return [name for item in items for name in names(item)]
            case ast.Dict(keys=keys, values=values):  # `**other` has no key
                pairs = zip(keys, values)
                return [name for key, other in pairs for name in names(key or other)]
            case _:
                return [ast.literal_eval(value)]

    return names(tables[table])


def choice(name: str, values: list[str]) -> Any:
    """Returns the Enum that Typer needs for an option with these values."""
    return Enum(name, {value: value for value in values}, type=str)


SEED = whole(0, LARGEST_SEED)
SPACING = real(
    LEAST_SPACING,
    MOST_SPACING,
    "Above 1, the sampler's steps are shorter where there is more noise; 2 makes images more"
    " colourful.",
)
MIN_SIGNAL_RATE = real(
    0,
    0.9,
    "Signal rate at time 1, by default 0.02. A network that predicts velocity can begin closer to"
    " pure noise, such as 0.005.",
)
Sampler = choice("Sampler", names_in("SAMPLERS", "samplers.py"))
Schedule = choice("Schedule", names_in("SCHEDULES", "schedules.py"))
Prediction = choice("Prediction", names_in("PREDICTIONS", "predictions.py"))
Loss = choice("Loss", names_in("LOSSES", "predictions.py"))
Network = choice("Network", names_in("NETWORKS", "networks/__init__.py"))
Optimizer = choice("Optimizer", names_in("OPTIMIZERS", "training/trainer.py"))
Features = choice("Features", ["flowers", "inception75", "inception150", "inception299"])
Profile = choice("Profile", ["smoke", "cpu", "gpu"])
Sandbox = choice("Sandbox", ["auto", "bubblewrap", "user", "none"])
