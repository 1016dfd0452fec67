"""A continuous model that takes a class label: classifier-free guidance.

Ho & Salimans 2022, "Classifier-Free Diffusion Guidance".
"""

import operator
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.errors import MOST_GUIDANCE, UserError, finite_number
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.predictions import PREDICTIONS, demand_rates, extrapolate
from diffusion_lab.samplers import ddim, find_sampler


class ConditionalDiffusionModel(DiffusionModel):
    """A diffusion model whose network takes the class of the image, or "none".

    One network learns both, because training replaces a share of the labels with "none". Without a
    label, as in `denoise`, `reverse_diffusion` and a plain `generate`, the model is unconditional
    and needs the usual NFE. `guided` takes labels.

    The training data are {"images": (B, H, W, C) in [0, 1], "labels": int (B,)}, as from
    `load_dataset(..., labels=True)`.

    Args:
        network: called as network([noisy_images, noise_variances, labels]), labels int (B,) in 0
            ... num_classes; the last means "none".
        class_names: the num_classes names, in the order of the labels.
        label_dropout: share of the labels that training replaces with "none".
        arguments, keywords: those of `DiffusionModel`.
    """

    def __init__(self, network, class_names, *arguments, label_dropout=0.15, **keywords):
        super().__init__(network, *arguments, **keywords)
        self.class_names = tuple(class_names)
        self.label_dropout = label_dropout

    @property
    def no_label(self):
        """The label that means "none"."""
        return len(self.class_names)

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        """Returns (pred_noises, pred_images) for images without a label."""
        labels = ops.full((ops.shape(noisy_images)[0],), self.no_label, dtype="int32")
        return self.denoise_labelled(noisy_images, noise_rates, signal_rates, labels, training)

    def denoise_labelled(self, noisy_images, noise_rates, signal_rates, labels, training=False):
        """Returns (pred_noises, pred_images) for images (B, H, W, C) with labels, int (B,)."""
        demand_rates(noise_rates, signal_rates)
        network = self.network if training else self.ema_network
        prediction = network([noisy_images, noise_rates**2, labels], training=training)
        return PREDICTIONS[self.prediction](prediction, noisy_images, noise_rates, signal_rates)

    def denoise_guided(self, noisy_images, noise_rates, signal_rates, labels, guidance):
        """Returns unlabelled + guidance * (labelled - unlabelled), for both components.

        This is equation 6, where guidance = 1 + w. Both predictions come from one call of the
        network, with a batch twice as large.
        """
        inputs = (ops.concatenate([x, x]) for x in (noisy_images, noise_rates, signal_rates))
        labels = ops.concatenate([labels, ops.full_like(labels, self.no_label)])
        pairs = (ops.split(component, 2) for component in self.denoise_labelled(*inputs, labels))
        labelled, unlabelled = zip(*pairs)
        return extrapolate(unlabelled, labelled, guidance)

    def guided(self, labels, guidance=2.0):
        """Returns a `denoise(noisy_images, noise_rates, signal_rates)` for the given labels.

        Each step needs two network evaluations, so NFE is twice as high as usual; with guidance 0
        or 1 it needs only one.

        Args:
            labels: the name or number of a class, or a list or array of B of them.
            guidance: 0 ignores the label, 1 is the conditional model, and higher values give images
                that are more typical of the label, but less varied.

        Raises:
            UserError: for a class that does not exist, or a guidance outside [-100, 100].
        """
        labels = self.class_numbers(labels)
        guidance = finite_number("guidance", guidance, -MOST_GUIDANCE, MOST_GUIDANCE)
        if guidance in (0, 1):
            labels = ops.convert_to_tensor(labels if guidance else [self.no_label], "int32")
            method, arguments = self.denoise_labelled, ()
        else:
            labels = ops.convert_to_tensor(labels, "int32")
            method, arguments = self.denoise_guided, (ops.convert_to_tensor(guidance, "float32"),)

        def denoise(noisy_images, noise_rates, signal_rates):
            if tuple(noisy_images.shape[1:]) != self.image_shape or len(labels) not in (
                1,
                noisy_images.shape[0],
            ):
                raise UserError(
                    f"There are {len(labels)} label(s), and images of shape"
                    f" {tuple(noisy_images.shape)}: give one label, or one for each image, and"
                    f" images of shape {self.image_shape}."
                )
            each = ops.broadcast_to(labels, (noisy_images.shape[0],))
            return compiled(method)(noisy_images, noise_rates, signal_rates, each, *arguments)

        return denoise

    def class_numbers(self, labels):
        """Returns the numbers of one class or a list of them, given by name or number."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        numbers |= {number: number for number in range(len(self.class_names))}

        def number_of(label):
            try:
                return numbers[label if isinstance(label, str) else operator.index(label)]
            except (KeyError, TypeError):
                raise UserError(
                    f"There is no label {label!r}: choose one of {', '.join(self.class_names)}."
                ) from None

        return [number_of(label) for label in ([labels] if np.ndim(labels) == 0 else labels)]

    def reverse_diffusion(self, initial_noise, diffusion_steps, labels=None, guidance=2.0):
        """Returns normalised images made from noise by DDIM, of the classes `labels`, if any."""
        return self.sample(ddim, initial_noise, labels, guidance, steps=diffusion_steps)

    def sample(self, sampler, initial_noise, labels=None, guidance=2.0, **arguments):
        """Runs a sampler; returns normalised images of the classes `labels`, if any.

        Args:
            sampler: one of `diffusion_lab.samplers`, or its name.
            initial_noise: (B, H, W, C).
            labels: as in `guided`; None for images without labels.
            guidance: as in `guided`.
            arguments: passed on to the sampler.
        """
        if labels is None:
            return super().sample(sampler, initial_noise, **arguments)
        sampler = find_sampler(sampler, arguments)
        return sampler(
            self.guided(labels, guidance), self.diffusion_schedule, initial_noise, **arguments
        )

    def call(self, inputs, training=False):
        """Corrupts images in [0, 1] at random times and separates them again.

        In training, a share of the labels is dropped.
        """
        labels = ops.cast(inputs["labels"], "int32")
        if training:
            dropped = (
                keras.random.uniform(ops.shape(labels), seed=self.seed_generator)
                < self.label_dropout
            )
            labels = ops.where(dropped, self.no_label, labels)
        return self.corrupt_and_separate(
            inputs["images"], partial(self.denoise_labelled, labels=labels, training=training)
        )
