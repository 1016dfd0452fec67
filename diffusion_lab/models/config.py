"""The description of a diffusion model, and how the model is built from it."""

from dataclasses import dataclass, field

from diffusion_lab.errors import UserError
from diffusion_lab.models.conditional import ConditionalDiffusionModel
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import CONTINUOUS_NETWORKS, attention_unet
from diffusion_lab.networks.blocks import check_widths
from diffusion_lab.schedules import SCHEDULES

NETWORKS = (*CONTINUOUS_NETWORKS, "attention_unet")

DDPM_RECIPE = {"schedule": "linear", "prediction": "noise", "loss_on": "noise"}


@dataclass(frozen=True)
class ModelConfig:
    """The description of a diffusion model, in words and numbers that JSON can carry.

    It describes a `DiffusionModel`; with `class_names` a `ConditionalDiffusionModel`, for which the
    network must be a "unet"; with the network "attention_unet" a `DDPM`, whose other entries must
    be those of `DDPM_RECIPE`.
    """

    network: str = "unet"  # a key of NETWORKS
    network_arguments: dict = field(default_factory=lambda: {"image_size": 32})
    schedule: str = "offset_cosine"  # a key of SCHEDULES
    prediction: str = "velocity"
    loss_on: str = "weighted_velocity"
    ema_decay: float = 0.999
    class_names: tuple = ()

    def build(self, seed=None):
        """Returns a new model.

        Raises:
            UserError: for a name that does not exist, or entries that do not fit together.
        """
        for name, known in ((self.network, NETWORKS), (self.schedule, SCHEDULES)):
            if name not in known:
                raise UserError(f"There is no {name!r}: choose one of {', '.join(known)}.")
        return self._build(ema_decay=self.ema_decay, seed=seed, config=self)

    def _build(self, **common):
        if self.class_names and self.network != "unet":
            raise UserError(
                f"A {self.network} takes no labels: train a conditional model with the network"
                " unet."
            )
        if self.network == "attention_unet":
            if any(getattr(self, name) != value for name, value in DDPM_RECIPE.items()):
                raise UserError(
                    "An attention_unet is trained as in the DDPM paper: it predicts noise, has its"
                    " loss on noise, and its schedule is linear."
                )
            return DDPM(attention_unet(**self.network_arguments), **common)
        recipe = (SCHEDULES[self.schedule], self.prediction, self.loss_on)
        if self.class_names:
            network = CONTINUOUS_NETWORKS["unet"](
                **self.network_arguments, num_classes=len(self.class_names)
            )
            return ConditionalDiffusionModel(network, self.class_names, *recipe, **common)
        return DiffusionModel(
            CONTINUOUS_NETWORKS[self.network](**self.network_arguments), *recipe, **common
        )


def describe_model(network, image_size, widths, **choices):
    """Returns the `ModelConfig` of a network with these channels in each level.

    `choices` are other entries; the rest is chosen to fit the network. A "plain_cnn" has no levels.
    An "attention_unet" has attention at its lowest level only, and one residual block per level,
    small enough for a CPU.

    Raises:
        UserError: for widths that the network cannot have.
    """
    check_widths(widths)
    arguments = {"image_size": image_size}
    if network == "attention_unet":
        multipliers = [width // widths[0] for width in widths]
        if any(width != widths[0] * multiplier for width, multiplier in zip(widths, multipliers)):
            raise UserError(
                f"The widths of an attention_unet are multiples of the first, {widths[0]}, and "
                f"{','.join(map(str, widths))} are not."
            )
        arguments |= {
            "base_channels": widths[0],
            "channel_multipliers": multipliers,
            "num_res_blocks": 1,
            "attention_levels": [level == len(widths) - 1 for level in range(len(widths))],
        }
        choices = DDPM_RECIPE | choices
    elif network != "plain_cnn":
        arguments["widths"] = widths
    return ModelConfig(network, arguments, **choices)
