"""Diffusion models of other libraries, trained as their documentation says, for `benchmarks.peers`.

All need PyTorch. The widths are chosen so that each network has about as many parameters as ours.
"""

import math

import numpy as np
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from ema_pytorch import EMA
from torch.nn import functional


class DenoisingDiffusionPytorch:
    """denoising-diffusion-pytorch: the Trainer's Adam, clipping and EMA, and the README's rate."""

    rate, decays = 8e-5, False

    def __init__(self, image_size, rate):
        self.network = Unet(dim=24, dim_mults=(1, 2, 4))
        self.diffusion = GaussianDiffusion(self.network, image_size=image_size)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate, betas=(0.9, 0.99))
        self.ema = EMA(self.diffusion, beta=0.995, update_every=10)

    def loss(self, images):
        return self.diffusion(images)

    def after_step(self):
        self.ema.update()

    def sample(self, count, steps):
        diffusion = self.ema.ema_model
        diffusion.sampling_timesteps, diffusion.is_ddim_sampling = steps, True
        return diffusion.sample(batch_size=count)


class Diffusers:
    """diffusers: its tutorial "Train a diffusion model", sampled with DDIM instead of DDPM."""

    rate, decays = 1e-4, True

    def __init__(self, image_size, rate):
        self.network = similar_network(image_size)
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate)

    def loss(self, images):
        images = 2 * images - 1
        noises, times = torch.randn_like(images), torch.randint(0, 1000, (len(images),))
        noisy_images = self.scheduler.add_noise(images, noises, times)
        return functional.mse_loss(self.network(noisy_images, times).sample, noises)

    def after_step(self):
        pass

    def sample(self, count, steps):
        scheduler = DDIMScheduler.from_config(self.scheduler.config)
        pipeline = DDIMPipeline(self.network, scheduler)
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(count, num_inference_steps=steps, output_type="np").images
        return torch.from_numpy(images).permute(0, 3, 1, 2)


class SmallDiffusion:
    """smalldiffusion's training loop and sampler, with the settings of its Fashion-MNIST example.

    Its noisy images are image + sigma * noise, and its network receives them divided by their
    standard deviation. Its own U-Net descends from the same ancestor as that of diffusers. The
    batch of the example, 1,024 images, would leave time for only a few steps.
    """

    rate, decays = 7e-4, False
    LEAST, MOST, LEVELS, LOOK_AHEAD = 0.01, 20.0, 800, 1.6

    def __init__(self, image_size, rate):
        self.network = similar_network(image_size)
        self.sigmas = torch.logspace(math.log10(self.LEAST), math.log10(self.MOST), self.LEVELS)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.ema = EMAModel(self.network.parameters(), decay=0.999)

    def pred_noises(self, noisy_images, sigmas):
        scaled = noisy_images / (1 + sigmas**2).sqrt()
        return self.network(scaled, 100 * sigmas.flatten().log()).sample

    def loss(self, images):
        images = 2 * images - 1
        sigmas = self.sigmas[torch.randint(0, self.LEVELS, (len(images), 1, 1, 1))]
        noises = torch.randn_like(images)
        return functional.mse_loss(self.pred_noises(images + sigmas * noises, sigmas), noises)

    def after_step(self):
        self.ema.step(self.network.parameters())

    def sample(self, count, steps):
        levels = (self.LEVELS * (1 - np.arange(steps) / steps)).round().astype(int) - 1
        sigmas = self.sigmas[[*levels, 0]]
        size = self.network.config["sample_size"]
        images, earlier = sigmas[0] * torch.randn(count, 3, size, size), None
        self.ema.store(self.network.parameters())
        self.ema.copy_to(self.network.parameters())
        for sigma, next_sigma in zip(sigmas, sigmas[1:]):
            noises = self.pred_noises(images, sigma.expand(count, 1, 1, 1))
            ahead = noises if earlier is None else earlier + self.LOOK_AHEAD * (noises - earlier)
            images, earlier = images - (sigma - next_sigma) * ahead, noises
        self.ema.restore(self.network.parameters())
        return (images + 1) / 2


PEERS = {
    "denoising-diffusion-pytorch": DenoisingDiffusionPytorch,
    "diffusers": Diffusers,
    "smalldiffusion": SmallDiffusion,
}


def similar_network(image_size):
    """Returns diffusers's U-Net with the widths of ours, and with attention at the bottom."""
    return UNet2DModel(
        sample_size=image_size,
        layers_per_block=1,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )


def train(peer, dataset, budget):
    """Trains on batches of `dataset` until the `budget` is used up; returns the number of images.

    Gradients are clipped, as the first two libraries do. Only the tutorial of diffusers lets the
    rate rise and fall, each for a share of the time.
    """
    peak = peer.optimizer.param_groups[0]["lr"]
    images_seen = 0
    while True:
        for batch in dataset:
            if (share := budget.share_used()) >= 1:
                return images_seen
            if peer.decays:
                rate = min(share / 0.15, 0.5 * (1 + math.cos(math.pi * (share - 0.15) / 0.85)))
                peer.optimizer.param_groups[0]["lr"] = peak * rate
            loss = peer.loss(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.network.parameters(), 1.0)
            peer.optimizer.step()
            peer.optimizer.zero_grad()
            peer.after_step()
            budget.count_step()
            images_seen += len(batch)
        dataset.on_epoch_end()


@torch.no_grad()
def sample(peer, count, steps):
    """Returns images in [0, 1], (count, H, W, C) NumPy."""
    return peer.sample(count, steps).clip(0, 1).permute(0, 2, 3, 1).numpy()
