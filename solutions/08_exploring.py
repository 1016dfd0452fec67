# %% [markdown]
# # Lab 08 · Exploring a trained model
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/08_exploring.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/08_exploring.html#live-flowers)
#
# **After this lab you can**
# * say what the number of steps, `eta` and the choice of a sampler do to an image, and what they
#   cost,
# * walk from one flower to another without losing the way, using spherical interpolation,
# * run the sampler backwards, from a real image to the noise that it comes from,
# * write down what KID measures, say how far its values can be trusted, and what it does not see,
# * explain why EMA weights are useful, and test whether a model has memorised its training images.
#
# **Time**: 105 minutes of your time; the computer needs about 5 minutes on a laptop, less on a GPU.
#
# **Before**: lab 07. You need no model of your own: a trained one comes with the package.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-08).

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
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.backend import compiled
from diffusion_lab.data import load_dataset
from diffusion_lab.ideal_denoisers import gaussian_denoiser, gaussian_ode_solution
from diffusion_lab.labs.lab08.experiments import (
    RAW_AND_EMA,
    Snapshots,
    correlations,
    generate_from,
    rms,
    softened,
    spread,
)
from diffusion_lab.labs.lab08.pictures import dots
from diffusion_lab.labs.pictures import by_evaluations, curves, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.metrics import (
    encode,
    flower_features,
    frechet_inception_distance,
    kernel_inception_distance,
    kid_with_standard_error,
    nearest_training_neighbours,
    precision_recall,
)
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model
from diffusion_lab.samplers import SAMPLERS, adams_bashforth, ddim, time_grid
from diffusion_lab.schedules import (
    cosine_diffusion_schedule,
    offset_cosine_diffusion_schedule,
)

# %% [markdown]
# The next cell holds all the settings you may want to change. Once you have been through the lab
# with our weights, come back and use your own.

# %%
weights = "flowers32"  # or the file that you saved in lab 07: "out/lab07/my_flowers.weights.h5"
kid_images, kid_steps = lab.amount(smoke=8, cpu=128, gpu=512), lab.amount(smoke=2, cpu=10, gpu=20)
step_counts = lab.amount(smoke=(1, 2), cpu=(1, 2, 3, 5, 10, 20, 50), gpu=(1, 2, 3, 5, 10, 20, 50))
steps = lab.amount(smoke=2, cpu=20, gpu=50)  # for pictures
round_trips = lab.amount(smoke=(2, 3), cpu=(5, 10, 20, 50, 100), gpu=(5, 10, 20, 50, 100, 200))
training_images = lab.amount(smoke=64, cpu=4096, gpu=20000)
batch_size, learning_rate = 16, 2e-3
steps_per_look, looks = lab.amount(smoke=1, cpu=10, gpu=10), lab.amount(smoke=3, cpu=14, gpu=40)

# %% [markdown]
# ## 1 · A town in which every address has a flower
#
# Imagine a town with more addresses than there are grains of sand. At each address there is one
# house, and in each house grows one flower. You have never been there, but you have a taxi: name an
# address, and the driver takes you to the flower. The same address always leads to the same flower.
#
# The address is the noise, 3,072 numbers for an image of 32 × 32 pixels. The taxi is DDIM, and the
# driver's knowledge of the town is the network. In lab 07 you built the taxi. Now you use it to
# explore. How careful must the driver be? Do other drivers find the same house? Who lives halfway
# between two addresses? And, at the end, the best question: if somebody shows you a flower, can you
# tell *where it lives*?

# %% tags=["nbval-ignore-output"] alt="Two rows of eight flowers, one row per run from the same noise; the two rows look identical."
model, origin = load_model(weights)
size = model.image_shape[0]
noise = keras.random.normal((8, *model.image_shape), seed=12)
denoise = compiled(partial(model.denoise, training=False))
schedule = model.diffusion_schedule

first, second = (ddim(denoise, schedule, noise, steps) for _ in range(2))
show_rows({"one run": model.denormalize(first), "another run": model.denormalize(second)})
print("largest difference between the two runs:", float(ops.max(ops.abs(first - second))))

# %% [markdown]
# (All that a sampler needs from a model is `denoise` and `schedule`. `compiled` just makes the
# first one fast.)
#
# ## 2 · How many steps?
#
# A careful driver asks the network at every corner, a hasty one only now and then. What do you
# expect from the *same* noise, with 1 to 50 steps?

# %% tags=["nbval-ignore-output"]
ask("08.steps")

# %% tags=["nbval-ignore-output"] alt="The same eight flowers, one row each for 1 to 50 steps. They are blurs after 1 step, gain petals and colour, and change little after 10."
show_rows({f"{n} step{'s' * (n > 1)}": generate_from(model, noise, n) for n in step_counts})

# %% [markdown]
# We can also measure it, with the **kernel inception distance, KID** (Bińkowski et al. 2018), which
# you used in lab 07. What does it measure? It compares many generated images with real ones that
# the model has never seen, in three steps.
#
# 1. **Features.** A trained network turns each image into a vector of $d$ numbers that say what is
#    in it: colours, petals, sharpness. Pixels would not do, because two flowers that differ by a
#    shift of one pixel are far apart in pixels.
# 2. **A kernel** says how similar two of these vectors are:
#    $k(x, y) = \big(\tfrac{x \cdot y}{d} + 1\big)^3$.
# 3. **Compare the similarities.** With real features $x_1, \ldots, x_n$ and generated ones
#    $y_1, \ldots, y_m$,
#
# $$\text{MMD}^2 = \underset{i \ne j}{\text{mean}}\; k(x_i, x_j) \;+\;
# \underset{i \ne j}{\text{mean}}\; k(y_i, y_j) \;-\; 2\,\underset{i,\, j}{\text{mean}}\; k(x_i,
# y_j).$$
#
# If the images within each set are as similar to each other as they are to those of the other set,
# the terms cancel. This is the squared *maximum mean discrepancy* (MMD; Gretton et al. 2012). In
# the first two terms an image is never compared with itself ($i \ne j$), because the third term has
# no such pairs. That makes the estimate **unbiased**: right on average, for any number of images.
# If the two sets come from the same distribution, it scatters around 0, so it may be negative.
#
# ### Exercise 8.1 · `polynomial_mmd`
# *Difficulty ●●○ · 15 minutes*
#
# The features are NumPy arrays, so `@`, `.T`, `np.sum`, `np.trace` and `np.mean` are all you need.
#
# <details><summary>Hint 1: all pairs at once</summary>
#
# `x @ y.T` has the dot product of every row of `x` with every row of `y`: (n, d) and (m, d) give
# (n, m). A small function for the kernel saves you from writing it three times.
# </details>
# <details><summary>Hint 2: without the diagonal</summary>
#
# On the diagonal of $k(x, x)$ each image meets itself. `np.trace` adds up a diagonal. How many
# pairs are left of $n^2$?
# </details>


# %% exercise="polynomial_mmd" points=5
def polynomial_mmd(real_features, generated_features):
    """The unbiased squared MMD of two sets of features, for the kernel (x · y / d + 1)³.

    real_features: (n, d).   generated_features: (m, d).   Returns a number, perhaps negative.
    """
    ### BEGIN SOLUTION
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):
        pairs = kernel(x, x)
        return (np.sum(pairs) - np.trace(pairs)) / (len(x) * (len(x) - 1))

    between = np.mean(kernel(real_features, generated_features))
    return within(real_features) + within(generated_features) - 2 * between
    ### END SOLUTION


# %% check="polynomial_mmd"
checks.polynomial_mmd(polynomial_mmd)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Multiplied out, the third power contains products of one, two and three features. So two
# *distributions* have MMD 0 only if all their means, covariances and third moments agree. With the
# power 1 it would be an estimate of the squared distance of the two means, divided by $d$.
# </details>

# %% [markdown]
# Here it is at work, next to the function of the package. We compute the features of the unseen
# flowers once and keep them. For comparison, the first line takes a second set of *real* flowers.

# %% tags=["nbval-ignore-output"]
validation = load_dataset(origin["data"], "validation", image_size=size, batch_size=64)
extractor = flower_features()
real_features = encode(extractor, validation.images[:kid_images])
features = {"real flowers": encode(extractor, validation.images[-kid_images:])}
for n in step_counts:
    features[n] = encode(extractor, generate_in_batches(model, kid_images, n, seed=1))
for name in ("real flowers", *step_counts[-2:]):
    ours = polynomial_mmd(real_features, features[name])
    package = kernel_inception_distance(real_features, features[name])
    print(f"{name}: yours {ours:.3f}, the package's {package:.3f}")

# %% [markdown]
# The real flowers do not get exactly 0. So how much of a KID is chance? Papers draw many random
# subsets of both sets, usually 100 of 1,000 images each, and report the **mean** of their KIDs and
# often their **standard deviation**. That is the spread for 1,000 images, not the error of the
# mean. `kid_with_standard_error` takes 50 random halves of both sets, and from their spread it
# works out the **standard error**: how much the KID of the whole sets would vary with other images.
# It is what we print after ±. The difference of two KIDs with the errors $a$ and $b$ has the error
# $\sqrt{a^2+b^2}$. Call a model better only if the difference is at least twice its error.

# %% tags=["nbval-ignore-output"] alt="KID of DDIM over the number of evaluations, log scales. It falls steadily from 14 at 1 evaluation to 0.1 at 50."
plus_minus = "{:.2f} ± {:.2f}".format


def kid(images):
    return kid_with_standard_error(real_features, encode(extractor, images))


values = [(n, *kid_with_standard_error(real_features, features[n])) for n in step_counts]
by_evaluations({"DDIM": values}, ylabel="KID (lower is better)", logarithmic=True)
print("\n".join(f"NFE {n}: KID {plus_minus(*value)}" for n, *value in values))

# %% [markdown]
# Both axes are logarithmic. From 1 to 20 steps the curve falls by a factor of more than fifty.
# After that the eye no longer sees a difference, although KID still halves up to 50 steps. With
# ever more steps, the sampler's own errors vanish, and those of the network remain. Where to stop
# is a question of price: every step is one network evaluation (NFE) per image. Drag the number of
# steps, and watch the read-out and your patience:

# %% tags=["nbval-ignore-output", "live-flowers"]
widgets.sampling(model)

# %% [markdown]
# > **KID and FID.** Most papers report the Fréchet inception distance, FID (Heusel et al. 2017). It
# > fits a Gaussian to each of the two sets of features and computes the distance of the Gaussians,
# > so it compares means and covariances. FID is *biased*: with few images it is too large, and by
# > different amounts for different models, which is why it is computed with 50,000. KID is right on
# > average with a hundred images, only less certain.
# >
# > **Two faults, one number.** A model can draw bad flowers, or too few kinds of flowers.
# > *Precision* is the share of the generated images that look like real ones, and *recall* the
# > share of the real ones that the model could have drawn (Kynkäänniemi et al. 2019). A model that
# > draws one perfect flower again and again has a precision of 1, and a recall of nearly 0. KID
# > notices both faults, but does not say which one it saw.
# >
# > **Our scale is not that of the papers.** The *I* in KID is InceptionV3, a network trained on a
# > million photographs. It must be downloaded, and knows nothing about flowers of 32 × 32 pixels.
# > Our features come from a small network that was trained on drawn flowers. Papers get other
# > values for the same images, and many of them print KID × 1000. So compare our values only with
# > each other, and only for the same features and image size.

# %% [markdown]
# ## 3 · `eta`: a driver who takes detours
#
# DDIM mixes the *predicted* noise back in. DDPM, from lab 06, replaces some of it with fresh noise
# at every step. `eta` interpolates between the two: 0 is DDIM, 1 is DDPM. We send each driver to
# the same address three times.

# %% tags=["nbval-ignore-output"]
ask("08.eta")

# %% tags=["nbval-ignore-output"] alt="Three runs each for eta 0, 0.3 and 1 from the same noise. At eta 0 the runs are identical, at 0.3 similar, and at 1 they are different flowers."
rows = {}
for eta in lab.amount(smoke=(1.0,), cpu=(0.0, 0.3, 1.0), gpu=(0.0, 0.3, 1.0)):
    for run in (1, 2, 3):
        images = ddim(denoise, schedule, noise, steps, eta=eta, seed=run)
        rows[f"eta {eta:g}, run {run}"] = model.denormalize(images)
show_rows(rows, height=1.05)

# %% [markdown]
# With a positive `eta`, the noise at the start is no longer an address: what the flower becomes is
# decided on the way. That is not a defect. Fresh noise washes out the errors of earlier steps, and
# with *many* steps DDPM's images are about as good as DDIM's. With few steps it is the worse
# driver: each of its steps is a Gaussian, which is nearly right for a small step, but not for a
# large one (lab 06). And for everything that follows we need addresses, so `eta` stays 0.
#
# ## 4 · Other drivers, the same address
#
# The package has five samplers. To be fair, each may ask the network nine times. (Heun's method
# asks twice in every step except the last, so it gets five steps.)

# %% tags=["nbval-ignore-output"]
ask("08.samplers")

# %% tags=["nbval-ignore-output"] alt="Flowers and KID of five samplers below DDIM with 100 steps. All but ddpm show the same flowers; adams_bashforth has the lowest KID, 0.22, and ddpm the highest."
evaluations = lab.amount(smoke=3, cpu=9, gpu=9)
rows = {"DDIM, 100 steps": generate_from(model, noise, lab.amount(smoke=4, cpu=100, gpu=100))}
for name, sampler in SAMPLERS.items():
    n = (evaluations + 1) // 2 if name == "heun" else evaluations
    images = model.denormalize(model.sample(sampler, noise, steps=n, seed=1))
    value = kid(generate_in_batches(model, kid_images, n, seed=1, sampler=sampler))
    rows[f"{name}\nKID {plus_minus(*value)}"] = ops.convert_to_numpy(images)
show_rows(rows)

# %% [markdown]
# Four of the five arrive at the same houses: they solve the same equation, and the 100 small steps
# of the first row come close to its exact solution. `ddpm` rolls dice on the way and ends up
# elsewhere. And at the same price, the two that *remember* their last question (`dpmpp_2m`,
# `adams_bashforth`) are clearly better than DDIM. Lab 09 shows why.
#
# ### When to ask
#
# So far, every driver asks at equal intervals. But they should ask where the road bends. Take the
# mean colour of an image. In the mean of its 1,024 pixels, most of the noise cancels: it is 32
# times as small as in a single pixel. So the colour shows through the noise long before the petals
# do, and it is decided at the beginning of the journey.
#
# How much of the colour arrives? Suppose that the mean colours have a Gaussian distribution, with a
# standard deviation of $s$ times that of the noise in the mean, and that the network is perfect.
# (For our flowers, normalised to a variance of 1, the mean colours have a standard deviation of
# 0.41 to 0.54 in the three channels, and the mean noise has 1/32. So we take $s = 0.5 \cdot 32$.)
# Then each step of DDIM turns the angle
#
# $$\theta = \arctan \frac{\text{noise rate}}{s \cdot \text{signal rate}}$$
#
# and multiplies the spread of the colours by the cosine of that turn, as if you walked along a
# tangent instead of the circle. Over the whole journey, the turns add up to the same angle for any
# times. The product of their cosines is largest if all turns are equal, but the first of ten equal
# steps in time already turns by 49°, and $\cos 49° = 0.66$.
#
# So all samplers have an argument `spacing`. Step $i = 0, \ldots, n-1$ of $n$ begins at the time
# $1 - \big(1 - \tfrac1n\big) \big(\tfrac{i}{n-1}\big)^{\text{spacing}}$. With 1, that is
# $1 - i/n$ as before. With 2, the first steps are much shorter, and the last ones longer.
#
# There is a second leak, at the very start. Our schedule ends at a signal rate of 0.02, so the
# network expects a trace of colour at time 1, but the sampler begins with pure noise. What if we
# sample with a schedule that ends at 0.005? The network has never seen such a low rate.

# %% tags=["nbval-ignore-output"] alt="Five rows of flowers from the same noise. With spacing 2, and from purer noise, the colours are stronger and the KID is lower, for DDIM and for Adams–Bashforth."
purer = partial(offset_cosine_diffusion_schedule, min_signal_rate=0.005)


def share_kept(schedule, spacing, s=0.5 * 32):
    """The share of the colours' spread that DDIM keeps, with a perfect network."""
    points = time_grid(schedule, kid_steps, spacing)
    angles = [np.arctan2(point.noise_rate, s * point.signal_rate) for point in points]
    start = np.hypot(points[0].noise_rate, s * points[0].signal_rate)  # and not 1, as in pure noise
    return np.prod(np.cos(np.diff(angles))) / start


def spread_of_colours(images):
    return float(ops.mean(ops.std(ops.mean(images, axis=(1, 2)), axis=0)))


real_spread = spread_of_colours(validation.images[:kid_images] / 255)
many = keras.random.normal((kid_images, *model.image_shape), seed=1)
rows = {}
for sampler, spacing, times in (
    (ddim, 1, schedule),
    (ddim, 2, schedule),
    (ddim, 2, purer),
    (adams_bashforth, 1, schedule),
    (adams_bashforth, 2, purer),
):
    how = f"{sampler.__name__}, {spacing}" + ", purer" * (times is purer)
    images = model.denormalize(sampler(denoise, times, many, kid_steps, spacing=spacing))
    images = ops.convert_to_numpy(images)
    share = spread_of_colours(images) / real_spread
    predicted = f", predicted {share_kept(times, spacing):.2f}" if sampler is ddim else ""
    print(f"{how}: share of the real spread {share:.2f}{predicted}")
    rows[f"{how}\nKID {plus_minus(*kid(images))}"] = images[:8]
show_rows(rows)
for rate in (0.02, 0.005):
    noise_rates = ops.full((kid_images, 1, 1, 1), (1 - rate**2) ** 0.5)
    _, guesses = denoise(many, noise_rates, ops.full((kid_images, 1, 1, 1), rate))
    print(f"spread of the colours in first guesses at {rate}: {spread_of_colours(guesses):.2f}")

# %% [markdown]
# For equal and for shorter first steps our theory predicted 0.61 and 0.82, and we measured 0.72 and
# 0.78. It is a rough theory (colours are not Gaussian, and one $s$ does not fit all channels), but
# it has found the cause: it was the first step that let the colours fade.
#
# For purer noise it predicts a small loss, and we measured a gain. The last two lines say why. At
# 0.005 there is a quarter of the signal, so the network should dare only a quarter of the colour.
# But it answers as at 0.02, the lowest rate that it knows. This error happens to make up for some
# of the colour that is lost later. No theory of a perfect network could have told us, so we
# measure. Together, the two changes lower the KID of Adams–Bashforth from 0.18 to 0.05, and cost
# nothing.
#
# > **Large images.** The larger the image, the more noise cancels in the mean, and the earlier its
# > colour is decided. So models for large images are trained and sampled with more of their time in
# > the noise (Hoogeboom et al. 2023, *simple diffusion*; Esser et al. 2024, the shifted timesteps
# > of Stable Diffusion 3). The leak at the start was found in Stable Diffusion, which could draw
# > neither very dark nor very bright pictures (Lin et al. 2023, *Common diffusion noise schedules
# > and sample steps are flawed*).
#
# ## 5 · Halfway between two flowers
#
# If every noise sample is an address, then a walk from one address to another leads past many
# flowers. Which way should we take? The first idea is the straight line, half of this and half of
# that.

# %%
noise_a, noise_b = (keras.random.normal((8, *model.image_shape), seed=seed) for seed in (1, 2))


def straight(noise_a, noise_b, share):
    """Linear interpolation."""
    return noise_a + share * (noise_b - noise_a)


# %% [markdown]
# The network has only ever seen noise with a standard deviation of 1. What is the standard
# deviation halfway along the line?

# %% tags=["nbval-ignore-output"]
ask("08.half_way")

# %%
for share in (0.0, 0.25, 0.5):
    print(f"share {share:.2f}: {spread(straight(noise_a, noise_b, share)).mean():.2f}")

# %% [markdown]
# The line is a shortcut *through* a ball. In 3,072 dimensions nearly all noise lies in a thin
# shell, at a distance of $\sqrt{3072}\approx 55$ from the centre, like people who live on the
# surface of a planet. Two random noise vectors are nearly at a right angle. The line between them
# digs a tunnel, and nobody lives in the tunnel. So walk on the surface, along the arc of the great
# circle, as aeroplanes do. With $\Omega$ for the angle between $a$ and $b$ (Shoemake 1985),
#
# $$\operatorname{slerp}(a,b,s)=\frac{\sin((1-s)\,\Omega)}{\sin\Omega}\,a+
# \frac{\sin(s\,\Omega)}{\sin\Omega}\,b,\qquad \cos\Omega=\frac{a\cdot b}{|a|\,|b|}.$$
#
# ### Exercise 8.2 · `slerp`
# *Difficulty ●●○ · 15 minutes*
#
# Write it for batches of noise, shaped like images. To measure an angle, treat a whole image as
# *one* vector, so that each pair has one angle. Two (nearly) equal noise arrays must not give NaN:
# the arc between them is a straight line.
#
# <details><summary>Hint 1: the dot product of two images</summary>
#
# Multiply, and sum over height, width and channels (`ops.sum`). Which axes are these? With
# `keepdims=True` the result has the shape (B, 1, 1, 1), which broadcasts everywhere. The length of
# an image is the square root of its dot product with itself.
# </details>
# <details><summary>Hint 2: nearly parallel</summary>
#
# Rounding may give a cosine of 1.0000001, so clip it. Where the angle is below 0.001, say, use the
# weights 1 − s and s. `ops.where` computes *both* of its branches. To avoid 0/0 in the branch that
# is thrown away, put a harmless angle there first, such as 1.
# </details>


# %% exercise="slerp" points=5
def slerp(noise_a, noise_b, share):
    """Spherical interpolation: the noise that lies at `share` of the way from noise_a to noise_b.

    noise_a, noise_b: (B, H, W, C), pair by pair.   share: a number from 0 (noise_a) to 1 (noise_b).
    Returns noises (B, H, W, C).
    """
    ### BEGIN SOLUTION
    def dot(x, y):
        return ops.sum(x * y, axis=(1, 2, 3), keepdims=True)

    cosines = dot(noise_a, noise_b) / ops.sqrt(dot(noise_a, noise_a) * dot(noise_b, noise_b))
    angles = ops.arccos(ops.clip(cosines, -1, 1))
    parallel = angles < 1e-3
    angles = ops.where(parallel, 1.0, angles)
    weights_a = ops.where(parallel, 1 - share, ops.sin((1 - share) * angles) / ops.sin(angles))
    weights_b = ops.where(parallel, share, ops.sin(share * angles) / ops.sin(angles))
    return weights_a * noise_a + weights_b * noise_b
    ### END SOLUTION


# %% check="slerp"
checks.slerp(slerp)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Look at the ends: with share 0 the weights are 1 and 0, and with share 1 they are 0 and 1. In
# between, both are larger than those of a straight line, by exactly the amount that keeps the
# length constant. For a right angle, $\sin\Omega = 1$, and the weights are the cosine and the sine
# of $s\cdot 90°$, which many courses use in all cases.
# </details>

# %% [markdown]
# Here are the two ways compared. First, how much noise there is along them:

# %% alt="Standard deviation over the share of the second noise. On the straight line it sags from 1 to 0.71 halfway; with slerp it stays at 1."
shares = np.linspace(0, 1, 21)
ways = {"straight line": straight, "slerp": slerp}
spreads = {
    name: [spread(way(noise_a, noise_b, float(share))).mean() for share in shares]
    for name, way in ways.items()
}
curves(
    {name: (shares, values) for name, values in spreads.items()},
    xlabel="share of the second noise",
    ylabel="standard deviation",
)
print({name: f"{min(values):.2f}" for name, values in spreads.items()})

# %% [markdown]
# And the flowers on the way. Look at the middle columns, because at the ends the two rows are the
# same.

# %% tags=["nbval-ignore-output", "cover"] alt="Three walks between two flowers each, on a straight line and with slerp. Halfway, flowers on the line are dull and plain, those with slerp vivid."
stops = np.linspace(0, 1, 8)
rows = {}
for pair in range(lab.amount(smoke=1, cpu=3, gpu=3)):
    a, b = noise_a[pair : pair + 1], noise_b[pair : pair + 1]
    for name, way in ways.items():
        on_the_way = ops.concatenate([way(a, b, float(stop)) for stop in stops])
        rows[f"{name} {pair + 1}"] = generate_from(model, on_the_way, steps)
show_rows(rows, titles=[f"{stop:.2f}" for stop in stops])

# %% [markdown]
# Flowers also grow in the tunnel, but flat ones: where there is too little noise, the network does
# not find enough to make detail from. One picture is an anecdote, so here are many flowers from
# halfway:

# %% tags=["nbval-ignore-output"]
shape = (kid_images, *model.image_shape)
many_a, many_b = (keras.random.normal(shape, seed=seed) for seed in (5, 6))
for name, way in {"from one noise": lambda a, b, share: a, **ways}.items():
    half_way = way(many_a, many_b, 0.5)
    batches = [half_way[i : i + 64] for i in range(0, kid_images, 64)]
    images = [generate_from(model, batch, kid_steps) for batch in batches]
    print(f"{name:15} KID {plus_minus(*kid(np.concatenate(images)))}")

# %% [markdown]
# On the arc the flowers are as good as those from one noise, as far as this number of images can
# tell: the difference is no larger than chance. In the tunnel, KID is about six times as high.
# Choose your own pair, and walk. The pictures should follow the slider, so here the taxi is faster:
# `flowers32_fewstep` is the model `flowers32`, trained further until two steps are enough for an
# image.

# %% tags=["nbval-ignore-output"]
fast, _ = load_model("flowers32_fewstep")
widgets.interpolation(fast, slerp, steps=2)

# %% [markdown]
# ## 6 · Where does this flower live?
#
# So far we could only visit houses. Now somebody shows us a *real* flower, one that the model has
# never drawn, and we want its address. DDIM rolls no dice, so we can run its film backwards.
#
# Forwards, a step from time $t$ down to the cleaner time $s$ uses the network to separate the image
# from the noise, and remixes them with the rates of $s$:
#
# $$x_t \;\to\; \text{noise}(x_t),\ \text{image}(x_t) \;\to\;
# x_s = \text{signal}_s\cdot\text{image}+\text{noise rate}_s\cdot\text{noise}.$$
#
# Backwards, we are at $x_s$ and want $x_t$. It would be easy if we knew the noise that the network
# sees in $x_t$. But we do not have $x_t$ yet. So we make a small, honest mistake: **we ask about
# $x_s$, which we have, but give the network the rates of $t$, where we are going.** If the step is
# short, the two are nearly the same image.
#
# This also works at the start. A clean image has noise rate 0, so it contains no noise that anyone
# could ask about. But we never ask at the time where we are, always at the next one.
#
# ### Exercise 8.3 · `invert`
# *Difficulty ●●● · 25 minutes*
#
# Start with the clean images, whose rates are 0 (noise) and 1 (signal). For each of the times
# $\tfrac1{\text{steps}},\ \tfrac2{\text{steps}},\ \dots,\ 1$, the sampler's grid in reverse order:
#
# 1. **ask** for the predicted noise, with the rates of this *next* time;
# 2. **subtract it** from the images, with the rates that they have *now*; the rest, divided by the
#    signal rate, is the predicted image;
# 3. **remix** the two with the rates of the next time.
#
# At time 1 you have the noise.
#
# <details><summary>Hint 1: the shape of the times</summary>
#
# `ops.ones((images.shape[0], 1, 1, 1)) * time`, as in lab 07. The schedule returns rates of the
# same shape.
# </details>
# <details><summary>Hint 2: what to keep from step to step</summary>
#
# Three things: the noisy images, and their two rates. At the end of a step, "next" becomes "now".
# </details>
# <details><summary>Hint 3: my images do not change</summary>
#
# `denoise` returns two things, but you cannot use the second one, the predicted image, here. It was
# computed with the rates of the next time, and if you remix it with the same rates, you get back
# what you had. Compute the image yourself (step 2).
# </details>


# %% exercise="invert" points=7
def invert(denoise, schedule, images, steps):
    """DDIM backwards: the noise that leads to these images.

    denoise(noisy_images, noise_rates, signal_rates) returns (pred_noises, pred_images); the rates
    have the shape (B, 1, 1, 1).   schedule(diffusion_times) returns (noise_rates, signal_rates).
    images: clean, normalised, (B, H, W, C).   steps: the number of network evaluations.
    Returns the noisy images at time 1, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    ones = ops.ones((images.shape[0], 1, 1, 1))
    noisy_images, noise_rates, signal_rates = images, 0 * ones, ones
    for step in range(1, steps + 1):
        next_noise_rates, next_signal_rates = schedule(ones * step / steps)
        pred_noises, _ = denoise(noisy_images, next_noise_rates, next_signal_rates)
        pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
        noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
        noise_rates, signal_rates = next_noise_rates, next_signal_rates
    return noisy_images
    ### END SOLUTION


# %% check="invert"
checks.invert(invert)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Written out, one step is
# $x_t = \text{signal}_t\,\frac{x_s-\text{noise rate}_s\,\varepsilon}{\text{signal}_s} +
# \text{noise rate}_t\,\varepsilon$,
# which is the sampler's own step, solved for $x_t$. With the true $\varepsilon = \text{noise}(x_t)$
# it would be exact. We use $\text{noise}(x_s)$ with the rates of $t$, and the error shrinks with
# the step size. The division is safe: we arrive at time 1, where the signal is nearly gone, but we
# do not divide there.
# </details>

# %% [markdown]
# Before we trust it with flowers, let us try a world in which the right answer is a formula. If
# every pixel is normally distributed, with mean 0.4 and standard deviation 0.6, we know the perfect
# `denoise`, and also the noise of every image: $(\text{image} - 0.4)/0.6$.

# %%
toy = {"mean": 0.4, "standard_deviation": 0.6}
toy_noise = keras.random.normal((4, 8, 8, 3), seed=7)
toy_images = toy["mean"] + toy["standard_deviation"] * toy_noise
at_the_end = cosine_diffusion_schedule(np.ones((1, 1, 1, 1), "float32"))
exact = gaussian_ode_solution(toy_noise, *at_the_end, **toy)
for n in (10, 20, 40, 80):
    found = invert(gaussian_denoiser(**toy), cosine_diffusion_schedule, toy_images, n)
    print(f"{n:3} steps: distance from the exact noise {rms(found - exact):.3f}")

# %% [markdown]
# When you double the number of steps, the error falls to about 0.6 of what it was, and the factor
# is on its way to one half. So this is a first-order method, like DDIM itself. Now let us turn to
# flowers that the model has never seen. There and back again:

# %% tags=["nbval-ignore-output"] alt="Rows of flowers sent there and back: with 5 steps they are too vivid, with 50 nearly real. In the second picture, the error per pixel falls from 5 to 100 steps."
flowers = validation.images[:8] / np.float32(255)
clean = model.normalizer(ops.convert_to_tensor(flowers))
rows, errors = {"real": flowers}, []
for n in round_trips:
    rows[f"{n} steps"] = generate_from(model, invert(denoise, schedule, clean, n), n)
    errors.append(rms(rows[f"{n} steps"] - flowers))
show_rows(rows)
curves(
    {"there and back": (round_trips, errors)},
    xlabel="steps",
    ylabel="error per pixel",
    logarithmic=True,
)

# %% [markdown]
# With 50 steps you have to look closely to find a difference. The town is complete: even flowers
# that the model has never seen live somewhere in it.
#
# Now the other way round. We generate flowers from noise that *we know*, and let `invert` find
# their noise. The flowers come back, but is it the same noise?

# %% tags=["nbval-ignore-output"]
ask("08.same_noise")

# %% tags=["nbval-ignore-output"] alt="Two rows of eight flowers, drawn from our noise and from the found noise. They look alike; the lower row is a little brighter."
careful = round_trips[-2]
drawn = ddim(denoise, schedule, noise, careful)
found = invert(denoise, schedule, drawn, careful)
show_rows({
    "drawn from our noise": model.denormalize(drawn),
    "from the found noise": generate_from(model, found, careful),
})
print(f"correlation of our noise and the found noise: {correlations(found, noise).mean():.2f}")
ours, theirs = spread(noise).mean(), spread(found).mean()
print(f"standard deviation: our noise {ours:.2f}, the found noise {theirs:.2f}")

# %% [markdown]
# The flowers are nearly the same, but the noise differs: it is smaller, and only loosely related to
# ours. The taxi's last metres explain it. The schedule ends at a noise rate of 0.3, and the last
# step jumps from there to the predicted image and throws away the remaining fine grain. So a whole
# neighbourhood of addresses shares one flower, and from the flower nobody can tell which of them
# was yours. `invert` returns the address with the least grain. (For the sampler this is unusual
# noise. It works anyway, because the sampler retraces the path that `invert` took.)
#
# ### What an address is good for
#
# Now you can also walk between real flowers. Below each walk is the cheap alternative, cross-fading
# the pixels: it shows two flowers at once, while the walk shows one flower that changes.

# %% tags=["nbval-ignore-output"] alt="Two walks between two real flowers each. With slerp, one flower changes into the other; with pixels, the two overlap like ghosts."
addresses = invert(denoise, schedule, clean, careful)
rows = {}
for i, j in lab.amount(smoke=((0, 1),), cpu=((0, 1), (5, 7)), gpu=((0, 1), (5, 7), (2, 6))):
    walk = [slerp(addresses[i : i + 1], addresses[j : j + 1], float(stop)) for stop in stops]
    rows[f"slerp {i}-{j}"] = generate_from(model, ops.concatenate(walk), careful)
    rows[f"pixels {i}-{j}"] = [straight(flowers[i], flowers[j], stop) for stop in stops]
show_rows(rows, titles=[f"{stop:.2f}" for stop in stops])

# %% [markdown]
# And here is a caricature. Take the address of a real flower and move away from the centre of the
# town: multiply the noise by a number above 1. Below 1, you come home to the average.

# %% tags=["nbval-ignore-output"] alt="Eight flowers, one row per factor from 0.5 to 2. At 0.5 they are dull and plain; at 2 they glare, with bright spots in the background."
all_factors = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
factors = lab.amount(smoke=(1.5,), cpu=all_factors, gpu=all_factors)
show_rows({f"× {factor:g}": generate_from(model, factor * addresses, steps) for factor in factors})

# %% [markdown]
# ## 7 · The driver's memory: EMA weights
#
# Every sample so far came from `ema_network`, an exponential moving average (EMA) of the weights
# during training. The shipped file contains nothing else. What would the raw weights, those after
# the last training step, have drawn? To find out, we continue to train a copy of the model at a
# high learning rate. Every few steps we generate eight images, always from the same noise.

# %% tags=["nbval-ignore-output"]
ask("08.average")

# %% tags=["nbval-ignore-output"] alt="Left, the training loss drops from 0.056 to 0.047 and then zigzags. Right, eight samples are slightly soft flowers."
learner, _ = load_model(weights)
optimizer = keras.optimizers.Adam(learning_rate)
learner.compile(optimizer, loss="mse", jit_compile=False, run_eagerly=lab.profile == "smoke")
count = batch_size * steps_per_look * looks
lessons = load_dataset(origin["data"], "train", size, batch_size, count=count)
unseen = validation.images[: lab.amount(smoke=8, cpu=128, gpu=512)] / np.float32(255)
snapshots = Snapshots(noise, unseen, lab.amount(smoke=1, cpu=10, gpu=20), first=looks // 2)
panel = TrainingPanel(lambda: generate_from(learner, noise, 5, training=True))
learner.fit(
    lessons,
    epochs=looks,
    steps_per_epoch=steps_per_look,
    shuffle=False,
    verbose=0,
    callbacks=[snapshots, panel],
);

# %% tags=["nbval-ignore-output"] alt="With raw weights, the flowers change colour from row to row; with EMA weights they change much less. In the second picture, the EMA error is lower and calmer."
training_steps = [epoch * steps_per_look for epoch in snapshots.epochs]
rows = {}
for name in RAW_AND_EMA:
    change = np.mean(snapshots.changes(name))
    print(f"{name} - typical change of a pixel in {steps_per_look} steps: {change:.3f}")
    last = zip(training_steps[-4:], snapshots.images[name][-4:])
    rows |= {f"{name}, step {n}": images for n, images in last}
show_rows(rows, height=1.0)
curves(
    {name: (training_steps, snapshots.errors[name]) for name in RAW_AND_EMA},
    xlabel="training steps",
    ylabel="error on unseen flowers",
)

# %% [markdown]
# The raw weights never settle. Each batch pulls them back and forth, and because a sampler calls
# the same network many times, a small error that all calls share (a bit too much red) adds up to a
# different colour. The average changes less than half as much, and its error on unseen flowers is
# lower. (If the learning rate falls to zero at the end of training, the raw weights also settle,
# and the average helps less. But the average gives you settled weights at every step, so the rate
# need not fall.)
#
# ## 8 · Has it memorised the training flowers?
#
# A model that only repeats its training flowers would have an excellent KID. So for each generated
# flower we look for the nearest training flower, mirror images included. The distance is the RMS
# (root mean square) of the differences between the pixels.

# %% tags=["nbval-ignore-output"] alt="Eight generated flowers above their nearest training flowers, at distances of about 0.11 to 0.13. The pairs are similar, but none is a copy."
training = load_dataset(origin["data"], "train", size, batch_size=8, count=training_images).images
generated = generate_in_batches(model, min(128, kid_images), steps, seed=3)
indices, distances = nearest_training_neighbours(generated, training)
show_rows(
    {"generated": generated[:8], "nearest in training": training[indices[:8, 0]] / 255},
    titles=[f"{distance:.3f}" for distance in distances[:8, 0]],
)

# %% [markdown]
# They are related, not copied. But what does a distance of 0.1 mean? We need something to compare
# it with: real flowers that the model has *not* seen. Their median distance is a little larger than
# that of the generated ones.

# %% tags=["nbval-ignore-output"]
ask("08.memorised")

# %% tags=["nbval-ignore-output"] alt="Distances to the nearest training flower as three rows of dots. Generated and unseen flowers overlap, with medians between 0.12 and 0.13; none is near 0."
real = validation.images[-len(generated) :] / np.float32(255)
groups = {
    "generated": generated,
    "unseen flowers": real,
    "unseen flowers, softened": softened(real),
}


def distances_to_training(images):
    return nearest_training_neighbours(images, training)[1][:, 0]


nearest = {name: distances_to_training(images) for name, images in groups.items()}
dots(nearest, xlabel="distance to the nearest training flower (bar: median)")
print(" · ".join(f"{name}: {np.median(values):.3f}" for name, values in nearest.items()))

# %% [markdown]
# Generated flowers are a little blurrier than real ones, and blurry images are closer to
# everything. If you blur real flowers, they move in the same direction. So nothing suggests that
# the model has memorised its training flowers.
#
# ### What each measure can be fooled by
#
# Let us build two very bad models, to test the tests. The first one **memorises**: its "generated"
# images are training images. The second one has **collapsed**: it always draws the same flower,
# which is not in the training set, with a trace of noise. Which of them does KID find out, and
# which the distance to the nearest training flower? (FID, precision and recall are from the box in
# section 2.)

# %% tags=["nbval-ignore-output"]
ask("08.fooled")

# %% tags=["nbval-ignore-output"]
trace = np.random.default_rng(0).normal(size=real.shape, scale=0.005)
groups |= {
    "memorised": training[: len(real)] / np.float32(255),
    "collapsed": np.clip(real[:1] + trace, 0, 1),
}
print(f"{'':25}KID             FID  precision  recall  distance")
for name, images in groups.items():
    both = real_features, encode(extractor, images)
    precision, recall = precision_recall(*both)
    print(
        f"{name:25}{plus_minus(*kid_with_standard_error(*both)):13}"
        f"{frechet_inception_distance(*both):6.1f}  {precision:9.0%}  {recall:6.0%}"
        f"  {np.median(distances_to_training(images)):8.3f}"
    )

# %% [markdown]
# KID takes the memorising model for perfect: its images have the same distribution as the unseen
# flowers. So do FID, precision and recall. Only the distance gives it away. The collapsed model is
# as far from the training flowers as a good model is. KID and FID notice it, but do not say *what*
# is wrong (its KID is even better than that of DDIM with three steps). Precision and recall do: its
# one flower is a good one, and no other is ever drawn. And the softened flowers show that all four
# look at sharpness.
#
# The unseen flowers have a FID of 13, although nothing is wrong with them: with 128 images, the
# covariances of 128 features are uncertain. Their precision is below 100 % as well: an image counts
# only if it is nearer to one of the 128 others than that one's third neighbour is, and not every
# real flower is. So compare such numbers only with those of real images, from sets of equal size.
# Every measure can be fooled: use two of them, and look at the images.
#
# ## What you have now
#
# * With `eta` = 0 a sampler is a map from noise to images; more steps read the same map more
#   accurately.
# * `slerp`, which stays where the network has learned to look, and `invert`, which finds the noise
#   of a real image. Together they are one of the ways to edit images with a diffusion model.
# * KID compares the similarities within and between two sets of features, and has an error bar. It
#   notices missing variety, but no memorised images: for these, look at the nearest neighbours.
# * EMA weights are calm weights.
#
# In section 4, some drivers did better than others with the same nine questions. **Lab 09** shows
# how they do it, and how to tell the driver what *colour* you want.
#
# **Read on**
# * Bińkowski et al. (2018), [Demystifying MMD GANs](https://arxiv.org/abs/1801.01401): KID, and why
#   it suits small samples.
# * Mokady et al. (2023), [Null-text inversion for editing real images using guided diffusion
#   models](https://arxiv.org/abs/2211.09794): `invert` at work in an image editor.
# * Carlini et al. (2023), [Extracting training data from diffusion
#   models](https://arxiv.org/abs/2301.13188): large models that did memorise.
