# %% [markdown]
# # Lab 06 · DDPM: a thousand small steps
#
# **After this lab you can**
# * write one step of ancestral sampling, and say what each of its terms is for,
# * write a whole training step by hand, with the gradient and the moving average of the weights,
#   and trust it because it does the same as `fit`,
# * tell a misprinted sampling formula from the right one.
#
# **Time**: 75 minutes of your time; the computer needs 4 minutes on a laptop. On a GPU the full
# model trains as long as you let it.
#
# **Before**: labs 02 and 05. Lab 03 helps.

# %% tags=["nbval-ignore-output"]
import sys

sys.path.insert(0, "..")  # the repository, if the package is not installed
try:
    from diffusion_lab.labs.start import start
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"{missing.name} is missing: run `pip install -e ..` in this folder; in Colab or Kaggle, "
        "`!git clone` the repository and `!pip install` its folder, then run this cell again."
    )
lab = start()

# %%
from pathlib import Path

import keras
import numpy as np
from keras import ops

from diffusion_lab import checks
from diffusion_lab.backend import BACKEND
from diffusion_lab.data import load_dataset
from diffusion_lab.gaussian_diffusion import GaussianDiffusion, at
from diffusion_lab.labs.pictures import curves, show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.models.config import describe_model
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.io import load_model
from diffusion_lab.networks import attention_unet
from diffusion_lab.samplers import ddim, ddpm

# %%
timesteps = 1000  # the same in every profile, because it is part of the method
data = lab.data("procedural_flowers", "oxford_flowers102")
image_size = lab.size(smoke=8, cpu=16, gpu=64)
widths = lab.size(smoke=(8,), cpu=(32, 64), gpu=(64, 128, 256, 512))
batch_size = lab.size(smoke=8, cpu=32, gpu=32)
num_images = lab.amount(smoke=32, cpu=2048, gpu=None)
num_epochs = lab.amount(smoke=1, cpu=6, gpu=800)
learning_rate = lab.size(smoke=1e-3, cpu=1e-3, gpu=2e-4)
folder = Path("out/lab06")

# %% [markdown]
# ## 1 · A thousand apprentices
#
# A thousand strokes of a file have ground a statue down to sand. You want it back. No master on
# earth can make a statue out of sand in one go. But a thousand apprentices stand in a row, and each
# of them has learned only one thing: how a piece looked *one stroke earlier*. The first gets sand
# and returns sand with a hint of a shape. The last gets a statue with one scratch. Each of them has
# an easy task. Together they do the impossible.
#
# In DDPM (Ho, Jain and Abbeel 2020) all apprentices are one network, which receives the number $t$
# of its place in the row. The strokes are the forward process of lab 02 with $T = 1000$ steps and a
# linear $\beta$.

# %%
diffusion = GaussianDiffusion(beta_start=1e-4, beta_end=0.02, timesteps=timesteps)
curves(
    {
        "image left, √ᾱ": diffusion.sqrt_alphas_cumprod,
        "noise, √(1 - ᾱ)": diffusion.sqrt_one_minus_alphas_cumprod,
    },
    xlabel="timestep t",
    ylabel="standard deviation",
)

# %% [markdown]
# ## 2 · One step back
#
# What did the piece look like one stroke earlier? If we knew the finished statue $x_0$, the answer
# would be a Gaussian, and not a matter of opinion: multiply the probability of getting from
# $x_{t-1}$ to $x_t$ by the probability of $x_{t-1}$ given $x_0$, and complete the square. The
# result (equations 6 and 7 of the paper) has the mean and the variance
#
# $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0
# + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t,
# \qquad \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t .$$
#
# This mixes the statue with what we have. Early on, the weight of what we have is nearly 1, because
# one stroke does not change much.
#
# We do not know $x_0$. But the network guesses the noise, and a guess of the noise is also a guess
# of the image:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\;\hat\varepsilon}{\sqrt{\bar\alpha_t}} .$$
#
# Images have values between -1 and 1 here, so a guess beyond that range is certainly wrong, and we
# clip it.
#
# > **Mind the bars.** The paper also has a short form in which $\hat x_0$ is inserted into the mean
# > (Algorithm 2):
# > $\frac{1}{\sqrt{\alpha_t}}\left(x_t -
# > \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\hat\varepsilon\right)$.
# > The two are equal as long as nothing is clipped. The course that this lab follows prints it with
# > $\frac{1}{\sqrt{\bar\alpha_t}}$ and $1-\bar\alpha_t$. That is not a step but a leap: it is the
# > formula for $\hat x_0$ itself. With these bars, a thousand careful steps become a thousand
# > wild guesses.
#
# ### Exercise 6.1 · `p_sample`
# *Difficulty ●●○ · 20 minutes*
#
# Write one step of ancestral sampling: guess the image, clip it, take the mean, add noise with the
# standard deviation $\sqrt{\tilde\beta_t}$. At $t = 0$ there is no earlier step, so no noise is
# added.
#
# <details><summary>Hint 1: numbers for a batch</summary>
#
# `at(self.betas, t, x)` picks each image's own $\beta_t$, in the shape `(B, 1, 1, 1)`. `self` has
# the tables `betas`, `alphas_cumprod` ($\bar\alpha_t$) and `alphas_cumprod_prev`
# ($\bar\alpha_{t-1}$, which is 1 for $t = 0$).
# </details>
# <details><summary>Hint 2: no noise at t = 0</summary>
#
# Look at $\tilde\beta_0$: because $\bar\alpha_{-1} = 1$, it is already zero.
# </details>


# %% exercise="p_sample" points=6
def p_sample(self, pred_noise, x, t, noise):
    """One step of ancestral sampling, from x_t to x_{t-1}.

    self: a GaussianDiffusion; betas, alphas_cumprod, alphas_cumprod_prev: (T,); clip_min, clip_max.
    pred_noise: the noise that the network predicts in x, (B, H, W, C).   x: x_t, (B, H, W, C).
    t: integers, (B,).   noise: fresh, standard normal, (B, H, W, C).
    Returns x_{t-1}, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    beta, kept = at(self.betas, t, x), at(self.alphas_cumprod, t, x)
    kept_before = at(self.alphas_cumprod_prev, t, x)
    pred_image = (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)
    pred_image = ops.clip(pred_image, self.clip_min, self.clip_max)

    weighted_image = ops.sqrt(kept_before) * beta * pred_image
    weighted_x = ops.sqrt(1 - beta) * (1 - kept_before) * x
    variance = (1 - kept_before) / (1 - kept) * beta
    return (weighted_image + weighted_x) / (1 - kept) + ops.sqrt(variance) * noise
    ### END SOLUTION


# %% check="p_sample"
checks.p_sample(p_sample)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# These are the two formulas, with the guess in place of $x_0$. The noise at the end is not
# decoration: without it, each step returns a mean, and a thousand means make a blurred statue.
# </details>

# %% [markdown]
# ## 3 · Let the row of apprentices work
#
# The course comes with a small network that has learned all thousand places. From now on it uses
# your steps:


# %%
class MyDiffusion(GaussianDiffusion):
    def p_sample(self, pred_noise, x, t, clip_denoised=True, seed=None):
        return p_sample(self, pred_noise, x, t, keras.random.normal(ops.shape(x), seed=seed))


trained, origin = load_model("flowers32_ddpm")
trained.diffusion = MyDiffusion(timesteps=lab.amount(smoke=20, cpu=timesteps, gpu=timesteps))

# %% [markdown]
# We look at some of the steps: at the noisy image, and at the image that the network believes is
# underneath.

# %% tags=["nbval-ignore-output"]
ask("06.first_shape")

# %% tags=["nbval-ignore-output"]
noisy, believed = {}, {}
looks = [int(round(share * trained.diffusion.timesteps)) for share in (0, 0.2, 0.4, 0.6, 0.8, 0.95)]


def look(step, diffusion_time, noisy_images, pred_images):
    if step in looks:
        title = f"t = {trained.diffusion.timesteps - 1 - step}"
        noisy[title] = trained.denormalize(noisy_images[:8])
        believed[title] = trained.denormalize(pred_images[:8])


samples = trained.generate_images(lab.amount(smoke=2, cpu=16, gpu=32), seed=1, on_step=look)

# %% tags=["nbval-ignore-output", "cover"]
show_rows(noisy | {"result": samples[:8]})

# %% tags=["nbval-ignore-output"]
show_rows(believed | {"result": samples[:8]})

# %% [markdown]
# Colours and positions come first, petals later, and fine edges in the last steps: the order of lab
# 02, backwards.
#
# ## 4 · How the apprentices learn
#
# The objective is almost too simple (Algorithm 1). Take an image, a random $t$, and noise. Mix
# them. Let the network guess the noise. The loss is the mean of the squared errors:
#
# $$L = \left\lVert \varepsilon - \varepsilon_\theta\!\left(\sqrt{\bar\alpha_t}\,x_0 +
# \sqrt{1-\bar\alpha_t}\,\varepsilon,\;t\right)\right\rVert^2 .$$
#
# In most labs `fit` does the rest. But everyone should write it by hand once. There are five
# things to do, in this order: **mix**; **predict** and **compare**, while a `tf.GradientTape`
# records both; **step** with the optimizer; and let the **average** of the weights follow. This is
# an exponential moving average (EMA): for each weight, average ← decay · average + (1 − decay) ·
# weight.
#
# ### Exercise 6.2 · `train_step`
# *Difficulty ●●○ · 20 minutes*
#
# <details><summary>Hint 1: the tape</summary>
#
# Import TensorFlow inside the function: `import tensorflow as tf`. Write
# `with tf.GradientTape() as tape:` around everything that leads to the loss,
# `gradients = tape.gradient(loss, network.trainable_variables)` after it, and
# `optimizer.apply_gradients(zip(gradients, network.trainable_variables))`.
# </details>
# <details><summary>Hint 2: the average</summary>
#
# Write `for average, weight in zip(ema_network.weights, network.weights):`, and then
# `average.assign(...)`.
# </details>


# %% exercise="train_step" points=6
def train_step(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
    """One training step of DDPM, written out.

    network, ema_network: called as network([noisy_images, t], training=True).
    optimizer: a Keras optimizer.   diffusion: its q_sample(images, t, noises) returns noisy images.
    images: in [-1, 1], (B, H, W, C).   t: (B,).   noises: (B, H, W, C).   ema_decay: a number.
    Changes both networks; returns the loss, one number.
    """
    ### BEGIN SOLUTION
    import tensorflow as tf

    noisy_images = diffusion.q_sample(images, t, noises)
    with tf.GradientTape() as tape:
        pred_noises = network([noisy_images, t], training=True)
        loss = tf.reduce_mean(tf.square(noises - pred_noises))
    gradients = tape.gradient(loss, network.trainable_variables)
    optimizer.apply_gradients(zip(gradients, network.trainable_variables))
    for average, weight in zip(ema_network.weights, network.weights):
        average.assign(ema_decay * average + (1 - ema_decay) * weight)
    return loss
    ### END SOLUTION


# %% check="train_step"
checks.train_step(train_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The mixing may be outside the tape, because it involves no weight. The order matters at the end:
# the average follows the weights *after* the step.
# </details>

# %% [markdown]
# Does `fit` really do nothing else? To find out, we let your step and `fit` start from the same
# weights, see the same images, and use the same noise.


# %%
def compare_with_fit(num_steps=3, batch=4, ema_decay=0.1):
    """The largest difference in any weight or EMA weight between steps by hand and by `fit`."""
    unet = attention_unet(
        image_size=8,
        base_channels=8,
        channel_multipliers=(1,),
        attention_levels=(True,),
        num_res_blocks=1,
    )
    model = DDPM(unet, ema_decay=ema_decay, seed=5)
    network, ema_network = (keras.models.clone_model(model.network) for _ in range(2))
    for copy in (network, ema_network):
        copy.set_weights(model.network.get_weights())
    images = np.random.default_rng(0).random((num_steps * batch, 8, 8, 3)).astype("float32")

    seed, optimizer = keras.random.SeedGenerator(5), keras.optimizers.Adam(1e-3)
    for x in np.split(2 * images - 1, num_steps):
        noises = keras.random.normal(x.shape, seed=seed)
        t = keras.random.randint((batch,), 0, timesteps, seed=seed)
        # `fit` updates its EMA at the beginning of a step, so its EMA is one step behind ours
        ema_weights = ema_network.get_weights()
        train_step(network, ema_network, optimizer, model.diffusion, x, t, noises, ema_decay)

    model.compile(keras.optimizers.Adam(1e-3), loss="mse", jit_compile=False)
    model.fit(images, batch_size=batch, shuffle=False, verbose=0)
    fitted = model.network.get_weights() + model.ema_network.get_weights()
    by_hand = network.get_weights() + ema_weights
    return max(np.abs(ours - theirs).max() for ours, theirs in zip(by_hand, fitted))


# %%
if BACKEND == "tensorflow":
    print("equal to fit within 0.0005:", bool(compare_with_fit() < 5e-4))
else:
    print("The tape is TensorFlow's; on other backends, only fit is available.")

# %% [markdown]
# ## 5 · Train one yourself
#
# We use small pictures and a small network, so that it takes only a minute. (On a GPU you train the
# full model of Keras's DDPM example, with 63 million weights, on Oxford Flowers. Interrupt it when
# you have seen enough.)

# %% tags=["nbval-ignore-output"]
train = load_dataset(data, "train", image_size, batch_size, count=num_images)
if image_size == 64:
    model = DDPM(attention_unet(image_size), seed=0)
else:
    model = describe_model("attention_unet", image_size, widths).build(seed=0)
optimizer = keras.optimizers.Adam(learning_rate)
model.compile(optimizer=optimizer, loss="mse", jit_compile=lab.profile == "gpu")


def quick_samples():
    return model.generate(8, 20, sampler=ddpm, seed=0)


panel = TrainingPanel(sample=quick_samples)
callbacks = [train.epoch_callback(), panel]
model.fit(train, epochs=num_epochs, shuffle=False, verbose=0, callbacks=callbacks);

# %% [markdown]
# Now for a checkpoint: save the model, load it again, and check that it generates the same images.

# %% tags=["nbval-ignore-output"]
folder.mkdir(parents=True, exist_ok=True)
model.save_weights(folder / "ddpm.weights.h5")
before = ops.convert_to_numpy(model.generate(8, 20, sampler=ddpm, seed=3))
model.load_weights(folder / "ddpm.weights.h5")
after = ops.convert_to_numpy(model.generate(8, 20, sampler=ddpm, seed=3))
print("the same samples:", np.array_equal(before, after))
show_images(after)

# %% [markdown]
# ## 6 · Does it have to be a thousand?
#
# A thousand network evaluations for one picture is a lot. Here is the same network with fewer and
# longer steps, first with DDPM's fresh noise in each step, then without any (DDIM, the next lab):

# %% tags=["nbval-ignore-output"]
ask("06.fewer")

# %% tags=["nbval-ignore-output"]
rows = {}
for steps in lab.amount(smoke=(2,), cpu=(10, 50), gpu=(10, 50, 200)):
    rows[f"DDPM, {steps} steps"] = trained.generate(8, steps, sampler=ddpm, seed=1)
    rows[f"DDIM, {steps} steps"] = trained.generate(8, steps, sampler=ddim, seed=1)
show_rows(rows | {f"DDPM, {trained.diffusion.timesteps} steps": samples[:8]})

# %% [markdown]
# ## What you have now
#
# * One step of ancestral sampling: a weighted mean, and noise of the right size.
# * A training step that you wrote yourself, and the same thing in one word, `fit`.
# * The price: a thousand evaluations, because the row of apprentices is long. **Lab 07** shortens
#   it.
