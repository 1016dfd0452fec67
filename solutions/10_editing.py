# %% [markdown]
# # Lab 10 · Editing with a trained model
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/10_editing.ipynb)
#
# **After this lab you can**
# * fill a hole in a picture with inpainting, and say why one pass of the sampler is not enough,
# * turn a crude drawing into a picture with SDEdit, and choose how much of the drawing survives,
# * make one picture that shows a flower in two ways, a visual anagram,
# * enlarge a picture of 16 pixels, and say which part of the result is known and which is invented.
#
# **Time**: 75 minutes of your time; the computer needs about 3 minutes on a laptop, less on a GPU.
#
# **Before**: lab 07. Labs 06 and 09 help. Nothing is trained here: a trained model comes with the
# package.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-10).

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
from diffusion_lab.labs.lab10.drawing import crude_flower, read_picture
from diffusion_lab.labs.lab10.experiments import (
    blurred,
    negative,
    noise_statistics,
    pieces_exchanged,
)
from diffusion_lab.labs.lab10.explorer import sketching
from diffusion_lab.labs.lab10.pictures import bicubic, pixelated, with_hole
from diffusion_lab.labs.pictures import show_images, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.models.io import load_model
from diffusion_lab.samplers import adams_bashforth, ddim, ddpm, time_grid

# %% [markdown]
# The next cell holds all the settings you may want to change. If you have a picture of your own,
# such as a photograph of a flower, name its file here. It is cropped to a square, shrunk to 32 × 32
# pixels, and edited in section 2. (The network knows only flowers, so whatever your picture shows
# becomes one.)

# %%
my_picture = None  # for example "rose.jpg", a file in the folder of this notebook
steps = lab.amount(smoke=2, cpu=20, gpu=50)
repeats = lab.amount(smoke=2, cpu=8, gpu=8)
strengths = lab.amount(smoke=(0.8,), cpu=(0.3, 0.6, 0.8, 0.9, 1.0), gpu=(0.3, 0.6, 0.8, 1.0))

# %% [markdown]
# ## 1 · The hole: inpainting
#
# A restorer of paintings does not paint new pictures. People bring her old ones: with a hole, with
# nothing but the first sketch, or as a stamp from which they want a poster. What she adds must look
# right, and what is left of the original must stay as it is.
#
# You have trained painters so far. In this lab you turn one into a restorer, without training it
# again. All these jobs work in the same way: the network keeps predicting, and *we interfere
# between its steps*.
#
# Here is the first job: eight flowers, whose right halves are missing.

# %% alt="Eight flowers in the top row, before. In the row below, damaged, a grey area hides the right half of each."
model, _ = load_model("flowers32")
denoise = compiled(partial(model.denoise, training=False))
schedule = model.diffusion_schedule

photos = load_dataset("procedural_flowers", "validation", image_size=32, batch_size=64).images
flowers = photos[[0, 9, 10, 14, 28, 27, 15, 20]] / np.float32(255)
known_images = model.normalizer(ops.convert_to_tensor(flowers))
mask = np.ones((1, 32, 32, 1), "float32")  # 1 = known, 0 = hole
mask[:, :, 16:] = 0
show_rows({"before": flowers, "damaged": with_hole(flowers, mask)})

# %% [markdown]
# The sampler starts from noise, and knows nothing about these flowers. So before each step, we
# overwrite the known pixels of its noisy image. But with what? At time 0.9 the network expects
# every pixel to carry the noise of time 0.9. Clean pixels next to noisy ones look like nothing that
# it has seen in training. So we noise the known image to the same level, as in training: with the
# signal rate $s$ and the noise rate $n$ of this time, and with fresh noise $\varepsilon$, the known
# pixels become $s\cdot\text{known}+n\cdot\varepsilon$.
#
# ### Exercise 10.1 · `inpaint_step`
# *Difficulty ●○○ · 10 minutes*
#
# Overwrite the known pixels (mask 1) with the known image, as noisy as this time requires. In the
# hole (mask 0), keep what the sampler has.
#
# <details><summary>Hint 1: as noisy as this time requires</summary>
#
# This is the mixture that opened lab 07, with the known image as the image.
# </details>
# <details><summary>Hint 2: two regions</summary>
#
# Multiplying by the mask keeps the known pixels and clears the hole. Which factor does the
# opposite?
# </details>


# %% exercise="inpaint_step" points=2
def inpaint_step(noisy_images, known_images, mask, noises, noise_rates, signal_rates):
    """Puts the known pixels back into noisy images.

    noisy_images: what the sampler has so far, (B, H, W, C).
    known_images: clean, (B, H, W, C).   mask: 1 = known, 0 = hole, (1, H, W, 1).
    noises: standard normal, (B, H, W, C).   noise_rates, signal_rates: (B, 1, 1, 1).
    Returns noisy images (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noisy_known = signal_rates * known_images + noise_rates * noises
    return mask * noisy_known + (1 - mask) * noisy_images
    ### END SOLUTION


# %% check="inpaint_step"
checks.inpaint_step(inpaint_step)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# At every time, the image that the network sees must look like an image from training at that time:
# a clean image, mixed with white noise at these rates. The left half is one by construction. The
# right half comes out of the sampler, which keeps the same promise. The mask needs no smooth edge,
# because the noise hides the seam until the network has had many chances to close it.
# </details>

# %% [markdown]
# The function below puts your step into DDIM's loop from lab 07. The loop has one addition,
# `repeats`, which is explained below. With `repeats=1`, the inner loop runs once, and this is plain
# DDIM with your `inpaint_step` before each step.


# %%
def fill(known_images, mask, seed, repeats=1):
    """Fills the holes of normalised images; returns images in [0, 1]."""
    seed = keras.random.SeedGenerator(seed)
    fresh_noise = lambda: keras.random.normal(known_images.shape, seed=seed)
    ones = ops.ones((known_images.shape[0], 1, 1, 1))
    noisy_images, points = fresh_noise(), time_grid(schedule, steps)
    for now, then in zip(points, points[1:]):
        rates = ones * now.noise_rate, ones * now.signal_rate
        for repeat in range(repeats):
            if repeat > 0:  # back to the time `now`, with fresh noise
                share = now.signal_rate / then.signal_rate
                noisy_images = share * noisy_images + math.sqrt(1 - share**2) * fresh_noise()
            noisy_images = inpaint_step(noisy_images, known_images, mask, fresh_noise(), *rates)
            pred_noises, pred_images = denoise(noisy_images, *rates)
            noisy_images = then.signal_rate * pred_images + then.noise_rate * pred_noises
    filled = inpaint_step(noisy_images, known_images, mask, fresh_noise(), 0 * ones, ones)
    return model.denormalize(filled)


# %% tags=["nbval-ignore-output"]
ask("10.hole")

# %% tags=["nbval-ignore-output"] alt="Damaged flowers and two fillings of each in one pass. The outlines meet at the seam, but in some flowers the colours of the two sides differ, and in several backgrounds the seam shows."
rows = {"damaged": with_hole(flowers, mask)}
rows |= {f"one pass, seed {seed}": fill(known_images, mask, seed) for seed in (1, 2)}
show_rows(rows)

# %% [markdown]
# A restorer would lose her licence. The stems and the outlines meet, but some flowers have two
# colours. The colour on the right was decided in the first steps, when the left half was still
# buried in noise. Later, the left half is clear to see, but by then the right half is settled.
#
# **RePaint** (Lugmayr et al. 2022) lets the halves talk. After each step it goes back by one step,
# adding fresh noise, and takes the step again, several times. Each time, the network sees a right
# half that it made with the left half in view, so the two agree a little better. The way back is
# one forward step of lab 02: with $a = s_\text{now}/s_\text{then}$,
#
# $$x_\text{now} = a\,x_\text{then} + \sqrt{1 - a^2}\;\varepsilon .$$
#
# The first term has the signal rate $a\,s_\text{then}=s_\text{now}$, as it should, and the second
# brings the variance back to 1.

# %% tags=["nbval-ignore-output"] alt="Original flowers and two fillings of each with 8 repeats. Now each flower has one colour, its petals continue across the middle, and hardly a seam shows."
rows = {"before": flowers}
for seed in (1, 2):
    rows[f"{repeats} repeats, seed {seed}"] = fill(known_images, mask, seed, repeats)
show_rows(rows)

# %% [markdown]
# Now each flower has one colour, and its petals continue across the seam. It need not be the flower
# that was there before: nobody knows that one, and each seed gives another flower that fits. The
# price is `repeats` times as many network evaluations.
#
# ## 2 · The sketch: SDEdit
#
# The second customer brings a drawing. The idea is right, and everything else is wrong. (If you
# named a file as `my_picture` in the settings, it takes the place of the last drawing.)

# %% alt="Eight flat drawings of flowers made of discs, with three to ten petals, on plain backgrounds."
drawings = [
    crude_flower(petals=5, petal_hue=0.97, background_hue=0.33),
    crude_flower(petals=6, petal_hue=0.13, background_hue=0.60),
    crude_flower(petals=8, petal_hue=0.62, background_hue=0.30),
    crude_flower(petals=5, petal_hue=0.78, background_hue=0.35, centre_hue=0.2),
    crude_flower(petals=10, petal_hue=0.07, background_hue=0.28),
    crude_flower(petals=3, petal_hue=0.90, background_hue=0.33),
    crude_flower(petals=4, petal_hue=0.00, background_hue=0.65, centre_hue=0.3),
    crude_flower(petals=7, petal_hue=0.50, background_hue=0.90),
]
if my_picture:
    drawings[-1] = read_picture(my_picture)
drawings = np.stack(drawings)
show_images(drawings)

# %% [markdown]
# **SDEdit** (Meng et al. 2022) needs a single idea. Noise hides details first and large shapes
# last. So add just enough noise to hide what is crude about the drawing, and let the sampler invent
# the details again. It does not start at time 1 from pure noise, but at a less noisy time, from the
# noisy drawing.
#
# ### Exercise 10.2 · `sdedit`
# *Difficulty ●●○ · 15 minutes*
#
# Mix the images with noise, as much as there is at the time `start`, and sample from there with
# `ddim`. All `steps` must lie between the times `start` and 0.
#
# <details><summary>Hint 1: the rates</summary>
#
# A schedule takes times of the shape (B, 1, 1, 1), and here they are all equal to `start`.
# </details>
# <details><summary>Hint 2: a sampler that comes in late</summary>
#
# `ddim` always asks its schedule for the times from 1 down to 0. You choose the schedule that it
# asks. Which time should your schedule look up when `ddim` says "1"? And when it says "0.5"? (Give
# your schedule a name of its own, or it calls itself.)
# </details>


# %% exercise="sdedit" points=4
def sdedit(denoise, schedule, images, noises, start, steps):
    """Adds noise up to the time `start`, and removes it again with DDIM.

    denoise, schedule: as for every sampler.
    images: normalised, (B, H, W, C).   noises: standard normal, (B, H, W, C).
    start: a time in (0, 1].   steps: the number of steps of the sampler.
    Returns images (B, H, W, C).
    """
    ### BEGIN SOLUTION
    noise_rates, signal_rates = schedule(start * ops.ones((images.shape[0], 1, 1, 1)))
    halfway = signal_rates * images + noise_rates * noises
    return ddim(denoise, lambda times: schedule(start * times), halfway, steps)
    ### END SOLUTION


# %% check="sdedit"
checks.sdedit(sdedit)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# `ddim` knows times only through its schedule. With `schedule(start * times)`, its time 1 is our
# time `start`, its time 0 is still the clean image, and the steps in between are spread evenly. For
# `start = 1` you get ordinary sampling, where almost nothing of the image is left.
# </details>

# %% tags=["nbval-ignore-output"]
ask("10.strength")

# %% tags=["nbval-ignore-output", "cover"] alt="Drawings and their edits, one row per strength. At 0.3 they are still the drawings, at 0.8 natural flowers in similar colours, and 1 ignores the drawing."
images = model.normalizer(ops.convert_to_tensor(drawings))
noises = keras.random.normal(images.shape, seed=5)
rows = {"drawing": drawings}
for strength in strengths:
    edited = sdedit(denoise, schedule, images, noises, strength, steps)
    rows[f"strength {strength:g}"] = model.denormalize(edited)
show_rows(rows)

# %% [markdown]
# With little noise, the petals get shadows, but the outline is still that of the drawing. From
# about 0.6 the petals get edges of their own, their number starts to change, and the colours hold.
# At 1.0 the drawing has no say any more. So SDEdit trades *faithful* for *realistic*, and a single
# number chooses between them. (Services that turn your sketch into a picture call this number
# "strength", too.)
#
# Compose your own flower with the sliders. Up to which strength does the number of petals survive?
# (If you open this notebook again, run all cells above and then the next one: sliders need a
# running kernel.)

# %% tags=["nbval-ignore-output"]
sketching(model, denoise, sdedit, steps=lab.amount(smoke=2, cpu=12, gpu=20))

# %% [markdown]
# ## 3 · Two pictures in one: visual anagrams
#
# The third customer wants a joke: a picture that is a yellow flower, and whose negative is a blue
# one. (A photographic negative reverses each value around middle grey. Ours reverses it around the
# mean colour of all flowers, because it changes the sign of the normalised image.) **Visual
# anagrams** (Geng, Park and Owens 2024) do this with a committee. One member looks at the noisy
# image as it is, another at its negative. Each says which noise it sees. The second member's answer
# is turned back, so that both speak about the same picture, and the sampler removes the *mean* of
# the two.
#
# ### Exercise 10.3 · `anagram_denoise`
# *Difficulty ●●○ · 15 minutes*
#
# A view is a pair of functions of images, `(there, back)`: `there` changes images, for example into
# their negatives, and `back` undoes the change. Write a function that takes a `denoise` and a list
# of views, and returns a *new* `denoise`, for any sampler:
#
# * For each view, `there` changes the noisy images, the network predicts their noise, and `back`
#   changes this noise back. The new `denoise` predicts the mean over all views as its noise.
# * Its images are those that belong to this noise: solve the mixture for the image.
#
# <details><summary>Hint 1: a function that returns a function</summary>
#
# Lab 09 did this with guidance, and so does this example, a `denoise` that is not sure of itself:
#
# ```python
# def timid(denoise):
#     def half_as_much(noisy_images, noise_rates, signal_rates):
#         noises, images = denoise(noisy_images, noise_rates, signal_rates)
#         return noises / 2, images / 2
#     return half_as_much
# ```
# </details>
# <details><summary>Hint 2: the images</summary>
#
# You solved the mixture for the image in lab 07. The two results must always add up to the noisy
# images, at their rates.
# </details>


# %% exercise="anagram_denoise" points=4
def anagram_denoise(denoise, views):
    """Returns a `denoise` that removes the noise on which all views agree.

    denoise: called as denoise(noisy_images, noise_rates, signal_rates),
        returns (pred_noises, pred_images).
    views: a list of pairs (there, back) of functions on images (B, H, W, C).
    Returns a function with the arguments and the results of `denoise`.
    """
    ### BEGIN SOLUTION
    def combined(noisy_images, noise_rates, signal_rates):
        votes = [
            back(denoise(there(noisy_images), noise_rates, signal_rates)[0])
            for there, back in views
        ]
        pred_noises = sum(votes) / len(votes)
        pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
        return pred_noises, pred_images

    return combined
    ### END SOLUTION


# %% check="anagram_denoise"
checks.anagram_denoise(anagram_denoise)

# %% [markdown] tags=["answer"]
# <details><summary>Why this is the answer</summary>
#
# The score of lab 06 is minus the noise, divided by its rate, so averaging the noise averages the
# scores. Adding the scores of two densities gives the score of their product, which is high only
# where *both* are. (Their mean gives that of the square root of the product, which has the same
# peaks.) So the committee leads to images that are likely in every view. Guidance combines
# predictions in a similar way. The images follow from the noise, because a sampler relies on image
# and noise adding up to what it has.
# </details>

# %% [markdown]
# Not every function can be a view. The network only recognises *white* noise. In which of these
# views is white noise still white? (`pieces_exchanged` is a jigsaw puzzle: the upper left and the
# lower right quarter change places, each turned by 180°.)

# %% tags=["nbval-ignore-output"]
ask("10.views")


# %%
def turned(images, quarters=2):
    return ops.rot90(images, quarters, axes=(1, 2))


def colours_moved(images, places=1):
    """Red becomes green, green becomes blue, and blue becomes red."""
    return ops.roll(images, places, axis=-1)


for view in (turned, negative, colours_moved, pieces_exchanged, blurred):
    spread, correlation = noise_statistics(view)
    print(f"{view.__name__:17} deviation {spread:.2f}, correlation of neighbours {correlation:.2f}")

# %% [markdown]
# A view may carry numbers to other places, and it may change their signs. More generally, it may be
# any rotation or reflection of the space of all pixels, because white noise looks the same from
# every direction. A blur does something else: it shrinks the noise and makes neighbours alike.
#
# The rows come in pairs. The second shows the very same pictures as the first, in the other view.
# (`adams_bashforth` is a sampler from lab 09, more exact than DDIM with the same number of steps.)

# %% tags=["nbval-ignore-output"] alt="Four pairs of rows: six pictures and their other views, which are negative, colours moved, half a turn and pieces exchanged. All of them look like flowers."
unchanged = (lambda images: images, lambda images: images)
views = {
    "negative": (negative, negative),
    "colours moved": (colours_moved, partial(colours_moved, places=-1)),
    "half a turn": (turned, turned),
    "pieces exchanged": (pieces_exchanged, pieces_exchanged),
}
rows, noise = {}, keras.random.normal((6, 32, 32, 3), seed=11)
for number, (name, view) in enumerate(views.items(), start=1):
    images = adams_bashforth(anagram_denoise(denoise, [unchanged, view]), schedule, noise, steps)
    rows[f"picture {number}"] = model.denormalize(images)
    rows[f"{number}, {name}"] = model.denormalize(view[0](images))
show_rows(rows)

# %% [markdown]
# The negative of a yellow flower is blue, so the committee settles on pairs of colours that both
# occur in flowers, and it makes the background so grey that it looks natural both ways. A turned
# flower is easier, and so is the jigsaw puzzle in the last rows.
#
# Some wishes cannot be granted. If you exchange all four pieces diagonally, *without* turning them
# (`ops.roll(images, (16, 16), axis=(1, 2))`), the corners meet in the middle. But all flowers of
# this data set grow in the middle, so no picture is likely in both views, and the mean of two votes
# that contradict each other is mush. Try it in a cell of your own:
#
# ```python
# def exchanged(images):
#     return ops.roll(images, (16, 16), axis=(1, 2))
#
# both = anagram_denoise(denoise, [unchanged, (exchanged, exchanged)])
# my_noise = keras.random.normal((8, 32, 32, 3), seed=11)
# show_images(model.denormalize(adams_bashforth(both, schedule, my_noise, steps)))
# ```
#
# ### Near and far: hybrid images
#
# The committee can also divide its work. A **hybrid image** (Oliva, Torralba and Schyns 2006) shows
# one thing when you stand close to it, and another from a distance, where you see only its blur.
# [Factorized diffusion](https://arxiv.org/abs/2404.11615) makes such images with two members: one
# decides about the blur of the noise, the other about the rest. Here both are the network of lab 09
# that takes a colour and guidance. From a distance these flowers should be red or blue, and from
# close up, yellow or white. (There are also orange, pink and purple.)


# %%
def from_afar(images, size=8):
    """Images (B, H, W, C) as you see them from far away: means of size × size pixels, smoothed."""
    return ops.image.resize(ops.average_pool(images, size, size), images.shape[1:3])


def hybrid_denoise(model, far_colour, near_colour, guidance=3.0):
    """Returns a `denoise`: the blur of one colour's noise, and the rest of another's."""
    far_member, near_member = (model.guided(it, guidance) for it in (far_colour, near_colour))

    def divided(noisy_images, noise_rates, signal_rates):
        far, _ = far_member(noisy_images, noise_rates, signal_rates)
        near, _ = near_member(noisy_images, noise_rates, signal_rates)
        pred_noises = from_afar(far) + near - from_afar(near)
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    return divided


# %% tags=["nbval-ignore-output"] alt="Flowers from close up and blurred as from afar. The first are orange-yellow with dark centres and red from afar; the others pale blue, and blue from afar."
conditional, _ = load_model("flowers32_conditional")
rows = {}
for far, near in (("red", "yellow"), ("blue", "white")):
    both = compiled(hybrid_denoise(conditional, far, near))
    images = adams_bashforth(both, schedule, noise, steps)
    rows[f"{near} from close up"] = conditional.denormalize(images)
    rows[f"{far} from afar"] = conditional.denormalize(from_afar(images))
show_rows(rows)

# %% [markdown]
# Step back, or half close your eyes: the yellow tips disappear, and the flower is red. Not every
# pair of colours works so well, since the near colour only has what the blur leaves over: white
# tips on blue are only a paler blue. Try others.
#
# ### A kaleidoscope
#
# Now let the committee have eight members: four quarter turns, each with its mirror image. We also
# make the initial noise symmetric, by adding its eight views and dividing by $\sqrt8$, which keeps
# the variance at 1 for nearly all pixels. Then all eight members see the same image in every step,
# and the result is a flower that no meadow has. (This noise is no longer white, because its pixels
# are equal in groups of eight. So these flowers look flatter and stranger than usual.)
#
# `mirrored` is its own way back: if you turn and mirror an image twice, you have the image again.

# %%
def mirrored(images, quarters):
    return turned(ops.flip(images, 2), quarters)


kaleidoscope = [
    (partial(turned, quarters=k), partial(turned, quarters=-k)) for k in range(4)
] + [(partial(mirrored, quarters=k), partial(mirrored, quarters=k)) for k in range(4)]

# %% tags=["nbval-ignore-output"] alt="Twenty-four flowers and ornaments in three rows; each has the symmetry of a kaleidoscope."
symmetric = []
for seed in lab.amount(smoke=(25,), cpu=(25, 22, 23), gpu=(25, 22, 23)):
    white = keras.random.normal((8, 32, 32, 3), seed=seed)
    mixed = sum(back(white) for _, back in kaleidoscope) / math.sqrt(8)
    images = adams_bashforth(anagram_denoise(denoise, kaleidoscope), schedule, mixed, steps)
    symmetric.append(model.denormalize(images))
show_images(ops.concatenate(symmetric))

# %% [markdown]
# ## 4 · The stamp: super-resolution
#
# The last customer has a picture of 4 × 4 pixels, and wants a poster. Nobody knows what was in the
# other pixels. But we know one thing for certain: a large picture is right only if, shrunk again,
# it gives the small one. Each block of 8 × 8 pixels must have the known mean.
#
# So we interfere again. In each step, the network predicts an image, and we shift each of its
# blocks to the known mean. The details inside the blocks remain the network's. (This is the idea of
# DDNM, Wang, Yu and Zhang 2023, which does the same for other kinds of damage.)


# %%
def shrink(images, size):
    """The means of square blocks: (B, 32, 32, C) becomes (B, size, size, C)."""
    return ops.average_pool(images, images.shape[1] // size, images.shape[1] // size)


def keep_small(denoise, small):
    """A `denoise` whose predicted images give `small` when they are shrunk."""

    def kept(noisy_images, noise_rates, signal_rates):
        _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
        missing = small - shrink(pred_images, small.shape[1])
        block = noisy_images.shape[1] // small.shape[1]
        pred_images += ops.repeat(ops.repeat(missing, block, axis=1), block, axis=2)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return kept


# %%
def enlarge(size, seeds, sampler=ddpm):
    """Shrinks the flowers to `size` pixels, and enlarges them again, once for each seed."""
    small = shrink(known_images, size)
    pixels = ops.convert_to_numpy(model.denormalize(small))
    rows = {f"{size} × {size} pixels": pixelated(pixels, 32), "bicubic": bicubic(pixels, 32)}
    for seed in seeds:
        noise = keras.random.normal(known_images.shape, seed=seed)
        large = sampler(keep_small(denoise, small), schedule, noise, steps, seed=seed)
        rows[f"sample {seed}"] = model.denormalize(large)
        error = float(ops.max(ops.abs(shrink(large, size) - small)))
        print(f"sample {seed}, shrunk again: the largest error is {error:.1e}")
    show_rows(rows | {"real": flowers})


# %% tags=["nbval-ignore-output"] alt="Flowers enlarged from 4 × 4 pixels. Bicubic gives mere blurs; the three samples are clear flowers of the same colours that differ from each other."
enlarge(4, seeds=(1, 2, 3))

# %% [markdown]
# Sixteen pixels in, a thousand out. All three samples are right answers to the same question:
# shrunk again, they give the same sixteen pixels, apart from rounding (before they are clipped to
# the range of colours). Bicubic interpolation, as in a photo program, returns one answer, which is
# safe and blurred. With 64 pixels, less is left to invent:

# %% tags=["nbval-ignore-output"] alt="Flowers enlarged from 8 × 8 pixels. Bicubic gives blurred flowers; the two samples are sharp and close to the real ones in the last row."
enlarge(8, seeds=(1, 2))

# %% [markdown]
# Compare the number of petals with the real flowers in the last row. The samples look convincing,
# and yet the number is often wrong. That is harmless for a flower, but not for a licence plate or
# an X-ray image: an enlarged picture shows what is *likely*, and never what was there.
#
# (We used `ddpm` here. Shifting the blocks leaves faint edges between them. The fresh noise of each
# step covers most of these edges, and the network draws these places again. With `sampler=ddim`,
# the edges stay.)
#
# ## What you have now
#
# * Inpainting: overwrite what is known with an equally noisy copy, and let both sides talk.
# * SDEdit: noise hides details first, so the time at which you start decides what survives.
# * Anagrams: average the noise that several views predict, if they keep white noise white.
# * Super-resolution: shift each prediction until it agrees with what is known.
# * One principle behind all four: the sampler is a loop, and between its steps you may interfere.
#
# **Lab 11** is about the loop itself: it trains a model that needs only one or two steps.
#
# **Read on**
# * Lugmayr et al. (2022), [RePaint](https://arxiv.org/abs/2201.09865): figure 3 shows what the
#   repeats do.
# * Meng et al. (2022), [SDEdit](https://arxiv.org/abs/2108.01073): strokes become landscapes.
# * Geng, Park and Owens (2024), [Visual anagrams](https://arxiv.org/abs/2311.17919): with a network
#   that reads text, the two views are a rabbit and a duck.
