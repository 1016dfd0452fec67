# %% [markdown]
# # Lab 04 · A first network that fails
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/04_first_network.ipynb)
#
# **After this lab you can**
# * find out why a training script learns nothing although it runs without an error,
# * build the smallest diffusion model that trains, saves, loads and generates images,
# * say what a plain stack of convolutions cannot see, and measure it.
#
# **Time**: about 50 minutes of your time; the computer needs 3 minutes without a GPU. With a GPU it
# trains on 50,000 photographs, which takes about a quarter of an hour.
#
# **Before**: lab 02 (mixing image and noise) and lab 03 (schedules).
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-04).

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
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab04.experiments import (
    Examples,
    influence_on_image,
    pixel_correlations,
    sample_with,
    value_and_gradients,
)
from diffusion_lab.labs.lab04.pictures import influence_maps
from diffusion_lab.labs.pictures import curves, show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.models.io import load_model
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import offset_cosine_diffusion_schedule

# %% [markdown]
# The next cell holds all the settings you may want to change. The checks do not depend on them.

# %%
data = lab.data("procedural_flowers", "cifar10")
image_size = lab.size(smoke=8, cpu=32, gpu=32)
width, depth = lab.size(smoke=8, cpu=64, gpu=64), lab.size(smoke=4, cpu=10, gpu=10)
batch_size = lab.size(smoke=8, cpu=16, gpu=64)
training_images = lab.amount(smoke=256, cpu=4096, gpu=50_000)
epochs = lab.amount(smoke=1, cpu=2, gpu=30)
sampling_steps = lab.amount(smoke=5, cpu=20, gpu=20)

# %% [markdown]
# ## 1 · A training script that fails: six mistakes to find
#
# Robin read about diffusion models, sat down on a Friday evening and wrote one from scratch, in
# about forty lines. It ran all night without complaint, until it tried to save what it had learned.
# The pictures that it drew on Saturday morning were static.
#
# Your job is to find out what is wrong with the script. There are **six** mistakes. None of them is
# a typo. Somebody makes each of them every day, and most of them cause no error message.
#
# Robin is invented, but the mistakes are not. A blog post has them all, and it is used as a
# debugging exercise: see [Wu and DataLab](../docs/sources.md#what-the-course-is-based-on). The code
# here is ours.
#
# Two parts of the script are right: the images, normalised to mean 0 and variance 1, and the
# network, a plain stack of convolutions.

# %% tags=["nbval-ignore-output"] alt="Eight small pictures of one flower each, pink, white, blue, red or purple, on blurred green and brown backgrounds."
dataset = load_dataset(data, "train", image_size, batch_size, count=training_images)
mean, deviation = dataset.images[:4096].mean() / 255, dataset.images[:4096].std() / 255


def normalized(images):
    return ((images - mean) / deviation).astype("float32")


def for_the_screen(images):
    return ops.clip(images * deviation + mean, 0, 1)


show_images(dataset[0][:8])


# %%
def make_network(channels=3):
    """Convolutions with BatchNormalization and ReLU, and a last one that mixes three colours."""
    network = keras.Sequential([keras.Input((None, None, channels))])
    for _ in range(depth):
        network.add(layers.Conv2D(width, 3, padding="same"))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
    network.add(layers.Conv2D(3, 1))
    return network


# %% [markdown]
# Here are the three functions of Robin's script; the loop that calls them comes below. **Read them
# before you run them**, pencil in hand. `corrupt` is the copier from lab 02: a little paler, a
# little dust, a thousand times.

# %%
rng = np.random.default_rng(0)


def corrupt(x):
    for _ in range(1000):
        x = (x + np.sqrt(0.02) * rng.normal(size=x.shape)) / np.sqrt(1.02)
    return x


def script_step(images):
    noise = rng.normal(size=images.shape)
    noisy = corrupt(noise)
    logits = make_network()(noisy)
    return ops.mean(keras.losses.categorical_crossentropy(images, logits, from_logits=True))


def script_samples(count):
    noise = rng.normal(size=(count, image_size, image_size, 3))
    logits = make_network()(noise)
    pixels = keras.random.categorical(ops.reshape(logits, (-1, 3)), 1)
    return ops.reshape(pixels, (count, image_size, image_size, 1))


# %% tags=["nbval-ignore-output"]
ask("04.loss")

# %% [markdown]
# Here is a short version of Robin's training: four batches per epoch, and three epochs instead of a
# hundred.

# %% tags=["nbval-ignore-output"]
optimizer = keras.optimizers.SGD(0.001)
for epoch in range(3):
    losses = [float(script_step(normalized(dataset[index]))) for index in range(4)]
    print(f"epoch {epoch + 1}: losses", "  ".join(f"{loss:+.2f}" for loss in losses))

# %%
try:
    model.save_weights("diffusion_model.weights.h5")
except NameError as error:
    print("NameError:", error)

# %% tags=["nbval-ignore-output"] alt="Eight squares full of black, grey and white static; no flower can be seen in any of them."
show_images(script_samples(8) / 2)

# %% [markdown]
# There are three symptoms. First, the losses: each batch has its own loss, the same in every epoch,
# and some may be below zero, where a cross-entropy has no business being. Second, a `model` that
# nobody has ever seen. And third, static in three greys, where colour pictures should be. **Write
# down what you suspect**, then read on.
#
# ## 2 · The network's input: noisy images
#
# A network can only learn from its inputs. Are the inputs of Robin's network related to the images?

# %% tags=["nbval-ignore-output"]
images = normalized(dataset[0])
noisy = corrupt(rng.normal(size=images.shape))
print(f"correlation with the images: {np.corrcoef(images.ravel(), noisy.ravel())[0, 1]:+.2f}")
print(f"variance: {noisy.var():.2f}")

# %% [markdown]
# Not at all. `corrupt` receives noise, and noise comes out. The images appear in the script only
# once, in the loss. **Mistake 1: no image ever enters the network.**
#
# The walk itself is right. It is the one from lab 02, with $\beta = 0.02/1.02$, and it keeps the
# variance at 1. It is only wasteful:

# %% tags=["nbval-ignore-output"]
ask("04.wasted")

# %% alt="Signal rate over 1,000 steps. The script's walk is close to 0 from step 400 on, while the offset cosine is still near 0.7 there and falls slowly."
steps = np.arange(1001)
walk = 1.02 ** (-steps / 2)
_, cosine = offset_cosine_diffusion_schedule((steps / 1000).astype("float32"))
named = {"the script's walk": walk, "offset cosine, lab 03": cosine}
curves(named, xlabel="step", ylabel="signal rate")
print("the walk's signal rate falls below 0.02 at step", np.argmax(walk < 0.02))

# %% [markdown]
# So we jump, as in lab 02, and the offset cosine schedule from lab 03 tells us where to.
#
# ### Exercise 4.1 · `training_pair`
# *Difficulty ●○○ · 5 minutes*
#
# Make a pair that a network can learn from: a noisy image, and what the network should find in it.
# Our network should find the **noise** (if you subtract it, multiplied by its rate, the paler image
# remains).
#
# <details><summary>Hint</summary>
#
# The rates are standard deviations: multiply the image by its signal rate, and add the noise
# multiplied by its noise rate. You already have the second value to return.
# </details>


# %% exercise="training_pair" points=3
def training_pair(images, noises, noise_rates, signal_rates):
    """What goes into the network, and what the network should find.

    images, noises: (B, H, W, C), both of unit variance.   noise_rates, signal_rates: (B, 1, 1, 1).
    Returns noisy_images, target: both (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noisy_images = signal_rates * images + noise_rates * noises
    return noisy_images, noises
    ### END SOLUTION


# %% check="training_pair"
checks.training_pair(training_pair)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The noisy image has the variance $\text{signal}^2 + \text{noise}^2 = 1$ at every level. So does
# the target, because you return the noise at full size. That is easy for a network: the scale of
# its output need not change with the level.
# </details>

# %% [markdown]
# Here is one image at eight noise levels, and the noise that the network should find in it, which
# is always the same:

# %% alt="Top row, what goes in: a pink flower drowns in noise as the noise rate rises from 0.31 to 1. Bottom row, what is to be found: the same noise every time."
times = np.linspace(0, 1, 8, dtype="float32").reshape(-1, 1, 1, 1)
noise_rates, signal_rates = offset_cosine_diffusion_schedule(times)
image = normalized(dataset[0][:1]).repeat(8, axis=0)
noise = rng.normal(size=image[:1].shape).astype("float32").repeat(8, axis=0)
noisy_images, target = training_pair(image, noise, noise_rates, signal_rates)
titles = [f"noise {rate:.2f}" for rate in np.ravel(noise_rates)]
show_rows({"goes in": for_the_screen(noisy_images), "to be found": for_the_screen(target)}, titles)

# %% [markdown]
# ## 3 · The loss: cross-entropy or squared error?
#
# Robin's loss is the softmax cross-entropy, the usual loss for classes. It compares *shares*: how
# much of the probability goes to cat, dog and bird, and how much should. It treats the three
# colours of a pixel as three classes. But colours are not shares. They do not add up to 1, and here
# many of them are even negative.
#
# Does it matter? A loss is a referee: all that the network will ever learn is to please it.

# %% tags=["nbval-ignore-output"]
ask("04.bribe")

# %% alt="Loss when the network answers k times the true noise. The squared error is lowest at k = 1; the softmax cross-entropy keeps falling in a straight line."
k = np.linspace(0, 4, 41)
true_noise = rng.normal(size=(64, 8, 8, 3)).astype("float32")
judge = keras.losses.CategoricalCrossentropy(from_logits=True)
cross_entropy = [float(judge(true_noise, x * true_noise)) for x in k.astype("float32")]
squared_error = [np.mean((true_noise - x * true_noise) ** 2) for x in k]
named = {"softmax cross-entropy": (k, cross_entropy), "mean squared error": (k, squared_error)}
curves(named, xlabel="the network answers k times the true noise", ylabel="loss")
print("lowest squared error at k =", k[np.argmin(squared_error)].round())
print("lowest softmax cross-entropy at k =", k[np.argmin(cross_entropy)].round(), "(the edge)")

# %% [markdown]
# The referee rewards exaggeration, without limit. It is also blind: add 100 to all three colours of
# every pixel, and the shares do not change. **Mistake 2: a loss for classes, where the network
# should predict numbers.**
#
# That explains the losses of section 1. An untrained network gives each of its three "classes"
# about a third. So Robin's loss only measured $\ln 3$ times the three colours of the mean pixel,
# added up: positive for bright images, negative for dark ones, and the same in every epoch.
#
# ### Exercise 4.2 · `noise_loss`
# *Difficulty ●○○ · 5 minutes*
#
# Write the loss of Ho et al. (2020): the mean squared difference between the true and the predicted
# noise, over all numbers in the batch. A gradient must flow through it, so use `keras.ops` instead
# of NumPy: NumPy forgets how a number was computed.
#
# <details><summary>Hint</summary>
#
# Errors of opposite sign must not cancel, so what do you have to do before you take the mean?
# </details>


# %% exercise="noise_loss" points=3
def noise_loss(noises, pred_noises):
    """The mean squared error, one number.

    noises: the true noise, (B, H, W, C).   pred_noises: the network's guess, of the same shape.
    """
    ### BEGIN SOLUTION
    return ops.mean(ops.square(noises - pred_noises))
    ### END SOLUTION


# %% check="noise_loss"
checks.noise_loss(noise_loss)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# When errors are squared, they cannot cancel each other, and the lowest value is 0, at the truth.
# The loss of a network that always answers 0 is the variance of the noise, which is 1. Keep that
# number in mind when you read a loss.
# </details>

# %% [markdown]
# ## 4 · New weights at every call, and one network for all batches
#
# Ask an untrained network the same question five times: how much noise is there in the first pixel
# of these images?

# %% tags=["nbval-ignore-output"]
noisy_images, target = training_pair(image, noise, noise_rates, signal_rates)
for _ in range(5):
    answer = ops.convert_to_numpy(make_network()(noisy_images))
    print("red {:+.4f}  green {:+.4f}  blue {:+.4f}".format(*answer[0, 0, 0]))

# %% [markdown]
# There are five answers. `make_network` is a **factory**: each call makes a network with new random
# weights, which is used once and thrown away. Robin's script made tens of thousands of networks,
# and used none of them twice. That also explains why, at the end, there is no `model` to save.
# **Mistake 3: a new network at every call.**
#
# ### Exercise 4.3 · `training_loop`
# *Difficulty ●○○ · 5 minutes*
#
# Rewrite the loop. `step(network, images)` lets the network learn from one batch and returns the
# loss; you will write it in the next exercise. Your loop must make sure that *one* network sees all
# the batches, and that the caller gets it back at the end.
#
# <details><summary>Hint</summary>
#
# If you create something before a loop, you can use it in every round, and after the loop.
# </details>


# %% exercise="training_loop" points=3
def training_loop(make_network, batches, step):
    """Lets one network learn from each batch in turn.

    make_network: called without arguments, makes a network.   batches: a list of images.
    step: called as step(network, images), returns the loss.
    Returns network, losses: the losses are a list, one for each batch.
    """
    ### BEGIN SOLUTION
    network = make_network()
    losses = []
    for images in batches:
        losses.append(step(network, images))
    return network, losses
    ### END SOLUTION


# %% check="training_loop"
checks.training_loop(training_loop)

# %% [markdown]
# ## 5 · The gradient step: an optimizer that is never called
#
# Robin's script has an optimizer. What does it do? We compute the loss twenty times, and compare
# the weights before and after:

# %%
optimizer = keras.optimizers.SGD(0.001)
watched = make_network()
before = watched.get_weights()
for _ in range(20):
    loss = noise_loss(target, watched(noisy_images))
moved = max(np.abs(new - old).max() for new, old in zip(watched.get_weights(), before))
print(f"after 20 losses the weights have moved by {moved}")
print("steps that the optimizer has made:", int(optimizer.iterations))

# %% [markdown]
# Nothing at all. Computing a loss teaches a network as much as reading a thermometer heats a room.
# **Mistake 4: no gradient is computed, and none is applied.** Learning from a batch takes three
# things:
#
# 1. predict, and compute the loss;
# 2. find the slope of the loss with respect to each weight: the gradient;
# 3. let the optimizer move each weight a little way downhill.
#
# For the second, use `value_and_gradients(loss_of, network)`. Its first argument is a *function*
# without arguments that computes the loss. `value_and_gradients` calls this function, records the
# computation, and returns the loss and the gradients. (If you know `tf.GradientTape`, you may use
# that instead, as lab 06 does.)
#
# ### Exercise 4.4 · `gradient_step`
# *Difficulty ●●○ · 10 minutes*
#
# Write these three things in code. Tell the network that it is being trained, with
# `network(inputs, training=True)`: its BatchNormalization then uses the statistics of this batch.
#
# <details><summary>Hint 1: the function</summary>
#
# `value_and_gradients` must be able to run your computation itself, so give it a function without
# arguments. Define it inside yours, where it can use your variables. What does it have to compute,
# from `inputs` to the loss?
# </details>
# <details><summary>Hint 2: the step</summary>
#
# The optimizer has a method `apply`. It needs to know two things: which way to go, and what to
# move. Which of the network's variables have a gradient?
# </details>


# %% exercise="gradient_step" points=4
def gradient_step(network, optimizer, loss_function, inputs, noises):
    """One step of training: the network's weights move. Returns the loss before the step.

    network: called as network(inputs, training=True), returns pred_noises.
    loss_function: called as loss_function(noises, pred_noises).   inputs, noises: (B, H, W, C).
    """
    ### BEGIN SOLUTION
    def loss_of():
        return loss_function(noises, network(inputs, training=True))

    loss, gradients = value_and_gradients(loss_of, network)
    optimizer.apply(gradients, network.trainable_variables)
    return loss
    ### END SOLUTION


# %% check="gradient_step"
checks.gradient_step(gradient_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# You must compute the prediction *inside* the function: outside it nothing is recorded, and there
# is no way back from the loss to the weights. The variables are in the same order as the gradients,
# and only trainable ones are included, because the moving averages of BatchNormalization have no
# gradient.
# </details>

# %% [markdown]
# Four mistakes are fixed. Is there a sign of life? Here are the same network, a few batches, your
# loop and your step. The optimizer is Adam, because plain gradient descent at 0.001 would need all
# of Robin's hundred epochs:

# %% tags=["nbval-ignore-output"] alt="Loss over 40 batches. Your loop starts at about 2.5, falls below the flat line of always answering 0 at about batch 6, and ends near 0.4."
optimizer = keras.optimizers.Adam(2e-3)


def step(network, images):
    diffusion_times = rng.uniform(size=(len(images), 1, 1, 1)).astype("float32")
    noises = rng.normal(size=images.shape).astype("float32")
    rates = offset_cosine_diffusion_schedule(diffusion_times)
    noisy_images, target = training_pair(normalized(images), noises, *rates)
    return float(gradient_step(network, optimizer, noise_loss, noisy_images, target))


batches = [dataset[index] for index in range(lab.amount(smoke=4, cpu=40, gpu=200))]
network, losses = training_loop(make_network, batches, step)
named = {"your loop": losses, "always answering 0": np.ones(len(losses))}
curves(named, xlabel="batch", ylabel="loss")
print(f"first batch {losses[0]:.2f}, last batch {losses[-1]:.2f}")

# %% [markdown]
# It learns.
#
# ## 6 · Sampling: out of noise, step by step
#
# Now the samples. The script passes the network's answer to `categorical` (the same as
# `tf.random.categorical`). That function samples *classes*: here, for each pixel, one of the
# numbers 0, 1 and 2. Language models choose the next word like that. But you cannot make an image
# by rolling dice for each pixel, and an answer about **noise** is not even an image. **Mistake 5:
# the pixels are sampled at random, and all in one go.**
#
# The right way is to go through the walk of lab 02 backwards. Start where the walk ended, with
# *standard normal* noise, because that is all the network saw at that end in training. Each step
# back has three parts:
#
# * **separate**: subtract the predicted noise, multiplied by its rate, and divide by the signal
#   rate. This gives a predicted image;
# * **keep it possible**: hardly any pixel of a real image is more than 3 standard deviations from
#   the mean, so clip to ±3. Early on, the signal rate is 0.02, and dividing by it makes every error
#   fifty times as large;
# * **remix**: combine image and noise again, at the *next* rates, which have a little less noise.
#
# ### Exercise 4.5 · `step_back`
# *Difficulty ●●○ · 10 minutes*
#
# Write one step back. It contains nothing random. In each pair of rates the noise rate comes first,
# as everywhere in this course.
#
# <details><summary>Hint</summary>
#
# Both the first part and the last are the formula from `training_pair`. In which of them do you
# solve it for the image? And at which of the two pairs of rates do you use it each time?
# </details>


# %% exercise="step_back" points=4
def step_back(noisy_images, pred_noises, rates, next_rates):
    """From one noise level to the next lower one.

    noisy_images, pred_noises: (B, H, W, C).
    rates, next_rates: pairs (noise_rates, signal_rates), each of shape (B, 1, 1, 1).
    Returns the noisy images at the next rates, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noise_rates, signal_rates = rates
    next_noise_rates, next_signal_rates = next_rates
    pred_images = ops.clip((noisy_images - noise_rates * pred_noises) / signal_rates, -3, 3)
    return next_signal_rates * pred_images + next_noise_rates * pred_noises
    ### END SOLUTION


# %% check="step_back"
checks.step_back(step_back)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# To separate, solve the mixing formula for the image. The remix uses the *predicted* noise: it is
# the same dust, put back in a smaller dose, so that the next step can correct this one. This is
# DDIM (Song et al. 2021), the subject of lab 07.
# </details>

# %% [markdown]
# ## 7 · The noise level as an input
#
# You cannot find the sixth mistake in any line of the script, because it is a missing line. A small
# experiment shows which one. Take images of a single grey pixel.

# %% tags=["nbval-ignore-output"]
ask("04.pixel")

# %%
rng = np.random.default_rng(6)
noise_rate = np.sin(rng.uniform(0, np.pi / 2, 1_000_000))
pixel, noise = rng.normal(size=(2, 1_000_000))
x = np.sqrt(1 - noise_rate**2) * pixel + noise_rate * noise
blind = np.mean(noise * x) / np.mean(x * x)  # the best number for all levels, by least squares
for name, factor in {"told the noise level": noise_rate, "blind": blind}.items():
    print(f"{name:22} mean squared error {np.mean((noise - factor * x) ** 2):.2f}")

# %% alt="Best guess of the noise for a pixel of 1.0, over the noise rate. The guess that is told the noise level rises from 0 to 1; the blind guess stays flat at 0.64."
rate = np.linspace(0, 1, 50)
guesses = {"told the noise level": (rate, rate), "blind": (rate, np.full(50, blind))}
curves(guesses, xlabel="noise rate", ylabel="best guess of the noise")

# %% [markdown]
# The same pixel value calls for different answers at different noise levels, and a network that
# does not know the level can only give their average. **Mistake 6: nobody tells the network how
# noisy its input is.**
#
# > **How bad is it?** With one pixel it is bad. But a picture has a thousand pixels, and they give
# > the level away: a network that sees grain everywhere can guess how much of it there is. Sun et
# > al. (2025, *Is noise conditioning necessary for denoising generative models?*) trained many
# > kinds of models without this input, and most became only slightly worse. Tell the network
# > anyway: it costs one channel, the sampler knows the level exactly, and a network that need not
# > guess cannot guess wrong.
#
# ### Exercise 4.6 · `with_noise_level`
# *Difficulty ●●○ · 10 minutes*
#
# Give each image a fourth channel: a plane that holds the image's noise *variance* at every pixel.
# Put it after the colours.
#
# <details><summary>Hint 1: the plane</summary>
#
# One number for each image is `(B, 1, 1, 1)`; the plane is `(B, H, W, 1)`. If you had a plane of
# ones, how would you get from one to the other? (`ops.ones_like` makes ones in the shape of
# something that you have.)
# </details>
# <details><summary>Hint 2: the two together</summary>
#
# `ops.concatenate` joins arrays along one of their axes. Which one grows here, from C to C + 1?
# </details>


# %% exercise="with_noise_level" points=3
def with_noise_level(noisy_images, noise_rates):
    """The noisy images with one more channel after the colours, which holds noise_rates**2.

    noisy_images: (B, H, W, C).   noise_rates: (B, 1, 1, 1).   Returns (B, H, W, C + 1).
    """
    ### BEGIN SOLUTION
    plane = ops.square(noise_rates) * ops.ones_like(noisy_images[..., :1])
    return ops.concatenate([noisy_images, plane], axis=-1)
    ### END SOLUTION


# %% check="with_noise_level"
checks.with_noise_level(with_noise_level)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Multiplying by ones spreads a number over all pixels. A convolution looks at all channels of its 3
# × 3 pixels, so every filter gets to know the level. This is the simple way; lab 05 tries another
# one, waves of the variance, and measures whether they help.
# </details>

# %% [markdown]
# ## 8 · Train, save, load, generate
#
# Here are your functions together: what the network sees, and what it must find.


# %%
def examples(images, rng):
    """From images in [0, 1] to the network's input, (B, H, W, 4), and its target, (B, H, W, 3)."""
    diffusion_times = rng.uniform(size=(len(images), 1, 1, 1)).astype("float32")
    noises = rng.normal(size=images.shape).astype("float32")
    noise_rates, signal_rates = offset_cosine_diffusion_schedule(diffusion_times)
    noisy_images, target = training_pair(normalized(images), noises, noise_rates, signal_rates)
    return with_noise_level(noisy_images, noise_rates), target


# %% [markdown]
# Your loop and your step would be enough for the training. Keras's `fit` does the same two things
# in compiled code, which is faster, so from here on we use `fit`. The learning rate falls to 0
# during training, so that the network settles. Training takes two to three minutes; watch the
# samples. (`generate` calls your step back again and again, with less noise each time, until the
# image is clean. In lab 07 you write this loop yourself.)

# %% tags=["nbval-ignore-output"] alt="Left, the training loss falls from 1 to about 0.12 and flattens. Right, twelve samples show soft patches of many colours, but no flowers."
examples_of_all = Examples(dataset, examples)
learning_rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(examples_of_all))
network = make_network(channels=4)
network.compile(keras.optimizers.Adam(learning_rate), loss=noise_loss)
noise = np.random.default_rng(1).normal(size=(16, image_size, image_size, 3)).astype("float32")
generate = lambda *arguments: sample_with(with_noise_level, step_back, *arguments)
panel = TrainingPanel(lambda: for_the_screen(generate(network, noise[:12], 8)))
network.fit(examples_of_all, epochs=epochs, verbose=0, callbacks=[panel]);

# %% [markdown]
# We save the weights and load them into a network that has never been trained. Both must give the
# same answer.

# %%
path = Path("out/lab04/first_network.weights.h5")
path.parent.mkdir(parents=True, exist_ok=True)
network.save_weights(path)
loaded = make_network(channels=4)
loaded.load_weights(path)
inputs, _ = examples(dataset[0], np.random.default_rng(0))
difference = ops.max(ops.abs(network(inputs) - loaded(inputs)))
print(f"largest difference of their answers: {float(difference):.5f}")

# %% [markdown]
# And the loaded network generates images:

# %% alt="Sixteen generated images with soft patches of many colours on dark green; none of them shows a whole flower."
show_images(for_the_screen(generate(loaded, noise, sampling_steps)))

# %% [markdown]
# The script now trains, saves, loads and generates images, but the images show no flowers. Look
# closely, though: this is no longer static. You see patches of one colour with soft edges; with
# procedural flowers, petal colours on leaf green. Each little piece could be a piece of a picture,
# but no two pieces know about each other.
#
# ## 9 · The receptive field: why it still cannot draw
#
# Does it need more training? The weights below come with the course. They were trained on 60,000
# images (20,000 flowers, three times), in ten minutes on two cores. The lower row comes from a
# U-Net (lab 05) that starts from the same noise.

# %% tags=["cover"] alt="Two rows from the same noise. The plain stack makes grainy patchworks of petal colours; the U-Net makes eight clean flowers."
plain, _ = load_model("flowers32_plain_cnn")
unet, _ = load_model("flowers32")
noise = keras.random.normal((lab.amount(smoke=4, cpu=64, gpu=64), 32, 32, 3), seed=4)
models = {"plain stack": plain, "U-Net": unet}
samples = {
    name: model.denormalize(model.sample(ddim, noise, steps=sampling_steps))
    for name, model in models.items()
}
show_rows({name: images[:8] for name, images in samples.items()})

# %% [markdown]
# (To be fair: this U-Net has seen the same flowers ten times, the plain stack three times, and the
# U-Net's loss is weighted as in lab 07, which [helps a lot](../docs/benchmarks/recipes.md). So
# compare the shapes, not the quality. But a U-Net also draws recognisable flowers after 50,000
# images. And some static is left in the upper row. The ten layers alone cannot be the reason: your
# network of section 8 has as many, and leaves less. A likely reason is the loss: this stack
# predicts the velocity (lab 07) and was trained with an unweighted squared error, which leaves
# grain in a U-Net's samples as well.)
#
# Each blossom from the plain stack has several colours, and its petals share no centre.
# How far can a pixel see?

# %% tags=["nbval-ignore-output"]
ask("04.reach")

# %% [markdown]
# We can measure it. Take the pixel in the middle of the predicted image, and compute its gradient
# with respect to each pixel of the noisy image. Where the gradient is zero, the network does not
# look.

# %% alt="Maps of the influence on the middle pixel. In the plain stack it ends within a square of 21 × 21 pixels; in the U-Net it comes from the whole image."
validation = load_dataset("procedural_flowers", "validation", 32, batch_size=64, count=64)
flowers = ops.convert_to_numpy(plain.normalizer(validation[0][:8]))
maps = {name: influence_on_image(model, flowers) for name, model in models.items()}
influence_maps(maps)
for name, seen in maps.items():
    print(f"{name}: the pixel in the middle sees {np.count_nonzero(seen)} of {seen.size} pixels")

# %% [markdown]
# 441 is 21 × 21. This square is the pixel's **receptive field**. A petal fits into it, but a flower
# with its surroundings does not. When one pixel decides to be red, a pixel 21 places away sees
# nothing of what decided it in that step. Over many steps word gets around, from neighbour to
# neighbour, but nothing in the training rewards agreement across more than those 21 pixels.
#
# If this is the reason, nearby pixels should agree in the samples, and distant ones should not.
# Here is the correlation of two pixels, as a function of their distance:

# %% tags=["nbval-ignore-output"] alt="Correlation of two pixels over their distance. The U-Net stays close to real flowers; the plain stack is lower throughout and falls to 0."
distances = range(1, 22)
pictures = {"real flowers": validation[0]} | samples
named = {
    name: (distances, pixel_correlations(images, distances)) for name, images in pictures.items()
}
curves(named, xlabel="distance in pixels", ylabel="correlation")

# %% [markdown]
# For real flowers the curve falls slowly, because a pixel at one edge of a blossom still says
# something about the other edge. The U-Net follows this curve closely, except at large distances.
# The plain stack starts lower (that is the static), and its correlation drops to nothing beyond the
# distance that its pixels can see.
#
# > **The theory behind it.** Kamb and Ganguli (2024, *An analytic theory of creativity in
# > convolutional diffusion models*) computed what a network that sees only a window *must* draw: a
# > mosaic of pieces of training images. Each piece is right, but nobody has put them together. They
# > argue that this is where hands with too many fingers come from.
#
# ## What you have now
#
# * Six questions for every training script that "does not work": What goes in? What does the loss
#   reward? Is it the same network? Do the weights move? Is the output interpreted correctly? Does
#   the network know everything it needs?
# * A diffusion model that trains, saves, loads and generates images, in six small functions.
# * A measured reason why it is not enough: a pixel sees 21 × 21 pixels.
#
# To see further, you could stack more and more layers. Or you could look at a smaller copy of the
# image, where everything is close together. That is **lab 05, the U-Net**.
#
# **Read on**
# * Karpathy (2019), [A recipe for training neural
#   networks](https://karpathy.github.io/2019/04/25/recipe/): how to find mistakes that cause no
#   error message.
# * Kamb and Ganguli (2024), [An analytic theory of creativity in convolutional diffusion
#   models](https://arxiv.org/abs/2412.20292): what a network that sees only patches can draw.
# * Sun et al. (2025), [Is noise conditioning necessary for denoising generative
#   models?](https://arxiv.org/abs/2502.13129): how far a network gets without the noise level.
