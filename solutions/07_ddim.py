# %% [markdown]
# # Lab 07 · The assignment: a DDIM of your own
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/07_ddim.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/07_ddim.html#live-flowers)
#
# **After this lab you can**
# * write the three functions that every diffusion model is built on,
# * turn your sampler into a family, from DDIM (denoising diffusion implicit models) to DDPM,
# * train a model until flowers are clearly recognisable, and measure how good it is,
# * explain why the same network gives better images when you evaluate it more often,
# * test a hypothesis of your own about training, and say how much of the result may be chance.
#
# **Time**: three hours of your time. The computer trains for 6 to 15 minutes on a laptop, and for
# about 10 on a GPU, where the pictures are larger, and then 2 to 6 minutes for your experiment; you
# can keep reading meanwhile.
#
# **Before**: labs 02 and 03. Lab 05 explains what is inside the network.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-07).
#
# **This lab is graded**, with 40 points: 24 for four exercises, 10 for an experiment that you
# design, and 6 for a short summary. Each exercise is graded separately, so if you get stuck on one,
# continue with the next. (Sections 3 to 7 need the first three; the fourth is used only once.)

# %% tags=["nbval-ignore-output"]
import sys

sys.path.insert(0, "..")  # the repository, if the package is not installed
try:
    from diffusion_lab.labs.start import start
except ModuleNotFoundError as missing:  # in Colab, for example
    import subprocess

    course = "https://github.com/OWNER/REPO/archive/refs/tags/vVERSION.zip"
    print("Installing the course. This takes about a minute ...")
    if subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", course]):
        raise SystemExit(
            f"{missing.name} is missing, and {course} cannot be installed. Is this machine online?"
        )
    from diffusion_lab.labs.start import start
lab = start()

# %%
import math
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.backend import parts
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab07.experiments import (
    changed,
    compare_models,
    copy_weights,
    sample_with,
)
from diffusion_lab.labs.lab07.my_unet import network_of_lab_05
from diffusion_lab.labs.lab07.pictures import bloom
from diffusion_lab.labs.listing import show_code
from diffusion_lab.labs.pictures import by_evaluations, show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.ema import EMA
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.networks import residual_unet, unet
from diffusion_lab.networks.adapters import predicting_noise
from diffusion_lab.samplers import ddim
from diffusion_lab.training import ConvolutionalMuon, KeepBest

# %% [markdown]
# The next cell holds all the settings you may want to change. Those in `lab.size` and `lab.amount`
# have one value for tests, one for a laptop and one for a GPU.

# %%
data = lab.data("procedural_flowers", "oxford_flowers102")
image_size = lab.size(smoke=8, cpu=32, gpu=64)
# or network_name = "my_unet", your own network from lab 05 (section 3)
network_name = lab.size(smoke="plain_cnn", cpu="unet", gpu="residual_unet")
network_arguments = lab.size(
    smoke={"width": 8, "depth": 2}, cpu={"widths": (32, 64, 96)}, gpu={"widths": (32, 64, 96, 128)}
)
batch_size = lab.size(smoke=8, cpu=16, gpu=64)
num_images = lab.amount(smoke=128, cpu=4096, gpu=None)  # None: all there are
num_epochs = lab.amount(smoke=1, cpu=3, gpu=80)
learning_rate, weight_decay = 2e-3, 1e-4
loss_on = "weighted_velocity"  # or "velocity", "noise", "image"; section 3 says what that means

min_signal_rate, max_signal_rate = 0.02, 0.95
ema_decay = 0.999
experiment_widths = lab.size(smoke=(8, 16), cpu=(16, 32, 48), gpu=(32, 64, 96, 128))
experiment_images = lab.amount(smoke=32, cpu=2048, gpu=None)
experiment_epochs = lab.amount(smoke=1, cpu=1, gpu=10)
kid_images, kid_steps = lab.amount(smoke=8, cpu=128, gpu=512), 5
plot_steps = lab.amount(smoke=3, cpu=20, gpu=20)
folder = Path("out/lab07")

# %% [markdown]
# ## 1 · The flowers
#
# On a laptop, a program draws the flowers (each one is different, and there is no download). On a
# GPU, they are the photographs of Oxford Flowers 102, cropped to squares and made smaller. In
# training, a random half of them is flipped from left to right, so there seem to be twice as many.

# %% tags=["nbval-ignore-output"] alt="Sixteen flowers for validation, drawn by a program, with sharp petals in many colours and shapes."
train = load_dataset(data, "train", image_size, batch_size, count=num_images)
validation = load_dataset(data, "validation", image_size, batch_size, shuffle=True)
show_images(validation[0][:16], columns=8)

# %% [markdown]
# ## 2 · A guessing game
#
# Ana knows many flowers. Ben has a sheet full of noise. Ben asks: *what do you think is under this
# noise?* Ana's guess is poor, an average of all flowers that she knows. So Ben does not jump to her
# guess. He changes the sheet a little towards it, keeps most of the noise, and asks again. Now the
# sheet looks a little more like a flower, Ana's guess is a little sharper, and so on, until only
# the picture is left.
#
# Ana is the network. Ben is a loop of a few lines. Between them they need three things, and you
# will write all three:
#
# 1. how much noise should be on the sheet at each moment: `diffusion_schedule`,
# 2. Ana's guess, which separates a noisy image into its noise and its image: `denoise`,
# 3. Ben's loop: `reverse_diffusion`.
#
# They will be methods of one class, so each takes `self`, the model. You write them one by one, and
# each is checked separately, with a model made for that purpose.
#
# One thing is different from lab 03. There you wrote NumPy; here your functions are part of the
# training, so they may only use operations that gradients can flow through. Keras has all of them
# under the names that you know: write `ops.` wherever lab 03 wrote `np.` (or import `tf`, if you
# know TensorFlow).
#
# ### Exercise 7.1 · `diffusion_schedule`
# *Difficulty ●○○ · 10 minutes*
#
# At time 0 the image is (nearly) clean, and at time 1 it is (nearly) noise. In between,
#
# $$\begin{gathered}
# \text{noisy image} = \text{signal rate}\cdot\text{image} + \text{noise rate}\cdot\text{noise}, \\
# \text{signal rate}^2 + \text{noise rate}^2 = 1 .
# \end{gathered}$$
#
# Two numbers whose squares add up to 1 are the cosine and the sine of an angle. Let the angle grow
# linearly with time, so that the signal rate is `max_signal_rate` at time 0 and `min_signal_rate`
# at time 1. This is the *offset cosine schedule* of Béres's example (lab 03).
#
# **Times outside [0, 1]** mean nothing: at time -0.3 the formula gives a negative noise rate, and
# at time 1.1 a negative signal rate. Such times do occur, through rounding or a loop that goes one
# step too far, and nobody notices. So check the range: replace a time below 0 with 0, and one above
# 1 with 1.
#
# <details><summary>Hint 1: the angles</summary>
#
# Which two angles belong to the two ends (`math.acos`)? What grows at constant speed between them,
# the angle or the rates? `ops.sin` and `ops.cos` (or `tf.sin`, `tf.cos`) work on whole arrays.
# </details>
# <details><summary>Hint 2: the range</summary>
#
# An `if` cannot look at each time of an array. `ops.clip` (or `tf.clip_by_value`) takes an array, a
# smallest and a largest value.
# </details>


# %% exercise="diffusion_schedule" points=4
def diffusion_schedule(self, diffusion_times):
    """How much noise and how much image there is at each time: the offset cosine schedule.

    diffusion_times: of shape (B, 1, 1, 1). Those outside [0, 1] count as the nearest end.
    self.min_signal_rate, self.max_signal_rate: two numbers.
    Returns noise_rates, signal_rates (in this order), both of the shape of the times.
    """
    ### BEGIN SOLUTION
    start_angle = math.acos(self.max_signal_rate)
    end_angle = math.acos(self.min_signal_rate)
    times = ops.clip(diffusion_times, 0.0, 1.0)
    angles = start_angle + times * (end_angle - start_angle)
    return ops.sin(angles), ops.cos(angles)
    ### END SOLUTION


# %% check="diffusion_schedule"
checks.diffusion_schedule(diffusion_schedule)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The signal rate is the cosine of the angle, so the angle runs from arccos(0.95) to arccos(0.02),
# and the noise rate is its sine. The offset keeps both rates away from 0: where there is
# no noise, there is nothing to learn, and where there is no image, you would divide by zero.
# </details>

# %% [markdown]
# ### Exercise 7.2 · `denoise`
# *Difficulty ●●○ · 15 minutes*
#
# Separate a noisy image into its noise and its image. The network predicts the **noise** in it;
# solve the equation above for the image.
#
# Call the network with a list of two things, the noisy images and the *variance* of their noise:
# `self.network([noisy_images, variances], training=training)`. There are two networks:
# `self.network` is the one that learns. `self.ema_network` holds an exponential moving average
# (EMA) of its weights, which is steadier and samples better. Use the first one in training, and the
# second one at any other time.
#
# <details><summary>Hint 1</summary>
#
# The rates are standard deviations. The variance is `noise_rates**2`.
# </details>
# <details><summary>Hint 2</summary>
#
# The equation of exercise 7.1 has three parts: the noisy image, the image and the noise. You know
# two of them. What do you have to take away from the noisy image, and what is left then?
# </details>


# %% exercise="denoise" points=6
def denoise(self, noisy_images, noise_rates, signal_rates, training):
    """Separates noisy images into their noise and their image.

    noisy_images: (B, H, W, C).   noise_rates, signal_rates: (B, 1, 1, 1).
    training: True or False.
    Returns pred_noises, pred_images (in this order), both (B, H, W, C).
    """
    ### BEGIN SOLUTION
    network = self.network if training else self.ema_network
    pred_noises = network([noisy_images, noise_rates**2], training=training)
    pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
    return pred_noises, pred_images
    ### END SOLUTION


# %% check="denoise"
checks.denoise(denoise)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# With the true noise, you get the exact image. With *predicted* noise, the error is multiplied by
# noise_rate / signal_rate, which is 50 at time 1. The first guesses are coarse, and that is why Ben
# does not trust them.
# </details>

# %% [markdown]
# ### Exercise 7.3 · `reverse_diffusion`
# *Difficulty ●●● · 25 minutes*
#
# Write Ben's loop. It starts at time 1 with pure noise. In each of the `diffusion_steps` steps, at
# the times $1,\ 1-\tfrac1{\text{steps}},\ \dots,\ \tfrac1{\text{steps}}$:
#
# 1. **separate** the noisy image into noise and image (with the EMA network),
# 2. **remix** the two with the rates of the *next*, smaller time.
#
# The result is the last *predicted* image.
#
# > **Why may Ben do that?** In training, Ana only saw images mixed with *fresh* noise. Suppose that
# > her answers are right, and call the next rates $s'$ and $n'$. Then
# > $s'\,\text{image} + n'\,\text{noise}$ is exactly what she saw in training at the next time. Ben
# > may also replace her noise with fresh noise $z$, or only a part of it. All that counts is that
# > the two variances add up to $n'^2$:
# >
# > $$s'\,\text{image} + k\;\text{noise} + \sigma z , \qquad k^2 + \sigma^2 = n'^2 ,$$
# >
# > because the noise and $z$ are independent, so that their variances add up. So one network serves
# > a whole family of samplers (equation 12 of the DDIM paper). DDPM undoes a *Markov chain*, in
# > which each noisy image depends only on the one before, and it has to undo each small step. The
# > samplers of this family need the right noisy images only at the times that they visit, so they
# > may take long steps.
# > **DDIM** keeps all of the predicted noise: $\sigma = 0$. That is the loop that you write now.
# > **DDPM** replaces a part of it in every step; exercise 7.4 finds out how much.
#
# <details><summary>Hint 1: the shape of the times</summary>
#
# Every image needs its own time, even though all times are equal here. Which shape do the times
# have in exercise 7.1, and how do you fill an array of this shape with one number?
# </details>
# <details><summary>Hint 2: the other two methods</summary>
#
# You have written both already, as methods of `self`. Which of them returns the rates, and which
# the two parts? Noise comes first in both. Is this training?
# </details>


# %% exercise="reverse_diffusion" points=8
def reverse_diffusion(self, initial_noise, diffusion_steps):
    """From noise to images, deterministically (DDIM, Song et al. 2021).

    initial_noise: standard normal, (B, H, W, C).
    diffusion_steps: the number of network evaluations for each image, 1 or more.
    Returns the last predicted images, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    ones = ops.ones((initial_noise.shape[0], 1, 1, 1))
    noisy_images = initial_noise
    for step in range(diffusion_steps):
        time = 1 - step / diffusion_steps
        rates = self.diffusion_schedule(ones * time)
        pred_noises, pred_images = self.denoise(noisy_images, *rates, training=False)

        next_time = time - 1 / diffusion_steps
        next_noise_rates, next_signal_rates = self.diffusion_schedule(ones * next_time)
        noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
    return pred_images
    ### END SOLUTION


# %% check="reverse_diffusion"
checks.reverse_diffusion(reverse_diffusion)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Nothing random happens after the first noise, because the loop mixes the *predicted* noise back
# in. That makes DDIM a map from noise to images, and lab 08 will walk around in it. With 10 steps,
# rounding makes the last `next_time` $-3\cdot10^{-17}$ instead of 0. Your schedule clips it.
# </details>

# %% [markdown]
# ### Exercise 7.4 · `remix`
# *Difficulty ●●○ · 25 minutes*
#
# Your loop is deterministic, but DDPM (lab 06) adds fresh noise in every step, which washes out the
# errors of earlier steps. One number, `eta` (η), joins the two: 0 is DDIM, 1 is DDPM, and anything
# in between is a sampler as well.
#
# Write the remixing step of this whole family, the sum in the box above. The rates are $(n, s)$ now
# and $(n', s')$ at the next time, which is less noisy. The fresh noise gets the factor
#
# $$\sigma = \eta \cdot \sqrt{\tilde\beta} , \qquad
# \tilde\beta = \frac{1-\bar\alpha'}{1-\bar\alpha}\;\beta .$$
#
# $\tilde\beta$ is the variance of DDPM's step, in the letters of its paper: $\bar\alpha$ belongs to
# the current time, and $\bar\alpha'$ to the next one. The forward process runs the other way, from
# the cleaner time (with the prime) to the current, noisier one, and $\beta$ is the variance of the
# noise that it adds on this way. You only have the rates. So translate the three letters first, on
# paper, and find out how much predicted noise you must keep.
#
# <details><summary>Hint 1: ᾱ</summary>
#
# DDPM writes a noisy image as $\sqrt{\bar\alpha}\,\text{image} +
# \sqrt{1-\bar\alpha}\,\text{noise}$. Compare this with the equation of exercise 7.1.
# </details>
# <details><summary>Hint 2: β</summary>
#
# A forward step (lab 02) multiplies everything by $\sqrt{1-\beta}$ and adds noise of variance
# $\beta$. It takes the signal rate from $s'$ to $s$. So what is $\sqrt{1-\beta}$?
# </details>
# <details><summary>Hint 3: try the ends</summary>
#
# For `eta=0`, the result must be that of step 2 in exercise 7.3. For every `eta`, the squares of
# the factors of the predicted and the fresh noise add up to $n'^2$.
# </details>


# %% exercise="remix" points=6
def remix(pred_noises, pred_images, fresh_noises, rates, next_rates, eta):
    """One step from the current time to the next: the noisy images for the next time.

    pred_noises, pred_images: what `denoise` returned, (B, H, W, C).
    fresh_noises: standard normal, (B, H, W, C).
    rates, next_rates: pairs (noise_rates, signal_rates), each (B, 1, 1, 1).
    eta: a number from 0 (DDIM) to 1 (DDPM).
    Returns noisy images with the next rates, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noise_rates, signal_rates = rates
    next_noise_rates, next_signal_rates = next_rates
    beta = 1 - (signal_rates / next_signal_rates) ** 2
    sigma = eta * next_noise_rates / noise_rates * ops.sqrt(beta)
    kept = ops.sqrt(next_noise_rates**2 - sigma**2)
    return next_signal_rates * pred_images + kept * pred_noises + sigma * fresh_noises
    ### END SOLUTION


# %% check="remix"
checks.remix(remix)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# $\bar\alpha = s^2$ and $1 - \bar\alpha = n^2$. The forward step multiplies the signal rate by
# $\sqrt{1-\beta} = s/s'$. So $\beta = 1 - s^2/s'^2$, and
#
# $$\sigma = \eta\,\frac{n'}{n}\sqrt{1 - \frac{s^2}{s'^2}} , \qquad k = \sqrt{n'^2 - \sigma^2} .$$
#
# The square root always exists: $\beta \le 1 - s^2 = n^2$, because $s' \le 1$, and so $\sigma \le
# n'$.
# </details>

# %% [markdown]
# > **α or ᾱ?** If you compare your code with the DDIM paper, note that its $\alpha_t$ is what DDPM
# > calls $\bar\alpha_t$, the square of our signal rate.
#
# ## 3 · Your functions become a model
#
# The rest is given: `DiffusionModel` samples noise and times for training, computes the loss, and
# updates the EMA network. The class below calls the current version of *your* three functions, so
# if you correct one of them, you do not have to run its cell again. (`parts` turns the two results
# of a function into a tuple.)
#
# **The network** is made of the parts that you built in lab 05. `residual_unet`, which a GPU trains
# here, is `my_unet` from that lab, layer for layer. `unet`, which a laptop trains, is another U:
# twice as many blocks, a scale and shift in each (your `modulate`), attention at the bottom (your
# `pixel_attention`), and group instead of batch normalisation. After 20,000 images it has a KID of
# 1.20 (a distance from real flowers, explained in section 4: lower is better), and a
# `residual_unet` of about the same size, 1.8 million parameters, has one of 2.07. (With the widths
# below, it has only 0.4 million.) To train the network that you built yourself, set `network_name`
# to "my_unet": section 4 then reads your functions from the notebook of lab 05, `05_unet.ipynb`, in
# the same folder. (In Colab, first upload it in the panel *Files*. The shipped weights and section
# 6 always use the `unet`.)

# %%
kinds = "Conv2D", "Concatenate", "Multiply", "PixelAttention", "BatchNormalization"
for name, build in {"lab 05": residual_unet, "this lab": unet}.items():
    network = build(image_size=32, widths=(32, 64, 96), block_depth=1)
    counts = Counter(type(layer).__name__ for layer in network.layers)
    layers = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
    print(f"{name:8} {network.count_params():9,} parameters: {layers}")

# %% [markdown]
# (Each Multiply is the scale of one block.) Our networks do not predict the noise itself. To get
# the image from the noise, `denoise` divides by the signal rate, and at time 1 an error of the
# noise becomes 50 times as large. So they predict another mixture of noise and image, the
# *velocity*, which is signal rate · noise − noise rate · image. `predicting_noise` computes the
# noise from it, and the image needs no division: it is signal rate · noisy image − noise rate ·
# velocity. So the errors stay small. Lab 09 compares the two.
#
# **The loss** is not the squared error of the noise, as in labs 04 and 06. This is the code of
# `DiffusionModel`. For each batch, `fit` computes the first two functions, and takes a step along
# the gradient of the loss:

# %%
show_code(DiffusionModel.corrupt_and_separate, DiffusionModel.compute_loss, EMA.update)

# %% [markdown]
# The last function is the moving average of the weights, with the warm-up of lab 06. `loss_on` says
# which pair is compared, and is "weighted_velocity" here.
#
# This pair is the velocity of the true noise and image, and that of the predicted ones. Their
# squared error has the weight $\min(\text{SNR}, 5)\,/\,(\text{SNR}+1)$, where SNR is (signal rate /
# noise rate)². This is min-SNR weighting (Hang et al. 2023): nearly pure noise, in which nothing
# can be recognised, counts little. The weight is 0.35 at time 0.5 and 0.0004 at time 1. (Towards
# time 0 it falls only from its maximum of 0.83 to 0.49, because our schedule never gets cleaner
# than a signal rate of 0.95.) The same network with the loss of lab 06 has a KID of 1.5 after
# 20,000 images, and 1.2 with this one ([all recipes](../docs/benchmarks/recipes.md)). So do not
# compare the loss below with those of earlier labs. Watch `n_loss` instead, the mean absolute error
# of the noise. A network that always answers 0 has an `n_loss` of 0.8. (Béres's example trains on
# this absolute error of the noise. With an absolute instead of a squared error of the weighted
# velocity, KID is 1.23 in our table.)


# %%
class MyDiffusionModel(DiffusionModel):
    def diffusion_schedule(self, diffusion_times):
        return parts(diffusion_schedule(self, diffusion_times))

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        return parts(denoise(self, noisy_images, noise_rates, signal_rates, training=training))

    def reverse_diffusion(self, initial_noise, diffusion_steps):
        return reverse_diffusion(self, initial_noise, diffusion_steps)


MyDiffusionModel.min_signal_rate = min_signal_rate
MyDiffusionModel.max_signal_rate = max_signal_rate


def new_model(config, network=None):
    """A new model that uses your functions. Its network returns noise, as they expect."""
    settings = {"loss_on": config.loss_on, "ema_decay": config.ema_decay, "config": config}
    network = predicting_noise(network or config.build().network)
    return MyDiffusionModel(network, prediction="noise", seed=0, **settings)


# %% [markdown]
# Your own model has not learned anything yet. So first run your functions with weights that have
# seen 200,000 flowers. If everything is right, you will see more flowers.

# %% tags=["nbval-ignore-output"] alt="Twenty-four generated flowers in three rows, with sharp petals in many colours."
trained, origin = load_model("flowers32")
shipped = new_model(trained.config)
copy_weights(trained, shipped)
show_images(shipped.generate(lab.amount(smoke=4, cpu=24, gpu=24), plot_steps, seed=1), columns=8)

# %% [markdown]
# How often must Ben ask? If he asks only once, the answer is Ana's first guess. Predict what that
# looks like:

# %% tags=["nbval-ignore-output"]
ask("07.one_step")

# %% tags=["nbval-ignore-output"] alt="The same eight flowers, one row each for 1 to 20 steps. They are blurs after 1 step, have petals after 2, and change little from 5 steps on."
noise = keras.random.normal((8, 32, 32, 3), seed=3)
rows = {
    f"{steps} step{'s' * (steps > 1)}": shipped.denormalize(shipped.reverse_diffusion(noise, steps))
    for steps in lab.amount(smoke=(1, 2), cpu=(1, 2, 3, 5, 10, 20), gpu=(1, 2, 3, 5, 10, 20, 50))
}
show_rows(rows)

# %% [markdown]
# Every row starts from the same noise. Why does it help to ask more often? In pure noise, every
# flower is possible, and Ana's best answer is their average, a blur. One step, and the sheet
# contains a little of that answer. Fewer flowers fit what is on it now, so the average over
# these is sharper, and so on. With few steps, Ben moves a long way on the strength of a blurred
# answer, and the colours of the blur stay in the picture. With many steps, he moves only as far as
# the answer can be trusted. (The grain in the first row is the network's own error: at time 1,
# where the loss has hardly any weight, it learned least.)
#
# Now the whole family: the same noise again, with your `remix` in the loop.

# %% tags=["nbval-ignore-output"]
ask("07.eta")

# %% tags=["nbval-ignore-output"] alt="Rows for eta 0, 0.5 and 1 with 10 and with 50 steps. At eta 0 both give the same flowers; the more eta and the more steps, the more the flowers differ."
rows = {}
for steps in lab.amount(smoke=(1, 2), cpu=(10, 50), gpu=(10, 50)):
    for eta in (0, 0.5, 1):
        rows[f"eta {eta}, {steps} steps"] = sample_with(remix, shipped, noise, steps, eta)
show_rows(rows)

# %% [markdown]
# For eta 0, 10 and 50 steps give nearly the same flowers: this is your loop of exercise 7.3, and
# each noise has its flower. With eta 1, the fresh noise decides. In 10 steps its flowers are
# smoother and paler than those of eta 0: $\tilde\beta$ is the right variance only for short steps.
# In a long step it is too small, because many images could be behind the noise. In 50 steps they
# are nearly as good. (With 256 images, DDIM has a KID of 0.51 ± 0.05 in 10 steps and 0.14 ± 0.02 in
# 50, and DDPM 1.03 ± 0.06 and 0.21 ± 0.03. `diffusion-lab evaluate --count 256 --steps 10 --sampler
# ddpm` measured this.)
#
# Now try it yourself. "NFE" is the number of network evaluations, that is, how often Ben asks for
# each image:

# %% tags=["nbval-ignore-output", "live-flowers"]
widgets.sampling(shipped)

# %% [markdown]
# ## 4 · Train your own
#
# Do the checks of the first three exercises say ✓? This section takes several minutes, and a wrong
# answer would waste them.
#
# `adapt` measures the mean and standard deviation of the flowers, so that the network sees data
# with mean 0 and variance 1. The learning rate rises during the first twentieth of the training,
# and then stays constant. Two other choices decide how long you wait for flowers:
#
# **Muon instead of Adam.** The gradient of a convolution's kernel is large in a few directions,
# which all images share (green behind, bright in the middle), and small in many others (the edges
# of petals). Adam divides each number of the gradient by its typical size, which hardly changes
# these directions. Muon (Jordan et al. 2024) reads the kernel as a matrix and gives the update the
# same size in all its directions, so the petals are learned as fast as the background. Keras has
# Muon for dense layers, and `ConvolutionalMuon` extends it to kernels. With it, our network needs
# three fifths of the images to reach the same KID (medians of three runs).
#
# **Small batches.** On a CPU, the cost of a step is proportional to the number of its images. With
# 16 images instead of 32, the gradient is noisier, but there are twice as many steps for the same
# price, and the moving average of the weights removes most of the noise. This saves another third
# of the time. (A GPU computes a batch of 64 almost as fast as one of 16, so there the batches stay
# large.)
#
# The page [docs/benchmarks/speedrun.md](../docs/benchmarks/speedrun.md) has both measurements.

# %%
def prepare(model, steps):
    """Measures the data, and compiles the model for this number of training steps."""
    model.adapt(train.images[:4096])
    rate = keras.optimizers.schedules.PolynomialDecay(
        0.0, steps // 20 + 1, end_learning_rate=learning_rate
    )
    optimizer = ConvolutionalMuon(rate, weight_decay=weight_decay)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=lab.profile == "gpu")
    return model


name, network = network_name, None  # None: the package builds it
arguments = {"image_size": image_size, **network_arguments}
if network_name == "my_unet":  # saved as the network of the package that it is equal to
    name, arguments = "residual_unet", {"block_depth": 1, **arguments}
    network = network_of_lab_05(**arguments)
config = ModelConfig(name, arguments, loss_on=loss_on, ema_decay=ema_decay)
model = prepare(new_model(config, network), num_epochs * len(train))

# %% [markdown]
# How good is the model? **KID**, the kernel inception distance, compares generated images with real
# ones that the model has never seen. It does not look at pixels but at what another network sees in
# them (petals, colours, edges). In papers this is the Inception network. Ours is a small one that
# was trained on flowers, so our values cannot be compared with those of papers. 0 is perfect, and
# by chance KID may fall a little below 0. We measure it after each epoch, with only 5 steps to save
# time, so they are worse than the values for more steps in section 5. After each epoch, the newest
# model is kept, unless its KID is more than 1.5 times the lowest so far. A KID from so small a
# sample cannot rank two good models, but it does reveal when training has diverged.
#
# On a laptop, expect petals of many colours after one epoch, and flowers after three. Interrupt the
# kernel whenever you have seen enough; the model of the last finished epoch is on disk.

# %% tags=["nbval-ignore-output"] alt="Left, training and validation loss drop and flatten near 0.055. Right, twelve samples are soft flowers, some with petals of several colours."
kid = ValidationKID(validation.images[:kid_images], kid_steps)
keeper = KeepBest(kid, folder / "best.weights.h5")
model.fit(
    train,
    validation_data=validation,
    epochs=num_epochs,
    shuffle=False,
    verbose=0,
    callbacks=[train.epoch_callback(), keeper, TrainingPanel()],
);

# %% tags=["nbval-ignore-output", "cover"] alt="Eighteen generated flowers with soft petals; in many of them, petals of two or more colours are mixed."
keeper.restore()
save_model(model, folder / "my_flowers.weights.h5", {"data": data, "val_kid": keeper.kept_kid})
show_images(model.generate(lab.amount(smoke=4, cpu=18, gpu=18), plot_steps, seed=0), columns=6)

# %% [markdown]
# Are the flowers clearly recognisable? If not, what would help: more epochs, a wider network, more
# steps? Go back to the settings and try.
# (`diffusion-lab sample --weights notebooks/out/lab07/my_flowers.weights.h5` generates more of
# them.)
#
# ## 5 · What the numbers say
#
# Here is the KID for different numbers of diffusion steps. Lower is better, and further right is
# slower.

# %% tags=["nbval-ignore-output"]
ask("07.more_steps")

# %% tags=["nbval-ignore-output"] alt="KID of your model over the number of evaluations, log scales. It falls from about 44 at 1 evaluation to about 0.3 at 20."
step_counts = lab.amount(smoke=[1, 2], cpu=[1, 2, 5, 10, 20], gpu=[1, 2, 5, 10, 20, 50])
points = []
for steps in step_counts:
    kid.steps = steps
    value, error = kid.with_standard_error(model)
    points.append((steps, value, error))
    print(f"NFE {steps:2}: KID {value:.2f} ± {error:.2f}")
by_evaluations({"your model": points}, "KID (lower is better)", logarithmic=True)

# %% [markdown]
# Both axes are logarithmic. The number after ± is the *standard error*: how much KID would vary
# with other images. One step only gives blurs, and up to five steps KID falls steeply. From there
# to 20, twice as many steps make our KID about half as large, and they take twice as long. More
# steps lower it further (lab 08 tries 50), but the eye hardly sees a difference. With ever more
# steps, the sampler's own errors vanish. The errors that remain are those of the network, and more
# training is the better investment.

# %% [markdown]
# ## 6 · An experiment of your own
#
# Which choices of the recipe matter? Everybody who trains such models has opinions about that, and
# many are wrong. So do what a good paper does: state a hypothesis **first**, then train twice, with
# one difference, and look at the numbers. You may change
#
# * `loss_on`: "weighted_velocity", "velocity", "noise" or "image",
# * `min_signal_rate`: where the schedule ends; 0.02 is nearly pure noise,
# * `ema_decay`: how long the moving average remembers. It warms up: after $n$ steps the decay is at
#   most $(1+n)/(10+n)$, which is 0.93 after the 128 steps of the laptop's experiment. So smaller
#   values make a difference here, larger ones do not.
# * `widths`: the channels at each level of the network, multiples of 8.
#
# To save time, the network is `unet`, on a laptop with half the width, and it sees fewer images.
#
# How large must a difference be? If the two KIDs have the standard errors $a$ and $b$, and vary
# independently, then their difference has the standard error $\sqrt{a^2+b^2}$. A difference of less
# than twice that may well be chance.

# %% [markdown] summary="experiment" points=10
# ### Your experiment
# *30 minutes · 10 points, graded by a person*
#
# *Replace this text.*
#
# *Before you run the cells below (4 points): what do you change, what will happen to KID and why,
# and how large must the difference be for you to believe it?*
#
# *Afterwards (6 points): both KIDs with their standard errors. Does the hypothesis hold? Do the
# pictures agree? What else could explain the result? Then compare with [our
# measurements](../docs/benchmarks/recipes.md): is the order the same there, and if not, why?*

# %%
change = {"loss_on": "velocity"}  # an example: replace it with your hypothesis
seed = 0  # of the initial weights, the same for both models

# %% tags=["nbval-ignore-output"] alt="Two rows of samples, with your settings and with the loss on the velocity. Both show mere patches of colour; the second row is grainier."
few = load_dataset(data, "train", image_size, batch_size, count=experiment_images)
settings = {"loss_on": loss_on, "min_signal_rate": min_signal_rate, "ema_decay": ema_decay}
settings["widths"] = experiment_widths


def candidate(loss_on, min_signal_rate, ema_decay, widths):
    """A model with these settings, ready to be trained on the few images."""
    keras.utils.set_random_seed(seed)
    arguments = {"image_size": image_size, "widths": widths}
    model = new_model(ModelConfig("unet", arguments, loss_on=loss_on, ema_decay=ema_decay))
    model.min_signal_rate = min_signal_rate
    return prepare(model, experiment_epochs * len(few))


candidates = {
    "settings": candidate(**settings),
    str(change): candidate(**changed(settings, change)),
}
compare_models(candidates, few, experiment_epochs, ValidationKID(kid.real_images, steps=10))
show_rows({name: one.generate(8, plot_steps, seed=0) for name, one in candidates.items()})

# %% [markdown]
# After so few images, no model draws flowers yet, so look at shapes and at the grain. That is the
# price of a quick experiment: what helps early need not help in the end.
#
# In our run, the KIDs are 2.99 ± 0.14 and 4.55 ± 0.25. They differ by 1.56, which is more than five
# times $\sqrt{0.14^2+0.25^2} = 0.29$, so this is hardly chance.
#
# But the standard error only says how much KID would vary with other images *from the same two
# models*. It does not say how much it would vary with other models from the same recipe. For that,
# set another `seed`, and run the two cells again: does the difference keep its sign, and about its
# size? The table of recipes has one run per line, too, and was measured with another optimizer,
# after ten times as many images, and with twice the width. So compare which of two recipes is
# better, and by what factor, rather than the KIDs themselves.

# %% [markdown] summary="summary" points=6
# ### Your summary
# *20 minutes · 6 points, graded by a person*
#
# *Replace this text with about ten sentences: what you did, which settings you changed and why,
# what KID says about your model and about the number of steps, and what your flowers still lack.*

# %% [markdown]
# ## 7 · Your flower
#
# Your model turns any noise into flowers, and a seed determines the noise, so every number has its
# own flowers. Enter your birthday, and watch yours open.

# %% tags=["nbval-ignore-output"] alt="Animation of six flowers that emerge from coloured noise; in some of them, the petals have mixed colours."
my_seed = 20260921
steps, count = lab.amount(smoke=3, cpu=30, gpu=30), lab.amount(smoke=1, cpu=6, gpu=6)
animation = bloom(model, my_seed, steps=steps, count=count)
(folder / "my_flower.webp").write_bytes(animation);

# %% [markdown]
# ## What you have now
#
# * A complete diffusion model: a schedule, a way to separate noise and image, and a loop.
# * One step that spans a family of samplers, with DDIM and DDPM at its ends.
# * A measure of its quality, and the knowledge that questions have a price: each step costs one
#   network evaluation.
# * A hypothesis that you have tested, with an error bar.
#
# The two ends of your family:
#
# | | DDPM, eta 1 | DDIM, eta 0 |
# |---|---|---|
# | network and training | the same | the same |
# | fresh noise | in every step | only at the start |
# | the same initial noise gives | another flower each time | the same flower |
# | good flowers need | about 50 steps | 10 to 20 steps |
# | from the image back to its noise | impossible | possible, roughly (lab 08) |
#
# **Lab 08** explores the model: flowers between flowers, and flowers turned back into noise.
#
# **Read on**
# * Song, Meng and Ermon (2021), [Denoising diffusion implicit
#   models](https://arxiv.org/abs/2010.02502): section 3 derives the family of samplers, section 4.1
#   has equation 12 and your loop.
# * Béres (2022), [Denoising diffusion implicit models](https://keras.io/examples/generative/ddim/):
#   the example on keras.io that this assignment follows, with many hints on tuning.
# * Hang et al. (2023), [Efficient diffusion training via min-SNR weighting
#   strategy](https://arxiv.org/abs/2303.09556): the weights of the loss.
