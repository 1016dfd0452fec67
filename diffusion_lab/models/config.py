"""The description of a diffusion model, and how the model is built from it."""

from dataclasses import dataclass, field

from diffusion_lab.errors import UserError, whole_number
from diffusion_lab.models.conditional import ConditionalDiffusionModel
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import NETWORKS
from diffusion_lab.networks.blocks import check_widths
from diffusion_lab.schedules import SCHEDULES

DDPM_RECIPE = {"schedule": "linear", "prediction": "noise", "loss_on": "noise"}


@dataclass(frozen=True)
class ModelConfig:
    """The description of a diffusion model, in strings and numbers that JSON can represent.

    It describes a `DiffusionModel`; with `class_names`, a `ConditionalDiffusionModel`, whose
    network must be "unet"; and with the network "attention_unet", a `DDPM`, whose other entries
    must be those of `DDPM_RECIPE`.
    """

    network: str = "unet"  # a key of NETWORKS
    network_arguments: dict = field(default_factory=lambda: {"image_size": 32})
    schedule: str = "offset_cosine"  # a key of SCHEDULES
    prediction: str = "velocity"
    loss_on: str = "weighted_velocity"
    ema_decay: float | None = 0.999
    class_names: tuple = ()
    most_steps: int | None = None  # that the model was tuned for; see `ConsistencyModel`

    def build(self, seed=None):
        """Returns a new model.

        Raises:
            UserError: for a name that does not exist, or entries that do not fit together.
        """
        for name, known in ((self.network, NETWORKS), (self.schedule, SCHEDULES)):
            if name not in known:
                raise UserError(f"There is no {name!r}: choose one of {', '.join(known)}.")
        if self.most_steps is not None:
            whole_number("most_steps", self.most_steps)
        return self._build(ema_decay=self.ema_decay, seed=seed, config=self)

    def _build(self, **common):
        network = NETWORKS[self.network]
        if self.class_names and self.network != "unet":
            raise UserError(
                f"A {self.network} takes no labels: train a conditional model with the network"
                " unet."
            )
        if self.network == "attention_unet":
            if any(getattr(self, name) != value for name, value in DDPM_RECIPE.items()):
                raise UserError(
                    "An attention_unet is trained as in the DDPM paper: it predicts noise, has its"
                    " loss on noise, and uses the linear schedule."
                )
            return DDPM(network(**self.network_arguments), **common)
        recipe = (SCHEDULES[self.schedule], self.prediction, self.loss_on)
        if self.class_names:
            conditional = network(**self.network_arguments, num_classes=len(self.class_names))
            return ConditionalDiffusionModel(conditional, self.class_names, *recipe, **common)
        return DiffusionModel(network(**self.network_arguments), *recipe, **common)


def describe_model(network, image_size, widths, **choices):
    """Returns the `ModelConfig` of a network.

    An "attention_unet" has attention at its lowest level only, and one residual block per level, so
    that it is small enough for a CPU.

    Args:
        network: a key of `NETWORKS`.
        image_size: in pixels.
        widths: channels of each level; a "plain_cnn" has no levels and ignores them.
        choices: other entries of `ModelConfig`. The rest is chosen to fit the network.

    Raises:
        UserError: for widths that the network cannot have.
    """
    check_widths(widths)
    arguments = {"image_size": image_size}
    if network == "attention_unet":
        multipliers = [width // widths[0] for width in widths]
        if any(width != widths[0] * multiplier for width, multiplier in zip(widths, multipliers)):
            raise UserError(
                f"The widths of an attention_unet must be multiples of the first, {widths[0]}, but"
                f" {','.join(map(str, widths))} are not."
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
