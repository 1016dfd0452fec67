# %% [markdown]
# # Lab 05 · The U-Net, piece by piece
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/05_unet.ipynb)
#
# **After this lab you can**
# * tell a network how noisy an image is, in a form that it can use, and pass this to every block,
# * write a residual block, and say why a deep network trains well with it and badly without it,
# * build a U-Net from your own pieces,
# * say what each piece is for, because you have switched it off and looked.
#
# **Time**: about 90 minutes of your time; the computer needs 3 minutes on a laptop, and about 2
# on a GPU (where it does more).
#
# **Before**: labs 02 and 03. Lab 04, where a plain network fails, shows why you need this one.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-05).

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
from functools import partial

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.influence import influence
from diffusion_lab.labs.lab05.experiments import (
    attention_weights,
    channel_scales,
    far_share,
    gain_errors,
    noise_losses,
    rewired,
    tower,
    trained_once,
    velocity_errors,
    with_group_norm,
)
from diffusion_lab.labs.lab05.pictures import (
    draw_unet,
    embedding_map,
    show_attention,
    show_influence,
)
from diffusion_lab.labs.pictures import curves, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.io import load_model
from diffusion_lab.networks import plain_cnn, residual_unet
from diffusion_lab.networks.blocks import (
    PixelAttention,
    attention_block,
    continuous_inputs,
    output_convolution,
)
from diffusion_lab.predictions import from_velocity
from diffusion_lab.samplers import ddim

# %% [markdown]
# These are the settings: how long the short training runs take, how large their networks and images
# are, and how many steps the samplers take.

# %%
num_images = lab.amount(smoke=64, cpu=512, gpu=4096)
epochs = lab.amount(smoke=1, cpu=6, gpu=20)
race_images = lab.amount(smoke=64, cpu=4096, gpu=20_000)
gain_epochs = lab.amount(smoke=1, cpu=30, gpu=30)
tower_blocks = lab.size(smoke=2, cpu=10, gpu=20)
widths = lab.size(smoke=(8, 16), cpu=(16, 24, 32), gpu=(32, 64, 96, 128))
image_size = lab.size(smoke=8, cpu=16, gpu=64)
sampling_steps = lab.amount(smoke=2, cpu=20, gpu=20)
data = lab.data("procedural_flowers", "oxford_flowers102")

# %% [markdown]
# ## 1 · The U-Net: the painter and the wall
#
# A painter has to restore a mural that has been sprayed all over. With her nose to the wall she
# sees specks, and cannot say whether a red one is paint or dirt. So she steps back, and back again,
# until she can see the whole wall: *a flower, there, red*. Now she knows what it must be, but from
# back there she cannot paint. She walks up to the wall again, and at each stop she holds up the
# tracing paper that she made there when she stepped back, so that every line falls where it was.
#
# That walk is the **U-Net** (Ronneberger et al. 2015). Here is the one that comes with this course,
# trained on flowers. On the left is the walk away from the wall: fewer pixels, more channels. On
# the right is the walk up to it again. The tracing paper goes across: the *skips* (skip
# connections).

# %%
model, origin = load_model("flowers32")
network = model.ema_network
flowers = load_dataset("procedural_flowers", "validation", image_size=32, batch_size=8, count=8)[0]
images = model.normalizer(ops.convert_to_tensor(flowers))
noises = keras.random.normal(images.shape, seed=1)


def corrupt(diffusion_time):
    """Noisy flowers and their rates, all at one diffusion time."""
    rates = model.diffusion_schedule(ops.full((len(flowers), 1, 1, 1), diffusion_time))
    return rates[1] * images + rates[0] * noises, *rates


def for_the_screen(images):
    return ops.convert_to_numpy(model.denormalize(images))


# %% alt="Diagram in the shape of a U. A noisy flower goes down through boxes of 32, 16 and 8 pixels and up again to a clean flower; skips lead across, and the noise level reaches each box."
noisy_images, noise_rates, signal_rates = corrupt(0.6)
_, pred_images = model.denoise(noisy_images, noise_rates, signal_rates, training=False)
draw_unet(network, for_the_screen(noisy_images)[0], for_the_screen(pred_images)[0])
print(f"{network.count_params():,} parameters in all")

# %% [markdown]
# The flower on the right is computed from the network's output. The output itself is a *velocity*,
# signal rate · noise − noise rate · image, and the predicted image is signal rate · noisy image −
# noise rate · velocity. (Lab 07 explains why.)
#
# The plain network of lab 04 always has its nose to the wall. Each of its ten 3 × 3 convolutions
# lets a pixel see one pixel further. So each output pixel sees a square of $2 \cdot 10 + 1 = 21$
# pixels across, and nothing outside this square exists for it. How far does this U-Net look?

# %% tags=["nbval-ignore-output"]
ask("05.far")

# %% [markdown]
# We can measure it. Take the green value of the middle output pixel. Its gradient says how much
# each pixel of the input changes it. Bright means a lot, on a logarithmic scale. The dashed square
# is all that the plain network of lab 04 could ever see.

# %% alt="Influence on the middle pixel at times 0.1, 0.5 and 0.95. There is always a bright spot in the middle; at 0.95 much comes from outside the dashed square."
reach = 10  # pixels to each side: the plain network's
looks = {}
for diffusion_time in (0.1, 0.5, 0.95):
    noisy, noise_rate, _ = corrupt(diffusion_time)
    green = lambda images: network([images, noise_rate**2])[..., 1:2]
    looks[f"time {diffusion_time}"] = influence(green, noisy)
show_influence(looks, reach)
for name, shares in looks.items():
    print(f"{name}: {far_share(shares, reach):3.0%} of the influence comes from outside the square")

# %% [markdown]
# With little noise, the network looks at the pixel and its neighbours; with a lot of noise, it
# looks further. So it must know how much noise there is. That is where we start.
#
# ## 2 · The noise embedding: clocks for the noise level
#
# The network receives the noise variance, one number between 0 and 1. Why not simply append that
# number to the image as one more channel? Because a layer can only multiply it by a weight, but the
# right answer often changes *fast* with it. Take a fine line in a petal, with a contrast of 0.1.
# The best denoiser keeps the fraction
#
# $$\text{gain} = \frac{0.1^2\,(1-v)}{0.1^2\,(1-v) + v}$$
#
# of it, where $v$ is the noise variance: 91 % at $v = 0.001$, half at 0.01, 8 % at 0.1. (The noisy
# line is $\sqrt{1-v}$ times the line, plus noise of variance $v$. The best linear guess multiplies
# it by covariance / variance, $0.1^2\sqrt{1-v}\,/\,(0.1^2(1-v)+v)$, and the line itself comes in
# with the factor $\sqrt{1-v}$. The product of the two is the gain.) All of this happens in the
# first tenth of the scale.
#
# Think of a clock. A single hand that goes around once a day can tell morning from evening, but
# nobody could read seconds from it. So a clock has several hands: the slow one tells you roughly
# what time it is, and the fast one tells you exactly. For the noise variance $v$ we take 16 hands
# with frequencies $f_k$, and write down the position of each tip, as sine and cosine:
#
# $$\big(\sin 2\pi f_1 v, \ldots, \sin 2\pi f_{16} v,\;
# \cos 2\pi f_1 v, \ldots, \cos 2\pi f_{16} v\big), \qquad f_1 = 1,\ f_{16} = 1000 .$$
#
# The $f_k$ are **evenly spaced on a logarithmic scale**: each hand is faster than the one before by
# the same *factor*, just as 60 seconds make a minute and 60 minutes an hour.
#
# ### Exercise 5.1 · `sinusoidal_embedding`
# *Difficulty ●○○ · 10 minutes*
#
# <details><summary>Hint 1: the frequencies</summary>
#
# `np.linspace` spaces numbers evenly, and NumPy has a relative of it for a logarithmic scale. Both
# take three numbers; the text above has them. Make the frequencies float32 like the variances,
# because a float64 tensor and a float32 tensor cannot be multiplied.
# </details>
# <details><summary>Hint 2: the shapes</summary>
#
# What is the shape of variances `(B, 1, 1, 1)` times frequencies `(16,)`? And along which axis do
# you have to join the sines and the cosines (`ops.concatenate`) to get `(B, 1, 1, 32)`?
# </details>


# %% exercise="sinusoidal_embedding" points=4
def sinusoidal_embedding(noise_variances):
    """Sines, then cosines, of the noise variances at 16 frequencies.

    The frequencies run from 1 to 1000, evenly spaced on a logarithmic scale.

    noise_variances: (B, 1, 1, 1), between 0 and 1.   Returns (B, 1, 1, 32), between -1 and 1.
    """
    ### BEGIN SOLUTION
    frequencies = np.geomspace(1, 1000, 16)
    angles = noise_variances * (2 * np.pi * frequencies).astype("float32")
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    ### END SOLUTION


# %% check="sinusoidal_embedding"
checks.sinusoidal_embedding(sinusoidal_embedding)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# A frequency counts turns, but sine and cosine take radians, and $2\pi$ of these make one turn. You
# need sine *and* cosine, because the height of a clock hand alone does not say whether the hand is
# going up or down.
# </details>

# %% [markdown]
# Each row of the picture is one of your 32 numbers; red is negative and blue is positive. On a
# linear scale (left) the fast hands only flicker. On a logarithmic scale (right) you see what they
# are for: near $v = 0.001$ all slow hands stand still, and only the fast ones can tell 0.001 from
# 0.0015.

# %% alt="Rows of sines and cosines over the noise variance. On a linear scale, left, most rows flicker; on a log scale, right, slow rows change only at large variances."
embedding_map(sinusoidal_embedding)

# %% [markdown]
# Does it help? Take two noise levels that are close together, one 10 % above the other. How far
# apart are they for a layer that sees the bare number, and for one that sees your waves?

# %% alt="Distance of v and 1.1 v over the noise variance, on log scales. The 32 waves lie far above the bare number, most of all where the variance is small."
v = np.geomspace(1e-4, 0.9, 300).astype("float32").reshape(-1, 1, 1, 1)
embed = lambda v: ops.convert_to_numpy(sinusoidal_embedding(ops.convert_to_tensor(v)))
apart = np.linalg.norm(embed(1.1 * v) - embed(v), axis=-1).ravel()
log_v = np.log10(v).ravel()
distances = {"bare number": (log_v, 0.1 * v.ravel()), "32 waves": (log_v, apart)}
labels = {"xlabel": "log₁₀ of the noise variance v", "ylabel": "distance of v and 1.1 v"}
curves(distances, **labels, logarithmic=True)
times = apart[np.searchsorted(v.ravel(), 0.001)] / 0.0001
print(f"at v = 0.001 the waves are {round(times, -3):,.0f} times further apart")

# %% [markdown]
# With the bare number, all low noise levels look the same; a layer would need weights in the
# thousands to tell them apart. The waves do this work for it. (They have a limit, too: below
# $v = 0.001$, a step of 10 % turns even the fastest wave by less than a tenth of a turn, and both
# curves fall in parallel.)
#
# **Which noise levels does this course visit?** That depends on the schedule. The linear schedule
# of DDPM begins at $v = 0.0001$, and the plain cosine at 0. But our models use the offset cosine of
# lab 03, whose signal rate is at most 0.95, so $v \ge 1 - 0.95^2 = 0.0975$. It cuts off the first
# tenth of the scale, and with it the whole story of the fine line. So do we need the waves at all?
# A short training run will tell. A small dense network learns the formula for the gain, once for
# all noise levels and once for ours.

# %% tags=["nbval-ignore-output"]
ask("05.levels")

# %% tags=["nbval-ignore-output"] alt="Error of the gain by epoch, log scale. With v from 0.0001, the waves end far below the bare number; with v from 0.0975, the two are close, and the waves end slightly below."
embeddings = {"bare number": lambda variances: variances, "32 waves": sinusoidal_embedding}
errors = {
    f"{name}, v from {lowest}": gain_errors(embed, lowest, gain_epochs)
    for lowest in (0.0001, 0.0975)
    for name, embed in embeddings.items()
}
labels = {"xlabel": "epoch, counted from 0", "ylabel": "error of the gain"}
curves(errors, **labels, logarithmic=True)

# %% [markdown]
# With all noise levels, the network learns the gain to about 0.01 from the waves, and the bare
# number is far behind. With our levels there is little between the two, and for the first half the
# bare number is ahead: there is nothing fast to learn, and the fast waves are in the way. So the
# waves belong to schedules that visit nearly clean images. We keep them, as Béres's [DDIM
# example](https://keras.io/examples/generative/ddim/) does (see lab 07), because they cost nothing
# and you may change the schedule.
#
# > **Other inputs.** A logarithm stretches the low noise levels, too. Karras et al. (2022) pass
# > $\tfrac14\ln\sigma$, where $\sigma$ is the noise rate divided by the signal rate, and Kingma et
# > al. (2021) the log-SNR of lab 03, which is $-2\ln\sigma$. Both then make waves of this number.

# %% [markdown]
# ## 3 · The residual block: only say what to change
#
# Walking back and forth takes many layers, and deep stacks of layers train badly. The cure (He et
# al. 2016) is an addition. Instead of computing its output from scratch, a block computes a
# *change* and adds it to its input:
#
# $$\text{out} = x + F(x).$$
#
# If the block has nothing to say, $F = 0$ and $x$ passes through unchanged. On the way back, the
# gradient also passes through the plus sign unchanged. Our block is the one from Béres's DDIM
# example for Keras:
#
#     x ──┬── BatchNorm ── conv 3 × 3, swish ── conv 3 × 3 ── + ── out
#         └───────── (conv 1 × 1, if widths differ) ───────────┘
#
# ### Exercise 5.2 · `residual_block`
# *Difficulty ●●○ · 15 minutes*
#
# Write it in Keras's functional style: `layers.Conv2D(width, 3, ...)(x)` applies a layer to `x`.
# The normalisation has no shift and no scale (`center=False, scale=False`), because the convolution
# after it can learn both (the shift not exactly at the border, because of the padding). The second
# convolution has no activation. If `x` does not have `width` channels yet, the shortcut needs a 1 ×
# 1 convolution, also without activation; otherwise it needs none.
#
# <details><summary>Hint 1: what to keep</summary>
#
# Put the shortcut into a variable *before* the first layer: `shortcut = x`. Everything after that
# may overwrite `x`.
# </details>
# <details><summary>Hint 2: the layers</summary>
#
# The text names all layers, in their order. Which `padding` lets a convolution keep the size of the
# image? And which of the two convolutions has the swish? `layers.Add()` adds a list of tensors, and
# the last entry of `x.shape` says whether the shortcut needs a layer at all.
# </details>


# %% exercise="residual_block" points=6
def residual_block(x, width):
    """x plus two 3 × 3 convolutions of the normalised x, the first with swish.

    x: a Keras tensor, (B, H, W, C).   width: the number of channels of the result.
    If C is not `width`, a 1 × 1 convolution gives x that many channels.   Returns (B, H, W, width).
    """
    ### BEGIN SOLUTION
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
    x = layers.Conv2D(width, 3, padding="same")(x)
    return layers.Add()([shortcut, x])
    ### END SOLUTION


# %% check="residual_block"
checks.residual_block(residual_block)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The shortcut starts at the raw `x`. After the normalisation, `x` would have lost its scale, and no
# block could pass anything on unchanged. With an activation after the second convolution, the block
# could add hardly anything but positive numbers. A 1 × 1 convolution mixes the channels of one
# pixel and looks nowhere else.
# </details>

# %% [markdown]
# **The identity for free.** Set the last convolution to zero, and the block returns exactly its
# input. Many U-Nets (DDPM's, and the one drawn above) *start* like that. However many such blocks
# are stacked, before training they pass their input through, and each block starts to speak when it
# has learned something worth saying.

# %%
features = keras.Input((8, 8, 16))
block = keras.Model(features, residual_block(features, 16))
last_convolution = [layer for layer in block.layers if isinstance(layer, layers.Conv2D)][-1]
last_convolution.set_weights([np.zeros_like(weight) for weight in last_convolution.get_weights()])
x = keras.random.normal((4, 8, 8, 16), seed=0)
print("largest change:", np.abs(ops.convert_to_numpy(block(x) - x)).max())

# %% [markdown]
# How much is the plus sign worth? We build a tower of such blocks, and a second one in which only
# the addition is missing: we subtract $x$ from the block's result, which cancels it. We train both
# for a few seconds to find the noise in noisy flowers.

# %% tags=["nbval-ignore-output"]
ask("05.depth")

# %% tags=["nbval-ignore-output"] alt="Loss by epoch. With the addition it falls quickly to below 0.3; without it, the loss only creeps down from 1 to below 0.8."
sizes = {"image_size": image_size, "batch_size": num_images, "count": num_images}
batch = load_dataset(data, "train", **sizes)[0]
training_images = (batch - batch.mean()) / batch.std()
blocks = {
    "with the addition": residual_block,
    "without": lambda x, width: residual_block(x, width) - x,
}
losses = {}
for name, build in blocks.items():
    keras.utils.set_random_seed(0)
    tall_network = tower(build, tower_blocks, image_size=image_size)
    losses[name] = noise_losses(tall_network, training_images, epochs)
curves(losses, xlabel="epoch, counted from 0", ylabel="loss (1 = learned nothing)")

# %% [markdown]
# A third tower is like the first, but its first layer receives the bare noise variance instead of
# the waves. The noise variances in this short run start at 0.01. Do the waves help here?

# %% tags=["nbval-ignore-output"] alt="Loss by epoch for the 32 waves and the bare number. Both fall alike, from over 0.7 to about 0.25; the bare number is always slightly lower."
keras.utils.set_random_seed(0)
bare = {"image_size": image_size, "embed": lambda variances: variances}
bare_losses = noise_losses(tower(residual_block, tower_blocks, **bare), training_images, epochs)
waves_and_number = {"32 waves": losses["with the addition"], "bare number": bare_losses}
curves(waves_and_number, xlabel="epoch, counted from 0", ylabel="loss (1 = learned nothing)")

# %% [markdown]
# No: the bare number is even a little ahead, probably for the same reason as before: there is
# hardly anything fast to learn at these noise levels. This was a short run, with a few hundred
# images, so it says little about a long one. But it says that the waves are not what makes a
# diffusion model work.
#
# ## 4 · Scale and shift: the noise level reaches every block
#
# In the network of Béres's DDIM example, and in the towers above, only the first layer receives the
# waves. All later layers must pass the noise level on, next to everything else that they have to
# say. The network drawn above does not rely on that. Two dense layers turn the waves into an
# **embedding** $e$, and *every* residual block uses it to **scale and shift** the channels between
# its two convolutions:
#
#     noise level ─ waves ─ dense ─ dense ─ e ─────┬──────────────────────┬─── … to all blocks
#                                           scale, shift            scale, shift
#                                                  ↓                      ↓
#     x ─┬─ norm, swish, conv ─ norm ─ · (1 + scale) + shift ─ swish, conv ─ + ─ next block
#        └───────────────────────────────────────────────────────────────────┘
#
# In a formula, with a dense layer $s$ for the scale and another one $t$ for the shift,
#
# $$\operatorname{modulate}(x, e) = x \cdot \big(1 + s(e)\big) + t(e) .$$
#
# Each image gets one scale and one shift per channel, the same for all its pixels. So the block can
# switch a detector of fine edges off when the noise would set it off everywhere. The 1 is there so
# that a scale of 0 leaves $x$ alone. This is called FiLM, feature-wise linear modulation (Perez et
# al. 2018); Nichol and Dhariwal (2021) brought it into diffusion models. DDPM only shifts.
#
# ### Exercise 5.3 · `modulate`
# *Difficulty ●○○ · 10 minutes*
#
# <details><summary>Hint 1: the layers</summary>
#
# `layers.Dense(n)` makes `n` numbers from the last axis of its input. How many does one image need?
# `x.shape[-1]` is the number of channels. Both layers are linear, with a bias, as Keras makes them.
# </details>
# <details><summary>Hint 2: the shapes</summary>
#
# A dense layer turns the embedding (B, 1, 1, E) into (B, 1, 1, C). Next to x, (B, H, W, C), this
# broadcasts over all pixels. Keras tensors can be added and multiplied with `+` and `*`.
# </details>


# %% exercise="modulate" points=4
def modulate(x, embedding):
    """Scales and shifts the channels of x, by numbers that two dense layers make of the embedding.

    x: a Keras tensor, (B, H, W, C).   embedding: a Keras tensor, (B, 1, 1, E).
    Scale 0 and shift 0 leave x unchanged.   Returns (B, H, W, C).
    """
    ### BEGIN SOLUTION
    channels = x.shape[-1]
    scale, shift = layers.Dense(channels)(embedding), layers.Dense(channels)(embedding)
    return x * (1 + scale) + shift
    ### END SOLUTION


# %% check="modulate"
checks.modulate(modulate)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The two layers have different weights in each block, so every block makes something different of
# the same embedding. One dense layer with $2C$ outputs, split into halves, does the same.
# </details>

# %% [markdown]
# Here is a block with your function in it, the one of the network drawn above. (We leave out the
# shortcut's convolution.)


# %%
def modulated_block(x, embedding):
    width = x.shape[-1]
    change = layers.Activation("swish")(layers.GroupNormalization(8)(x))
    change = layers.Conv2D(width, 3, padding="same")(change)
    change = modulate(layers.GroupNormalization(8)(change), embedding)
    change = layers.Activation("swish")(change)
    return x + layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(change)


x, embedding = keras.Input((32, 32, 32)), keras.Input((1, 1, 128))
block = keras.Model([x, embedding], modulated_block(x, embedding))
print(f"{block.count_params():,} parameters, of which scale and shift {2 * (128 + 1) * 32:,}")

# %% [markdown]
# What do trained scales look like? These are five channels in the last block of the network drawn
# above, for all noise levels of its schedule.

# %% alt="1 + scale of five channels over the noise variance. Channel 3 rises from below 0 to over 3, channels 0 and 1 fall below 0, and channel 5 is almost flat."
v = np.linspace(0.0975, 0.9996, 100, dtype="float32").reshape(-1, 1, 1, 1)
scales = channel_scales(network, 9, v)
channels = {f"channel {channel}": (v.ravel(), scales[:, channel]) for channel in (0, 1, 3, 5, 7)}
curves(channels, xlabel="noise variance v", ylabel="1 + scale")

# %% [markdown]
# Channel 3 hardly counts in clear images and counts most in noisy ones. Channels 0 and 1 count most
# in clear images, and near pure noise they change their sign. So the same weights act as a
# different network at every noise level. Section 8 shows what is lost without them.
#
# ## 5 · Down, up, and the skips: the tracing paper
#
# *Down* is simple: average 2 × 2 pixels into one, or convolve with stride 2, as the network drawn
# above does. Every halving doubles how far a 3 × 3 convolution sees, and cuts the arithmetic to a
# quarter.
#
# *Up* is the interesting half. If you enlarge a small picture, you get a coarse one, and nobody
# knows any more where exactly the edges were. So every block on the way down stores its result, and
# every block on the way up gets one back, **concatenated** to its input as additional channels.
# They come back like plates from a stack: the plate stored last is on top, and it has exactly the
# size that is needed now.
#
# ### Exercise 5.4 · `up_block`
# *Difficulty ●●○ · 10 minutes*
#
# Write one level of the way up. Enlarge once. Then, `block_depth` times: take a skip, concatenate
# it, and apply the block.
#
# <details><summary>Hint</summary>
#
# `layers.UpSampling2D` repeats pixels, and `layers.Concatenate` joins a list of tensors along their
# channels. Which method of a list returns its last entry *and removes it*? And what has to happen
# once, what in each round?
# </details>


# %% exercise="up_block" points=4
def up_block(x, skips, block, block_depth):
    """One level of the way up.

    x: (B, H, W, C).   skips: a list of tensors, the newest last; the used ones are removed.
    block: a function of one tensor.   block_depth: the number of calls to the block.
    Makes x twice as large (nearest pixel). Each block then receives x and the channels of a skip.
    Returns the last block's result, (B, 2H, 2W, ...).
    """
    ### BEGIN SOLUTION
    x = layers.UpSampling2D(2)(x)
    for _ in range(block_depth):
        x = block(layers.Concatenate()([x, skips.pop()]))
    return x
    ### END SOLUTION


# %% check="up_block"
checks.up_block(up_block)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# A stack is last in, first out: the walk up meets the sizes of the walk down in reverse. If you
# concatenate, the next convolution can learn how to combine the two; if you added them, that would
# already be decided.
# </details>

# %% [markdown]
# Now we build the whole network from your pieces. This is the network of the Keras DDIM example,
# except that ours repeats pixels where that one interpolates. `continuous_inputs` creates the two
# inputs and spreads the waves over the image. `keep_skips=False` erases what the skips *say* but
# leaves them in place, so that both versions have the same layers and the same number of weights.


# %%
def my_unet(image_size, widths, depth=1, keep_skips=True):
    noisy_images, noise_variances, embedding = continuous_inputs(image_size, 3, embedding_dims=32)
    x = layers.Concatenate()([layers.Conv2D(widths[0], 1)(noisy_images), embedding])
    skips = []
    for width in widths[:-1]:
        for _ in range(depth):
            x = residual_block(x, width)
            skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    for _ in range(depth):
        x = residual_block(x, widths[-1])
    if not keep_skips:
        skips = [0 * skip for skip in skips]
    for width in reversed(widths[:-1]):
        x = up_block(x, skips, partial(residual_block, width=width), depth)
    return keras.Model([noisy_images, noise_variances], output_convolution(3)(x))


# %%
sizes = 64, (32, 64, 96, 128), 2  # image size, widths, depth
for name, built in {"yours": my_unet(*sizes), "the package's": residual_unet(*sizes)}.items():
    print(f"{name:14} {built.count_params():,} parameters")
print(f"{'lab 04':14} {plain_cnn().count_params():,} parameters, and a keyhole of 21 pixels")

# %% [markdown]
# > **A condition that skips a step.** Nain's [DDPM example for
# > Keras](https://keras.io/examples/generative/ddpm/) shrinks the image
# > `if widths[i] != widths[-1]`, and means "unless this is the last level". For widths 32, 64, 64
# > the second level compares 64 with 64, so the image is not shrunk. Compare positions, not widths:
# > `if i < len(widths) - 1`.
#
# Both versions now train for a few seconds, like the towers.

# %% tags=["nbval-ignore-output"] alt="Loss by epoch. With skips it drops from 0.85 to below 0.3; with the skips silenced it stays close to 1."
losses = {}
for name, keep_skips in {"with skips": True, "skips silenced": False}.items():
    keras.utils.set_random_seed(0)
    small_unet = my_unet(image_size, widths, keep_skips=keep_skips)
    losses[name] = noise_losses(small_unet, training_images, epochs)
curves(losses, xlabel="epoch, counted from 0", ylabel="loss (1 = learned nothing)")

# %% [markdown]
# Without skips the network learns next to nothing. Noise is a different number in every pixel, and
# all of them would have to go through the bottom, which has room for only two thirds of them. Even
# those are hard to pack and to unpack. Keep that in mind for the question of section 6.
#
# ### Batch or group normalisation?
#
# Your block uses batch normalisation, as the Keras DDIM example does. The network drawn above uses
# **group normalisation** (Wu and He 2018). Both subtract a mean and divide by a standard deviation,
# but they take them from different numbers. BatchNorm takes them from one channel of *all images in
# the batch*, and after training it uses running averages instead. GroupNorm takes them from a group
# of channels of *one image*, always.
#
# We train your network twice, with the same images and the same seed, each for a few thousand
# images. In the second one, GroupNorm takes the place of each BatchNorm. (The loss is the one of
# lab 07. The samples come from an exponential moving average (EMA) of the weights, which lab 06
# introduces. KID, from lab 08, is a distance between samples and unseen flowers; lower is better.)

# %% tags=["nbval-ignore-output"]
ask("05.normalisation")

# %% tags=["nbval-ignore-output"] alt="Eight samples each, from the same noise: coloured blobs on green, not flowers yet. With GroupNorm, the colours are stronger and the blobs have clearer edges."
few_images = load_dataset(data, "train", image_size, batch_size=16, count=race_images)
unseen = load_dataset(data, "validation", image_size, batch_size=256, count=256).images
kid, rivals = ValidationKID(unseen, steps=10), {}
for name, change in {"BatchNorm": lambda network: network, "GroupNorm": with_group_norm}.items():
    keras.utils.set_random_seed(0)
    rivals[name] = trained_once(change(my_unet(image_size, widths)), few_images)
    value, error = kid.with_standard_error(rivals[name])
    print(f"{name}: KID {value:.2f} ± {error:.2f}")
show_rows({name: rival.generate(8, sampling_steps, seed=1) for name, rival in rivals.items()})

# %% [markdown]
# Where does the difference come from? Here is the error of the predicted velocity (lab 07) for
# unseen flowers, at each diffusion time:

# %% tags=["nbval-ignore-output"] alt="Error of the velocity over diffusion time. Both curves are low in the middle and rise to noise; GroupNorm is lower at both ends, most of all near 0.85."
times = np.linspace(0.05, 1, 20)
errors = {
    name: (times, velocity_errors(rival, unseen / 255, times)) for name, rival in rivals.items()
}
curves(errors, xlabel="diffusion time", ylabel="error of the velocity")

# %% [markdown]
# After so few images neither draws flowers. But GroupNorm is far ahead: in our runs with four
# seeds, its KID was 1.7 to 2.4, and 2.8 to 3.3 with BatchNorm.
#
# In the middle, the curves are close. They part where an image is nearly clean, and most of all
# where it is nearly noise, and that is where a sampler starts. (A network that always answers 0 has
# an error of about 1. So near pure noise both are worse than that: after so few images they have
# learned nothing there, and the loss gives these times little weight.) This fits the difference
# between the two layers: BatchNorm learned its averages from batches that mix all noise levels, so
# they suit a noise level in the middle, and neither end. GroupNorm has no averages to learn.
#
# > **Two warnings.** You will often read another reason: the running averages belong to the raw
# > weights, but the images are generated with the EMA weights. We tried the raw weights, and they
# > had the same KID. (The package averages the running averages as well.) And the network counts,
# > too. A small one of the kind drawn above, with scales and shifts in each block, showed no clear
# > difference after this short training: with two seeds 1.8 and 2.4 with BatchNorm, 2.7 and 2.3
# > with GroupNorm. The network drawn above did show one after 20,000 images of 32 × 32 pixels: 2.10
# > and 1.20, in [one run each](../docs/benchmarks/recipes.md).
#
# ## 6 · What the skips do: switch them off and see
#
# Back to the big network, which is already trained. `rewired` makes a copy with the same weights,
# in which we can tamper with all layers of one kind. Whatever breaks was the work of that piece.

# %% tags=["nbval-ignore-output"]
ask("05.skips")


# %%
def silence(pixels, layer, parts):
    """Concatenates as before, but with zeros in place of the skips of these sizes."""
    x, skip = parts
    return layer([x, 0 * skip if skip.shape[1] in pixels else skip])


def separate(network, noisy_images, noise_rates, signal_rates, told=None):
    """(pred_noises, pred_images); the network receives the variance `told`, or the true one."""
    velocity = network([noisy_images, noise_rates**2 if told is None else told])
    return from_velocity(velocity, noisy_images, noise_rates, signal_rates)


# %% tags=["cover"] alt="Rows of flowers predicted from noisy ones. Without skips at 32, or any, they are grainy; without those at 16 blurred; without those at 8 almost whole."
without_skips = {}
for name, pixels in {"at 32": [32], "at 16": [16], "at 8": [8], "at all": [32, 16, 8]}.items():
    silenced = rewired(network, layers.Concatenate, partial(silence, pixels))
    without_skips[f"no skips {name}"] = silenced


def compare_networks(networks, diffusion_time):
    """The predicted images of several networks, and how far they are from the truth."""
    noisy, *rates = corrupt(diffusion_time)
    rows = {"clean": flowers, f"noisy, time {diffusion_time}": for_the_screen(noisy)}
    for name, other in networks.items():
        pred_images = separate(other, noisy, *rates)[1]
        rows[name] = for_the_screen(pred_images)
        print(f"{name:16} error {np.sqrt(np.mean((rows[name] - flowers) ** 2)):.3f}")
    show_rows(rows)


compare_networks({"whole": network} | without_skips, diffusion_time=0.5)

# %% [markdown]
# The finest skips carry the grain. Without them the network still knows the colour and the place of
# everything. But it cannot say which pixel got which noise, so the noise stays in. The skips at 16
# carry the edges of the petals: without them the flowers are blurred. The network hardly needs the
# coarse skips at 8 (they are inside the lowest box of the drawing), because the way through the
# bottom has the same resolution there.
#
# ## 7 · Attention: every pixel looks at every other
#
# At the bottom, where only 8 × 8 pixels are left, there is one layer of a different kind. Each
# pixel makes a *query* $q$ (what am I looking for?), a *key* $k$ (what do I have?) and a *value*
# $v$ (what do I tell others?), each with a dense layer from the normalised $x$. A pixel collects
# the values of all pixels, weighted by how well their keys match its query (Vaswani et al. 2017),
# and adds them to what it was:
#
# $$\text{out} = x + \mathrm{softmax}\!\left(\frac{q\,k^\top}{\sqrt C}\right) v .$$
#
# In this formula the pixels of an image are the rows of $q$, $k$ and $v$: all $H \cdot W$ of them,
# whatever their place. So $q\,k^\top$ has a row for each pixel that asks, and a column for each
# pixel that may answer. The square root keeps the products small, so that the softmax does not
# listen to a single pixel from the start.
#
# ### Exercise 5.5 · `pixel_attention`
# *Difficulty ●●○ · 15 minutes*
#
# The layers are given: `normalise`, `query`, `key` and `value` are functions from (B, H, W, C) to
# (B, H, W, C). What you add at the end is `x` as it came in, *not* the normalised one, for the
# reason that you met in exercise 5.2.
#
# <details><summary>Hint 1: pixels as rows</summary>
#
# In the formula, an image is a matrix with a row for each pixel. How many rows are that, and how
# many columns? `ops.reshape` makes it so, for the whole batch at once. Which shape do you need at
# the end?
# </details>
# <details><summary>Hint 2: the product</summary>
#
# `ops.matmul` multiplies the last two axes and leaves the batch alone. `ops.transpose` takes the
# new order of the axes: which order swaps the last two only? The result has a row for each pixel
# that asks: check its shape with `print`.
# </details>
# <details><summary>Hint 3: the softmax</summary>
#
# The weights of each pixel that *asks* must add up to 1. `ops.softmax` normalises the last axis,
# unless told otherwise. Which axis belongs to the pixels that answer?
# </details>


# %% exercise="pixel_attention" points=6
def pixel_attention(x, normalise, query, key, value):
    """x plus what each pixel collects from all pixels of its image.

    x: (B, H, W, C).   normalise, query, key, value: functions from (B, H, W, C) to (B, H, W, C);
    the last three receive the normalised x.   Returns (B, H, W, C).
    """
    ### BEGIN SOLUTION
    batch, height, width, channels = x.shape
    normalised, pixels = normalise(x), (batch, height * width, channels)
    q, k, v = (ops.reshape(part(normalised), pixels) for part in (query, key, value))
    weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / channels**0.5)
    return x + ops.reshape(ops.matmul(weights, v), x.shape)
    ### END SOLUTION


# %% check="pixel_attention"
checks.pixel_attention(pixel_attention)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Nothing in it depends on where a pixel is, only on what it holds: shuffle the pixels, and the
# result is shuffled in the same way. Real blocks apply one more dense layer to the collected values
# before they add them, and initialise it with zeros, so that the block starts as the identity.
# </details>

# %% [markdown]
# Your function and the layer `PixelAttention` of the package should agree:

# %%
x = keras.random.normal((2, 8, 8, 16), seed=3)
normalise, *parts = layers.GroupNormalization(8), *(layers.Dense(16) for _ in range(3))
package = x + PixelAttention()(*(part(normalise(x)) for part in parts))
largest = float(ops.max(ops.abs(pixel_attention(x, normalise, *parts) - package)))
print("largest difference:", round(largest, 5))

# %% [markdown]
# A convolution looks at fixed neighbours. Attention looks wherever it finds what it is looking for.
# Where do the pixels of the trained network look? The cross marks the pixel that asks; those that
# it listens to are in full light, and the others are dimmed.

# %% alt="Six flowers, and below each two dimmed copies. With the cross in the middle, parts of the flower light up; in a corner, the background at the border."
noisy, noise_rate, _ = corrupt(0.6)
weights = attention_weights(network, noisy, noise_rate**2)
show_attention(flowers[:6], weights[:6], places=[(3, 4), (0, 0)])
print("weights of each pixel add up to", weights.sum(-1).mean().round(3))

# %% [markdown]
# Nobody taught it that, and yet a pixel inside the flower listens to the flower, and a pixel in the
# corner listens along the border, often all around the picture. And what do we lose if nobody
# listens to anybody?

# %% alt="Rows clean, noisy, whole and no attention. From heavy noise, the whole network finds soft flowers in the right colours; without attention they are duller or wrong."
deaf = rewired(network, PixelAttention, lambda layer, query, key, value: 0 * value)
compare_networks({"whole": network, "no attention": deaf}, diffusion_time=0.8)

# %% [markdown]
# The honest answer is: not much. The shapes stay, but the colours are duller, and some are wrong.
# In pictures of 32 × 32, the convolutions at the bottom already reach nearly everywhere. Attention
# earns its place in larger pictures, where the two eyes of a face must match across 200 pixels. Its
# cost grows with the *square* of the number of pixels, which is why we use it only at the bottom.
#
# > **The residual that is not x.** The attention block of Nain's [DDPM example for
# > Keras](https://keras.io/examples/generative/ddpm/) normalises its input and then adds back the
# > *normalised* input instead of the original one. So the block can never be the identity, and it
# > forgets how large its input was. Here, both kinds receive the same pixels, first unchanged and
# > then multiplied by three:

# %%
x, normalise = keras.random.normal((8, 8, 8, 16), seed=2), layers.GroupNormalization(8)
blocks = {
    "adds x": lambda x: attention_block(x, groups=8),
    "adds the normalised x": lambda x: attention_block(normalise(x), groups=8),
}
for name, block in blocks.items():
    sizes = [f"{float(ops.std(block(factor * x))):.1f}" for factor in (1, 3)]
    print(f"{name:22} size of the output for x and 3x: {', '.join(sizes)}")

# %% [markdown]
# ## 8 · The wrong noise level: lie to it
#
# The waves of section 2 reach every block by the scales and shifts of section 4, and tell it one
# thing: how noisy the image is. Does the network listen?

# %% tags=["nbval-ignore-output"]
ask("05.told_wrong")

# %% alt="Predictions for five noise variances told to the network. If the number is too small, flowers are pale and grainy; if too large, glaring; the true one is clean."
noisy, *rates = corrupt(0.5)
truth = float(rates[0][0, 0, 0, 0] ** 2)
rows = {"noisy": for_the_screen(noisy)}
for told in (0.15, 0.35, truth, 0.8, 0.95):
    variances = ops.full((len(flowers), 1, 1, 1), told)
    rows[f"told {told:.2f}" + (", true" if told == truth else "")] = for_the_screen(
        separate(network, noisy, *rates, told=variances)[1]
    )
show_rows(rows)

# %% [markdown]
# It believes every word. If we claim too little noise, it removes a trace and leaves the rest. If
# we claim too much, it gives up on the noisy image and predicts a whole flower. This flower is then
# added to the one that is still there (for nearly pure noise, the velocity is minus the image, and
# the formula of section 1 subtracts it): the colours are glaring, and the grain stays as well.
#
# If your own samples ever look like one of these rows, compare the noise level that the network
# receives with that of the image. Béres's example uses the variance, Nain's the timestep, and
# Karras et al. (2022) a logarithm. A network that is trained with one and sampled with another is
# lied to at every step.
#
# And what if we tell it nothing? In one copy we set all scales to 0, and in another all shifts. (In
# this network, the shift is the third part of a sum.)


# %% alt="Rows clean, noisy, whole, no scales and no shifts. The whole network predicts soft flowers; no scales makes them dull and grainy, no shifts a little duller."
def without_shift(layer, parts):
    return layer([*parts[:2], 0 * parts[2]] if len(parts) == 3 else parts)


uninformed = {
    "no scales": rewired(network, layers.Multiply, lambda layer, parts: 0 * parts[0]),
    "no shifts": rewired(network, layers.Add, without_shift),
}
compare_networks({"whole": network} | uninformed, diffusion_time=0.8)

# %% [markdown]
# Without the shifts the flowers become a little duller. Without the scales the network no longer
# knows that it should trust its own idea of a flower more than the noisy pixels.
#
# ## 9 · Sampling with a wounded network
#
# A single predicted image forgives a lot. Sampling is harder: in twenty steps, every small error is
# fed back in. Here is what each of our networks makes of the same noise:

# %% alt="Samples from the same noise. The whole network gives clear flowers; no attention dulls them, no skips at 16 blurs them, no skips at 32 leaves them full of grain."
initial_noise = keras.random.normal((8, 32, 32, 3), seed=5)
networks = {"whole": network, "no attention": deaf}
networks |= {name: without_skips[name] for name in ("no skips at 16", "no skips at 32")}
rows = {}
for name, other in networks.items():
    denoise = partial(separate, other)
    samples = ddim(denoise, model.diffusion_schedule, initial_noise, sampling_steps)
    rows[name] = for_the_screen(samples)
show_rows(rows)

# %% [markdown]
# Without attention the colours fade, much more than in a single predicted image. (This shows what
# *this* network uses its attention for, not that a network needs it: after 20,000 images, one
# trained without attention has a KID of 1.17, one with it 1.20, one run each.) Without the skips at
# 16 everything is blurred. Without the finest skips, the noise that is not found in one step is
# still there in the next, right until the end.
#
# ## What you have now
#
# * The **embedding** turns one number into the hands of a clock, so that a layer can react to small
#   differences in noise. **Scale and shift** bring it to every block.
# * The **residual block** only says what to change, so that deep networks train; if its last layer
#   is zero, it is the identity.
# * **Down** makes the network see far, **up** brings it back, and the **skips** tell it where
#   exactly everything was: most of all the noise.
# * **Attention** lets distant pixels talk; the larger the picture, the more it helps.
#
# You have a network that can draw. In **lab 06** you train one, and write every line of the
# training step yourself.
#
# **Read on**
# * Ronneberger, Fischer and Brox (2015), [U-Net: convolutional networks for biomedical image
#   segmentation](https://arxiv.org/abs/1505.04597): the original, for microscope images.
# * Dhariwal and Nichol (2021), [Diffusion models beat GANs on image
#   synthesis](https://arxiv.org/abs/2105.05233): section 3 compares the parts of the network.
# * Nain (2022), [Denoising diffusion probabilistic model](https://keras.io/examples/generative/ddpm/):
#   the example for Keras whose two slips you met above.
# * Peebles and Xie (2023), [Scalable diffusion models with
#   transformers](https://arxiv.org/abs/2212.09748): what came after the U-Net.
