"""Models as files: a description that is enough to build the model, and the weights that it samples with."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras

from diffusion_lab.errors import UserError
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import CONTINUOUS_NETWORKS
from diffusion_lab.schedules import SCHEDULES
from diffusion_lab.storage import assign_arrays, read_arrays, write_arrays

PRETRAINED = Path(__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class ModelConfig:
    """What a `DiffusionModel` is made of, in words and numbers that JSON can carry."""

    network: str = "unet"  # a key of CONTINUOUS_NETWORKS
    network_arguments: dict = field(default_factory=lambda: {"image_size": 32})
    schedule: str = "offset_cosine"  # a key of SCHEDULES
    prediction: str = "velocity"
    loss_on: str = "velocity"
    ema_decay: float = 0.999

    def build(self, seed=None):
        """Returns a fresh `DiffusionModel`. Raises UserError for a name that does not exist."""
        for name, known in ((self.network, CONTINUOUS_NETWORKS), (self.schedule, SCHEDULES)):
            if name not in known:
                raise UserError(f"There is no {name!r}: choose one of {', '.join(known)}.")
        network = CONTINUOUS_NETWORKS[self.network](**self.network_arguments)
        model = DiffusionModel(
            network, SCHEDULES[self.schedule], self.prediction, self.loss_on, ema_decay=self.ema_decay, seed=seed
        )
        model.config = self
        return model


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

    Raises UserError if the file is missing, damaged, or of another architecture than it says.
    """
    shipped = PRETRAINED / f"{path}.weights.h5"
    path = shipped if shipped.is_file() else Path(path)
    groups, about = read_arrays(path)
    try:
        model = ModelConfig(**about["config"]).build()
    except (KeyError, TypeError):
        raise UserError(f"{path} does not describe a diffusion model: it holds something else.") from None
    for variables in (model.network.weights, model.ema_network.weights):
        assign_arrays(variables, groups.get("network", []), path)
    assign_arrays(model.normalizer.weights, groups.get("normalizer", []), path)
    model.normalizer.finalize_state()
    return model, about.get("origin", {})


def shipped_weights():
    """The names of the shipped models."""
    return sorted(path.name.removesuffix(".weights.h5") for path in PRETRAINED.glob("flowers*.weights.h5"))

