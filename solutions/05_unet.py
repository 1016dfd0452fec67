# %% [markdown]
# # Lab 05 · The U-Net, piece by piece
#
# **After this lab you can**
# * tell a network how noisy an image is, in a form that it can use,
# * write a residual block, and say why a deep network trains well with it and badly without it,
# * build a U-Net from your own pieces,
# * say what each piece is for, because you have switched it off and looked.
#
# **Time**: about 60 minutes of your time; the computer needs 2 minutes on a laptop, and also 2 on a
# GPU (where it does more).
#
# **Before**: labs 02 and 03. Lab 04, where a plain network fails, shows why you need this one.

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
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.influence import influence
from diffusion_lab.labs.lab05.experiments import (
    attention_weights,
    far_share,
    noise_losses,
    rewired,
    tower,
)
from diffusion_lab.labs.lab05.pictures import (
    draw_unet,
    embedding_map,
    show_attention,
    show_influence,
)
from diffusion_lab.labs.pictures import curves, show_rows
from diffusion_lab.labs.questions import ask
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


# %%
noisy_images, noise_rates, signal_rates = corrupt(0.6)
_, pred_images = model.denoise(noisy_images, noise_rates, signal_rates, training=False)
draw_unet(network, for_the_screen(noisy_images)[0], for_the_screen(pred_images)[0])
print(f"{network.count_params():,} parameters in all")

# %% [markdown]
# The plain network of lab 04 always has its nose to the wall. Each of its ten 3 × 3 convolutions
# lets a pixel see one pixel further. So each output pixel sees a square of $2 \cdot 10 + 1 = 21$
# pixels across, and nothing outside this square exists for it. How far does this U-Net look?

# %% tags=["nbval-ignore-output"]
ask("05.far")

# %% [markdown]
# We can measure it. Take the green value of the middle output pixel. Its gradient says how much
# each pixel of the input changes it. Bright means a lot; the dashed square is all that the plain
# network of lab 04 could ever see.

# %%
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
# of it, where $v$ is the noise variance: 91 % at $v = 0.001$, half at 0.01, 8 % at 0.1. All of this
# happens in the first tenth of the scale.
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
# `np.geomspace(1, 1000, 16)` gives them; so does
# `np.exp(np.linspace(np.log(1), np.log(1000), 16))`. TensorFlow is strict about types, so add
# `.astype("float32")`.
# </details>
# <details><summary>Hint 2: the shapes</summary>
#
# Variances `(B, 1, 1, 1)` times frequencies `(16,)` gives `(B, 1, 1, 16)`, without any reshape.
# `ops.concatenate` with `axis=-1` joins the two halves.
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
# 0.002.

# %%
embedding_map(sinusoidal_embedding)

# %% [markdown]
# Does it help? Take two noise levels that are close together, one 10 % above the other. How far
# apart are they for a layer that sees the bare number, and for one that sees your waves?

# %%
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
# thousands to tell them apart. The waves keep them apart at every level, and the layers after them
# can react as sharply as they need to.

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
# gradient also passes through the plus sign unchanged. Our block is the one from the DDIM
# assignment:
#
#     x ──┬── BatchNorm ── conv 3 × 3, swish ── conv 3 × 3 ── + ── out
#         └───────── (conv 1 × 1, if widths differ) ───────────┘
#
# ### Exercise 5.2 · `residual_block`
# *Difficulty ●●○ · 15 minutes*
#
# Write it in Keras's functional style: `layers.Conv2D(width, 3, ...)(x)` applies a layer to `x`.
# The normalisation has no centre and no scale, because the convolution after it can learn both. The
# second convolution has no activation. If `x` does not have `width` channels yet, the shortcut
# needs a 1 × 1 convolution, also without activation; otherwise it needs none.
#
# <details><summary>Hint 1: what to keep</summary>
#
# Put the shortcut into a variable *before* the first layer: `shortcut = x`. Everything after that
# may overwrite `x`.
# </details>
# <details><summary>Hint 2: the layers</summary>
#
# `layers.BatchNormalization(center=False, scale=False)`,
# `layers.Conv2D(width, 3, padding="same", activation="swish")`, the same without activation,
# `layers.Add()([a, b])`. The number of channels is `x.shape[-1]`.
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
# input. Many U-Nets (DDPM's, and the one drawn above) *start* like that. However deep it is, such
# an untrained network passes the image through, and each block starts to speak when it has learned
# something worth saying.

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

# %% tags=["nbval-ignore-output"]
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
# ## 4 · Down, up, and the skips: the tracing paper
#
# *Down* is simple: average 2 × 2 pixels into one (or convolve with stride 2). Every halving doubles
# how far a 3 × 3 convolution sees, and cuts the arithmetic to a quarter.
#
# *Up* is the interesting half. If you enlarge a small picture, you get a coarse one, and nobody
# knows any more where exactly the edges were. So every block on the way down stores its result, and
# every block on the way up gets one back, **concatenated** to its input as additional channels.
# They come back like plates from a stack: the plate stored last is on top, and it has exactly the
# size that is needed now.
#
# ### Exercise 5.3 · `up_block`
# *Difficulty ●●○ · 10 minutes*
#
# Write one level of the way up. Enlarge once. Then, `block_depth` times: take a skip, concatenate
# it, and apply the block.
#
# <details><summary>Hint</summary>
#
# `layers.UpSampling2D(2)` repeats pixels. `skips.pop()` returns the last entry of a list *and
# removes it*. `layers.Concatenate()([x, skip])` joins along the channels.
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
# Now we build the whole network from your pieces. This is the network of the DDIM assignment.
# `continuous_inputs` creates the two inputs and spreads your waves over the image.
# `keep_skips=False` erases what the skips *say* but leaves them in place, so that both versions
# have the same layers and the same number of weights.


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
# > **GroupNorm or BatchNorm?** The text of the DDIM assignment mentions GroupNorm, but its code,
# > and so our block, uses BatchNorm. It matters: BatchNorm looks at the *other images in the batch*
# > and keeps running averages, while GroupNorm looks at each image alone. The network drawn above
# > uses GroupNorm.
# >
# > **A condition that skips a step.** One source shrinks the image `if widths[i] != widths[-1]`,
# > and means "unless this is the last level". For widths 32, 64, 64 the second level compares 64
# > with 64, so the image is not shrunk. Compare positions, not widths: `if i < len(widths) - 1`.
#
# Both versions now train for a few seconds, like the towers.

# %% tags=["nbval-ignore-output"]
losses = {}
for name, keep_skips in {"with skips": True, "skips silenced": False}.items():
    keras.utils.set_random_seed(0)
    small_unet = my_unet(image_size, widths, keep_skips=keep_skips)
    losses[name] = noise_losses(small_unet, training_images, epochs)
curves(losses, xlabel="epoch, counted from 0", ylabel="loss (1 = learned nothing)")

# %% [markdown]
# Without skips the network learns next to nothing, and it *cannot* learn more: noise is a different
# number in every pixel, and those numbers do not fit through the bottleneck at the bottom. Keep
# that in mind for the next question.
#
# ## 5 · What the skips do: switch them off and see
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


# %% tags=["cover"]
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
    show_rows(rows, height=0.65)


compare_networks({"whole": network} | without_skips, diffusion_time=0.5)

# %% [markdown]
# The finest skips carry the grain. Without them the network still knows the colour and the place of
# everything. But it cannot say which pixel got which noise, so the noise stays in. The skips at 16
# carry the edges of the petals: without them the flowers are blurred. The network hardly needs the
# coarse skips at 8, because the way through the bottom has the same resolution there.
#
# ## 6 · Attention: every pixel looks at every other
#
# At the bottom, where only 8 × 8 pixels are left, there is one layer of a different kind. Each
# pixel makes a *query* $q$ (what am I looking for?), a *key* $k$ (what do I have?) and a *value*
# $v$ (what do I tell others?). A pixel collects the values of all pixels, weighted by how well
# their keys match its query (Vaswani et al. 2017):
#
# $$\mathrm{softmax}\!\left(\frac{q\,k^\top}{\sqrt C}\right) v .$$
#
# A convolution looks at fixed neighbours. Attention looks wherever it finds what it is looking for.
# Where do our pixels look? The cross marks the pixel that asks; the bright pixels are those that it
# listens to.

# %%
noisy, noise_rate, _ = corrupt(0.6)
weights = attention_weights(network, noisy, noise_rate**2)
show_attention(flowers[:6], weights[:6], places=[(3, 4), (0, 0)])
print("weights of each pixel add up to", weights.sum(-1).mean().round(3))

# %% [markdown]
# Nobody taught it that, and yet a pixel inside the flower listens to the flower, and a pixel in the
# corner listens along the border, often all around the picture. And what do we lose if nobody
# listens to anybody?

# %%
deaf = rewired(network, PixelAttention, lambda layer, query, key, value: 0 * value)
compare_networks({"whole": network, "no attention": deaf}, diffusion_time=0.8)

# %% [markdown]
# The honest answer is: very little. In pictures of 32 × 32, the convolutions at the bottom already
# reach nearly everywhere. Attention earns its place in larger pictures, where the two eyes of a
# face must match across 200 pixels. Its cost grows with the *square* of the number of pixels, which
# is why we use it only at the bottom.
#
# > **The residual that is not x.** The attention block of the DDPM lab normalises its input and
# > then adds back the *normalised* input instead of the original one. So the block can never be the
# > identity, and it forgets how large its input was. Here, both kinds receive the same pixels,
# > first unchanged and then multiplied by three:

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
# ## 7 · The wrong noise level: lie to it
#
# The waves of section 2 reach every block of the network and tell it one thing: how noisy the image
# is. Does the network listen?

# %% tags=["nbval-ignore-output"]
ask("05.told_wrong")

# %%
noisy, *rates = corrupt(0.5)
truth = float(rates[0][0, 0, 0, 0] ** 2)
rows = {"noisy": for_the_screen(noisy)}
for told in (0.15, 0.35, truth, 0.8, 0.95):
    variances = ops.full((len(flowers), 1, 1, 1), told)
    rows[f"told {told:.2f}" + (", true" if told == truth else "")] = for_the_screen(
        separate(network, noisy, *rates, told=variances)[1]
    )
show_rows(rows, height=0.65)

# %% [markdown]
# It believes every word. If we claim too little noise, it removes a trace and leaves the rest. If
# we claim too much, it gives up on the noisy image and predicts a whole flower. This flower is then
# added to the one that is still there: the colours are glaring, and the grain stays as well.
#
# If your own samples ever look like one of these rows, compare the noise level that the network
# receives with that of the image. Some courses use the variance, others the rate or the time. A
# network that is trained with one and sampled with another is lied to at every step.
#
# ## 8 · Sampling with a wounded network
#
# A single predicted image forgives a lot. Sampling is harder: in twenty steps, every small error is
# fed back in. Here is what each of our networks makes of the same noise:

# %%
initial_noise = keras.random.normal((8, 32, 32, 3), seed=5)
networks = {"whole": network, "no attention": deaf}
networks |= {name: without_skips[name] for name in ("no skips at 16", "no skips at 32")}
rows = {}
for name, other in networks.items():
    denoise = partial(separate, other)
    samples = ddim(denoise, model.diffusion_schedule, initial_noise, sampling_steps)
    rows[name] = for_the_screen(samples)
show_rows(rows, height=0.65)

# %% [markdown]
# Without attention the colours fade: the pixels of a flower no longer agree on one colour. In a
# single predicted image you could hardly see that. Without the skips at 16 everything is blurred.
# Without the finest skips, the noise that is not found in one step is still there in the next,
# right until the end.
#
# ## What you have now
#
# * The **embedding** turns one number into the hands of a clock, so that a layer can react to small
#   differences in noise.
# * The **residual block** only says what to change, so that deep networks train; if its last layer
#   is zero, it is the identity.
# * **Down** makes the network see far, **up** brings it back, and the **skips** tell it where
#   exactly everything was: most of all the noise.
# * **Attention** lets distant pixels talk; the larger the picture, the more it helps.
#
# You have a network that can draw. In **lab 06** you train one, and write every line of the
# training step yourself.
