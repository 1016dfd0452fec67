# %% [markdown]
# # Lab 11 · One step: consistency models
#
# **After this lab you can**
# * say why a diffusion model needs many steps, and what its guess is on the way,
# * write the loss and the sampler of a consistency model,
# * tune a trained model so that it needs one to four steps, in a few minutes on a laptop,
# * say what that costs, and measure it.
#
# **Time**: 60 minutes of your time; the computer needs about 6 minutes on a laptop, less on a GPU.
#
# **Before**: labs 07 and 09. Lab 08 explains KID.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).

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
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab11.experiments import Judge, ShrinkGap, guesses_along_the_path
from diffusion_lab.labs.pictures import show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.io import load_model
from diffusion_lab.networks import NETWORKS
from diffusion_lab.training import ConvolutionalMuon

# %%
batch_size = lab.size(smoke=8, cpu=16, gpu=64)
num_images = lab.amount(smoke=32, cpu=4096, gpu=20_000)
num_epochs = lab.amount(smoke=1, cpu=1, gpu=4)
halvings, learning_rate = 4, 5e-4  # the smallest gap is 1/16
kid_images = lab.amount(smoke=16, cpu=256, gpu=1024)

# %% [markdown]
# ## 1 · Why not in one step?
#
# A trained sprinter and a beginner set out for the same tree. The sprinter looks up once and runs.
# The beginner walks a little, looks up, corrects the direction, and walks on. A diffusion model is
# the beginner. Let us look over its shoulder while it walks, and ask at each step where it believes
# that it is going:

# %% tags=["nbval-ignore-output"]
ask("11.along_the_path")

# %% tags=["nbval-ignore-output"]
original, _ = load_model("flowers32")
noise = keras.random.normal((4, 32, 32, 3), seed=1)
steps = lab.amount(smoke=4, cpu=20, gpu=20)
guesses = guesses_along_the_path(original, noise, steps)
shown = sorted({round(share * (steps - 1)) for share in (0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1)})
titles = [f"t = {1 - step / steps:.2f}" for step in shown]
show_rows({f"path {i + 1}": [guesses[step][i] for step in shown] for i in range(4)}, titles)

# %% [markdown]
# At $t = 1$ all four guesses are nearly the same: the average flower. This is no mistake of the
# network. A squared error is smallest for the mean, and in pure noise every flower is possible. And
# yet, with DDIM, each of these four noises leads to one certain flower, the one at the right. The
# path is fixed; the network just does not name its end.
#
# ## 2 · A function that is the same all along the path
#
# So let us train a network to name the end. Call it $f(x_t, t)$. On the path of one flower, it has
# to return the same image everywhere, whatever $t$ is: it has to be **consistent** (Song et al.
# 2023).
#
# How do you train that without walking each path to its end, in 20 steps for each training image?
# You only compare neighbours. Mix an image with noise at a time $t$, and mix it with the *same*
# noise at the slightly earlier time $t - \text{gap}$. The two noisy images are neighbours on
# (nearly) the same path, so their predictions should agree. The earlier one has less noise, its
# prediction is better, so it is the target:
#
# $$L = \big\lVert f(x_t, t) - \text{target}\big\rVert^2, \qquad \text{target} =
# \begin{cases} f(x_{t-\text{gap}}, t - \text{gap}) & \text{without gradient}\\
# \text{the clean image} & \text{if } t < \text{gap.}\end{cases}$$
#
# The second line is the anchor. Without it, a network that always returns grey would be perfectly
# consistent. With it, the truth moves up the path from its clean end, from neighbour to neighbour.
#
# ### Exercise 11.1 · `consistency_loss`
# *Difficulty ●●○ · 20 minutes*
#
# Write this loss. `denoise(noisy_images, noise_rates, signal_rates)` returns predicted noise and
# predicted images, as in all labs, and the predicted images are $f$.
#
# <details><summary>Hint 1: the earlier time</summary>
#
# `ops.maximum(times - gap, 0.0)` keeps it from falling below 0, where the schedule ends.
# </details>
# <details><summary>Hint 2: the target</summary>
#
# `ops.stop_gradient(x)` is `x`, but the training does not try to change it. `ops.where(condition,
# a, b)` takes `a` where the condition holds and `b` elsewhere.
# </details>


# %% exercise="consistency_loss" points=5
def consistency_loss(denoise, schedule, images, noises, times, gap):
    """The squared difference of the predictions at two neighbouring times.

    denoise: denoise(noisy_images, noise_rates, signal_rates) returns pred_noises, pred_images.
    schedule: schedule(times) returns noise_rates, signal_rates.
    images, noises: (B, H, W, C).   times: in [0, 1], (B, 1, 1, 1).   gap: a number.
    Returns one number.
    """
    ### BEGIN SOLUTION
    def predicted(at_times):
        noise_rates, signal_rates = schedule(at_times)
        mixed = signal_rates * images + noise_rates * noises
        return denoise(mixed, noise_rates, signal_rates)[1]

    earlier = ops.stop_gradient(predicted(ops.maximum(times - gap, 0.0)))
    targets = ops.where(times < gap, images, earlier)
    return ops.mean(ops.square(predicted(times) - targets))
    ### END SOLUTION


# %% check="consistency_loss"
checks.consistency_loss(consistency_loss)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Two evaluations of the same network, with the same image and the same noise. Without
# `stop_gradient`, the better prediction would also be pulled towards the worse one.
# </details>

# %% [markdown]
# ## 3 · Tuning: close the gap
#
# How large should the gap be? With a small gap, neighbours agree almost perfectly, so the truth
# moves slowly from one to the next, and errors add up on its long way. With a large gap there are
# few steps to the anchor, but the two noisy images are no longer on one path. What happens with the
# largest?

# %% tags=["nbval-ignore-output"]
ask("11.gap")

# %% [markdown]
# That is a lucky coincidence: a trained diffusion model is already perfect for a gap of 1. So start
# from `flowers32`, and let the gap shrink from there to 1/16. This is called *consistency tuning*
# (Geng et al. 2024), and it needs a small part of the time that the diffusion model took.


# %%
class ConsistencyModel(DiffusionModel):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.gap = self.add_weight(name="gap", shape=(), initializer="ones", trainable=False)

    def call(self, images):
        return self.normalizer(images)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        noises = keras.random.normal(ops.shape(y_pred), seed=self.seed_generator)
        times = keras.random.uniform((ops.shape(y_pred)[0], 1, 1, 1), seed=self.seed_generator)
        self.ema.update(self.network)
        denoise = partial(self.denoise, training=True)
        return consistency_loss(
            denoise, self.diffusion_schedule, y_pred, noises, times, self.gap
        )


# %%
network = NETWORKS[original.config.network](**original.config.network_arguments)
tuned = ConsistencyModel(network, seed=0, config=original.config)
for copy in (tuned.network, tuned.ema_network):
    copy.set_weights(original.network.get_weights())
tuned.normalizer.set_weights(original.normalizer.get_weights())
tuned.compile(ConvolutionalMuon(learning_rate, weight_decay=0.0), jit_compile=lab.profile == "gpu")

# %% tags=["nbval-ignore-output"]
train = load_dataset("procedural_flowers", "train", 32, batch_size, count=num_images)
shrink = ShrinkGap(num_epochs * len(train), halvings, learning_rate)
panel = TrainingPanel(sample=lambda: tuned.generate(8, 1, seed=0))
callbacks = [train.epoch_callback(), shrink, panel]
tuned.fit(train, epochs=num_epochs, shuffle=False, verbose=0, callbacks=callbacks);

# %% [markdown]
# The loss is no measure of progress here, because the task becomes harder while the gap shrinks.
# Look at the samples: one step each, from the same noise.
#
# ## 4 · Sampling: jump, step back, jump again
#
# One step is simple now: start with noise, and $f$ names the end. But the network is not perfect,
# and a second step helps. It is not a step of DDIM. The first jump has already arrived at an image.
# So mix this image with *fresh* noise, as if it were a training image, and let the network name the
# end of that path, which is shorter.
#
# ### Exercise 11.2 · `sample_consistency`
# *Difficulty ●●○ · 15 minutes*
#
# Write this sampler for any number of steps. Step $k$ of $n$ (counted from 0) is at the time
# $1 - k/n$.
#
# <details><summary>Hint</summary>
#
# In the first step there is no image yet, and the noise itself is the noisy image. From the second
# step on, mix the last predicted image with the noise of this step, at the rates of this step.
# </details>


# %% exercise="sample_consistency" points=4
def sample_consistency(denoise, schedule, noises):
    """Images from noise, with one evaluation of the network for each entry of `noises`.

    denoise: denoise(noisy_images, noise_rates, signal_rates) returns pred_noises, pred_images.
    schedule: schedule(times) returns noise_rates, signal_rates; times have the shape (B, 1, 1, 1).
    noises: a list with fresh noise for each step, (B, H, W, C).
    Returns the last predicted images, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noisy_images, pred_images = noises[0], None
    for step, noise in enumerate(noises):
        times = ops.full((noise.shape[0], 1, 1, 1), 1 - step / len(noises))
        noise_rates, signal_rates = schedule(times)
        if step > 0:
            noisy_images = signal_rates * pred_images + noise_rates * noise
        _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
    return pred_images
    ### END SOLUTION


# %% check="sample_consistency"
checks.sample_consistency(sample_consistency)


# %%
def with_fresh_noise(denoise, schedule, initial_noise, steps, seed=None, **options):
    """Your function as a sampler, so that `model.generate` can use it."""
    shape = ops.shape(initial_noise)
    fresh = [keras.random.normal(shape, seed=seed) for _ in range(steps - 1)]
    return sample_consistency(denoise, schedule, [initial_noise, *fresh])


# %% [markdown]
# Here is the model before the tuning, your tuned model, and one that comes with the course: it was
# tuned on 40,000 images instead of 4,096. All start from the same noise.

# %% tags=["nbval-ignore-output", "cover"]
shipped, _ = load_model("flowers32_fewstep")
rows, few = {}, lab.amount(smoke=(1, 2), cpu=(1, 2, 4), gpu=(1, 2, 4))
for name, model in {"before": original, "yours": tuned, "shipped": shipped}.items():
    for n in few[:2]:
        sampler = None if model is original else with_fresh_noise
        images = model.generate(8, n, sampler=sampler, seed=3)
        rows[f"{name}, {n} step{'s' * (n > 1)}"] = images
show_rows(rows | {"before, 20 steps": original.generate(8, steps, seed=3)})

# %% [markdown]
# With so few steps, a picture can follow a slider. (The shipped model uses DDIM here, which works
# for consistency models as well.)

# %% tags=["nbval-ignore-output"]
widgets.sampling(shipped, steps=(1, 2, 3, 4))

# %% [markdown]
# ## 5 · What it costs
#
# Sharp images are not everything.

# %% tags=["nbval-ignore-output"]
ask("11.variety")

# %% tags=["nbval-ignore-output"]
judge = Judge(load_dataset("procedural_flowers", "validation", 32, 64, count=kid_images).images)
for name, model in {"before": original, "yours": tuned, "shipped": shipped}.items():
    for n in few if model is not original else (*few, steps):
        sampler = None if model is original else with_fresh_noise
        kid, error, variety = judge(model, n, sampler=sampler)
        print(f"{name:8} {n:2} steps: KID {kid:5.2f} ± {error:.2f}, variety {variety:.0%}")

# %% [markdown]
# KID is a distance from real flowers (lower is better). Variety is how much the features of the
# flowers differ from one to the next, compared with real flowers. The tuned models reach with two
# steps what the original needs many steps for. What they lose is variety: their targets are their
# own predictions, and a network that is unsure predicts something in the middle.
#
# > **The mean velocity.** There is a second road to one step. Flow matching (lab 09) learns the
# > velocity at each place, and a sampler adds up many of them. *MeanFlow* (Geng et al. 2025) learns
# > their average $u(x_t, r, t)$ between two times, so one evaluation covers the whole way: $x_r =
# > x_t - (t - r)\,u$. A velocity is the average over no time at all, and an identity between the
# > two, with one derivative, makes the average learnable without walking. Like here, the training
# > compares a prediction with one that is a little nearer to the data.
#
# ## What you have now
#
# * A diffusion model guesses the mean, a consistency model names the end of the path.
# * A loss that compares neighbours, with an anchor at the clean image, and a gap that shrinks.
# * Samples in one to four steps, at the price of some variety.
#
# This is the end of the course. You have built every part of a modern image generator but two: a
# text encoder in place of colour labels, and an autoencoder that makes the images small before the
# diffusion starts (latent diffusion). Good luck with your own.
#
# **Read on**
# * Song et al. (2023), [Consistency models](https://arxiv.org/abs/2303.01469): the idea, and
#   algorithm 1 is your sampler.
# * Geng et al. (2024), [Consistency models made easy](https://arxiv.org/abs/2406.14548): tuning
#   with a shrinking gap.
# * Geng et al. (2025), [Mean flows for one-step generative
#   modeling](https://arxiv.org/abs/2505.13447).
