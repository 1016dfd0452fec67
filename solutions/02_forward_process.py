# %% [markdown]
# # Lab 02 · The forward process: how an image becomes noise
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/02_forward_process.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/02_forward_process.html#live-forward)
#
# **After this lab you can**
# * add noise to an image step by step, without letting its variance grow,
# * say what the *reparameterization trick* is and why training needs it,
# * jump from the clean image to any step at once, and show that the jump and the walk agree.
#
# **Time**: about 40 minutes of your time; the computer needs 10 seconds, with or without a GPU.
#
# **Before**: Python and a little NumPy. Lab 01 helps, but you do not need it.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-02).

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
import numpy as np

from diffusion_lab import checks, widgets
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab02.pictures import histograms
from diffusion_lab.labs.pictures import clouds, curves, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.toy_points import flower_points

# %% [markdown]
# The next cell holds all the settings you may want to change. The checks do not depend on them.

# %%
num_points = 4000
timesteps = 200
# the share of the variance that noise replaces, in the first step and in the last
beta_start, beta_end = 1e-3, 0.06

# %% [markdown]
# ## 1 · The forward process: a copy of a copy of a copy
#
# A village school owns one photograph and one tired photocopier. Each copy comes out a touch paler
# than its original, with a few specks of dust added. The teacher copies the copy, then the copy of
# that copy, and so on. After ten copies you still recognise the face. After a hundred you are
# guessing. After a thousand, all photographs in the world look alike: grey specks, and nobody could
# say whose face it was.
#
# Two things are worth noticing. **Going forward is easy**: paler, plus dust, a thousand times. No
# learning is needed. **Going back looks hopeless**. And yet each *single* copy is almost the same
# as its original, so undoing one copy is a small job. A diffusion model learns that small job and
# does it a thousand times. This lab builds the copier.
#
# In symbols: $x_0$ is the clean image, $x_t$ is copy number $t$, and $q(x_t \mid x_{t-1})$ says how
# likely each copy is, given its original (by convention, $q$ denotes everything in the forward
# direction). One copy is a Gaussian around a paler original,
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\!\left(\sqrt{1-\beta_t}\;x_{t-1},\;\beta_t\right),$$
#
# where $\beta_t$, a small number, is the variance of the dust, which falls independently on every
# pixel and colour. Each copy depends only on the one before: such a chain of random steps is called
# a **Markov chain**.
#
# Before we turn to images, we use something that is easier to plot: points in the plane. To the
# package, a point is a $1 \times 1$ image with two channels. So a cloud of points has the shape
# `(N, 1, 1, 2)`, and every function that you write for points will also work on pictures.

# %% alt="One panel with thousands of points, which trace the thin outline of a flower with five petals."
points = flower_points(num_points)
print(f"shape {points.shape}  mean {abs(points.mean()):.2f}  variance {points.var():.2f}")
clouds({"the data": points}, columns=4)

# %% [markdown]
# The cloud has mean 0 and variance 1. Keep an eye on that 1.
#
# ### Exercise 2.1 · `forward_step`
# *Difficulty ●○○ · 5 minutes*
#
# Write one step of the copier: compute $x_t$ from $x_{t-1}$ and fresh standard normal noise. The
# noise is an argument, so the function itself contains nothing random.
#
# <details><summary>Hint</summary>
#
# A normal random number with mean $m$ and variance $v$ is $m + \sqrt v\,\varepsilon$, where
# $\varepsilon$ is standard normal. Read the mean and the variance off the formula above.
# </details>


# %% exercise="forward_step" points=4
def forward_step(images, noises, beta):
    """One step of the forward process: x_t from x_{t-1}.

    images: x_{t-1}, (B, H, W, C).   noises: standard normal, of the same shape.
    beta: a number between 0 and 1.   Returns x_t, of the same shape.
    """
    ### BEGIN SOLUTION
    return np.sqrt(1 - beta) * images + np.sqrt(beta) * noises
    ### END SOLUTION


# %% check="forward_step"
checks.forward_step(forward_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The mean is $\sqrt{1-\beta}\,x_{t-1}$ and the standard deviation is $\sqrt\beta$. Image and noise
# are independent, so their variances add: $(1-\beta)\cdot 1 + \beta \cdot 1 = 1$, if the image had
# variance 1 before.
# </details>

# %% [markdown]
# ## 2 · Why so pale?
#
# The factor $\sqrt{1-\beta}$ looks like decoration: dust alone would be enough to ruin a
# photograph. What would happen without it? Decide before you look.

# %% tags=["nbval-ignore-output"]
ask("02.variance")

# %%
betas = np.linspace(beta_start, beta_end, timesteps, dtype="float32")


def walk(step, images, seed=1):
    """The images after 0, 1, 2, ... steps: a list of timesteps + 1 arrays."""
    rng = np.random.default_rng(seed)
    path = [images]
    for beta in betas:
        noises = rng.normal(size=images.shape).astype("float32")
        path.append(np.asarray(step(path[-1], noises, beta)))
    return path


def step_without_shrinking(images, noises, beta):
    return images + np.sqrt(beta) * noises


path = walk(forward_step, points)
growing_path = walk(step_without_shrinking, points)

# %% alt="Variance of the points over 200 steps. With shrinking it stays at 1; when noise is only added, it climbs ever faster to about 7."
curves(
    {
        "shrink, then add noise": [x.var() for x in path],
        "only add noise": [x.var() for x in growing_path],
    },
    xlabel="step t",
    ylabel="variance of the points",
)
print(
    f"variance after {timesteps} steps: {path[-1].var():.2f}, "
    f"without shrinking {growing_path[-1].var():.2f}"
)

# %% [markdown]
# Variances of independent numbers add up. The points have variance 1, so after one step they have
# $(1-\beta)\cdot 1 + \beta = 1$ again, and so after every step. (The 4,000 points are only a
# sample, so their variance deviates from 1 by a few hundredths.) The network that we train in a
# later lab sees images from all steps. Because of the shrinking, they all have the same variance,
# so the network can spend its effort on their content.

# %% alt="Six point clouds from step 0 to 200. The petals blur, can still be seen at step 25, and have become a round cloud from step 50 on."
shown = [0, timesteps // 20, timesteps // 8, timesteps // 4, timesteps // 2, timesteps]
clouds({f"t = {t}": path[t] for t in shown})

# %% [markdown]
# The petals melt into a round cloud: nearly the standard normal distribution, whatever the data
# were. That is the whole point. We know how to sample from a normal distribution, so we know where
# to *start* when we want to come back. (Why only nearly? After the last step, each point still
# contains its original, multiplied by 0.04, which is too faint to be seen. Section 4 shows how to
# compute this.)
#
# ## 3 · The reparameterization trick
#
# There are two ways to sample $x_t$ from $\mathcal N(\text{mean}, \text{variance})$. You can ask a
# random number generator for "a number from this distribution". Or you can sample a *standard*
# normal $\varepsilon$ first, and compute
#
# $$x_t = \text{mean} + \sqrt{\text{variance}}\;\varepsilon .$$
#
# Both numbers have the same distribution. But in the second form the randomness comes from outside,
# and the rest is plain arithmetic: you can differentiate it, repeat it with the same $\varepsilon$,
# and test it. You have already used it in `forward_step`. It is called the reparameterization
# trick. Training needs it, because the network will have to guess this very $\varepsilon$, and we
# can only tell it how far off it was if we know the answer.

# %%
beta = 0.2
rng = np.random.default_rng(2)
asked_for = rng.normal(np.sqrt(1 - beta) * 1.5, np.sqrt(beta), size=100_000)
reparameterized = np.sqrt(1 - beta) * 1.5 + np.sqrt(beta) * rng.normal(size=100_000)
for name, x in {"asked for": asked_for, "reparameterized": reparameterized}.items():
    print(f"{name:16} mean {x.mean():.2f}  standard deviation {x.std():.2f}")

# %% [markdown]
# ## 4 · The closed form: all steps at once
#
# Training needs noisy images from random steps, thousands per second. Walking 137 steps to get
# $x_{137}$ would be a waste, and it is not necessary. Substitute one step into the next:
#
# $$x_2 = \sqrt{1-\beta_2}\left(\sqrt{1-\beta_1}\,x_0 + \sqrt{\beta_1}\,\varepsilon_1\right) +
# \sqrt{\beta_2}\,\varepsilon_2 .$$
#
# The image has been multiplied by $\sqrt{(1-\beta_1)(1-\beta_2)}$. The two noise terms are
# independent and normal, so their sum is normal as well, and their variances add up:
# $(1-\beta_2)\,\beta_1 + \beta_2 = 1-(1-\beta_1)(1-\beta_2)$, whatever $x_0$ is. With
#
# $$\alpha_t = 1-\beta_t, \qquad \bar\alpha_t = \alpha_1\alpha_2\cdots\alpha_t$$
#
# the walk of $t$ steps becomes one jump:
#
# $$q(x_t \mid x_0) = \mathcal N\!\left(\sqrt{\bar\alpha_t}\;x_0,\; 1-\bar\alpha_t\right).$$
#
# When is half of the image's variance gone? Estimate it before you look. For a small $\beta$,
# $1-\beta$ is nearly $e^{-\beta}$, so the product $\bar\alpha_t$ is nearly
# $e^{-(\beta_1+\dots+\beta_t)}$, and $e^{-0.69}$ is one half.

# %% tags=["nbval-ignore-output"]
ask("02.half_gone")

# %% alt="Standard deviation over 200 steps. What is left of the image falls from 1 to nearly 0, the noise rises from 0 to 1, and they cross near step 65."
alphas_cumprod = np.cumprod(1 - betas)
curves(
    {
        "what is left of the image, √ᾱ": np.sqrt(alphas_cumprod),
        "noise, √(1 - ᾱ)": np.sqrt(1 - alphas_cumprod),
    },
    xlabel="step t, counted from 0",
    ylabel="standard deviation",
)
print("the curves cross, at half of the variance, near step", np.argmax(alphas_cumprod < 0.5))

# %% [markdown]
# > **α or ᾱ?** The DDPM paper (Ho et al. 2020) writes $\alpha_t = 1-\beta_t$ for one step and
# > $\bar\alpha_t$ for the product. The DDIM paper (Song et al. 2021) writes plain $\alpha_t$ for
# > the *product*. It is easy to mix up the two. The DDPM lab that this course is [based
# > on](../docs/sources.md) mixed them up: the only mistake in its sampling formula is the bars (lab
# > 06 shows it). In these labs a bar always means the product, and $\sqrt{\bar\alpha_t}$ is the
# > *signal rate*, $\sqrt{1-\bar\alpha_t}$ the *noise rate*.
#
# > **From 1 or from 0?** In the formulas, $t$ counts from 1, as in the papers: $x_0$ is the
# > original and $x_1$ the first copy. Arrays count from 0, so $\bar\alpha_t$ is
# > `alphas_cumprod[t - 1]` there. In code, as below, the argument `t` counts from 0, so `t = 0` is
# > the first copy, and the index is `t` itself.
#
# ### Exercise 2.2 · `q_sample`
# *Difficulty ●●○ · 10 minutes*
#
# Write the jump for a batch in which each image has its own step. The argument `t` is an index, so
# it counts from 0: `t = 0` asks for the image after the *first* step, and the product for `t`
# includes `betas[t]`.
#
# <details><summary>Hint 1: the product</summary>
#
# `np.cumprod` makes all running products of an array at once. Of which array do you need them? And
# what do you get if you index an array with a whole array of integers?
# </details>
# <details><summary>Hint 2: the shapes</summary>
#
# `t` has the shape `(B,)`, the images `(B, H, W, C)`. Arrays are multiplied as if their shapes were
# aligned at the last axis. Which shape do your numbers need, so that each one meets its own image?
# </details>


# %% exercise="q_sample" points=6
def q_sample(images, t, noises, betas):
    """The noisy images after step t, in one jump from the clean ones.

    images: x_0, (B, H, W, C).   t: the steps, integers from 0, (B,).
    noises: standard normal, (B, H, W, C).   betas: the variance that each step adds, (T,).
    Returns x_t, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    kept = np.cumprod(1 - betas)[t].reshape(-1, 1, 1, 1)
    return np.sqrt(kept) * images + np.sqrt(1 - kept) * noises
    ### END SOLUTION


# %% check="q_sample"
checks.q_sample(q_sample)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon$ is the reparameterization
# trick again, with the mean and the variance of $q(x_t \mid x_0)$. The index `[t]` picks one number
# per image, and `reshape` lets this number multiply all pixels of that image.
# </details>

# %% [markdown]
# ## 5 · The jump against the walk
#
# You can believe a formula once it agrees with the slow way. Individual points differ because the
# noise differs, but the *distributions* must agree. First, a step at which you can still see the
# petals:

# %% alt="Walked and jumped points form the same blurred flower. In the second picture, their histograms agree; they are flatter in the middle than the normal curve."
t = timesteps // 8
noises = np.random.default_rng(3).normal(size=points.shape).astype("float32")
jumped = q_sample(points, np.full(num_points, t - 1), noises, betas)
walked = path[t]
clouds({f"walked {t} steps": walked, "jumped": jumped}, columns=4)
histograms({f"walked {t} steps": walked, "jumped": jumped}, xlabel="coordinate")

# %% [markdown]
# Next, we compare for every step how far the coordinates have moved from where they started (as a
# root mean square):

# %% alt="Distance from the start over 200 steps. The curves for walked and jumped points coincide and rise ever more slowly to almost 1.4."
every = np.arange(1, timesteps + 1)
rms = lambda x: np.sqrt(np.mean(np.square(x)))
walked_distance = [rms(path[t] - points) for t in every]
jumps = (q_sample(points, np.full(num_points, t - 1), noises, betas) for t in every)
jumped_distance = [rms(jump - points) for jump in jumps]
distances = {"walked": (every, walked_distance), "jumped": (every, jumped_distance)}
curves(distances, xlabel="step t", ylabel="distance from the start")
print(f"largest difference: {np.max(np.abs(np.subtract(walked_distance, jumped_distance))):.2f}")

# %% [markdown]
# ## 6 · The same function on flowers
#
# Nothing in `q_sample` knows what a point is. Here it copies flowers. We first normalise them to
# mean 0 and variance 1, like the noise, and undo this before we show them.

# %% tags=["cover"] alt="Eight flowers, one row per step. They are clear at first, grainy but plain to see at step 50, barely visible at 100, and pure noise at 200."
dataset = load_dataset("procedural_flowers", "validation", image_size=32, batch_size=8, count=8)
flowers = dataset[0]
mean, deviation = flowers.mean(), flowers.std()
normalized = (flowers - mean) / deviation
noises = np.random.default_rng(4).normal(size=flowers.shape).astype("float32")
rows = {}
for t in shown[1:]:
    noisy_images = np.asarray(q_sample(normalized, np.full(8, t - 1), noises, betas))
    rows[f"t = {t}"] = noisy_images * deviation + mean
show_rows({"clean": flowers} | rows)

# %% [markdown]
# At t = 50 the cloud had lost its petals, but these flowers have not lost theirs. In a picture,
# neighbouring pixels show nearly the same colour, so the eye averages the noise away. (Lab 03 comes
# back to this.)
#
# With the slider you choose the time yourself: 0 is the clean image (nearly, for one of the
# schedules), 1 is pure noise. Watch *when* a flower stops being a flower. First the edges of the
# petals disappear, then the petals, and the overall colour lasts longest. Fine detail drowns first
# because it is faint. A model that goes back draws in the opposite order, colours first.
#
# (In the menu you choose *how fast* the image vanishes: it offers three schedules. The linear one
# is DDPM's, and it loses the image faster than ours. Lab 03 is about them, and about the log-SNR,
# the logarithm of the image's variance divided by the noise's.)

# %% tags=["nbval-ignore-output", "live-forward"]
widgets.corruption(flowers)

# %% [markdown]
# ## What you have now
#
# * One step, $\sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,\varepsilon$, keeps the variance at 1.
# * All steps together make one jump:
#   $\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon$.
# * The end of the walk is nearly the standard normal distribution, whatever the data were.
#
# How fast the image should vanish is a choice. **Lab 03, schedules**, compares three answers.
#
# **Read on**
# * Sohl-Dickstein et al. (2015), [Deep unsupervised learning using nonequilibrium
#   thermodynamics](https://arxiv.org/abs/1503.03585): where the idea comes from.
# * Ho, Jain and Abbeel (2020), [Denoising diffusion probabilistic
#   models](https://arxiv.org/abs/2006.11239): section 2 has the formulas of this lab.
# * Weng (2021), [What are diffusion
#   models?](https://lilianweng.github.io/posts/2021-07-11-diffusion-models/): one long page with
#   all formulas and their derivations.
