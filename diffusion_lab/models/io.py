"""Saves and loads models: their configuration, and the weights that they sample with."""

import contextlib
import difflib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.models.weights import (
    assign_arrays,
    checksums,
    read_arrays,
    shipped_file,
    write_arrays,
)
from diffusion_lab.networks import energy_network


def save_model(model, path, origin=None):
    """Writes what sampling needs: the EMA weights, the data's statistics, and `model.config`.

    Large arrays are rounded to 8 bits, which makes no visible difference to the samples. `origin`
    is a dictionary, for JSON, that says where the weights come from.

    Raises:
        UserError: if the file cannot be written.
    """
    groups = {
        "network": [keras.ops.convert_to_numpy(weight) for weight in model.ema_network.weights],
        "normalizer": [keras.ops.convert_to_numpy(weight) for weight in model.normalizer.weights],
    }
    about = {"config": asdict(model.config), "origin": origin or {}}
    write_arrays(path, groups, about, rounded=["network"])


def load_model(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """Returns (model, origin) from a file, or from shipped weights such as "flowers32".

    The model is a `DiffusionModel`, a `ConditionalDiffusionModel` or a `DDPM`, as the file says.

    Raises:
        UserError: if the file is missing or damaged, its weights do not fit the architecture it
            names, or it is not the file shipped under its name.
    """
    path, groups, about = _read_weights(path, shipped_weights())
    if "energy_network" in about:
        raise UserError(
            f"{path} does not describe a diffusion model: load it with load_energy_model."
        )
    with _describing(path, "a diffusion model"):
        config = ModelConfig(**about["config"])
        model = replace(config, ema_decay=None).build()
    model.config = config
    assign_arrays(model.network.weights, groups.get("network", []), path)
    assign_arrays(model.normalizer.weights, groups.get("normalizer", []), path)
    model.normalizer.finalize_state()
    return model, about.get("origin", {})


def save_energy_model(model, path, origin=None, chains=256):
    """Writes an `EnergyBasedModel`: its network, and the first `chains` of its buffer as uint8.

    For `origin` and errors, see `save_model`.
    """
    network, buffer = (
        model.network,
        keras.ops.convert_to_numpy(model.denormalize(model.buffer[:chains])),
    )
    groups = {
        "network": [keras.ops.convert_to_numpy(weight) for weight in network.weights],
        "buffer": [np.rint(255 * buffer).astype("uint8")],
    }
    write_arrays(path, groups, {"energy_network": model.network_arguments, "origin": origin or {}})


def load_energy_model(path):
    """Returns (model, origin) from a file of `save_energy_model`, or from shipped weights.

    Shipped weights have a name such as "digits_energy".

    Raises:
        UserError: as `load_model` does.
    """
    path, groups, about = _read_weights(path, ["digits_energy"])
    if "energy_network" not in about:
        raise UserError(f"{path} does not describe an energy-based model: try load_model.")
    with _describing(path, "an energy-based model"):
        arguments = about["energy_network"]
        (chains,) = groups["buffer"]
        model = EnergyBasedModel(
            energy_network(**arguments), buffer_size=len(chains), network_arguments=arguments
        )
    assign_arrays(model.network.weights, groups.get("network", []), path)
    assign_arrays([model.buffer], [chains / np.float32(127.5) - 1], path)
    return model, about.get("origin", {})


@contextlib.contextmanager
def _describing(path, kind):
    """Raises UserError if building a model fails because its description is damaged."""
    try:
        yield
    except UserError:  # says more
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise UserError(f"{path} does not describe {kind}: train the model again.") from None


def shipped_weights():
    """Returns the names of the shipped weights that `load_model` can load."""
    return sorted(name for name in checksums() if name.startswith("flowers"))


def _read_weights(path, known):
    """Returns (path, arrays, description) of a file, or of shipped weights.

    `known` are the names to suggest for an unknown one.
    """
    name, path = str(path), Path(path)
    if name in checksums():
        path = shipped_file(name)
    elif not path.suffix and not path.exists():
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"There are no weights {name}{f' (did you mean {near[0]}?)' if near else ''}: give the"
            f" path of a .weights.h5 file, or one of {', '.join(known)}."
        )
    return path, *read_arrays(path)
