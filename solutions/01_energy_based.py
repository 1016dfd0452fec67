# %% [markdown]
# # Lab 01 · Energy-based models: likely images lie in valleys
#
# **After this lab you can**
# * say what the Boltzmann distribution is, and why nobody can compute its normaliser for images,
# * walk from noise to likely images by Langevin dynamics,
# * train a network to know what is likely, by contrastive divergence with a sample buffer.
#
# **Time**: 75 minutes of yours; the computer needs 3 minutes, with or without a GPU.
#
# **Before**: a little Keras. Nothing about diffusion models yet: this is where their idea comes from.

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
import math

import keras
import numpy as np
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.backend import input_gradient
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.pictures import show_images, show_rows
from diffusion_lab.labs.lab01.pictures import boltzmann, chains_on, energy_histogram, slopes_of_activations
from diffusion_lab.labs.lab01.experiments import two_valleys
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.models.io import load_energy_model
from diffusion_lab.networks import energy_network
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.labs.questions import ask

# %%
data = lab.data("digits", "mnist")
num_epochs = lab.amount(smoke=1, cpu=8, gpu=60)
langevin_steps = lab.amount(smoke=3, cpu=60, gpu=60)  # in training, for each batch
buffer_size = lab.amount(smoke=64, cpu=2048, gpu=8192)
step_size, noise_std, regularization = 10.0, 0.005, 0.1

# %% [markdown]
# ## 1 · A marble in the dark
#
# Imagine a landscape in which every place is an image. Places where images look like digits lie low, in valleys;
# places where they look like nothing lie high, on a plateau of snow (the snow of an old television). It is night. You
# put a marble down somewhere on the plateau and cannot see the valleys, but you can feel the slope under your
# fingers. Let the marble roll, and knock on the table now and then, so that it does not get stuck in a dent. Wait.
# Where the marble ends there is a digit.
#
# The height of a place is its **energy** $E(x)$, and physics says how often a shaken marble is found there:
#
# $$p(x) = \frac{e^{-E(x)/T}}{Z}, \qquad Z = \int e^{-E(x)/T}\,dx .$$
#
# This is the **Boltzmann distribution**: *low energy means likely*. $T$ is the temperature, how hard you knock; from
# here on $T = 1$.

# %%
x = np.linspace(-2.2, 2.2, 400)
energies = 4 * (x**2 - 1) ** 2 - 0.6 * x
boltzmann(x, energies, temperatures=(0.5, 1, 4))

# %% [markdown]
# A network may compute *any* number for the energy. That is the charm of the idea: no output that must be positive, or
# add to 1. But what does the height of the whole landscape mean?

# %% tags=["nbval-ignore-output"]
ask("01.shift")

# %%
for shift in (0, 5):
    weights = np.exp(-(energies + shift))
    p = weights / weights.sum()
    print(f"energy + {shift}: the most likely x is {x[p.argmax()]:.2f}, with probability {p.max():.4f}")

# %% [markdown]
# ## 2 · The number that nobody can compute
#
# To get probabilities, the weights were divided by their sum, $Z$. On 400 points that is nothing. For images it is a sum
# over *every possible image*:

# %%
for size, grey_levels in {8: 17, 28: 256}.items():  # the tiny digits of scikit-learn, and MNIST
    exponent = size**2 * math.log10(grey_levels)
    print(f"{size} x {size} pixels, {grey_levels} shades of grey: 10^{exponent:.0f} images")
print("atoms in the universe: about 10^80")

# %% [markdown]
# $Z$ is *intractable*. The whole history of generative models can be told by how they get around it. Energy-based
# models do it by looking at the **slope** only:
#
# $$\nabla_x \log p(x) = -\nabla_x E(x) - \underbrace{\nabla_x \log Z}_{0} .$$
#
# $Z$ is a constant, so its slope is zero, and the direction towards likelier images needs no $Z$ at all.
#
# This is also why the networks of this lab use **swish**, $x\cdot\text{sigmoid}(x)$, instead of ReLU: we live by the slope
# of the network, and that of a ReLU network jumps from one constant to the next.

# %%
slopes_of_activations()

# %% [markdown]
# ## 3 · Langevin dynamics
#
# Rolling downhill alone would end in the nearest valley, always at its lowest point. The marble must be knocked about:
#
# $$x \leftarrow x - \eta\,\nabla E(x) + \sqrt{2\eta}\;\varepsilon, \qquad \varepsilon \sim \mathcal N(0, 1) .$$
#
# Paul Langevin wrote this down for grains of pollen in 1908. For small steps $\eta$ its grains end up distributed
# exactly by Boltzmann's law. Here are 600 grains on a map with two valleys. The right one is deeper:


# %%
def langevin(points, steps, step_size, noise_scale=1.0, seed=0):
    """Langevin dynamics by the book of physics, on the toy landscape."""
    seed = keras.random.SeedGenerator(seed)
    for _ in range(steps):
        slope = input_gradient(two_valleys, points)
        knock = math.sqrt(2 * step_size) * keras.random.normal(points.shape, seed=seed)
        points = points - step_size * slope + noise_scale * knock
    return points


grains = keras.random.uniform((600, 1, 1, 2), -2, 2, seed=1)
chains_on(two_valleys, {f"{n} steps": langevin(grains, n, 0.01) for n in (0, 10, 100, 400)})

# %% tags=["nbval-ignore-output"]
ask("01.no_noise")

# %%
chains_on(
    two_valleys,
    {name: langevin(grains, 400, 0.01, scale) for name, scale in {"knocked": 1, "hardly": 0.1, "not at all": 0}.items()},
)

# %% [markdown]
# > **What practice does to the formula.** For images, courses and papers use a step of 10 and noise of 0.005. The theory
# > would ask for noise of $\sqrt{2\cdot 10} \approx 4.5$, a thousand times as much: images would drown. So what is called
# > Langevin sampling there is *almost plain descent*, at a temperature near zero. It works, because the network is
# > trained with the same chains that will use it. It is good to know that it is not what the theorem speaks of.
#
# ### Exercise 1.1 · `langevin_step`
# *Difficulty ●●○ · 15 minutes*
#
# Write the practical step for images in $[-1, 1]$: take the gradient of the energy at the images, **clip** it to
# $\pm 0.03$ (a cliff in the landscape must not throw the marble off the table), go `step_size` times that **downhill**,
# add the noise, and clip the result to $[-1, 1]$.
#
# <details><summary>Hint 1: the gradient</summary>
#
# `input_gradient(network, images)` gives the gradient of the energies by the images, in the shape of the images, on
# every backend. With TensorFlow's own tape: watch `images`, then `tape.gradient(network(images), images)`.
# </details>
# <details><summary>Hint 2: the order</summary>
#
# gradient → clip → step → noise → clip. `ops.clip(x, low, high)`.
# </details>


# %% exercise="langevin_step" points=4
def langevin_step(network, images, noises, step_size):
    """One step of Langevin dynamics, from images to somewhat likelier images.

    network: images (B, H, W, C) to energies (B, 1).   images: in [-1, 1].   noises: of the shape of the images, already
    scaled.   step_size: a number.   Returns images in [-1, 1].
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
# Downhill is minus the gradient. The clip limits each pixel's move to 0.03 · 10 = 0.3 per step, less than a sixth of
# the way from black to white.
# </details>

# %% [markdown]
# ## 4 · From snow to digits
#
# Here is a network that has been trained, and a model whose steps are yours. The chains begin in pure noise:


# %%
class MyEnergyModel(EnergyBasedModel):
    def langevin_step(self, images, noises, step_size):
        return langevin_step(self.network, images, noises, step_size)


# %% tags=["nbval-ignore-output", "cover"]
trained, origin = load_energy_model("digits_energy")
shipped = MyEnergyModel(trained.network, buffer_size=64)
snapshots = {}
wanted = lab.amount(smoke=(0, 2), cpu=(0, 5, 20, 60, 250), gpu=(0, 5, 20, 60, 250, 1000))


def keep(step, images):
    if step in wanted:
        snapshots[f"step {step}"] = shipped.denormalize(images)


snapshots["the end"] = shipped.generate(10, wanted[-1] + 1, seed=2, on_step=keep)
show_rows({name: snapshots[name] for name in [*(f"step {n}" for n in wanted), "the end"]})

# %% [markdown]
# The same with a slider; look at the energy while the digits appear:

# %% tags=["nbval-ignore-output"]
widgets.langevin(shipped)

# %% [markdown]
# ## 5 · How the landscape is made
#
# We want low energy at real digits and high energy everywhere else. "Everywhere else" is too large to visit. But only
# one kind of place matters: where the model *believes* that digits are, and is wrong. So:
#
# 1. let the model walk to where it finds images likely (Langevin),
# 2. push the energy of real images **down** and that of its own images **up**,
# 3. repeat, until its own images are as good as the real ones and the two pushes cancel.
#
# This is **contrastive divergence** (Hinton 2002). It is the exact gradient of the likelihood, but for the shortcut that
# the walks are short. They can be short because of the **sample buffer**: each walk goes on where an earlier one
# ended, and only one in twenty begins in fresh noise.
#
# ### Exercise 1.2 · `contrastive_divergence_loss`
# *Difficulty ●●○ · 10 minutes*
#
# The loss is the mean over the batch of
#
# $$E(\text{real}) - E(\text{fake}) + \lambda\left(E(\text{real})^2 + E(\text{fake})^2\right).$$
#
# The squares keep the energies near zero: only their difference matters for the rest, so they would drift away.
#
# <details><summary>Hint</summary>
#
# Check the sign with a thought: if real images have *lower* energy than fake ones, the loss should be small.
# </details>


# %% exercise="contrastive_divergence_loss" points=4
def contrastive_divergence_loss(real_energies, fake_energies, regularization):
    """The loss of contrastive divergence, one number, from energies of the shape (B, 1) each."""
    ### BEGIN SOLUTION
    squares = ops.square(real_energies) + ops.square(fake_energies)
    return ops.mean(real_energies - fake_energies + regularization * squares)
    ### END SOLUTION


# %% check="contrastive_divergence_loss"
checks.contrastive_divergence_loss(contrastive_divergence_loss)

# %% [markdown]
# > **Score or energy?** Some books call the output of this network a *score* and use it with both signs in one
# > chapter. In these labs it is an energy: low is likely, and downhill is where we go. (In later labs *score* means
# > something else: $\nabla \log p$, the direction of the marble.)
#
# ## 6 · Train one yourself
#
# A few minutes are too short for good digits, but long enough to watch snow become strokes.

# %% tags=["nbval-ignore-output"]
train = load_dataset(data, "train", image_size=trained.image_shape[0], batch_size=lab.size(16, 64, 128))
model = MyEnergyModel(
    energy_network(trained.image_shape[0]),
    buffer_size=buffer_size,
    langevin_steps=langevin_steps,
    step_size=step_size,
    noise_std=noise_std,
    seed=0,
)
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=lambda signs, energies: contrastive_divergence_loss(energies[:, :1], energies[:, 1:], regularization),
    jit_compile=False,
)
panel = TrainingPanel()
model.fit(train, epochs=num_epochs, shuffle=False, verbose=0, callbacks=[train.epoch_callback(), panel]);

# %% [markdown]
# What has it learned? The energies of digits that it has never seen, of images of its own (the ends of its walks, out of
# the sample buffer), and of noise:

# %% tags=["nbval-ignore-output"]
unseen = load_dataset(data, "validation", image_size=trained.image_shape[0], batch_size=200)[0]
noise = keras.random.uniform(unseen.shape, -1, 1, seed=3)
kinds = {"unseen digits": 2 * unseen - 1, "its own images": model.buffer[:200], "noise": noise}
energy_histogram({name: ops.convert_to_numpy(model.network(images)) for name, images in kinds.items()})

# %% [markdown]
# ## 7 · Relatives
#
# **Restricted Boltzmann machines** are the oldest of the family (Smolensky 1986). Their energy is so simple, a table
# of weights between visible pixels and hidden switches, $E(v, h) = -v^\top W h - a^\top v - b^\top h$, that no marble
# has to roll: given the pixels, all switches can be drawn at once, and given the switches, all pixels. Going to and fro
# is called Gibbs sampling. Stacks of them started deep learning in 2006, and contrastive divergence was invented for them.
#
# **Score-based models** keep only what Langevin dynamics needs, the slope $-\nabla E$, and let a network output it
# directly. To know the slope far from the data they look at data with noise, at many noise levels. That is one step
# from diffusion models: there, the network predicts the *noise*, and the slope is the noise with a minus sign, divided by
# its rate.
#
# ## What you have now
#
# * Low energy is likely; the normaliser is out of reach, the slope is not.
# * Langevin dynamics walks from noise to images, and contrastive divergence teaches the landscape where to be low.
# * Its weakness: training needs walks *inside* every step, and walks get lost. Diffusion models walk only once, when
#   they sample. **Lab 02** begins with how they ruin an image.
