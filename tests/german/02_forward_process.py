# %% [markdown]
# # Lab 02 · Der Vorwärtsprozess: wie aus einem Bild Rauschen wird
#
# **Nach diesem Lab kannst du**
# * ein Bild Schritt für Schritt verrauschen, ohne dass seine Varianz wächst,
# * vom sauberen Bild mit einem Sprung zu jedem Schritt gelangen.
#
# **Zeit**: etwa 20 Minuten.

# %% tags=["nbval-ignore-output"]
from diffusion_lab.labs.start import start

lab = start(language="de")

# %%
import numpy as np

from diffusion_lab import checks, widgets
from diffusion_lab.data import load_dataset
from diffusion_lab.labs.pictures import clouds, curves, show_rows
from diffusion_lab.labs.questions import ask
from diffusion_lab.labs.toy_points import flower_points

# %% [markdown]
# ## 1 · Die Kopie einer Kopie einer Kopie
#
# Eine Dorfschule besitzt ein einziges Foto und einen müden Kopierer. Jede Kopie wird ein wenig
# blasser als ihre Vorlage, und ein paar Staubkörner kommen hinzu. Nach zehn Kopien erkennst du das
# Gesicht noch. Nach tausend sehen alle Fotos der Welt gleich aus.
#
# Eine Kopie ist eine Normalverteilung um die blassere Vorlage,
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\!\left(\sqrt{1-\beta_t}\;x_{t-1},\;\beta_t\right),$$
#
# und $\beta_t$, eine kleine Zahl, ist die Varianz des Staubs.

# %% alt="Tausende von Punkten bilden den dünnen Umriss einer Blume mit fünf Blättern."
points = flower_points(1000)
clouds({"die Daten": points}, columns=4)

# %% [markdown]
# ### Aufgabe 2.1 · `forward_step`
# *Schwierigkeit ●○○ · 5 Minuten*
#
# Schreibe einen Schritt des Kopierers: Berechne $x_t$ aus $x_{t-1}$ und frischem Rauschen.
#
# <details><summary>Hinweis</summary>
#
# Eine normalverteilte Zahl mit Mittelwert $m$ und Varianz $v$ ist $m + \sqrt v\,\varepsilon$.
# </details>


# %% exercise="forward_step" points=4
def forward_step(images, noises, beta):
    """Ein Schritt des Vorwärtsprozesses: x_t aus x_{t-1}.

    images: x_{t-1}, (B, H, W, C).   noises: standardnormalverteilt, mit derselben Form.
    beta: eine Zahl zwischen 0 und 1.   Gibt x_t zurück, mit derselben Form.
    """
    ### BEGIN SOLUTION
    return np.sqrt(1 - beta) * images + np.sqrt(beta) * noises
    ### END SOLUTION


# %% check="forward_step"
checks.forward_step(forward_step)

# %% [markdown] tags=["answer"]
# <details><summary>Warum das die Antwort ist</summary>
#
# Bild und Rauschen sind unabhängig, also addieren sich ihre Varianzen:
# $(1-\beta)\cdot 1 + \beta \cdot 1 = 1$.
# </details>

# %% [markdown]
# ## 2 · Warum so blass?
#
# Was würde ohne den Faktor $\sqrt{1-\beta}$ geschehen? Entscheide dich, bevor du nachsiehst.

# %% tags=["nbval-ignore-output"]
ask("02.variance")

# %% alt="Die Varianz der Punkte bleibt über 50 Schritte bei 1."
betas = np.linspace(1e-3, 0.06, 50, dtype="float32")
rng = np.random.default_rng(1)
path = [points]
for beta in betas:
    noises = rng.normal(size=points.shape).astype("float32")
    path.append(np.asarray(forward_step(path[-1], noises, beta)))
curves({"Varianz": [x.var() for x in path]}, xlabel="Schritt t", ylabel="Varianz der Punkte")

# %% [markdown]
# ## 3 · Alle Schritte auf einmal
#
# Mit $\alpha_t = 1-\beta_t$ und $\bar\alpha_t = \alpha_1\alpha_2\cdots\alpha_t$ wird aus dem Weg
# von $t$ Schritten ein einziger Sprung:
#
# $$q(x_t \mid x_0) = \mathcal N\!\left(\sqrt{\bar\alpha_t}\;x_0,\; 1-\bar\alpha_t\right).$$
#
# ### Aufgabe 2.2 · `q_sample`
# *Schwierigkeit ●●○ · 10 Minuten*
#
# Schreibe den Sprung für einen Stapel, in dem jedes Bild seinen eigenen Schritt hat. Der Index `t`
# zählt ab 0.
#
# <details><summary>Hinweis 1: das Produkt</summary>
#
# `np.cumprod(1 - betas)` enthält alle Produkte.
# </details>


# %% exercise="q_sample" points=6
def q_sample(images, t, noises, betas):
    """Die verrauschten Bilder nach Schritt t, in einem Sprung aus den sauberen.

    images: x_0, (B, H, W, C).   t: die Schritte, ganze Zahlen ab 0, (B,).
    noises: standardnormalverteilt, (B, H, W, C).   betas: die Varianz jedes Schritts, (T,).
    Gibt x_t zurück, (B, H, W, C).
    """
    ### BEGIN SOLUTION
    kept = np.cumprod(1 - betas)[t].reshape(-1, 1, 1, 1)
    return np.sqrt(kept) * images + np.sqrt(1 - kept) * noises
    ### END SOLUTION


# %% check="q_sample"
checks.q_sample(q_sample)

# %% [markdown]
# ## 4 · Dieselbe Funktion für Blumen
#
# In Aufgabe 2.2 weiß nichts, was ein Punkt ist. Hier verrauscht dieselbe Funktion Blumen.

# %% tags=["cover"] alt="Acht Blumen, oben sauber, unten verrauscht."
flowers = load_dataset("procedural_flowers", "validation", image_size=32, batch_size=8, count=8)[0]
noises = np.random.default_rng(4).normal(size=flowers.shape).astype("float32")
noisy_images = np.asarray(q_sample(flowers, np.full(8, 20), noises, betas))
show_rows({"sauber": flowers, "t = 20": noisy_images})

# %% tags=["nbval-ignore-output"]
widgets.corruption(flowers)
