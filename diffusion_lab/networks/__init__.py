"""Functions that build networks; each takes sizes and returns a functional `keras.Model`."""

from diffusion_lab.networks.attention_unet import attention_unet
from diffusion_lab.networks.energy import energy_network
from diffusion_lab.networks.plain_cnn import plain_cnn
from diffusion_lab.networks.residual_unet import residual_unet
from diffusion_lab.networks.unet import unet

# networks that are called as network([noisy_images, noise_variances])
CONTINUOUS_NETWORKS = {"unet": unet, "residual_unet": residual_unet, "plain_cnn": plain_cnn}
# all networks that a `ModelConfig` can name
NETWORKS = {**CONTINUOUS_NETWORKS, "attention_unet": attention_unet}

__all__ = [
    "CONTINUOUS_NETWORKS",
    "NETWORKS",
    "attention_unet",
    "energy_network",
    "plain_cnn",
    "residual_unet",
    "unet",
]
