# %% [markdown]
# # Lab 09 · Past DDIM: better steps, velocities, guidance, and straight lines
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/09_past_ddim.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/09_past_ddim.html#live-samplers)
# · [train a network in your browser](https://OWNER.github.io/REPO/notebooks/09_past_ddim.html#live-training)
#
# **After this lab you can**
# * write a step of a second-order solver, and say honestly what you gain from it at equal cost,
# * write down the equation that samplers solve, and say which sampler solves which form of it,
# * say what a network can predict, and where each choice needs care,
# * tell a model what to draw, choose how strongly it obeys, and let a weaker model guide it,
# * train a flow-matching model in thirty lines.
#
# **Time**: 110 minutes of your time; the computer needs about 6 minutes on a laptop, less on a GPU.
#
# **Before**: labs 03 and 07. Lab 08 helps.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-09).

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

from diffusion_lab import checks
from diffusion_lab.backend import compiled
from diffusion_lab.data import load_dataset
from diffusion_lab.data.flowers import COLOURS
from diffusion_lab.ideal_denoisers import dataset_denoiser, mixture_denoiser
from diffusion_lab.labs.lab09.experiments import (
    FlowerKID,
    image_errors,
    petals,
    sample_labelled,
    smallest_flow_matching_loss,
    trajectory,
    velocity_network,
)
from diffusion_lab.labs.lab09.pictures import paths
from diffusion_lab.labs.pictures import by_evaluations, clouds, curves, show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.toy_points import flower_points
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model
from diffusion_lab.predictions import guide_within
from diffusion_lab.samplers import adams_bashforth, ddim, ddpm, dpmpp_2m, heun, time_grid
from diffusion_lab.schedules import offset_cosine_diffusion_schedule

# %%
kid_images = lab.amount(smoke=8, cpu=192, gpu=1024)
step_counts = lab.amount(smoke=(2,), cpu=(3, 5, 10, 20), gpu=(3, 5, 10, 20, 50))
flow_epochs = lab.amount(smoke=1, cpu=64, gpu=200)
guidances = (0, 1, 2, 4, 8)

# %% [markdown]
# ## 1 · DDIM is Euler's method
#
# DDIM asks the network where the image is, takes a step as if the answer would not change on the
# way, and asks again. On a winding road, that is a driver who looks up at each milestone and drives
# straight to the next one with eyes closed. The road is a differential equation, and the driver is
# Leonhard Euler's method from 1768. Two hundred and fifty years have brought better drivers. They
# come in two kinds:
#
# * **look twice** per step (Heun's method, made popular by Karras et al. 2022): drive, look,
#   correct. This costs two network evaluations per step.
# * **remember** (multistep methods): compare what you see now with what you saw at the last
#   milestone, and guess how the road continues. This costs nothing extra.
#
# The network accounts for nearly all of the cost, so we compare samplers at equal **NFE**, the
# number of network evaluations per image. We start with a toy problem whose perfect `denoise` is a
# formula: eight blobs in a ring, so wide that they overlap.

# %% alt="Point clouds of DDIM with 2 to 40 steps and the exact one. In 2 steps it is a small disc, from 5 on a ring that grows; 40 steps are close to exact."
# with this maximum, the schedule ends almost at the clean image
schedule = partial(offset_cosine_diffusion_schedule, max_signal_rate=0.9999)
toy_denoise = mixture_denoiser(petals(), standard_deviation=0.4)
noise = keras.random.normal((400, 1, 1, 2), seed=0)
exact = heun(toy_denoise, schedule, noise, steps=400)
samples = {
    f"DDIM, {steps} steps": ddim(toy_denoise, schedule, noise, steps) for steps in (2, 5, 10, 40)
}
clouds(samples | {"exact": exact})

# %% [markdown]
# Which equation is it? In lab 03 the noise rate and the signal rate were the sine and the cosine of
# an angle $\varphi$. Let the angle change, and keep image and noise:
#
# $$x = \cos\varphi\;\text{image} + \sin\varphi\;\text{noise}
# \qquad\Longrightarrow\qquad
# \frac{dx}{d\varphi} = \cos\varphi\;\text{noise} - \sin\varphi\;\text{image} .$$
#
# Sampling puts the *predicted* image and noise on the right-hand side, which then depends on where
# you are, $dx/d\varphi = \hat v(x, \varphi)$. This is the **probability-flow ODE** (ordinary
# differential equation; Song et al. 2021), and all samplers of this section except DDPM solve it,
# from $\varphi = 90°$ down to 0. DDIM keeps both predictions fixed during a step, which rotates $x$
# by the step's angle. (That is Euler's method for $x/\cos\varphi$ as a function of $\tan\varphi$,
# whose derivative is the predicted noise.)
#
# DDPM solves a stochastic differential equation (SDE) instead:
#
# $$dx = \left(\hat v + \frac{\hat\varepsilon}{\cos\varphi}\right) d\varphi +
# \sqrt{2\tan\varphi}\;dw .$$
#
# It removes more of the predicted noise $\hat\varepsilon$ than the ODE does, and replaces it with
# fresh noise $dw$ of the same variance. With perfect predictions, both have the same *distribution*
# at each angle, but the paths differ: one is a smooth curve, the other a random walk. (The grey
# dots are exact samples.)

# %% alt="Paths from noise to sample. With the ODE, DDIM, they are short and smooth; with the SDE, DDPM, they are a jagged tangle all over the panel."
walkers = keras.random.normal((30, 1, 1, 2), seed=6)
many_steps = lab.amount(smoke=5, cpu=200, gpu=200)
paths(
    {
        "ODE (DDIM)": trajectory(ddim, toy_denoise, schedule, walkers, many_steps),
        "SDE (DDPM)": trajectory(ddpm, toy_denoise, schedule, walkers, many_steps),
    },
    exact,
)

# %% [markdown]
# ### Exercise 9.1 · `dpmpp_2m_step`
# *Difficulty ●●● · 25 minutes*
#
# DPM-Solver++(2M) (Lu et al. 2022) remembers one prediction. It does not measure progress by time
# but by $\lambda = \log(\text{signal rate}/\text{noise rate})$, which grows from noise to image
# (and is half the log-SNR of lab 03). With $h = \lambda_\text{then} - \lambda_\text{now}$ and
# $h_\text{last} = \lambda_\text{now} - \lambda_\text{last}$ it extrapolates the predicted image to
# the middle of the step,
#
# $$\hat D = D_\text{now} + \frac{h}{2\,h_\text{last}}\,(D_\text{now} - D_\text{last}),$$
#
# and then takes the step exactly,
#
# $$x_\text{then} = \frac{\text{noise rate}_\text{then}}{\text{noise rate}_\text{now}}\,
# x_\text{now} - \text{signal rate}_\text{then}\,\left(e^{-h}-1\right)\hat D .$$
#
# In the first step there is no last prediction (`None`), so $\hat D = D_\text{now}$.
#
# <details><summary>Hint</summary>
#
# `math.expm1(x)` is $e^x-1$, and it is accurate for small $x$. If `last_pred_images is None`, skip
# the first formula. If you always skipped it, you would get DDIM in disguise.
# </details>


# %% exercise="dpmpp_2m_step" points=6
def dpmpp_2m_step(noisy_images, pred_images, last_pred_images, last, now, then):
    """One step of DPM-Solver++(2M), from the rates `now` to the rates `then`.

    noisy_images: x at `now`, (B, H, W, C).
    pred_images, last_pred_images: predicted at `now` and at `last`.
    last, now, then: pairs (noise_rate, signal_rate) of numbers.
    In the first step, last_pred_images and last are None.
    Returns x at `then`, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    def clock(rates):
        return math.log(rates[1] / rates[0])

    h = clock(then) - clock(now)
    extrapolated = pred_images
    if last_pred_images is not None:
        share = 0.5 * h / (clock(now) - clock(last))
        extrapolated = pred_images + share * (pred_images - last_pred_images)
    return then[0] / now[0] * noisy_images - then[1] * math.expm1(-h) * extrapolated
    ### END SOLUTION


# %% check="dpmpp_2m_step"
checks.dpmpp_2m_step(dpmpp_2m_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Written in terms of λ, the equation is linear in x and driven only by the predicted image D. If D
# were constant, the second formula would be the exact solution. Approximating D by a straight line
# leaves an error that falls with the square of the step, and two points determine a line:
# this prediction and the last one.
# </details>

# %% [markdown]
# The loop around it is `reverse_diffusion` from lab 07, with a memory:


# %%
def my_sampler(denoise, schedule, initial_noise, steps):
    noisy_images, last_pred_images, last = initial_noise, None, None
    ones = ops.ones((initial_noise.shape[0], 1, 1, 1))
    points = [(point.noise_rate, point.signal_rate) for point in time_grid(schedule, steps)]
    for now, then in zip(points, points[1:]):
        _, pred_images = denoise(noisy_images, ones * now[0], ones * now[1])
        if then[0] == 0:  # the last step ends at the predicted image
            return pred_images
        noisy_images = dpmpp_2m_step(noisy_images, pred_images, last_pred_images, last, now, then)
        last_pred_images, last = pred_images, now


# %% [markdown]
# How far from the exact answer do the samplers end up? Before you answer, note that Heun's method
# looks twice per step, so at equal NFE it takes half as many steps. *Adams–Bashforth* uses the same
# idea as your solver, but draws the line through the last two predictions of the *noise*.

# %% tags=["nbval-ignore-output"]
ask("09.equal_nfe")


# %% tags=["nbval-ignore-output"] alt="Mean distance from the exact sample over the number of evaluations, log scales. From 5 on, DDIM errs most and yours least, with Adams–Bashforth next."
def distance(sampler, steps):
    samples = sampler(toy_denoise, schedule, noise, steps)
    return float(ops.mean(ops.norm(ops.reshape(samples - exact, (-1, 2)), axis=-1)))


counts = (2, 3, 5, 8, 12, 20, 32)
by_evaluations(
    {
        "DDIM": [(steps, distance(ddim, steps)) for steps in counts],
        "yours, DPM-Solver++(2M)": [(steps, distance(my_sampler, steps)) for steps in counts],
        "Adams–Bashforth": [(steps, distance(adams_bashforth, steps)) for steps in counts],
        "Heun": [(2 * steps - 1, distance(heun, steps)) for steps in counts if steps < 20],
    },
    ylabel="mean distance from the exact sample",
    logarithmic=True,
    orders=(1, 2),
)

# %% [markdown] tags=["live-samplers"]
# If you halve the step, a first-order method halves its error, and a second-order method quarters
# it. In such a plot the *order* is the slope of the line (see the dotted lines), but only towards
# the right, where the steps are small. Look at the left end, where people sample in practice. With
# three evaluations, Heun's method is no better than DDIM, because it takes only two steps. From
# five on, its second look helps; memory helps more, and is free.

# %% [markdown]
# ## 2 · The same on flowers
#
# For the toy problem we know the exact answer. A trained network makes errors, and a more exact
# solver only follows these errors more exactly. So we measure what counts, the KID.

# %% tags=["nbval-ignore-output"] alt="KID of four samplers over the number of evaluations, log scales. All of them fall; DDIM is always highest and Adams–Bashforth lowest."
model, _ = load_model("flowers32")
validation = load_dataset("procedural_flowers", "validation", image_size=32, batch_size=64)
kid = FlowerKID(validation.images[:kid_images])
samplers = {"DDIM": ddim, "DPM-Solver++(2M)": dpmpp_2m, "Adams–Bashforth": adams_bashforth}
values = {
    name: [(n, *kid(model, n, sampler=sampler)) for n in step_counts]
    for name, sampler in samplers.items()
}
values["Heun"] = [
    (2 * n - 1, *kid(model, n, sampler=heun)) for n in step_counts[:-1] or step_counts
]
by_evaluations(values, ylabel="KID (lower is better)", logarithmic=True)

# %% [markdown]
# An honest summary: with few evaluations, a second-order multistep method is as good as DDIM with
# up to twice as many steps. At 20 evaluations DDIM is still behind: it needs about 50 (lab 08) for
# the KID that the others have at 20. No solver makes a weak network good.
#
# ## 3 · What should the network predict?
#
# In lab 07 you computed the image from the noise with a division: (noisy − noise rate · noise) /
# signal rate. At time 1 the signal rate is 0.02, so every error of a network that predicts the
# noise is multiplied by 50. A network that predicts the **velocity** (Salimans and Ho 2022),
#
# $$v = \text{signal rate}\cdot\text{noise} - \text{noise rate}\cdot\text{image},$$
#
# never needs a division: image = signal rate · noisy − noise rate · v. (The course's U-Net
# does this; `predicting_noise` hid it in lab 07.)
#
# Here are two networks of the same size. **They differ in more than their target:** the velocity
# network has seen 200,000 images, and its loss has the weights of lab 07 (min-SNR); the noise
# network has seen 100,000, without weights. So look for *where* they differ, not by how much.

# %% tags=["nbval-ignore-output"]
ask("09.first_guess")

# %% tags=["nbval-ignore-output"] alt="Error of the predicted image over diffusion time. Noise and velocity rise alike until about 0.85; at 1, predicting noise leaps to 2, velocity reaches only 0.9."
noise_model, _ = load_model("flowers32_noise")
images = validation.images[: lab.amount(smoke=8, cpu=64, gpu=256)] / np.float32(255)
times = np.linspace(0.1, 1, lab.amount(smoke=3, cpu=19, gpu=19), dtype="float32")
curves(
    {
        "predicts noise": (times, image_errors(noise_model, images, times)),
        "predicts velocity": (times, image_errors(model, images, times)),
    },
    xlabel="diffusion time",
    ylabel="error of the predicted image",
)

# %% tags=["nbval-ignore-output"] alt="Samples in 1 to 20 steps. With predicted noise they are garish, and some stay patchy; with predicted velocity they go from blurs to natural flowers."
start_noise = keras.random.normal((8, 32, 32, 3), seed=5)
rows = {}
for name, one in {"noise": noise_model, "velocity": model}.items():
    for steps in lab.amount(smoke=(1,), cpu=(1, 2, 5, 20), gpu=(1, 2, 5, 20)):
        samples = one.denormalize(one.reverse_diffusion(start_noise, steps))
        rows[f"{name}, {steps} step{'s' * (steps > 1)}"] = samples
show_rows(rows)

# %% [markdown]
# The first guess determines the colours of the whole picture. If it is coarse, the later steps have
# to repair the damage.
#
# Is noise a bad target, then? DDPM predicts noise, and so did the first versions of Stable
# Diffusion, and they draw well. Both avoid the problem in a way that you know. DDPM **clips** the
# predicted image to the range of images (lab 06). Stable Diffusion **starts later**, where a trace
# of an image is left: its schedule ends at a signal rate of 0.068, at the price that lab 03
# describes. Here is the noise network again, with each of them and with both:


# %%
black, white = (noise_model.normalizer(ops.full((1, 1, 1, 3), shade)) for shade in (0.0, 1.0))


def careful(clip, start):
    """DDIM that clips predicted images and begins at the time `start`."""

    def sampler(denoise, schedule, initial_noise, steps, **options):
        def clipped(noisy_images, noise_rates, signal_rates):
            _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
            pred_images = ops.clip(pred_images, black, white)
            return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

        later = lambda times: schedule(start * times)
        return ddim(clipped if clip else denoise, later, initial_noise, steps, **options)

    return sampler


few, rows = lab.amount(smoke=2, cpu=10, gpu=10), {}
precautions = {
    "noise": (noise_model, careful(clip=False, start=1)),
    "noise, clipped": (noise_model, careful(clip=True, start=1)),
    "noise, started later": (noise_model, careful(clip=False, start=0.93)),
    "noise, both": (noise_model, careful(clip=True, start=0.93)),
    "velocity": (model, ddim),
}

# %% tags=["nbval-ignore-output"] alt="Five rows of samples. With predicted noise the colours are garish, even if clipped; started later, they are natural and resemble those of the velocity."
for name, (one, sampler) in precautions.items():
    rows[name] = one.generate(8, few, sampler=sampler, seed=5)
    value, error = kid(one, few, sampler=sampler)
    print(f"{name:21} KID with {few} steps: {value:.1f} ± {error:.1f}")
show_rows(rows)

# %% [markdown]
# Most of the gap is closed by starting later. So both networks know much the same about flowers.
# The difference is what happens where the signal rate is nearly zero: there a network that predicts
# noise needs care, and one that predicts velocity does not.
#
# What is left has the other causes named above. With networks that differ *only* in their target,
# after 20,000 images each, KID without precautions is 7.9 for noise and 1.2 for velocity ([all
# recipes](../docs/benchmarks/recipes.md)).
#
# ## 4 · Tell it what to draw: classifier-free guidance
#
# You can give a network the class as an input, here the colour of the petals. Training sometimes
# withholds the label, so the same network can answer two questions: *what is under this noise, if
# it is a red flower?* and *..., if it can be any flower?* The difference between the answers points
# to what is red about red flowers. **Classifier-free guidance** (Ho and Salimans 2022) follows that
# pointer further than the network itself would go.
#
# ### Exercise 9.2 · `guide`
# *Difficulty ●○○ · 5 minutes*
#
# Combine the two answers so that guidance 0 gives the unlabelled one, guidance 1 the labelled one,
# and larger numbers continue in the same direction. (Some papers count from the labelled answer:
# their guidance $w$ is ours minus 1.)
#
# <details><summary>Hint</summary>
#
# Mark the two answers as points on a line. With guidance 0 you stand on one, with 1 on the other.
# Where are you with 2, and with a half?
# </details>


# %% exercise="guide" points=2
def guide(labelled, unlabelled, guidance):
    """The guided prediction, from two predictions of shape (B, H, W, C) and a number."""
    ### BEGIN SOLUTION
    return unlabelled + guidance * (labelled - unlabelled)
    ### END SOLUTION


# %% check="guide"
checks.guide(guide)

# %%
conditional, _ = load_model("flowers32_conditional")
predict = compiled(conditional.denoise_labelled)


def guided(labels, guidance):
    """A `denoise` that draws flowers of these colours: two network evaluations per step."""
    without = ops.full_like(labels, conditional.no_label)

    def denoise(noisy_images, noise_rates, signal_rates):
        labelled = predict(noisy_images, noise_rates, signal_rates, labels)
        unlabelled = predict(noisy_images, noise_rates, signal_rates, without)
        return [guide(a, b, guidance) for a, b in zip(labelled, unlabelled)]

    return denoise


# %% [markdown]
# There is one row for each guidance and one column for each colour. All images in a column start
# from the same noise:

# %% tags=["nbval-ignore-output", "cover"] alt="A row per guidance and a column per colour. Guidance 0 ignores the colour asked for, 2 and 4 show it ever more clearly, and at 8 it is glaring."
labels = ops.arange(len(COLOURS), dtype="int32")
noise_per_colour = keras.random.normal((len(COLOURS), 32, 32, 3), seed=8)
rows, steps = {}, lab.amount(smoke=2, cpu=15, gpu=30)
for guidance in guidances:
    samples = ddim(guided(labels, guidance), conditional.schedule, noise_per_colour, steps)
    rows[f"guidance {guidance}"] = conditional.denormalize(samples)
show_rows(rows, titles=COLOURS)

# %% [markdown]
# But guidance is not free. How does it change the variety among flowers of one colour? We measure
# variety with the features that KID uses: how much do they differ from flower to flower?

# %% tags=["nbval-ignore-output"]
ask("09.guidance")

# %% tags=["nbval-ignore-output"]
count, red = lab.amount(smoke=4, cpu=48, gpu=128), COLOURS.index("red")
many = keras.random.normal((count, 32, 32, 3), seed=9)
labels, steps = ops.full((count,), red, "int32"), lab.amount(smoke=2, cpu=10, gpu=10)
for guidance in guidances[1:]:
    samples = ddim(guided(labels, guidance), conditional.schedule, many, steps)
    variety = kid.variety(conditional.denormalize(samples))
    print(f"guidance {guidance}: variety of {count} red flowers {variety:.3f}")

# %% [markdown]
# Guidance exaggerates what red flowers have in common, and their differences fade. People who
# generate pictures turn the guidance up until they like each individual picture, and pay for it
# with less variety.
#
# ### Guidance in an interval
#
# Is guidance needed all the way from noise to image? [Kynkäänniemi et al.
# (2024)](https://arxiv.org/abs/2404.07724) apply it only in an interval of noise levels. At low
# noise levels, the colour has long been decided, so guidance changes nothing there. At high noise
# levels, they found, it pushes all images towards the same few. Inside the interval, your formula
# stays the same. Outside, guidance is 1, which needs only one evaluation per step. This time the
# labels are those of real flowers, so KID can compare the two sets:


# %%
def guided_within(guidance, lowest, highest):
    """For labels, a `denoise` with guidance at noise rates from lowest to highest."""

    def denoise_for(labels):
        return guide_within(
            guided(labels, guidance), conditional.guided(labels, 1), lowest, highest
        )

    return denoise_for


half = kid_images // 2
labelled_flowers = load_dataset(
    "procedural_flowers", "validation", image_size=32, batch_size=64, labels=True
)
colours = labelled_flowers.classes[:half]

# %% tags=["nbval-ignore-output"] alt="Four rows of labelled flowers. Guidance 4 over the whole range or from 0.5 makes colours pure; within 0.3 to 0.9 the flowers stay close to guidance 1."
rows = {}
for guidance, lowest, highest in ((1, 0, 1), (4, 0, 1), (4, 0.5, 1), (4, 0.3, 0.9)):
    flowers = sample_labelled(conditional, colours, guided_within(guidance, lowest, highest), few)
    name = f"guidance {guidance}, {lowest} to {highest}"
    rows[name] = flowers[:8]
    print(f"{name:22} KID {kid.with_error(flowers)}, variety {kid.variety(flowers):.3f}")
show_rows(rows)

# %% [markdown]
# The first half of the theory holds: below a noise rate of 0.5, guidance makes no difference that
# we can measure, and the last steps cost half as much. The second half also holds: without guidance
# where the noise rate is above 0.9, the variety stays as high as without any guidance. But for this
# model it does not pay: the colours stay dull, and most of the gain in KID is lost. Our network is
# small and undecided at high noise levels, and that is where these flowers get their colour. The
# paper's networks are large. So measure where *your* model needs guidance.
#
# ### Autoguidance: away from a weaker model
#
# Your formula needs two predictions, and they need not differ by a label. [Karras et al.
# (2024)](https://arxiv.org/abs/2406.02507) put a *bad version of the model* in the place of the
# unlabelled prediction: a smaller network, trained for a shorter time. It makes the same kinds of
# error as the good model, but larger ones. So the difference of the two points away from the
# errors. No label is needed. The shipped bad version has a quarter of the weights, and has seen a
# tenth of the images:


# %%
weaker_model, _ = load_model("flowers32_guide")
weaker = compiled(partial(weaker_model.denoise, training=False))


def autoguided(guidance):
    """DDIM, guided by the weaker model."""

    def sampler(denoise, schedule, initial_noise, steps, **options):
        better = compiled(denoise)

        def away(*inputs):
            return [guide(a, b, guidance) for a, b in zip(better(*inputs), weaker(*inputs))]

        return ddim(away, schedule, initial_noise, steps, **options)

    return sampler


# %% tags=["nbval-ignore-output"] alt="Eight flowers at autoguidance 0, 1, 2 and 4. At 0 the petals are patchy, at 2 most are clean and regular, and at 4 colours are harsh with burnt-out spots."
rows = {}
for guidance in lab.amount(smoke=(2,), cpu=(0, 1, 2, 4), gpu=(0, 1, 2, 4)):
    flowers = generate_in_batches(model, half, few, seed=1, sampler=autoguided(guidance))
    rows[f"autoguidance {guidance}"] = flowers[:8]
    print(f"autoguidance {guidance}: KID {kid.with_error(flowers)}", end=", ")
    print(f"variety {kid.variety(flowers):.3f}")
show_rows(rows)

# %% [markdown]
# With 2, KID falls to a fraction, and the variety is that of the model alone: the flowers get
# better, not more alike. With 4, the straight line has gone too far, and colours burn out. (The
# commands `diffusion-lab sample` and `evaluate` do the same with `--guide flowers32_guide`.)
#
# ## 5 · Straight lines: flow matching in thirty lines
#
# Diffusion mixes image and noise along a quarter circle. **Flow matching** (Lipman et al. 2023; Liu
# et al. 2023) mixes them along a straight line, $x_t = (1-t)\,\text{image} + t\,\text{noise}$. The
# line has the same direction everywhere, *noise − image*, and that is what the network learns. You
# need no function for the schedule: the rates are simply $1-t$ and $t$.
#
# ### Exercise 9.3 · `flow_matching_loss`
# *Difficulty ●●○ · 10 minutes*
#
# Mix image and noise, let the network predict the velocity, and compare its prediction with the
# true velocity. The loss is the mean squared error.
#
# <details><summary>Hint</summary>
#
# The network takes a list: the noisy images and their times. What does it return for them, and what
# should it have returned? The result is one number for the whole batch.
# </details>


# %% exercise="flow_matching_loss" points=4
def flow_matching_loss(network, images, noises, times):
    """The loss of flow matching.

    images, noises: (B, H, W, C).   times: in [0, 1], (B, 1, 1, 1).
    network: called as network([noisy_images, times]), returns velocities (B, H, W, C).
    Returns one number.
    """
    ### BEGIN SOLUTION
    noisy_images = (1 - times) * images + times * noises
    velocities = network([noisy_images, times])
    return ops.mean(ops.square(velocities - (noises - images)))
    ### END SOLUTION


# %% check="flow_matching_loss"
checks.flow_matching_loss(flow_matching_loss)

# %% [markdown]
# Here is the rest of the thirty lines: a model that samples noise and times and calls your loss,
# and a sampler that follows the velocity with Euler steps.


# %%
class FlowMatching(keras.Model):
    def __init__(self, network):
        super().__init__()
        self.network, self.seed_generator = network, keras.random.SeedGenerator(0)

    def call(self, images):
        return images

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        noises = keras.random.normal(ops.shape(x), seed=self.seed_generator)
        times = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), seed=self.seed_generator)
        return flow_matching_loss(self.network, x, noises, times)

    def sample(self, noise, steps):
        """All positions on the way from the noise to the samples: a list of steps + 1 arrays."""
        positions = [noise]
        for step in range(steps):
            times = ops.full((noise.shape[0], 1, 1, 1), 1 - step / steps)
            positions.append(positions[-1] - self.network([positions[-1], times]) / steps)
        return positions


# %% tags=["nbval-ignore-output"]
points = flower_points(16_384)
flow = FlowMatching(velocity_network())
learning_rate = keras.optimizers.schedules.CosineDecay(1e-2, flow_epochs * len(points) // 1024)
flow.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
losses = flow.fit(points, batch_size=1024, epochs=flow_epochs, verbose=0).history["loss"]
print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} at last")
floor = smallest_flow_matching_loss(points, lab.amount(smoke=20, cpu=1000, gpu=1000))
print(f"the smallest loss that is possible with these points: {floor:.2f}")

# %% [markdown]
# The loss falls by only a fifth, and yet the training succeeds. Many pairs of point and noise pass
# through the same place at the same time, each in its own direction. The network can only learn
# their mean, and what remains is the scatter around it. No network can do better.

# %% tags=["nbval-ignore-output", "live-training"] alt="Point clouds after 1 to 30 steps, and the data. One step gives little more than a dot, 2 a disc, 4 a rough star, and from 8 on it is the flower."
noise = keras.random.normal((2000, 1, 1, 2), seed=1)
samples = {
    f"{steps} step{'s' * (steps > 1)}": flow.sample(noise, steps)[-1] for steps in (1, 2, 4, 8, 30)
}
clouds(samples | {"the data": points[:2000]})

# %% tags=["nbval-ignore-output"] alt="Paths of flow matching and of diffusion from noise to the outline of a flower. In both panels, many of the paths are bent."
ideal = dataset_denoiser(points[:2000])
paths(
    {
        "flow matching": ops.stack(flow.sample(noise[:60], 60)),
        "diffusion": trajectory(ddim, ideal, schedule, noise[:60], lab.amount(5, 60, 60)),
    },
    points,
)

# %% [markdown]
# **One step gives a single dot.** In pure noise nothing of the data is left, so the best guess of
# the image is the mean of all data, wherever you start. Every diffusion model has this problem; lab
# 07 showed it as blurred flowers.
#
# **The paths bend.** The lines between *pairs* are straight, but many of them cross, and at a
# crossing the network can only learn their mean direction. So the paths bend after all, and for
# these points not less than those of diffusion. (You can straighten them by training again on the
# model's own pairs; this is called *reflow*.)
#
# > **Two velocities.** In section 3, velocity was signal rate · noise − noise rate · image, the
# > direction of the quarter circle. Here it is noise − image, the direction of the line. From each
# > you can compute the other, because both are what remains to be known about image and noise once
# > you know $x_t$.
#
# > **Is this different from diffusion?** Divide $x_t$ by $\sqrt{(1-t)^2+t^2}$, and image and noise
# > are mixed with rates whose squares add up to 1: the straight line becomes the quarter circle,
# > just traversed at a different speed. So flow matching is diffusion with a different schedule, a
# > velocity as its target, and another weight for each time in its loss. That is why you have
# > already met all its parts.
#
# ## What you have now
#
# * A second-order sampler that costs no more than DDIM, and a feel for when it helps.
# * The equation behind all samplers: an ODE for those without fresh noise, an SDE for the others.
# * What a network can predict, and that velocity needs no care near pure noise.
# * Guidance: a straight line through two predictions, away from the one that knows less.
# * Flow matching, which is diffusion along a straight line.
#
# You have now built what all diffusion-based image generators have in common. (Lab 11 ends with
# what the large ones add.) **Lab 10** shows what a trained model can do besides generating: it
# repairs, edits and enlarges pictures. **Lab 11** tunes one until it needs only one or two steps.
#
# **Read on**
# * Lu et al. (2022), [DPM-Solver++](https://arxiv.org/abs/2211.01095): section 4 derives your step.
# * Song et al. (2021), [Score-based generative modeling through stochastic differential
#   equations](https://arxiv.org/abs/2011.13456): ODE and SDE, and why they agree.
# * Gao et al. (2024), [Diffusion meets flow matching](https://diffusionflow.github.io): two names
#   for one thing, with pictures.
