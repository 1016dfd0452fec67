# %% [markdown]
# # Lab 11 · One step: consistency models
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/11_one_step.ipynb)
# · [see it live in your browser](https://OWNER.github.io/REPO/notebooks/11_one_step.html#live-flowers)
#
# **After this lab you can**
# * say why a diffusion model needs many steps, and what it predicts on the way,
# * write the loss of consistency distillation, and the sampler of a consistency model,
# * tune a trained model on a laptop, in a few minutes, until it needs one or two steps,
# * measure what the tuning costs, and say which sampler suits such a model.
#
# **Time**: 60 minutes of your time; the computer needs 2 to 4 minutes on a laptop, less on a GPU.
#
# **Before**: labs 07 and 09. Lab 08 explains KID.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-11).

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
from keras import ops

from diffusion_lab import checks, widgets
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab11.experiments import Judge, predictions_along_the_path
from diffusion_lab.labs.pictures import by_evaluations, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.training_panel import TrainingPanel
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.networks import NETWORKS
from diffusion_lab.training import ConvolutionalMuon, ShrinkGap

# %% [markdown]
# The next cell holds all the settings you may want to change.

# %%
batch_size = lab.size(smoke=8, cpu=16, gpu=64)
num_images = lab.amount(smoke=32, cpu=1600, gpu=20_000)
num_epochs = lab.amount(smoke=1, cpu=1, gpu=2)
halvings, learning_rate = 3, 3e-4  # the smallest gap is 1/8
steps = lab.amount(smoke=4, cpu=20, gpu=20)
kid_images = lab.amount(smoke=16, cpu=128, gpu=1024)

# %% [markdown]
# ## 1 · Why not in one step?
#
# A trained sprinter and a beginner set out for the same tree. The sprinter looks up once and runs.
# The beginner walks a little, looks up, corrects the direction, and walks on. A diffusion model is
# the beginner. Let us look over its shoulder while it walks, and ask at each step where it believes
# that it is going.

# %% tags=["nbval-ignore-output"]
ask("11.along_the_path")

# %% tags=["nbval-ignore-output"] alt="Predictions along four paths from t = 1.00 to 0.05. They begin as blurs, show petals at about 0.70, and then only gain details."
original, _ = load_model("flowers32")
noise = keras.random.normal((4, 32, 32, 3), seed=1)
predictions = predictions_along_the_path(original, noise, steps)
shown = sorted({round(share * (steps - 1)) for share in (0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1)})
titles = [f"t = {1 - step / steps:.2f}" for step in shown]
show_rows({f"path {i + 1}": [predictions[step][i] for step in shown] for i in range(4)}, titles)

# %% [markdown]
# At $t = 1$ all four predictions are blurs. They differ in little more than colour and size. In
# training, the schedule leaves 2 % of the image at $t = 1$, which is enough to guess these, but no
# petals. Here there is only noise, and the network takes it for such a trace. Even a perfect
# network could not do better. A squared error is smallest for the mean, so the network predicts the
# average of all flowers that fit. (The faint grain is the network's own error: a trace of the
# noise, of which it removes a little too much.)
#
# And yet DDIM leads each of these four noise images to one particular flower, the one on the right.
# There is no randomness on the way, so the noise alone decides which flower it will be. The path is
# fixed, but the network does not predict its end. What it predicts changes with every step, and so
# does the direction in which DDIM goes: the path is curved. One long step in the first direction
# ends at the blur.
#
# ## 2 · A function that is the same all along the path
#
# So let us train a network that predicts the end. Call it $f(x_t, t)$. At every place on one path
# it must return the same image, whatever $t$ is. In other words, it must be **consistent** (Song et
# al. 2023).
#
# You could walk each path to its end, in 20 steps, to get the target for one training image. But
# comparing *neighbours* is enough:
#
# 1. Mix an image and noise at a time $t$, as always. The result is $x_t$.
# 2. Let the model that you have, the **teacher**, make one step of DDIM from there, to the less
#    noisy time $t - \text{gap}$. The result is the neighbour of $x_t$, on the same path.
# 3. So $f$ should return the same for both. The neighbour has less noise, so its prediction is
#    better: it is the target.
#
# The target is predicted by the **EMA network**, whose weights are an exponential moving average
# (EMA, lab 06) of the tuned network's. If the tuned network predicted its own target, each
# correction would also move the target.
#
# $$\begin{gathered}
# L = \text{mean}\big(f(x_t, t) - \text{target}\big)^2, \\
# \text{target} =
# \begin{cases} f_\text{EMA}(x_{t-\text{gap}},\, t - \text{gap}) & \text{if } t \ge \text{gap}\\
# \text{the image that the teacher predicts from } x_t & \text{if } t < \text{gap.}\end{cases}
# \end{gathered}$$
#
# The mean is over all images, pixels and channels. The second line of the target is the anchor. If
# $t$ is less than the gap, the teacher's step would go beyond time 0. It is then the sampler's last
# step, which gives the predicted image (lab 07). Without the anchor, a network that always returns
# grey would be perfectly consistent. With it, the right answer spreads from the clean end of the
# path, from neighbour to neighbour, up to pure noise.
#
# ### Exercise 11.1 · `consistency_loss`
# *Difficulty ●●● · 25 minutes*
#
# Write this loss. `denoise` uses the network that you tune, `ema_denoise` its EMA network, and
# `teacher` the model before the tuning. All three are called as always: `denoise(noisy_images,
# noise_rates, signal_rates)` returns predicted noise and predicted images, and the images are $f$.
# Only the tuned network receives a gradient, so you need no `stop_gradient`.
#
# <details><summary>Hint 1: the neighbour</summary>
#
# Lab 07 has the step of DDIM: mix the predicted image and the predicted noise at the rates of the
# next time. `ops.maximum` keeps that time from falling below 0, where the schedule ends.
# </details>
# <details><summary>Hint 2: the target</summary>
#
# `ops.where(condition, a, b)` takes `a` where the condition holds and `b` elsewhere.
# </details>


# %% exercise="consistency_loss" points=5
def consistency_loss(denoise, ema_denoise, teacher, schedule, noisy_images, times, gap):
    """The mean squared difference of the predictions at two neighbours on the teacher's path.

    denoise, ema_denoise, teacher: called with noisy_images, noise_rates, signal_rates; return
        pred_noises, pred_images.
    schedule: schedule(times) returns noise_rates, signal_rates.
    noisy_images: at the times, (B, H, W, C).   times: in [0, 1], (B, 1, 1, 1).   gap: a number.
    Returns one number.
    """
    ### BEGIN SOLUTION
    now, then = schedule(times), schedule(ops.maximum(times - gap, 0.0))
    end_noises, ends = teacher(noisy_images, *now)
    neighbours = then[1] * ends + then[0] * end_noises
    targets = ops.where(times < gap, ends, ema_denoise(neighbours, *then)[1])
    return ops.mean(ops.square(denoise(noisy_images, *now)[1] - targets))
    ### END SOLUTION


# %% check="consistency_loss"
checks.consistency_loss(consistency_loss)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# Three evaluations: the teacher makes the step, and the tuned network and its EMA predict at
# both ends. With less than a gap to go, the teacher's step would end at its predicted image.
# </details>

# %% [markdown]
# ## 3 · Tuning: close the gap
#
# How large should the gap be? One step of the teacher is exact only if it is short, so a small gap
# leads to a better end. But then the right answer has to pass many neighbours before it arrives at
# pure noise, and each of them adds an error. Let us look at the other extreme first.

# %% tags=["nbval-ignore-output"]
ask("11.gap")

# %% [markdown]
# So a gap of 1 changes nothing. With a gap of 1/2, $f(x_1, 1)$ learns to predict what the teacher
# reaches in two steps, and with a gap of 1/8, what it reaches in eight. We begin with a copy of the
# teacher and shrink the gap smoothly from 1 to 1/8. This is *consistency distillation* (Song et al.
# 2023) with a shrinking gap (Geng et al. 2024).


# %%
class ConsistencyModel(DiffusionModel):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.gap = self.add_weight(name="gap", shape=(), initializer="ones", trainable=False)

    def call(self, images):
        return self.normalizer(images)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        noises = keras.random.normal(ops.shape(y_pred), seed=self.seed_generator)
        times = keras.random.uniform((ops.shape(y_pred)[0], 1, 1, 1), seed=self.seed_generator)
        noise_rates, signal_rates = self.diffusion_schedule(times)
        noisy_images = signal_rates * y_pred + noise_rates * noises
        self.ema.update(self.network)
        denoise, ema_denoise = (partial(self.denoise, training=tuning) for tuning in (True, False))
        teacher, schedule = partial(original.denoise, training=False), self.diffusion_schedule
        gap = 1.0 * self.gap  # the variable as a tensor
        return consistency_loss(
            denoise, ema_denoise, teacher, schedule, noisy_images, times, gap
        )


# %%
network = NETWORKS[original.config.network](**original.config.network_arguments)
tuned = ConsistencyModel(network, seed=0, config=original.config)
for copy in (tuned.network, tuned.ema_network):
    copy.set_weights(original.network.get_weights())
tuned.normalizer.set_weights(original.normalizer.get_weights())
tuned.normalizer.finalize_state()  # makes the layer use these weights
tuned.compile(ConvolutionalMuon(learning_rate, weight_decay=0.0), jit_compile=lab.profile == "gpu")

# %% tags=["nbval-ignore-output"] alt="Left, the training loss climbs until step 40, falls by half until step 80, and ends a little higher. Right, eight samples in one step are soft flowers."
train = load_dataset("procedural_flowers", "train", 32, batch_size, count=num_images)
shrink = ShrinkGap(num_epochs * len(train), halvings, learning_rate)
panel = TrainingPanel(sample=lambda: tuned.generate(8, 1, seed=0))
callbacks = [train.epoch_callback(), shrink, panel]
tuned.fit(train, epochs=num_epochs, shuffle=False, verbose=0, callbacks=callbacks);

# %% [markdown]
# The loss is no measure of progress here. It starts at zero, where the gap is 1 (you do not see it,
# because the first point of the curve is the mean of 20 steps), and the task becomes harder while
# the gap shrinks. Later it falls, partly because neighbours come closer to each other. Look at the
# samples instead: they take one step each.
#
# ## 4 · Sampling: jump, add noise, jump again
#
# One step is simple now: start with noise, and $f$ predicts the end of the path. But the network is
# not perfect, so a second step should help. Song et al. (2023) propose this one: the first jump has
# already arrived at an image. Mix this image with *fresh* noise, as if it were a training image,
# and let the network predict the end of the new path, which is shorter.
#
# ### Exercise 11.2 · `sample_consistency`
# *Difficulty ●●○ · 15 minutes*
#
# Write this sampler for any number of steps. Step $k$ of $n$ (counted from 0) is at the time
# $1 - k/n$.
#
# <details><summary>Hint</summary>
#
# In the first step there is no image yet, and the noise itself is the noisy image. From the second
# step on, mix the last predicted image with the noise of this step, at the rates of this step.
# </details>


# %% exercise="sample_consistency" points=4
def sample_consistency(denoise, schedule, noises):
    """Images from noise, with one evaluation of the network for each entry of `noises`.

    denoise: denoise(noisy_images, noise_rates, signal_rates) returns pred_noises, pred_images.
    schedule: schedule(times) returns noise_rates, signal_rates; times have the shape (B, 1, 1, 1).
    noises: a list with fresh noise for each step, (B, H, W, C).
    Returns the last predicted images, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noisy_images, pred_images = noises[0], None
    for step, noise in enumerate(noises):
        times = ops.full((noise.shape[0], 1, 1, 1), 1 - step / len(noises))
        noise_rates, signal_rates = schedule(times)
        if step > 0:
            noisy_images = signal_rates * pred_images + noise_rates * noise
        _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
    return pred_images
    ### END SOLUTION


# %% check="sample_consistency"
checks.sample_consistency(sample_consistency)


# %%
def with_fresh_noise(denoise, schedule, initial_noise, steps, seed=None, **options):
    """Your function as a sampler, so that `model.generate` can use it."""
    shape = ops.shape(initial_noise)
    fresh = [keras.random.normal(shape, seed=seed) for _ in range(steps - 1)]
    return sample_consistency(denoise, schedule, [initial_noise, *fresh])


# %% [markdown]
# Now we have two ways to make two steps: with fresh noise, or with DDIM, which keeps the noise that
# the network predicts. Before you look:

# %% tags=["nbval-ignore-output"]
ask("11.fresh_noise")

# %% [markdown]
# Here is the model before the tuning and after it. All rows start from the same noise. The last one
# shows the ends of the teacher's paths.

# %% tags=["nbval-ignore-output", "cover"] alt="The same six flowers before and after tuning. In one step the old model makes blurs, the tuned one flowers; in two, it comes close to the old one in 20."
rows = {f"before, {n} step{'s' * (n > 1)}": original.generate(6, n, seed=3) for n in (1, 2)}
rows["tuned, 1 step"] = tuned.generate(6, 1, seed=3)
rows["tuned, 2 steps, fresh noise"] = tuned.generate(6, 2, sampler=with_fresh_noise, seed=3)
rows["tuned, 2 steps, DDIM"] = tuned.generate(6, 2, seed=3)
show_rows(rows | {f"before, {steps} steps": original.generate(6, steps, seed=3)})

# %% [markdown]
# Before the tuning, one step gives a blur. After it, one step gives a flower, and it resembles the
# one at the end of the teacher's path in the last row, although colours and size may still be off.
# Two steps of DDIM make it sharper. With fresh noise, the flowers are duller and their petals
# change, because the second step starts on another path.
#
# With so few steps, a picture can follow a slider. This is `flowers32_fewstep`, a model that comes
# with the course. The slider begins with one step: what does the second one change? The sampler is
# DDIM. With eta = 1 it replaces most of the predicted noise with fresh noise, so it comes close to
# your `sample_consistency`.

# %% tags=["nbval-ignore-output", "live-flowers"]
shipped, _ = load_model("flowers32_fewstep")
widgets.sampling(shipped, steps=(1, 2, 3, 4))

# %% [markdown]
# ## 5 · What it costs
#
# Save your model first. Your instructor may ask for this file: the class can have a leaderboard
# that ranks its models by the KID of their flowers in 1, 2 and 4 steps.

# %%
save_model(tuned, "out/lab11/my_few_steps.weights.h5", {"tuned from": "flowers32"})

# %% [markdown]
# Models that need few steps often lose variety. Do these?

# %% tags=["nbval-ignore-output"]
ask("11.variety")

# %% [markdown]
# We measure three numbers. **KID** is a distance from real flowers (lab 08): lower is better. The
# **variety** is how much the features of the flowers differ from one to the next, compared with
# real flowers. The **distance from the end** compares each image with the one that the teacher
# makes in 20 steps from the same noise. It is the square root of the mean squared difference of
# their pixels, which are between 0 and 1.

# %% tags=["nbval-ignore-output"] alt="KID over 1, 2 and 4 evaluations, log scales. Tuned and shipped are far below the model before the tuning; the shipped one rises from 2 to 4."
real = load_dataset("procedural_flowers", "validation", 32, 64, count=kid_images).images
judge, points = Judge(real, original, steps), {}
print(f"distance between two different flowers: {judge.distance_of_strangers:.2f}")
for name, model in {"before": original, "tuned": tuned, "shipped": shipped}.items():
    for sampler, n in ((None, 1), (with_fresh_noise, 2), (None, 2), (None, 4)):
        how, judged = "fresh noise" if sampler else "DDIM", judge(model, n, sampler=sampler)
        print(f"{name:8}{n:2} step{'s' * (n > 1):1} {how:12}", judged)
        if not sampler:
            points.setdefault(name, []).append((n, judged.kid, judged.error))
print(f"{'before':8}{steps:2} steps {'DDIM':12}", judge.of_teacher)
by_evaluations(points, "KID with DDIM (lower is better)", logarithmic=True)

# %% [markdown]
# These are our results, on a CPU with 1,600 images (yours will differ a little):
#
# * One step: the KID falls from 14.6 to 2.1. Two steps of DDIM: from 5.0 to 0.23, and the teacher
#   needs 20 steps for 0.20. So the tuned model is about ten times as fast. Four steps of DDIM: from
#   1.81 to 0.07, which is lower than the teacher's 20 steps.
# * With fresh noise, the KID of two steps is 1.5. The shipped model was tuned for longer, and has
#   0.65, although its single step is worse than ours. Its two steps of DDIM have 0.13, which is no
#   worse than the teacher's 20 steps: the difference is smaller than two standard errors. More
#   steps do not help it, and we do not know why: with four it has 0.22, and less variety.
# * The teacher's 20 steps have a variety of 98 %, one step of the tuned model has 95 %, and the
#   shipped model has 98 % in one step and 93 % in two. So few steps cost little variety, or none.
#   They do cost accuracy: after one step, the flowers are at a distance of 0.06 from where their
#   paths lead (two different flowers are 0.21 apart).
#
# > **Without a teacher.** The shipped model was tuned by *consistency training*: its neighbours are
# > the same image with the same noise at two times, and its anchor is the training image. So no
# > teacher has to make a step, and no teacher's errors are copied. But such neighbours are on one
# > path only on average, so each target is much noisier. We used 40,000 images for it.
#
# > **The mean velocity.** There is a second way to one step. Flow matching (lab 09) learns the
# > velocity $v$ at each place, and a sampler adds up many of them. *MeanFlow* (Geng et al. 2025)
# > learns their average $u(x_t, r, t)$ between two times, so one evaluation covers the whole way:
# > $x_r = x_t - (t - r)\,u$. Stay on one path. Keep its point $x_r$ fixed and let $t$ grow: then
# > $x_t$ moves with the velocity $v$. Differentiate with respect to $t$, and you get
# > $u = v - (t - r)\,\frac{\mathrm{d}u}{\mathrm{d}t}$. All of this is known at the place $x_t$, so
# > the training compares $u$ with the right-hand side, and needs neither the path nor a teacher.
#
# ## What you have now
#
# * A diffusion model predicts the mean, a consistency model the end of the path.
# * A loss that compares neighbours on the teacher's path, with an anchor at its clean end.
# * Flowers in one or two steps, and the numbers that say what they cost.
#
# ## Where to go from here
#
# * [Latent diffusion](https://arxiv.org/abs/2112.10752): first, an autoencoder makes the images
#   small.
# * [Text to image](https://arxiv.org/abs/2205.11487): the pixels ask, and the words of a text
#   answer. (This is *cross-attention*; in lab 05, pixels answer.)
# * [DiT](https://arxiv.org/abs/2212.09748): a transformer takes the place of the U-Net.
# * [Classifier guidance](https://arxiv.org/abs/2105.05233): the gradient of a classifier steers a
#   model that was trained without labels.
# * [LoRA](https://arxiv.org/abs/2106.09685): to fine-tune a large matrix, train two thin ones whose
#   product is added to it.
# * [Video](https://arxiv.org/abs/2204.03458), [sound](https://arxiv.org/abs/2009.09761): the same
#   loss and the same loop, with other networks.
#
# This is the end of the course. You began with a network that walks downhill in an energy, and you
# have arrived at one that makes a flower in a single evaluation. Good luck with your own models.
#
# **Read on**
# * Song et al. (2023), [Consistency models](https://arxiv.org/abs/2303.01469): algorithm 1 is your
#   sampler, and algorithm 2 your loss.
# * Geng et al. (2024), [Consistency models made easy](https://arxiv.org/abs/2406.14548): tuning
#   without a teacher, with a shrinking gap.
# * Geng et al. (2025), [Mean flows for one-step generative
#   modeling](https://arxiv.org/abs/2505.13447).
