# %% [markdown]
# # Lab 03 · Schedules: how fast the image vanishes
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/03_schedules.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/03_schedules.html#live-schedules)
#
# **After this lab you can**
# * write the linear, the cosine and the offset cosine schedule as functions of time,
# * read a schedule's log-SNR curve and say where images are hopeless or trivial,
# * spot two mistakes in the linear schedule of a popular textbook.
#
# **Time**: about 45 minutes of your time; the computer needs 20 seconds, with or without a GPU.
#
# **Before**: lab 02, for $\bar\alpha_t$ and the sum of a paler image and noise.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-03).

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
from diffusion_lab.labs.lab03.experiments import finished
from diffusion_lab.labs.lab03.pictures import (
    beta_area,
    cloud_rows,
    error_table,
    knowledge_curves,
    log_snr_curves,
    quarter_circles,
    rate_curves,
    signal_dots,
)
from diffusion_lab.labs.pictures import show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.rates import rates_at
from diffusion_lab.labs.toy_points import flower_points

# %% [markdown]
# The next cell holds all the settings you may want to change. The checks do not depend on them.

# %%
num_points = 2000
beta_start, beta_end, timesteps = 1e-4, 0.02, 1000  # of the linear schedule
shown_times = [0, 0.1, 0.2, 0.4, 0.6, 0.8, 1]
faint = 0.1  # a signal rate below this is hopeless, a noise rate below it trivial

# %% [markdown]
# ## 1 · Signal rate and noise rate: driving out of town
#
# You drive out of town at night and listen to the local radio station. At first the music is clear.
# With every mile it grows fainter and the hiss grows louder. Your radio keeps the volume constant,
# so whatever the music loses, the hiss gains. For a while you still recognise the song. Then you
# only know that there is one. Then there is only hiss.
#
# Now suppose that you make this drive to *learn* to hear music through hiss, and that you have one
# hour. There is only one road, but you choose your speed. Race, and after twenty minutes there is
# only hiss. Drive steadily, and you get a fair share of everything in between. A **schedule** is
# the timetable of the drive: it says how far you are at each time.
#
# From now on, the **diffusion time** $t$ is a real number between 0, the clean image, and 1, pure
# noise. A schedule gives two numbers for each time,
#
# $$\begin{gathered}
# \text{noisy image} = \text{signal rate}\cdot\text{image} + \text{noise rate}\cdot\text{noise}, \\
# \text{signal rate}^2 + \text{noise rate}^2 = 1 .
# \end{gathered}$$
#
# The second equation is the radio's constant volume; in lab 02 we said "the variance stays 1". The
# rates are standard deviations, $\sqrt{\bar\alpha}$ and $\sqrt{1-\bar\alpha}$. Here is the flower
# from lab 02 at six noise rates. Each point keeps the colour of the place that it came from.

# %% alt="Six clouds of coloured points at noise rates 0 to 1. The petals are gone by 0.6, but each colour roughly keeps its place until 0.8; at 1 all are mixed."
points = flower_points(num_points)
noises = np.random.default_rng(1).normal(size=points.shape).astype("float32")
snapshots = {}
for noise_rate in (0, 0.2, 0.4, 0.6, 0.8, 1):
    signal_rate = np.sqrt(1 - noise_rate**2)
    title = f"noise rate {noise_rate}\nsignal rate {signal_rate:.2f}"
    snapshots[title] = signal_rate * points + noise_rate * noises
cloud_rows({"": list(snapshots.values())}, points, titles=snapshots)

# %% [markdown]
# In the fourth cloud, the petals are gone, but the colours show that left is still left, so a good
# guess is possible. In the last cloud they are mixed. So it matters where a schedule spends its
# time.
#
# > **Noise first.** All our schedules return `noise_rates, signal_rates`, in this order, like the
# > DDIM example of Keras. Both have the shape of the diffusion times, usually `(B, 1, 1, 1)`: one
# > time for each image in a batch.
#
# ## 2 · The linear schedule
#
# DDPM (Ho et al. 2020) takes 1,000 steps. The dose of noise per step, $\beta_k$, grows by the same
# amount each time, from 0.0001 to 0.02. *That* is the linear part. After $k$ steps the image has
# kept the fraction $\bar\alpha = (1-\beta_1)\cdots(1-\beta_k)$ of its variance. This gives a table
# with 1,000 entries. We want a function instead, which accepts any time, such as $t = 0.3141$.
#
# **A product becomes a sum**: for a small $\beta$, $1-\beta$ is nearly $e^{-\beta}$, so
#
# $$\bar\alpha \approx e^{-\beta_1}\cdot e^{-\beta_2}\cdots e^{-\beta_k}
# = e^{-(\beta_1 + \beta_2 + \dots + \beta_k)} .$$

# %%
betas = np.linspace(beta_start, beta_end, timesteps)
step = 300
print(f"product of {step} factors 1 - β: {np.prod(1 - betas[:step]):.3f}")
print(f"exp(-sum of {step} β):           {np.exp(-np.sum(betas[:step])):.3f}")

# %% [markdown]
# **A sum of many small things becomes an area.** The 1,000 doses lie on a straight line,
# $\beta(t) = \beta_\text{start} + (\beta_\text{end} - \beta_\text{start})\,t$. Their sum up to time
# $t$ is 1,000 times the area under this line (draw each dose as a bar that is $\beta$ high and
# 1/1000 wide, and the bars fill the area):
#
# $$\bar\alpha(t) = \exp\left(-1000\int_0^t \beta(u)\,du\right).$$

# %% alt="A thousand times the dose over diffusion time is a straight line from near 0 at time 0 up to 20 at time 1. The triangle below it is shaded until time 0.3."
beta_area(beta_start, beta_end, timesteps, diffusion_time=0.3)

# %% [markdown]
# ### Exercise 3.1 · `linear_diffusion_schedule`
# *Difficulty ●●○ · 15 minutes*
#
# Write the linear schedule as a function of time. The usual numbers are the default values of its
# arguments. Use the arguments: you will change them with sliders.
#
# <details><summary>Hint 1: the area</summary>
#
# The shaded area has two parts: a rectangle, $\beta_\text{start}$ high and $t$ wide (too flat to be
# seen in the picture), and a triangle on top of it, which is also $t$ wide. How high is the
# triangle? And do not forget the factor of one half.
# </details>
# <details><summary>Hint 2: from ᾱ to the rates</summary>
#
# $\bar\alpha$ is a variance; the rates are standard deviations, $\sqrt{\bar\alpha}$ for the signal
# and $\sqrt{1-\bar\alpha}$ for the noise. Which of them is returned first?
# </details>
# <details><summary>Hint 3: without the integral</summary>
#
# You may also use the table. Make it inside the function, from the *fixed* grid of all `timesteps`
# doses, with `np.linspace` and `np.cumprod`. Then look up the entries for `diffusion_times`: time
# $t$ is step number `timesteps` · $t$, made an integer with `.astype(int)`. The table needs an
# entry for time 0 in front, where nothing has happened yet, so it has `timesteps` + 1 entries. The
# check accepts this solution as well.
# </details>


# %% exercise="linear_diffusion_schedule" points=4
def linear_diffusion_schedule(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    """The schedule of DDPM, in which β grows linearly with time.

    diffusion_times: in [0, 1], any shape, usually (B, 1, 1, 1).
    beta_start, beta_end: the variances that the first and the last of all `timesteps` steps add.
    Returns noise_rates, signal_rates, both of the same shape as the times.
    """
    ### BEGIN SOLUTION
    triangle = (beta_end - beta_start) * diffusion_times**2 / 2
    integral = timesteps * (beta_start * diffusion_times + triangle)
    return np.sqrt(1 - np.exp(-integral)), np.exp(-integral / 2)
    ### END SOLUTION


# %% check="linear_diffusion_schedule"
checks.linear_diffusion_schedule(linear_diffusion_schedule)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The rectangle has the area $\beta_\text{start}\,t$, and the triangle
# $(\beta_\text{end}-\beta_\text{start})\,t \cdot t/2$. The signal rate is
# $\sqrt{e^{-I}} = e^{-I/2}$.
# </details>

# %% [markdown]
# ## 3 · Two common mistakes, from a popular textbook
#
# > **A missing square root, and a product over the wrong thing.** Foster's *Generative deep
# > learning* (2023) prints a linear schedule like the function below. It has two mistakes. It
# > returns $1-\bar\alpha$ and $\bar\alpha$, the *variances*. And it takes the running product over
# > **whatever times it is given**, as if they were the thousand steps in order. (The book's
# > repository has added the square roots since; the product is still there. Its flowers do not
# > suffer, because they are trained with the schedule of section 5.)


# %%
def product_over_the_batch(diffusion_times):
    betas_of_the_batch = beta_start + diffusion_times * (beta_end - beta_start)
    alphas_cumprod = np.cumprod(1 - betas_of_the_batch)
    return 1 - alphas_cumprod, alphas_cumprod


# %% [markdown]
# In training, each image of a batch gets a random time. What happens then?

# %% tags=["nbval-ignore-output"]
ask("03.random_times")

# %% alt="Signal rate over diffusion time. In order, the dots fall too early, below your curve. At random times, they follow their place in the batch, not the time."
all_in_order = np.linspace(0, 1, timesteps)
random_times = np.random.default_rng(5).uniform(size=64)
random_times[0] = 1  # the first image should be pure noise
dots = {}
for title, times in {"1,000 times in order": all_in_order, "64 random times": random_times}.items():
    noise_rates, signal_rates = product_over_the_batch(times)
    dots[title] = times, signal_rates
signal_dots(dots, linear_diffusion_schedule)
print(f"the first of the random times is 1, its signal rate {signal_rates[0]:.2f}")

# %% [markdown]
# On the left, with the thousand times in order, only the square root is missing. This is how you
# would *plot* a schedule, so the figure in the book looks fine. On the right is what training would
# see: the rate depends on the *position in the batch* and hardly on the time. The first images stay
# nearly clean, the last are half gone, and pure noise never occurs. Nothing crashes, and the loss
# goes down. Only the samples are poor, because sampling starts from pure noise, which this network
# has never seen.
#
# So test a schedule with times in random order, as our checks do. It should be a *pure function of
# time*, like yours: the same time always gives the same rates.
#
# ## 4 · The cosine schedule: a quarter turn
#
# Two numbers whose squares add up to 1 are a point on a circle. So every schedule travels along the
# same quarter circle, from *clean* (signal 1, noise 0) to *noise* (signal 0, noise 1). The road is
# always the same; a schedule only chooses the speed. The simplest choice is a constant speed: equal
# angles in equal times. This is the cosine schedule, after Nichol and Dhariwal (2021). Theirs has
# two more details: an offset of 0.008, so that the first steps are not too small, and $\beta$
# clipped at 0.999, so that the last one is not all noise.
#
# ### Exercise 3.2 · `cosine_diffusion_schedule`
# *Difficulty ●○○ · 5 minutes*
#
# The angle grows at a constant rate, from 0 at time 0 to a right angle at time 1. What are the two
# coordinates of a point on the circle at this angle?
#
# <details><summary>Hint</summary>
#
# NumPy measures angles in radians; a right angle is `np.pi / 2`. The signal axis points right and
# the noise axis points up, so one of the two rates is the cosine of the angle and the other is its
# sine. Check it at time 0, where the signal rate should be 1.
# </details>


# %% exercise="cosine_diffusion_schedule" points=3
def cosine_diffusion_schedule(diffusion_times):
    """A quarter turn at constant speed, from pure image to pure noise.

    diffusion_times: in [0, 1], any shape.   Returns noise_rates, signal_rates, both of this shape.
    """
    ### BEGIN SOLUTION
    angles = diffusion_times * np.pi / 2
    return np.sin(angles), np.cos(angles)
    ### END SOLUTION


# %% check="cosine_diffusion_schedule"
checks.cosine_diffusion_schedule(cosine_diffusion_schedule)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# A point on the unit circle at the angle $\varphi$ is $(\cos\varphi, \sin\varphi)$. There is no
# square root to forget: sine and cosine *are* the standard deviations.
# </details>

# %% [markdown]
# ## 5 · The offset cosine schedule: without the two ends
#
# A network that guesses the noise also gives you the image: subtract the guessed noise, multiplied
# by the noise rate, and divide by the signal rate. A small error in the guess becomes an error in
# the image that is noise rate / signal rate times as large.

# %%
late_times = [0.5, 0.9, 0.99, 0.999]
late_rates = {"linear": linear_diffusion_schedule, "cosine": cosine_diffusion_schedule}
error_table(late_rates, late_times)

# %% [markdown]
# The cosine schedule divides by zero at time 1, and at time 0 there is no noise to find. So we cut
# off both ends: start a little after *clean*, stop a little before *noise*, and keep the constant
# speed in between.
#
# ### Exercise 3.3 · `offset_cosine_diffusion_schedule`
# *Difficulty ●●○ · 10 minutes*
#
# Turn at constant speed again, but make the signal rate `max_signal_rate` at time 0 and
# `min_signal_rate` at time 1. You will meet this schedule again in the first exercise of the
# assignment, lab 07. (It comes from Béres's DDIM example for Keras, 2022.)
#
# <details><summary>Hint 1: two angles</summary>
#
# The signal rate is the cosine of the angle. Which function takes you from the rate at one end back
# to the angle there? NumPy has it.
# </details>
# <details><summary>Hint 2: in between</summary>
#
# At constant speed, where are you at half of the time, and where at a quarter? This question has an
# easy answer for angles, but not for rates.
# </details>


# %% exercise="offset_cosine_diffusion_schedule" points=3
def offset_cosine_diffusion_schedule(diffusion_times, min_signal_rate=0.02, max_signal_rate=0.95):
    """The cosine schedule without the two ends of the quarter turn, at constant speed.

    diffusion_times: in [0, 1], any shape.
    max_signal_rate, min_signal_rate: the signal rates at time 0 and time 1.
    Returns noise_rates, signal_rates, both of the same shape as the times.
    """
    ### BEGIN SOLUTION
    start_angle, end_angle = np.arccos(max_signal_rate), np.arccos(min_signal_rate)
    turned = start_angle + diffusion_times * (end_angle - start_angle)
    return np.sin(turned), np.cos(turned)
    ### END SOLUTION


# %% check="offset_cosine_diffusion_schedule"
checks.offset_cosine_diffusion_schedule(offset_cosine_diffusion_schedule)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The arccosine turns a rate into its angle, and the cosine turns it back. You may interpolate
# angles, because any angle gives two rates whose squares add up to 1. You may not interpolate
# rates: halfway between two points on a circle is a point *inside* it.
# </details>

# %% [markdown]
# ## 6 · The three schedules compared: three drivers on one road
#
# The new schedule multiplies errors by 50 at most. Now compare all three. First a prediction.

# %% tags=["nbval-ignore-output"]
ask("03.half_time")

# %% alt="Signal rate and noise rate over diffusion time. The linear signal falls early, the cosine late; offset cosine starts at 0.95 and is almost straight."
schedules = finished({
    "linear": linear_diffusion_schedule,
    "cosine": cosine_diffusion_schedule,
    "offset cosine": offset_cosine_diffusion_schedule,
})
rate_curves(schedules)

# %% [markdown]
# The linear schedule dives and then crawls along the floor. On the circle, with a dot for each
# twentieth of the time, you can see that it hurries through the middle and lingers at the noisy
# end:

# %% alt="Quarter circles from noise to clean with a dot per twentieth of the time. Linear dots crowd at noise, cosine dots are even, offset cosine ends before clean."
quarter_circles(schedules)

# %% [markdown]
# Your functions work for images as well. Here is a flower, with the same noise in every row:

# %% tags=["cover"] alt="The same red flower at times 0 to 1, one row per schedule. In the linear row it is nearly lost at 0.6; in both cosine rows it can still be seen there."
flowers = load_dataset("procedural_flowers", "validation", image_size=40, batch_size=8, count=8)
flower = flowers[0][3]
mean, deviation = flower.mean((0, 1)), flower.std((0, 1))
normalized = (flower - mean) / deviation
picture_noise = np.random.default_rng(2).normal(size=flower.shape)
rows, titles = {}, [f"t = {time}" for time in shown_times]
for name, schedule in schedules.items():
    pairs = zip(*rates_at(schedule, shown_times))
    noisy_flowers = [signal * normalized + noise * picture_noise for noise, signal in pairs]
    rows[name] = [noisy * deviation + mean for noisy in noisy_flowers]
show_rows(rows, titles)

# %% [markdown]
# At $t = 0$ the offset cosine schedule is already a bit grainy: its `max_signal_rate` of 0.95 means
# a noise rate of 0.31. This grain has a price. In the last step from noise to an image, the network
# guesses the clean image from a picture with at least this much grain, so the best guess leaves out
# most details that are fainter than this grain. A detail ten times fainter than the image (a
# standard deviation of 0.1 instead of 1) keeps at most 8.5 % of its strength (lab 05 has the
# formula), and lab 08 finds signs that generated flowers are softer than real ones. In exchange, no
# training is spent on images that are already nearly clean.
#
# ## 7 · Log-SNR: one ruler for all
#
# Radio engineers measure reception as the *signal-to-noise ratio*, the power of the music over that
# of the hiss. So do we, and because it spans many powers of ten, we take its logarithm:
#
# $$\text{log-SNR} = \ln\frac{\text{signal rate}^2}{\text{noise rate}^2}.$$
#
# It is 0 where both are equally strong, positive in town, negative far out.
#
# Why is this a good ruler? Divide a noisy image by its signal rate: the result is the image plus
# noise rate / signal rate times the noise. Nothing is lost by dividing, so how much we can know
# about the image depends on this ratio alone. For a cloud of points we can compute the *best
# possible* guess of the clean point without any network, and measure what share of the flower it
# recovers (1 minus the ratio of its squared error to the variance of the points):

# %% alt="Share of the flower that can be known. Over diffusion time, left, the schedules give three curves; over log-SNR, right, all dots lie on one S-shaped curve."
knowledge_curves(schedules, points, faint)

# %% [markdown]
# Over time, there are three curves; over log-SNR, they become one. In the grey zone, where the
# signal rate is below `faint` = 0.1, even the best guess knows next to nothing: **hopeless**. In
# the yellow zone, where the *noise* rate is below 0.1, it knows almost everything: **trivial**. A
# schedule cannot move this curve. It can only choose how much time it spends in each zone.

# %% tags=["nbval-ignore-output"]
ask("03.hopeless")

# %% alt="Log-SNR falls over diffusion time. The linear schedule enters the hopeless zone at about 0.68, both cosine schedules only at about 0.94."
log_snr_curves(schedules, faint)

# %%
times = np.linspace(0, 1, 10_001)
for name, schedule in schedules.items():
    noise_rates, signal_rates = rates_at(schedule, times)
    trivial, hopeless = np.mean(noise_rates < faint), np.mean(signal_rates < faint)
    print(f"{name:14} trivial {trivial:4.0%}   hopeless {hopeless:4.0%}")

# %% [markdown]
# Training samples the times at random, so for a cloud of points, every third example of the linear
# schedule teaches next to nothing. And in sampling, 7 of 20 steps go through hiss. Nichol and
# Dhariwal left out a fifth of the steps, and hardly lost quality.
#
# > **What this theory predicts, and what we measured.** If a third of the training were wasted, the
# > linear schedule should generate worse flowers. So we trained the same network, a U-Net (lab 05),
# > on 20,000 flowers with each schedule. The KID, a distance from real flowers that lab 08 explains
# > (lower is better), was 1.20 with the offset cosine schedule, 1.03 with the cosine schedule, and
# > 1.21 with the linear one, in one run each: **the predicted waste does not show** ([all
# > recipes](../docs/benchmarks/recipes.md)). Why not? One possible reason is in the next box.
# > Another is the loss, in which very noisy images count little (lab 07). To tell the two apart,
# > train with both schedules and an unweighted loss.
#
# > **The line between hopeless and useful depends on the picture.** In an image, neighbouring
# > pixels say nearly the same thing. Averaged over a large petal, even a faint colour stands out.
# > The larger the image, the more noise it takes to hide it, so for large images the whole log-SNR
# > curve is shifted downwards (Hoogeboom et al. 2023). A schedule is right *for a resolution*.
#
# ## 8 · Your functions with sliders
#
# These are the functions that you wrote. Try this:
# * *Offset cosine*: move `max_signal_rate` to 1 and `min_signal_rate` to 0. Which schedule is this?
# * *Linear*: move `beta_end` down to 0.01. The flower lasts longer. What is the price? (Look at the
#   signal rate at time 1.)
# * *Offset cosine* again: move `min_signal_rate` to 0.3. The last picture looks like noise to you.
#   Is it? (Look at the signal rate at time 1.)

# %% tags=["nbval-ignore-output", "live-schedules"]
widgets.schedule_curves(flower, schedules)

# %% [markdown]
# > **The end must be noise, or nearly.** If a schedule stops while a trace of the image is left,
# > the network learns to rely on that trace, which is missing when you sample. Stable Diffusion's
# > schedule ended at a signal rate of 0.068. That was enough to reveal the mean brightness of an
# > image, so the model could draw neither very dark nor very bright pictures (Lin et al. 2023).
#
# ## What you have now
#
# * A schedule is a pure function of time that returns noise rates and signal rates, and their
#   squares add up to 1.
# * All schedules take the same road. They differ in speed, and log-SNR is the ruler that shows it.
# * For a cloud of points, the linear schedule spends a third of its time in hopeless noise. For our
#   images, in one run each, this made no visible difference.
# * The offset removes the trivial end, and at the noisy end it prevents a division by zero.
#
# Now somebody has to take image and noise apart again. **Lab 04** gives this job to a first
# network, and watches it fail.
#
# **Read on**
# * Nichol and Dhariwal (2021), [Improved denoising diffusion probabilistic
#   models](https://arxiv.org/abs/2102.09672): why they left the linear schedule.
# * Kingma et al. (2021), [Variational diffusion models](https://arxiv.org/abs/2107.00630): the
#   log-SNR as the only thing that counts.
# * Lin et al. (2023), [Common diffusion noise schedules and sample steps are
#   flawed](https://arxiv.org/abs/2305.08891): what happens if the end is not noise.
