"""Models as files: a description that is enough to build the model, and the weights that it samples with."""

import difflib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.models.conditional import ConditionalDiffusionModel
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.networks import CONTINUOUS_NETWORKS, attention_unet, energy_network
from diffusion_lab.networks.blocks import check_widths
from diffusion_lab.pretrained import checksums, shipped_file
from diffusion_lab.schedules import SCHEDULES
from diffusion_lab.storage import assign_arrays, read_arrays, write_arrays

NETWORKS = (*CONTINUOUS_NETWORKS, "attention_unet")
DDPM_RECIPE = {"schedule": "linear", "prediction": "noise", "loss_on": "noise"}


@dataclass(frozen=True)
class ModelConfig:
    """What a diffusion model is made of, in words and numbers that JSON can carry.

    It describes a `DiffusionModel`; with `class_names` a `ConditionalDiffusionModel`, for which the network must be a
    "unet"; with the network "attention_unet" a `DDPM`, whose other entries must be those of `DDPM_RECIPE`.
    """

    network: str = "unet"  # a key of NETWORKS
    network_arguments: dict = field(default_factory=lambda: {"image_size": 32})
    schedule: str = "offset_cosine"  # a key of SCHEDULES
    prediction: str = "velocity"
    loss_on: str = "weighted_velocity"
    ema_decay: float = 0.999
    class_names: tuple = ()

    def build(self, seed=None):
        """Returns a fresh model. Raises UserError for a name that does not exist, or what does not fit together."""
        for name, known in ((self.network, NETWORKS), (self.schedule, SCHEDULES)):
            if name not in known:
                raise UserError(f"There is no {name!r}: choose one of {', '.join(known)}.")
        model = self._build(ema_decay=self.ema_decay, seed=seed)
        model.config = self
        return model

    def _build(self, **common):
        if self.class_names and self.network != "unet":
            raise UserError(f"A {self.network} takes no labels: train a conditional model with the network unet.")
        if self.network == "attention_unet":
            if any(getattr(self, name) != value for name, value in DDPM_RECIPE.items()):
                raise UserError("An attention_unet is trained as in the DDPM paper: it predicts noise, has its loss on "
                                "noise, and its schedule is linear.")
            return DDPM(attention_unet(**self.network_arguments), **common)
        recipe = (SCHEDULES[self.schedule], self.prediction, self.loss_on)
        if self.class_names:
            network = CONTINUOUS_NETWORKS["unet"](**self.network_arguments, num_classes=len(self.class_names))
            return ConditionalDiffusionModel(network, self.class_names, *recipe, **common)
        return DiffusionModel(CONTINUOUS_NETWORKS[self.network](**self.network_arguments), *recipe, **common)


def describe_model(network, image_size, widths, **choices):
    """The `ModelConfig` of a network with these channels in each level, and what fits it where `choices` say nothing.

    A "plain_cnn" has no levels. An "attention_unet" attends at its lowest level alone, and has one residual block
    a level: as small as a CPU needs it. Raises UserError for widths that it cannot have.
    """
    check_widths(widths)
    arguments = {"image_size": image_size}
    if network == "attention_unet":
        multipliers = [width // widths[0] for width in widths]
        if any(width != widths[0] * multiplier for width, multiplier in zip(widths, multipliers)):
            raise UserError(f"The widths of an attention_unet are multiples of the first, {widths[0]}, and "
                            f"{','.join(map(str, widths))} are not.")
        arguments |= {"base_channels": widths[0], "channel_multipliers": multipliers, "num_res_blocks": 1,
                      "attention_levels": [level == len(widths) - 1 for level in range(len(widths))]}
        choices = DDPM_RECIPE | choices
    elif network != "plain_cnn":
        arguments["widths"] = widths
    return ModelConfig(network, arguments, **choices)


def save_model(model, path, origin=None):
    """Writes what sampling needs: the averaged network, the data's mean and variance, and `model.config`.

    The network goes to disk in float16, which halves the file and cannot be seen in the samples. `origin` is a
    JSON-able dictionary that says where the weights come from. Raises UserError if the file cannot be written.
    """
    groups = {
        "network": [keras.ops.convert_to_numpy(weight).astype("float16") for weight in model.ema_network.weights],
        "normalizer": [keras.ops.convert_to_numpy(weight) for weight in model.normalizer.weights],
    }
    write_arrays(path, groups, {"config": asdict(model.config), "origin": origin or {}})


def load_model(path):
    """Returns (model, origin) from a file, or from the shipped weights of that name, such as "flowers32".

    The model is a `DiffusionModel`, a `ConditionalDiffusionModel` or a `DDPM`, as the file says. Raises UserError if the
    file is missing, damaged, or of another architecture than it says, or is not what was shipped under its name.
    """
    path, groups, about = _read_weights(path, shipped_weights())
    try:
        model = ModelConfig(**about["config"]).build()
    except (KeyError, TypeError):
        raise UserError(f"{path} does not describe a diffusion model: it holds something else"
                        f"{', load it with load_energy_model.' if 'energy_network' in about else '.'}") from None
    for variables in (model.network.weights, model.ema_network.weights):
        assign_arrays(variables, groups.get("network", []), path)
    assign_arrays(model.normalizer.weights, groups.get("normalizer", []), path)
    model.normalizer.finalize_state()
    return model, about.get("origin", {})


def save_energy_model(model, path, origin=None, chains=256):
    """Writes an `EnergyBasedModel`: its network, and the first `chains` of its buffer as bytes. See `save_model`."""
    network, buffer = model.network, keras.ops.convert_to_numpy(model.denormalize(model.buffer[:chains]))
    groups = {
        "network": [keras.ops.convert_to_numpy(weight) for weight in network.weights],
        "buffer": [np.rint(255 * buffer).astype("uint8")],
    }
    write_arrays(path, groups, {"energy_network": model.network_arguments, "origin": origin or {}})


def load_energy_model(path):
    """Returns (model, origin) from a file of `save_energy_model`, or from shipped weights such as "digits_energy".

    Raises UserError as `load_model` does.
    """
    path, groups, about = _read_weights(path, ["digits_energy"])
    if "energy_network" not in about:
        raise UserError(f"{path} does not describe an energy-based model: it holds something else, try load_model.")
    chains = groups["buffer"][0]
    model = EnergyBasedModel(energy_network(**about["energy_network"]), buffer_size=len(chains))
    model.network_arguments = about["energy_network"]
    assign_arrays(model.network.weights, groups["network"], path)
    assign_arrays([model.buffer], [chains / np.float32(127.5) - 1], path)
    return model, about["origin"]


def shipped_weights():
    """The names of the shipped models that `load_model` knows."""
    return sorted(name for name in checksums() if name.startswith("flowers"))


def _read_weights(path, known):
    """(path, arrays, description) of a file, or of shipped weights; `known` are the names to propose for an unknown one."""
    name, path = str(path), Path(path)
    if name in checksums():
        path = shipped_file(name)
    elif not path.suffix and not path.exists():
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(f"There are no weights {name}{f' (did you mean {near[0]}?)' if near else ''}: give the path of a "
                        f".weights.h5 file, or one of {', '.join(known)}.")
    return path, *read_arrays(path)

