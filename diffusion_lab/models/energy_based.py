"""The energy-based model: low energy for likely images, found by Langevin dynamics.

Contrastive divergence with a sample buffer, after Hinton 2002, Tieleman 2008 and Du & Mordatch
2019.
"""

import keras
from keras import ops

from diffusion_lab.backend import compiled, input_gradient, seed_generator
from diffusion_lab.errors import (
    MOST_IMAGES,
    MOST_STEPS,
    UserError,
    finite_number,
    seed_number,
    whole_number,
)

GRADIENT_LIMIT = 0.03


class ChainsModel(keras.Model):
    """Lowers the energy of real images, and raises the energy of the images that it generates.

    Subclasses define one step of the chains, `langevin_step(images, noises, step_size)`. Images are
    in [0, 1] outside, in [-1, 1] inside. A `buffer` stores the current image of each chain of
    Langevin steps, so that the chain continues from there: 60 steps from noise would not reach an
    image, but 60 steps from the last image of a chain do. Compile with the loss
    `contrastive_divergence`.

    Args:
        network: a functional model, images (B, H, W, C) to energies (B, 1).
        buffer_size: number of chains in the buffer.
        fresh_share: share of the chains that restart from noise at each training step.
        langevin_steps, step_size, noise_std: of the chains in training, see `langevin_sampling`.
        seed: of the chains.
        network_arguments: those of `energy_network` that made the network, for `save_energy_model`.
    """

    def __init__(
        self,
        network,
        buffer_size=8192,
        fresh_share=0.05,
        langevin_steps=60,
        step_size=10.0,
        noise_std=0.005,
        seed=None,
        network_arguments=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network, self.network_arguments = network, network_arguments
        self.image_shape = tuple(network.inputs[0].shape[1:])
        self.buffer_size, self.fresh_share = buffer_size, fresh_share
        self.langevin_steps, self.step_size, self.noise_std = langevin_steps, step_size, noise_std
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.buffer = self.add_weight(
            name="buffer",
            shape=(buffer_size, *self.image_shape),
            dtype="float32",
            initializer=keras.initializers.RandomUniform(-1.0, 1.0, seed=seed),
            trainable=False,
            autocast=False,
        )
        self.real_energy_tracker = keras.metrics.Mean(name="real_energy")
        self.fake_energy_tracker = keras.metrics.Mean(name="fake_energy")
        self.built = True  # lets `load_weights` work in a fresh process

    def compile(self, *arguments, **options):
        """Compiles as Keras does, and builds the optimizer at once.

        Otherwise TensorFlow would trace the first step of `fit` twice.
        """
        super().compile(*arguments, **options)
        self.optimizer.build(self.trainable_variables)

    def denormalize(self, images):
        """Converts from [-1, 1] to [0, 1], clipped."""
        return ops.clip(0.5 * (images + 1.0), 0.0, 1.0)

    def langevin_sampling(
        self, initial_images, steps=60, step_size=10.0, noise_std=0.005, seed=None, on_step=None
    ):
        """Moves images towards more likely ones.

        Langevin dynamics (Welling & Teh 2011) would add noise of standard deviation sqrt(2 ·
        step_size). With the usual, much smaller noise, this is almost plain gradient descent.

        Args:
            initial_images: (B, H, W, C) in [-1, 1].
            steps: number of steps.
            step_size: factor of the gradient.
            noise_std: standard deviation of the noise in each step.
            seed: of the noise.
            on_step: called as on_step(step, images) before each step.

        Returns:
            Images in [-1, 1], of the same shape.

        Raises:
            UserError: for a number out of range, or images whose shape differs from the network's.
        """
        steps = whole_number("steps", steps, most=MOST_STEPS)
        noise_std = finite_number("noise_std", noise_std, 0, 100)
        images = ops.cast(initial_images, "float32")
        if tuple(images.shape[1:]) != self.image_shape:
            raise UserError(
                f"The network takes images of shape {self.image_shape}, not"
                f" {tuple(images.shape[1:])}."
            )
        langevin_step, seed = compiled(self.langevin_step), seed_generator(seed)
        # as a Python number, each new value would be compiled again
        step_size = ops.convert_to_tensor(
            finite_number("step_size", step_size, -1e6, 1e6), "float32"
        )
        for step in range(steps):
            if on_step is not None:
                on_step(step, images)
            noises = keras.random.normal(ops.shape(images), stddev=noise_std, seed=seed)
            images = langevin_step(images, noises, step_size)
        return images

    def generate(self, num_images, steps=1000, seed=None, **arguments):
        """Returns images in [0, 1], (num_images, H, W, C), generated from uniform noise.

        `arguments` are those of `langevin_sampling`.
        """
        num_images = whole_number("num_images", num_images, most=MOST_IMAGES)
        seed = seed if seed is None else seed_number(seed)
        initial_images = keras.random.uniform((num_images, *self.image_shape), -1.0, 1.0, seed=seed)
        return self.denormalize(
            self.langevin_sampling(initial_images, steps, seed=seed, **arguments)
        )

    def draw_chains(self, count):
        """Advances `count` chains of the buffer and returns their images in [-1, 1].

        A share of them, `fresh_share`, restarts from noise.
        """
        indices = keras.random.randint((count,), 0, self.buffer_size, seed=self.seed_generator)
        images = ops.take(self.buffer, indices, axis=0)
        fresh_images = keras.random.uniform(ops.shape(images), -1.0, 1.0, seed=self.seed_generator)
        fresh = keras.random.uniform((count, 1, 1, 1), seed=self.seed_generator) < self.fresh_share
        images = ops.where(fresh, fresh_images, images)

        # all the noise in advance, because a seed cannot advance inside the loop
        noises = keras.random.normal(
            (self.langevin_steps, *ops.shape(images)),
            stddev=self.noise_std,
            seed=self.seed_generator,
        )
        images = ops.fori_loop(
            0,
            self.langevin_steps,
            lambda step, x: self.langevin_step(x, noises[step], self.step_size),
            images,
        )
        images = ops.stop_gradient(images)  # the loss must not differentiate through the chain
        self.buffer.assign(ops.scatter_update(self.buffer, indices[:, None], images))
        return images

    def call(self, images, training=False):
        """Returns the energies (B, 2) of images in [0, 1] and of the same number of generated ones.

        The generated images are chains of the buffer, which only training advances. Real images get
        the same noise as the chains; without it, the network could tell them apart by the noise.
        """
        count = ops.shape(images)[0]
        real_images = 2.0 * ops.cast(images, "float32") - 1.0
        if training:
            noises = keras.random.normal(
                ops.shape(images), stddev=self.noise_std, seed=self.seed_generator
            )
            real_images = ops.clip(real_images + noises, -1.0, 1.0)
            fake_images = self.draw_chains(count)
        else:
            indices = keras.random.randint((count,), 0, self.buffer_size, seed=self.seed_generator)
            fake_images = ops.take(self.buffer, indices, axis=0)
        energies = self.network(ops.concatenate([real_images, fake_images]), training=training)
        return ops.concatenate([energies[:count], energies[count:]], axis=-1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Passes energies and signs to the loss: 1 for real images, -1 for generated ones."""
        self.real_energy_tracker.update_state(y_pred[:, 0])
        self.fake_energy_tracker.update_state(y_pred[:, 1])
        signs = ops.ones_like(y_pred) * ops.array([1.0, -1.0])
        return super().compute_loss(x, signs, y_pred, sample_weight, training)


class EnergyBasedModel(ChainsModel):
    """The energy-based model whose chains follow Langevin dynamics.

    See `ChainsModel` for the arguments.
    """

    def langevin_step(self, images, noises, step_size):
        """Returns x - step_size · clip(∇E(x)) + noise, clipped to [-1, 1].

        The gradient is clipped so that a steep place in the energy does not throw a chain out of
        the range of images.
        """
        gradients = input_gradient(lambda x: self.network(x, training=False), images)
        gradients = ops.clip(gradients, -GRADIENT_LIMIT, GRADIENT_LIMIT)
        return ops.clip(images - step_size * gradients + noises, -1.0, 1.0)


def contrastive_divergence(signs, energies, regularization=0.1):
    """Returns E(real) - E(fake) + regularization · (E(real)² + E(fake)²), of shape (B,).

    Only differences of energies matter to the model. The squares keep the energies themselves from
    drifting away (Du & Mordatch 2019, section 3.3).

    Args:
        signs: (1, -1) for real and fake.
        energies: (B, 2).
        regularization: weight of the squares.
    """
    return ops.sum(signs * energies + regularization * ops.square(energies), axis=-1)
