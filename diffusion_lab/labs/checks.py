"""What check cells call: `checks.<exercise>(answer)` says that it is right, or what is wrong."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent


@lru_cache
def exercises():
    """Returns {name: exercise} of all labs, in order, from each `labNN/checks.py`."""
    from diffusion_lab.labs.exercise import Exercise

    modules = [
        import_module(f"diffusion_lab.labs.{path.name}.checks")
        for path in sorted(FOLDER.glob("lab[0-9][0-9]"))
    ]
    found = [
        one for module in modules for one in vars(module).values() if isinstance(one, Exercise)
    ]
    return {one.name: one for one in found}


def __dir__():
    return [*exercises(), "CheckFailed", "exercises"]


def __getattr__(name):
    if name == "CheckFailed":
        return import_module("diffusion_lab.labs.failures").CheckFailed
    if name.startswith("_") or name not in exercises():  # Python looks up names such as __path__
        raise AttributeError(f"There is no check {name!r}: choose one of {', '.join(exercises())}.")
    return exercises()[name]
