"""The discrete model: losses and samples equal closed forms and the continuous samplers."""

import keras
import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.gaussian_diffusion import GaussianDiffusion
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.networks import attention_unet, plain_cnn
from diffusion_lab.networks.blocks import TimestepEmbedding, output_convolution
from diffusion_lab.samplers import SAMPLERS, ddpm
from diffusion_lab.schedules import linear_diffusion_schedule

T = 8
# for networks as small as these, XLA takes longer to compile than to train
JIT = keras.backend.backend() == "jax"
SHAPE = (4, 4, 1)


def short_diffusion():
    """Returns a diffusion of eight steps that ends in nearly pure noise."""
    return GaussianDiffusion(beta_start=0.05, beta_end=0.7, timesteps=T)


def discrete_network():
    """Returns two convolutions that are called like the U-Net, at a thousandth of its size."""
    images, t = keras.Input(SHAPE), keras.Input((), dtype="int64")
    time = keras.layers.Dense(4)(TimestepEmbedding(4)(t))
    x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(images), time])
    return keras.Model(
        [images, t], output_convolution(1, kernel_size=3)(keras.layers.Activation("swish")(x))
    )


def continuous_network():
    return plain_cnn(image_size=4, channels=1, width=4, depth=1, embedding_dims=4)


def perturbed(network, seed=0):
    generator = np.random.default_rng(seed)
    network.set_weights([w + 0.1 * generator.uniform(size=w.shape) for w in network.get_weights()])
    return network


def noise_of_one_image(diffusion, image):
    """Returns the perfect network for one grey image: x_t is √ᾱ_t · image, plus noise."""
    bars = diffusion.alphas_cumprod

    @keras.saving.register_keras_serializable(package="tests")
    class Noise(keras.layers.Layer):
        def call(self, noisy_images, t):
            bar = keras.ops.reshape(keras.ops.take(bars, t), (-1, 1, 1, 1))
            return (noisy_images - keras.ops.sqrt(bar) * image) / keras.ops.sqrt(1 - bar)

    noisy_images, t = keras.Input(SHAPE), keras.Input((), dtype="int64")
    return keras.Model([noisy_images, t], Noise()(noisy_images, t))


@keras.saving.register_keras_serializable(package="tests")
class SecondInput(keras.layers.Layer):
    """Returns its second input, t (B,) or variances (B, 1, 1, 1), at every pixel of the first."""

    def call(self, images, level):
        return 0 * images + keras.ops.reshape(keras.ops.cast(level, images.dtype), (-1, 1, 1, 1))


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def random_images(count=8, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *SHAPE)).astype("float32")


def test_images_are_scaled_to_minus_one_to_one_and_back():
    model = DDPM(discrete_network(), short_diffusion())
    images = random_images()
    model.adapt(images)  # changes nothing
    np.testing.assert_allclose(to_numpy(model.normalizer(images)), 2 * images - 1, atol=1e-6)
    np.testing.assert_allclose(to_numpy(model.denormalize(2 * images - 1)), images, atol=1e-6)
    np.testing.assert_allclose(to_numpy(model.denormalize(3 * np.ones((1, *SHAPE)))), 1)


def test_an_untrained_network_has_the_loss_of_pure_noise():
    """It predicts zero, so the mean squared error is the variance of the noise: 1."""
    model = DDPM(discrete_network(), short_diffusion(), seed=0)
    model.compile(loss="mse", jit_compile=JIT)
    loss = model.evaluate(random_images(512), batch_size=256, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(1, abs=4 * (2 / (512 * 16)) ** 0.5)


@pytest.mark.parametrize("image", [-0.4, 0.9])
def test_a_perfect_network_has_no_loss_and_generates_its_image(image):
    diffusion = short_diffusion()
    model = DDPM(noise_of_one_image(diffusion, image), diffusion, seed=0)
    model.compile(loss="mse", jit_compile=JIT)
    grey = 0.5 + 0.5 * image
    logs = model.evaluate(np.full((16, *SHAPE), grey, "float32"), verbose=0, return_dict=True)
    assert logs["loss"] < 1e-9 and logs["i_loss"] < 1e-4
    np.testing.assert_allclose(to_numpy(model.generate_images(3, seed=1)), grey, atol=1e-4)


def test_timesteps_are_uniform():
    """A network that returns its second input shows which timesteps were sampled."""
    images, t = keras.Input(SHAPE), keras.Input((), dtype="int64")
    model = DDPM(keras.Model([images, t], SecondInput()(images, t)), short_diffusion(), seed=0)
    drawn = to_numpy(model(random_images(4096))["noise"][1])[:, 0, 0, 0]
    counts = np.bincount(drawn.astype(int), minlength=T)
    assert len(counts) == T
    np.testing.assert_allclose(counts, 512, atol=4 * 512**0.5)


@pytest.mark.parametrize("network", [discrete_network, continuous_network])
def test_training_lowers_the_loss_and_the_ema_network_follows(network):
    model = DDPM(network(), short_diffusion(), seed=0)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=JIT)
    before = [weight.copy() for weight in model.ema.network.get_weights()]
    images = np.zeros((32, *SHAPE), "float32")  # all black, which is easy to tell from noise
    history = model.fit(images, batch_size=32, epochs=30, verbose=0).history["loss"]
    assert np.mean(history[-5:]) < 0.7 * np.mean(history[:5])
    assert any(
        np.abs(new - old).max() > 1e-3 for new, old in zip(model.ema.network.get_weights(), before)
    )


def test_the_attention_unet_of_the_paper_trains():
    network = attention_unet(
        image_size=4,
        base_channels=4,
        channel_multipliers=(1, 2),
        attention_levels=(False, True),
        num_res_blocks=1,
        groups=2,
        channels=1,
    )
    model = DDPM(network, short_diffusion(), seed=0)
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(random_images())
    assert to_numpy(network.layers[-1].kernel).any()  # it started at zero
    assert np.isfinite(
        to_numpy(model.predict_noises(random_images(), np.arange(8), training=False))
    ).all()


def test_training_uses_the_network_and_sampling_its_ema_network():
    model, t = DDPM(discrete_network(), short_diffusion()), np.arange(8)
    perturbed(model.network)
    assert to_numpy(model.predict_noises(random_images(), t, training=True)).any()
    # still zero
    assert not to_numpy(model.predict_noises(random_images(), t, training=False)).any()


def test_a_continuous_network_receives_the_variance():
    images, variances = keras.Input(SHAPE), keras.Input((1, 1, 1))
    model = DDPM(
        keras.Model([images, variances], SecondInput()(images, variances)), short_diffusion()
    )
    output = to_numpy(model.predict_noises(random_images(T), np.arange(T), training=False))
    np.testing.assert_allclose(output[:, 1, 2, 0], 1 - short_diffusion().alphas_cumprod, rtol=1e-6)


def test_schedule_passes_through_the_table_and_interpolates():
    diffusion = short_diffusion()
    times = (np.arange(T, dtype="float32").reshape(-1, 1, 1, 1) + 1) / T
    noise_rates, signal_rates = (to_numpy(x).ravel() for x in diffusion.schedule(times))
    np.testing.assert_allclose(signal_rates, diffusion.sqrt_alphas_cumprod, rtol=1e-5)
    np.testing.assert_allclose(noise_rates, diffusion.sqrt_one_minus_alphas_cumprod, rtol=1e-5)

    ends = np.array([0.0, 0.5 / T, 1.5 / T, 1.0], "float32").reshape(-1, 1, 1, 1)
    noise_rates, signal_rates = (to_numpy(x).ravel() for x in diffusion.schedule(ends))
    bars = diffusion.alphas_cumprod
    np.testing.assert_allclose(
        signal_rates**2, [1, bars[0] ** 0.5, (bars[0] * bars[1]) ** 0.5, bars[-1]], rtol=1e-5
    )
    np.testing.assert_allclose(noise_rates**2 + signal_rates**2, 1, atol=1e-6)
    with pytest.raises(UserError, match="0, 1"):
        diffusion.schedule(np.full((1, 1, 1, 1), 1.5, "float32"))


def test_schedule_of_the_paper_agrees_with_the_continuous_one():
    times = np.random.default_rng(0).uniform(size=(64, 1, 1, 1)).astype("float32")
    for ours, continuous in zip(
        GaussianDiffusion().schedule(times), linear_diffusion_schedule(times)
    ):
        np.testing.assert_allclose(to_numpy(ours), to_numpy(continuous), atol=2e-3)


@pytest.mark.parametrize("diffusion", [short_diffusion(), GaussianDiffusion()])
def test_nearest_timesteps(diffusion):
    steps = np.random.default_rng(0).permutation(diffusion.timesteps)
    rates = (diffusion.sqrt_one_minus_alphas_cumprod, diffusion.sqrt_alphas_cumprod)
    exact = to_numpy(
        diffusion.nearest_timesteps(*(rate[steps].reshape(-1, 1, 1, 1) for rate in rates))
    )
    np.testing.assert_array_equal(exact, steps)
    ends = np.array([0.0, 1.0], "float32").reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(
        to_numpy(diffusion.nearest_timesteps(ends, 1 - ends)), [0, diffusion.timesteps - 1]
    )


@pytest.mark.parametrize("network", [discrete_network, continuous_network])
def test_the_ddpm_sampler_with_all_steps_equals_generate_images(network):
    """The same chain twice: p_sample on the table, and the continuous sampler on its grid."""
    model = DDPM(perturbed(network()), short_diffusion())
    ours = to_numpy(model.generate_images(2, seed=3))
    sampled = to_numpy(model.generate(2, T, sampler=ddpm, seed=3))
    np.testing.assert_allclose(ours, sampled, atol=1e-4)
    assert ours.std() > 0.01


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_finds_the_image_of_a_perfect_network(name):
    diffusion = short_diffusion()
    model = DDPM(noise_of_one_image(diffusion, 0.3), diffusion)
    images = to_numpy(model.generate(2, 4, sampler=SAMPLERS[name], seed=0))
    assert images.shape == (2, *SHAPE)
    np.testing.assert_allclose(images, 0.65, atol=1e-4)


def test_denoise_clips_the_image_and_its_components_add_up():
    model = DDPM(perturbed(discrete_network()), short_diffusion())
    noisy_images = 3 * np.random.default_rng(0).normal(size=(5, *SHAPE)).astype("float32")
    times = np.linspace(0.1, 1, 5, dtype="float32").reshape(-1, 1, 1, 1)
    noise_rates, signal_rates = (to_numpy(x) for x in model.diffusion_schedule(times))
    pred_noises, pred_images = model.denoise(
        noisy_images, noise_rates, signal_rates, training=False
    )
    assert np.abs(to_numpy(pred_images)).max() == 1
    np.testing.assert_allclose(
        signal_rates * pred_images + noise_rates * pred_noises, noisy_images, atol=1e-5
    )


def test_a_p_sample_from_a_lab_need_not_run_in_a_graph():
    class FromALab(GaussianDiffusion):
        def p_sample(self, pred_noise, x, t, clip_denoised=True, seed=None):
            assert [int(timestep) for timestep in t]  # a graph has no numbers
            return super().p_sample(pred_noise, x, t, clip_denoised, seed)

    model = DDPM(discrete_network(), short_diffusion(), seed=0)
    whole = model.generate_images(2, seed=1)
    model.diffusion = FromALab(beta_start=0.05, beta_end=0.7, timesteps=T)
    np.testing.assert_allclose(model.generate_images(2, seed=1), whole, atol=1e-5)


@pytest.mark.parametrize("network", [discrete_network, continuous_network])
def test_a_new_diffusion_replaces_the_old_one_everywhere(network):
    """This includes methods that were compiled with the old one."""
    model, fresh = (
        DDPM(network(), diffusion, seed=0)
        for diffusion in (short_diffusion(), GaussianDiffusion(timesteps=4))
    )
    fresh.ema_network.set_weights([weight + 0.1 for weight in model.ema_network.get_weights()])
    model.ema_network.set_weights(fresh.ema_network.get_weights())
    model.generate_images(2, seed=1), model.generate(2, 3, seed=1)
    model.diffusion = fresh.diffusion
    np.testing.assert_allclose(
        model.generate_images(2, seed=1), fresh.generate_images(2, seed=1), atol=1e-5
    )
    np.testing.assert_allclose(
        model.generate(2, 3, seed=1), fresh.generate(2, 3, seed=1), atol=1e-5
    )


def test_on_step_sees_every_step_and_the_last_prediction_is_the_image():
    model = DDPM(perturbed(discrete_network()), short_diffusion())
    seen = []
    images = model.generate_images(2, seed=0, on_step=lambda *arguments: seen.append(arguments))
    assert [step for step, *_ in seen] == list(range(T))
    np.testing.assert_allclose([time for _, time, *_ in seen], np.arange(T, 0, -1) / T)
    np.testing.assert_allclose(
        to_numpy(model.denormalize(seen[-1][3])), to_numpy(images), atol=1e-6
    )


def test_a_fresh_model_loads_the_weights(tmp_path):
    model = DDPM(perturbed(discrete_network()), short_diffusion())
    model.save_weights(tmp_path / "model.weights.h5")
    other = DDPM(discrete_network(), short_diffusion())
    other.load_weights(tmp_path / "model.weights.h5")
    ours, theirs = (to_numpy(either.generate_images(1, seed=0)) for either in (model, other))
    np.testing.assert_array_equal(ours, theirs)


def test_bad_input_is_refused():
    model = DDPM(discrete_network(), short_diffusion())
    with pytest.raises(UserError, match="num_images must be a whole number of at least 1"):
        model.generate_images(0)
    with pytest.raises(UserError, match="NaN"):
        model.adapt(np.full((2, *SHAPE), np.nan))
    with pytest.raises(UserError, match="of shape"):
        model.adapt(random_images()[:, :2])
    with pytest.raises(UserError, match="B, 1, 1, 1"):
        model.denoise(
            random_images(2), np.ones((2, 1), "float32"), np.ones((2, 1), "float32"), training=False
        )
