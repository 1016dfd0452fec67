# %% [markdown]
# # Lab 00 · Overview: one flower, six families of generative models
#
# [![Open in Colab](../docs/open_in_colab.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/00_overview.ipynb)
#
# **After this lab you can**
# * say what a generative model is for, and name the six families,
# * say what each family gives up, and why diffusion models are used so much today,
# * say who invented what, from 2015 on, and which lab of this course is about it.
#
# **Time**: 20 minutes of your time, and nothing to write; the computer needs a minute or two,
# with or without a GPU.
#
# **Before**: a little Keras. Don't worry if you do not understand every loss yet: the labs explain
# those that you need.
#
# **Words and symbols**: [notation and glossary](../docs/glossary.md).
# **Papers and books**: [sources](../docs/sources.md#lab-00).

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
from keras import ops

from diffusion_lab.labs.lab00.experiments import distance_to_nearest
from diffusion_lab.labs.lab00.families import (
    GAN,
    VAE,
    Autoregressive,
    Diffusion,
    EnergyBased,
    Flow,
)
from diffusion_lab.labs.pictures import clouds
from diffusion_lab.labs.toy_points import flower_points

# %%
training_steps = lab.amount(smoke=20, cpu=1000, gpu=1000)
num_samples = lab.amount(smoke=50, cpu=2000, gpu=2000)

# %% [markdown]
# ## 1 · What a generative model is for
#
# Somebody gives you data: photographs, sentences, molecules. You assume that they are samples from
# a distribution $p(x)$ that nobody can write down. A **generative model** learns from the samples,
# and then it can do one or both of two things:
#
# * **sample**: produce new data that look like the given ones, but are not copies of them,
# * **say how likely** a given $x$ is: its likelihood $p(x)$. With it, you can compare models,
#   compress data, or find an $x$ that does not belong.
#
# Photographs have too many dimensions to see what goes wrong. So this lab works in two: our data
# are points on the outline of a flower. The models have never seen the points on the right.

# %% alt="Two panels, for training and unseen: in both, the points trace the same thin outline of a flower with five petals."
points = flower_points(20_000).reshape(-1, 2)
unseen = flower_points(num_samples, seed=1).reshape(-1, 2)
clouds({"for training": points[:num_samples], "unseen": unseen}, size=2.2)

# %% [markdown]
# ## 2 · Six families
#
# Each of the following models has 20 to 45 lines in
# [families.py](../diffusion_lab/labs/lab00/families.py). They all use small dense networks, the
# same number of training steps and the same points. Open that file next to this page: in each
# class, the most important lines are those of `objective`, the loss.
#
# **Autoregressive models** write $p(x, y) = p(x)\,p(y \mid x)$, and learn one factor after the
# other. Each factor is an ordinary classification: *which of 64 intervals comes next?* Language
# models do this with words, and PixelCNN with pixels (van den Oord et al. 2016).

# %%
models = {"autoregressive": Autoregressive().learn(points, training_steps)}

# %% [markdown]
# **Variational autoencoders** (VAE; Kingma and Welling 2014) compress each point into a *code* and
# reconstruct it. The codes get noise, and a term of the loss pulls them towards a normal
# distribution. So you can throw away the encoder, sample codes from the normal distribution, and
# decode them.

# %%
models["VAE"] = VAE().learn(points, training_steps)

# %% [markdown]
# **Generative adversarial networks** (GAN; Goodfellow et al. 2014) let two networks play against
# each other. The generator turns noise into points. The discriminator tries to tell them from real
# ones, and whatever it notices teaches the generator.

# %%
models["GAN"] = GAN().learn(points, training_steps)

# %% [markdown]
# **Normalizing flows** (RealNVP: Dinh et al. 2017) bend the plane, layer by layer, until the
# flower becomes a normal distribution. Each layer is invertible, so noise can go the way back. And
# each layer knows by how much it stretches the plane, which gives the exact likelihood.

# %%
models["normalizing flow"] = Flow().learn(points, training_steps)

# %% [markdown]
# **Energy-based models** (Du and Mordatch 2019) learn a landscape with valleys where data are
# likely. Sampling is a walk downhill that is shaken on the way. Lab 01 builds such a model.

# %%
models["energy-based"] = EnergyBased().learn(points, training_steps)

# %% [markdown]
# **Diffusion models** (Sohl-Dickstein et al. 2015; Ho et al. 2020) add noise to the data, and learn
# to tell the noise from the data, for every strength of noise. To sample, they start with pure
# noise and remove it in small steps. The rest of this course is about them.

# %%
models["diffusion"] = Diffusion().learn(points, training_steps)

# %% tags=["nbval-ignore-output", "cover"] alt="Point clouds of the data and six models. Autoregressive is sharpest, diffusion and flow are close, energy-based is coarse, the VAE a blur and the GAN distorted."
samples = {name: ops.convert_to_numpy(model.sample(num_samples)) for name, model in models.items()}
clouds({"data": unseen} | samples, columns=4, size=2)

# %% [markdown]
# Look for two kinds of error: samples where there are no data, such as inside the petals, and parts
# of the flower without samples. Here is a number for each. The first is the mean distance from a
# sample to the nearest data point, the second from a data point to the nearest sample. Both should
# be small. New points from the flower itself show about how small both can be.

# %% tags=["nbval-ignore-output"]
fresh = flower_points(num_samples, seed=2).reshape(-1, 2)
print("mean distance          sample → data   data → sample")
for name, sample in ({"the flower itself": fresh} | samples).items():
    precision, coverage = distance_to_nearest(sample, unseen), distance_to_nearest(unseen, sample)
    print(f"{name:22} {precision:13.3f} {coverage:15.3f}")

# %% [markdown]
# Three of our six models can also say how likely the unseen points are. (The VAE knows only a lower
# bound, so its true value may be higher. A diffusion model can also compute a likelihood, with more
# work: see the table below.)

# %% tags=["nbval-ignore-output"]
for name in ("autoregressive", "normalizing flow", "VAE"):
    value = np.mean(models[name].log_likelihood(ops.convert_to_tensor(unseen)))
    print(f"{name:17} mean log-likelihood {'at least ' * (name == 'VAE')}{value:.2f}")

# %% [markdown]
# ## 3 · What each family gives up
#
# | family | likelihood | evaluations per sample | training | covers all data | network |
# |---|---|---|---|---|---|
# | autoregressive | exact | one per coordinate | stable | yes | needs an order |
# | VAE | lower bound | 1 | stable | yes, and more | free |
# | GAN | none | 1 | a game | often not | free |
# | normalizing flow | exact | 1 | stable | yes, and threads | invertible only |
# | energy-based | up to a constant | hundreds | walks in each step | in theory | free |
# | diffusion | lower bound (*) | tens | stable | yes | free |
#
# (*) The exact likelihood can be computed from an equation of lab 09, with many evaluations.
#
# Compare the table with your picture.
#
# * **Autoregressive**: the best of all here, in both columns of numbers. But two coordinates are
#   easy. A colour picture of 32 × 32 pixels has 3,072, and one sample needs as many evaluations,
#   one after the other.
# * **VAE**: the samples fill the petals. Codes of different points overlap, so the decoder returns
#   something between these points. In pictures, this looks blurred. It also adds the same amount of
#   noise everywhere.
# * **GAN**: one evaluation, and no formula for the density. Look for missing parts of the flower,
#   and for points where there should be none: the loss does not ask for all of the data, only for
#   samples that pass as real. (For pictures, GANs were the best family from about 2015 to 2021.)
# * **Normalizing flow**: a normal distribution has no holes. A continuous, invertible map cannot
#   make one, so some threads always remain.
# * **Energy-based**: the flower appears, with a wide outline, and perhaps with islands. An island
#   is a valley that was left over where no walk has passed for a long time.
# * **Diffusion**: the sharpest after the autoregressive model, and complete, although some samples
#   are inside the petals. The training is a regression. It pays with many evaluations per sample.
#
# A small experiment proves little about large models: more training, larger networks or newer
# versions improve each of the six. But the table explains a lot. A diffusion model may use almost
# any network, and its loss is a mean squared error, without an opponent and without walks. Such a
# model can be made very large. What is left to improve is the number of evaluations: the samplers
# of lab 09 need fewer, and the models of lab 11 only one or two.
#
# ## 4 · From noise to a flower
#
# Here are some of the steps of the diffusion model. This is what you will build.

# %% tags=["nbval-ignore-output"] alt="Six point clouds from time 1.00 to the sample. The round cloud hardly changes until time 0.3; then five petals appear and sharpen to an outline."
steps, noisy = lab.amount(smoke=10, cpu=30, gpu=30), {}


def remember(step, diffusion_time, noisy_images, pred_images):
    noisy[f"time {diffusion_time:.2f}"] = ops.convert_to_numpy(noisy_images)


end = models["diffusion"].sample(num_samples, steps, on_step=remember)
shown = [list(noisy)[steps * tenths // 10] for tenths in (0, 5, 7, 8, 9)]
clouds({name: noisy[name] for name in shown} | {"the sample": ops.convert_to_numpy(end)})

# %% [markdown]
# ## 5 · From 2015 to 2023, in nine papers
#
# * **2015** · [Sohl-Dickstein et al.](https://arxiv.org/abs/1503.03585) destroy data with noise,
#   step by step, and learn the way back. The idea comes from physics. *Lab 02*
# * **2019** · [Song and Ermon](https://arxiv.org/abs/1907.05600) learn the slope of the log density
#   (the score) at many noise levels, and sample by Langevin dynamics. *Labs 01 and 06*
# * **2020** · [Ho, Jain and Abbeel](https://arxiv.org/abs/2006.11239), DDPM: a U-Net predicts the
#   noise. The pictures become good, and both lines of work turn out to be one. *Labs 05 and 06*
# * **2021** · [Song, Meng and Ermon](https://arxiv.org/abs/2010.02502), DDIM: the same network,
#   sampled without fresh noise and in far fewer steps. *Lab 07*
# * **2021** · [Song et al.](https://arxiv.org/abs/2011.13456) find the differential equations
#   behind all of them. *Labs 06 and 09*
# * **2021** · [Dhariwal and Nichol](https://arxiv.org/abs/2105.05233) beat the best GANs on
#   ImageNet, with guidance by a classifier. *Lab 09 does it without one*
# * **2022** · [Rombach et al.](https://arxiv.org/abs/2112.10752), latent diffusion: an autoencoder
#   makes the pictures small first. Stable Diffusion is built on it.
# * **2023** · [Lipman et al.](https://arxiv.org/abs/2210.02747), flow matching: straight lines
#   between noise and data. *Lab 09*
# * **2023** · [Song et al.](https://arxiv.org/abs/2303.01469), consistency models: a sample in one
#   step or two. *Lab 11*
#
# (The year is that of the conference. Four of these papers were online in the year before.)
#
# ## Which lab does what
#
# * **01** builds an energy-based model, and walks downhill.
# * **02** and **03** destroy images with noise: the forward process, and its schedule.
# * **04** and **05** look for a network that can tell noise from image: one that fails, then the
#   U-Net.
# * **06** is DDPM, **07** is DDIM: there you build and train the whole model.
# * **08** explores a trained model, and measures how good it is.
# * **09** has better samplers, guidance and flow matching; **10** edits pictures; **11** needs one
#   step only.
#
# **Read on**
# * Foster (2023), [*Generative deep learning*, 2nd
#   edition](https://github.com/davidADSP/Generative_Deep_Learning_2nd_Edition): a chapter for each
#   of the six families.
# * Sohl-Dickstein et al. (2015), [Deep unsupervised learning using nonequilibrium
#   thermodynamics](https://arxiv.org/abs/1503.03585): the beginning, with points in two dimensions.
# * Weng (2021), [What are diffusion
#   models?](https://lilianweng.github.io/posts/2021-07-11-diffusion-models/): the whole theory in
#   one article.
