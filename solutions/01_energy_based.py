# %% [markdown]
# # Lab 01 · Energy-based models: likely images lie in valleys
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/01_energy_based.ipynb)
#
# **After this lab you can**
# * say what the Boltzmann distribution is, and why nobody can compute its normaliser for images,
# * walk from noise to likely images with Langevin dynamics,
# * train a network to recognise likely images, using contrastive divergence with a sample buffer.
#
# **Time**: 75 minutes of your time; the computer needs 3 minutes, with or without a GPU.
#
# **Before**: a little Keras. You don't need to know anything about diffusion models yet: this is
# where the idea comes from. [Lab 00](00_overview.ipynb) shows how they compare with energy-based
# models and four other families.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-01).

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
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.backend import input_gradient
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab01.experiments import two_valleys
from diffusion_lab.labs.lab01.pictures import (
    boltzmann,
    chains_on,
    energy_histogram,
    slopes_of_activations,
)
from diffusion_lab.labs.langevin import langevin
from diffusion_lab.labs.listing import show_code
from diffusion_lab.labs.pictures import show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.models.io import load_energy_model
from diffusion_lab.networks import energy_network

# %%
data = lab.data("digits", "mnist")
num_epochs = lab.amount(smoke=1, cpu=8, gpu=60)
langevin_steps = lab.amount(smoke=3, cpu=60, gpu=60)  # in training, for each batch
buffer_size = lab.amount(smoke=64, cpu=2048, gpu=8192)
step_size, noise_std, regularization = 10.0, 0.005, 0.1

# %% [markdown]
# ## 1 · Energy and the Boltzmann distribution: a marble in the dark
#
# Imagine a landscape, set up on a table, in which every place is an image. Places where images look
# like digits lie low, in valleys; places where they look like nothing lie high, on a plateau of
# snow (the snow of an old television). It is night. You put a marble down somewhere on the plateau
# and cannot see the valleys, but you can feel the slope under your fingers. Let the marble roll,
# and knock on the table now and then, so that it does not get stuck in a dent. Wait. Where it comes
# to rest, there is a digit.
#
# The height of a place is its **energy** $E(x)$, and physics tells us how often a shaken marble is
# found there:
#
# $$p(x) = \frac{e^{-E(x)/T}}{Z}, \qquad Z = \int e^{-E(x)/T}\,dx .$$
#
# This is the **Boltzmann distribution**: *low energy means likely*. $T$ is the temperature, which
# says how hard you knock. From here on, $T = 1$.

# %% alt="Left, the energy over x has two valleys, the right one deeper. Right, the density peaks there; the lower the temperature, the more of it is at the deeper valley."
x = np.linspace(-2.2, 2.2, 400)
energies = 4 * (x**2 - 1) ** 2 - 0.6 * x
boltzmann(x, energies, temperatures=(0.5, 1, 4))

# %% [markdown]
# A network may output *any* number as the energy. That is the charm of the idea: the output need
# not be positive, and the outputs need not add up to 1. But what does the height of the whole
# landscape mean?

# %% tags=["nbval-ignore-output"]
ask("01.shift")

# %%
for shift in (0, 5):
    weights = np.exp(-(energies + shift))
    p = weights / weights.sum()
    likeliest = f"the most likely x is {x[p.argmax()]:.2f}, with probability {p.max():.4f}"
    print(f"energy + {shift}: {likeliest}")

# %% [markdown]
# ## 2 · The normaliser: a number that nobody can compute
#
# To get probabilities, we divided the weights by their sum, $Z$. For 400 points that is easy. For
# images it is a sum over *every possible image*:

# %%
for size, grey_levels in {8: 17, 28: 256}.items():  # the tiny digits of scikit-learn, and MNIST
    exponent = size**2 * math.log10(grey_levels)
    print(f"{size} x {size} pixels, {grey_levels} shades of grey: 10^{exponent:.0f} images")
print("atoms in the universe: about 10^80")

# %% [markdown]
# $Z$ is *intractable*. You could tell the whole history of generative models as a list of ways to
# get around it. Energy-based models look only at the **slope**:
#
# $$\nabla_x \log p(x) = -\nabla_x E(x) - \underbrace{\nabla_x \log Z}_{0} .$$
#
# $Z$ is a constant, so its slope is zero, and we can find the direction towards likelier images
# without it.
#
# This is also why the networks in this lab use **swish**, $x\cdot\text{sigmoid}(x)$, instead of
# ReLU. We depend on the slope of the network, and the slope of a ReLU network jumps from one
# constant to the next.

# %% alt="Left, the energies over x: relu has kinks, swish is smooth. Right, their slopes: relu jumps like stairs, swish is a smooth curve."
slopes_of_activations()

# %% [markdown]
# ## 3 · Langevin dynamics
#
# If the marble only rolled downhill, it would always end at the lowest point of the nearest valley.
# It has to be knocked about:
#
# $$x \leftarrow x - \eta\,\nabla E(x) + \sqrt{2\eta}\;\varepsilon,
# \qquad \varepsilon \sim \mathcal N(0, 1) .$$
#
# Paul Langevin described in 1908 how specks from grains of pollen jitter in water. (His equation
# also has inertia, which does not matter here.) With small steps $\eta$ and enough time, the grains
# end up distributed as Boltzmann's law says. This is the formula as code:

# %%
show_code(langevin)

# %% [markdown]
# `slope` computes $\nabla E$ at the points. (Lab 06 calls the same function with another slope.)
# Here are 600 grains on a map with two valleys. The right one is deeper:

# %% alt="Four maps of two valleys after 0, 10, 100 and 400 steps. The grains start all over the map and gather in both valleys, with more in the deeper right one."
slope = partial(input_gradient, two_valleys)
grains = keras.random.uniform((600, 1, 1, 2), -2, 2, seed=1)
walks = {f"{n} steps": langevin(slope, grains, n, step_size=0.01) for n in (0, 10, 100, 400)}
chains_on(two_valleys, walks)

# %% [markdown]
# "Enough time" is the catch. The grains reach the nearest valley within 100 steps, but to be
# distributed as Boltzmann's law says, some of them have to climb over the hill to the deeper one:

# %% tags=["nbval-ignore-output"]
plane = np.stack(np.meshgrid(*[np.linspace(-3, 3, 301, dtype="float32")] * 2), axis=-1)
boltzmann_weights = np.exp(-ops.convert_to_numpy(two_valleys(plane.reshape(-1, 1, 1, 2))))
in_left_valley = plane.reshape(-1, 2)[:, 0] < 0
walked, steps_so_far = grains, 0
for steps in lab.amount(smoke=(100,), cpu=(100, 400, 1600), gpu=(100, 400, 1600)):
    walked = langevin(slope, walked, steps - steps_so_far, 0.01, seed=steps)
    steps_so_far = steps
    share = np.mean(ops.convert_to_numpy(walked)[:, 0, 0, 0] < 0)
    print(f"in the left valley after {steps:4} steps: {share:.0%} of the grains")
exact = boltzmann_weights[in_left_valley].sum() / boltzmann_weights.sum()
print(f"Boltzmann's law: {exact:.0%}")

# %% [markdown]
# (By chance, the share of 600 grains varies by about 2 percentage points.) This is called slow
# *mixing*. In two dimensions you can wait. Between images, the hills are higher, and nobody can.
# Remember this when noise enters in lab 06: it fills the valleys, so that the way between them
# becomes flat.

# %% tags=["nbval-ignore-output"]
ask("01.no_noise")

# %% alt="Three maps of two valleys. Knocked grains spread over both valleys, hardly knocked ones form two small clumps, and the others sit in just two points."
knocks = {"knocked": 1, "hardly": 0.1, "not at all": 0}
walks = {name: langevin(slope, grains, 400, 0.01, scale) for name, scale in knocks.items()}
chains_on(two_valleys, walks)

# %% [markdown]
# > **What practice does to the formula.** For images, Foster (2023) and Lippe's tutorial use a step
# > of 10 and noise of 0.005, and so do we. The theory requires noise of
# > $\sqrt{2\cdot 10} \approx 4.5$, 900 times as much, and the images would drown in it. So what
# > they call Langevin sampling is *almost plain gradient descent*, at a temperature near zero. It
# > works because the network is trained with the same procedure that will use it later. Just
# > remember that the theorem does not cover this version. (Welling and Teh made Langevin dynamics
# > popular in machine learning in 2011. Du and Mordatch scaled energy-based models up to
# > photographs in 2019.)
#
# ### Exercise 1.1 · `langevin_step`
# *Difficulty ●●○ · 15 minutes*
#
# Write the practical step for images in $[-1, 1]$: take the gradient of the energy at the images,
# **clip** it to $\pm 0.03$ (a cliff in the landscape must not throw the marble off the table), move
# `step_size` times the clipped gradient **downhill**, add the noise, and clip the result to
# $[-1, 1]$.
#
# <details><summary>Hint 1: the gradient</summary>
#
# `input_gradient` takes a function and its input. It returns the gradient of the function with
# respect to the input, with the shape of the input, on every backend. With TensorFlow's own tape:
# watch `images`, compute `energies = network(images)` inside the tape, and call
# `tape.gradient(energies, images)`.
# </details>
# <details><summary>Hint 2: the order</summary>
#
# The sentence above names the five things in the order in which they happen. There are two clips:
# which of them is for the gradient, and which for the result? `ops.clip(x, low, high)` clips.
# </details>


# %% exercise="langevin_step" points=4
def langevin_step(network, images, noises, step_size):
    """One step of Langevin dynamics, from images to somewhat likelier images.

    network: maps images (B, H, W, C) to energies (B, 1).   images: in [-1, 1].
    noises: of the same shape as the images, already scaled.   step_size: a number.
    Returns images in [-1, 1].
    """
    ### BEGIN SOLUTION
    gradients = ops.clip(input_gradient(network, images), -0.03, 0.03)
    return ops.clip(images - step_size * gradients + noises, -1, 1)
    ### END SOLUTION


# %% check="langevin_step"
checks.langevin_step(langevin_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Downhill is minus the gradient. The clip limits each pixel's move to 0.03 · 10 = 0.3 per step,
# less than a sixth of the way from black to white.
# </details>

# %% [markdown]
# ## 4 · Sampling: from snow to digits
#
# Here is a trained network, in a model that uses your step. The network is small: a few
# convolutions that halve the image, and two dense layers, the last with one output, the energy.

# %%
show_code(energy_network)

# %% [markdown]
# A walk of many steps is called a *chain*, and each chain starts from pure noise:


# %%
class MyEnergyModel(EnergyBasedModel):
    def langevin_step(self, images, noises, step_size):
        return langevin_step(self.network, images, noises, step_size)


# %% tags=["nbval-ignore-output", "cover"] alt="Ten images, one row per step. Noise at step 0 turns into blurred shapes by step 20 and into white strokes like parts of digits by step 60; then little changes."
trained, origin = load_energy_model("digits_energy")
shipped = MyEnergyModel(trained.network, buffer_size=64)
snapshots = {}
wanted = lab.amount(smoke=(0, 2), cpu=(0, 5, 20, 60, 250), gpu=(0, 5, 20, 60, 250, 1000))


def keep(step, images):
    if step in wanted:
        snapshots[f"step {step}"] = shipped.denormalize(images)


shipped.generate(10, wanted[-1] + 1, seed=2, on_step=keep)
show_rows(snapshots)

# %% [markdown]
# Here is the same thing with a slider. Watch the energy while the digits appear:

# %% tags=["nbval-ignore-output"]
widgets.langevin(shipped)

# %% [markdown]
# ## 5 · Contrastive divergence: how the landscape is made
#
# We want low energy at real digits and high energy everywhere else. "Everywhere else" is too large
# to visit. But only one kind of place matters: places where the model *believes* there are digits,
# and is wrong. So:
#
# 1. let the model walk to images that it considers likely (Langevin),
# 2. push the energy of real images **down** and that of the model's images **up**,
# 3. repeat, until the model's images are as good as the real ones and the two pushes cancel.
#
# So there are two descents in this lab, and it is easy to confuse them. *Sampling* changes the
# pixels of an image and leaves the weights alone: the marble rolls. *Training* changes the weights
# and leaves the images alone: somebody shovels the landscape. Each step of the training contains a
# whole walk of the first kind.
#
# This is **contrastive divergence** (Hinton 2002). It comes from the gradient of the negative
# log-likelihood with respect to the weights $\theta$. The $Z$ that nobody can compute turns into a
# mean over the model's own images:
#
# $$-\nabla_\theta \ln p_\theta(x) = \nabla_\theta E_\theta(x) + \nabla_\theta \ln Z_\theta
# = \nabla_\theta E_\theta(x) - \mathbb E_{x' \sim p_\theta}\big[\nabla_\theta E_\theta(x')\big] .$$
#
# With infinitely long walks of true Langevin dynamics, the images $x'$ would come from $p_\theta$.
# Our walks are short and hardly shaken, so this is an approximation. They can be short because of
# the **sample buffer**: each walk continues where an earlier one ended, and only one in twenty
# starts from fresh noise. (With a buffer, it is also called *persistent* contrastive divergence;
# Tieleman 2008.) Here is one step of training, in short:
#
# ```python
# chosen = random.sample(range(len(buffer)), batch_size)  # walks that earlier steps began
# fake = where(uniform() < 0.05, noise, buffer[chosen])  # one in twenty starts afresh
# for _ in range(60):
#     fake = langevin_step(network, fake, 0.005 * normal(), step_size=10)
# buffer[chosen] = fake  # the next steps continue here
# loss = contrastive_divergence_loss(network(real), network(fake), regularization)
# optimizer.apply(gradients(loss, network.weights), network.weights)
# ```
#
# ([energy_based.py](../diffusion_lab/models/energy_based.py) has the full version: `draw_chains`
# and `call`. The real images get a little noise, too.)
#
# ### Exercise 1.2 · `contrastive_divergence_loss`
# *Difficulty ●●○ · 10 minutes*
#
# The loss is the mean over the batch of
#
# $$E(\text{real}) - E(\text{fake}) + \lambda\left(E(\text{real})^2 + E(\text{fake})^2\right).$$
#
# The squares keep the energies near zero. Without them the energies would drift away, because the
# first two terms depend only on their difference.
#
# <details><summary>Hint</summary>
#
# Check the sign with a thought experiment: if real images have *lower* energy than fake ones, the
# loss should be small.
# </details>


# %% exercise="contrastive_divergence_loss" points=4
def contrastive_divergence_loss(real_energies, fake_energies, regularization):
    """The contrastive divergence loss, one number, from two arrays of energies, (B, 1) each."""
    ### BEGIN SOLUTION
    squares = ops.square(real_energies) + ops.square(fake_energies)
    return ops.mean(real_energies - fake_energies + regularization * squares)
    ### END SOLUTION


# %% check="contrastive_divergence_loss"
checks.contrastive_divergence_loss(contrastive_divergence_loss)

# %% [markdown]
# > **Score or energy?** Foster's book calls the output of this network a *score* and uses it with
# > both signs in one chapter. In these labs it is an energy: low is likely, and downhill is where
# > we go. (In later labs *score* means something else: $\nabla \log p$, the direction of the
# > marble.)
#
# ## 6 · Train one yourself
#
# A few minutes are too short for good digits, but long enough to see snow turn into strokes.

# %% tags=["nbval-ignore-output"] alt="Left, the training loss zigzags close to 0. Right, twelve samples show rough white blobs and strokes on black, but no clear digits."
image_size, batch_size = trained.image_shape[0], lab.size(16, 64, 128)
train = load_dataset(data, "train", image_size=image_size, batch_size=batch_size)
model = MyEnergyModel(
    energy_network(image_size),
    buffer_size=buffer_size,
    langevin_steps=langevin_steps,
    step_size=step_size,
    noise_std=noise_std,
    seed=0,
)
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=lambda signs, energies: contrastive_divergence_loss(
        energies[:, :1], energies[:, 1:], regularization
    ),
    jit_compile=False,
)
panel = TrainingPanel()
callbacks = [train.epoch_callback(), panel]
model.fit(train, epochs=num_epochs, shuffle=False, verbose=0, callbacks=callbacks);

# %% [markdown]
# Did the loss tell you anything? It zigzags around 0, from the first epoch to the last. It is the
# *difference* of two energies, and whenever the landscape changes, the walks follow. A loss near 0
# only says that the two pushes cancel, whether the images are good or bad. So do not judge an
# energy-based model by its loss. Look at its images, and at its energies: here they are for digits
# that it has never seen, for its own images (the ends of its walks, from the sample buffer), and
# for noise. (One or two of its own images may be as high as the noise: no batch has chosen them
# yet, so their walks have not begun.)

# %% tags=["nbval-ignore-output"] alt="Histogram of the energies. Unseen digits and the model's own images overlap at low energies, mostly below 0.04; noise lies far above, around 0.2."
unseen = load_dataset(data, "validation", image_size=image_size, batch_size=200)[0]
noise = keras.random.uniform(unseen.shape, -1, 1, seed=3)
kinds = {"unseen digits": 2 * unseen - 1, "its own images": model.buffer[:200], "noise": noise}
energy_histogram(
    {name: ops.convert_to_numpy(model.network(images)) for name, images in kinds.items()}
)

# %% [markdown]
# ## 7 · Relatives: Boltzmann machines and score-based models
#
# **Restricted Boltzmann machines** are among the oldest members of the family (Smolensky 1986).
# Their energy needs only a table of weights between visible pixels and hidden switches, and a bias
# for each of them, $E(v, h) = -v^\top W h - a^\top v - b^\top h$. It is so simple that no marble
# has to roll: given the pixels, you can sample all switches at once, and given the switches, all
# pixels. Alternating between the two is called Gibbs sampling. Stacks of these machines started
# deep learning in 2006, and contrastive divergence was how they were trained.
#
# **Score-based models** keep only what Langevin dynamics needs, the slope $-\nabla E$, and let a
# network output it directly. To learn the slope far from the data, they look at data with noise
# added, at many noise levels. From there it is one step to diffusion models, where the network
# predicts the *noise*, and the slope is minus the noise, divided by its rate.
#
# ## What you have now
#
# * Low energy means likely. We cannot compute the normaliser, but we can compute the slope.
# * Langevin dynamics walks from noise to images, and contrastive divergence teaches the landscape
#   where to be low.
# * The weakness of energy-based models: training needs walks *inside* every step, and walks get
#   lost. Diffusion models walk only once, when they sample. **Lab 02** begins with how they ruin an
#   image.
#
# **Read on**
# * Du and Mordatch (2019), [Implicit generation and modeling with energy-based
#   models](https://arxiv.org/abs/1903.08689): this lab, on a larger scale.
# * Lippe, [UvA deep learning course, tutorial
#   8](https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial8/Deep_Energy_Models.html):
#   how training such models fails, and how the energy recognises images that do not belong to the
#   data.
# * Foster (2023), [*Generative deep learning*, 2nd
#   edition](https://github.com/davidADSP/Generative_Deep_Learning_2nd_Edition), chapter 7: the book
#   that this lab follows.
