"""The shipped weights are those that the documents describe, and they draw flowers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import diffusion_lab
from diffusion_lab.data import load_dataset
from diffusion_lab.metrics import measure_memorisation
from diffusion_lab.models.files import load_model, shipped_weights
from diffusion_lab.training import ValidationKID, generate_in_batches

PRETRAINED = Path(diffusion_lab.__file__).parent / "pretrained"
CHECKSUMS = {
    "digits_energy.weights.h5": "2ae433fe589fe8a920c42ecec448e819068fe480558362095171de8046ff5ec2",
    "flower_features.weights.h5": "65ca742d1fabfc4949ca591c05329cac6041772138fb7ec4620ec3280ac76cc6",  # frozen
    "flowers32.weights.h5": "c1148b4e55e2e8bfcf8aa7809e5b5844ba96cb9470fbb7456866084ecf47e01c",
    "flowers32_conditional.weights.h5": "b2c13f38610c3be7328309c0f7da65c52e5b8a5bf0471aa48eb5bb708335d439",
    "flowers32_ddpm.weights.h5": "d3b466a3a9b31369591bca8d20f1e697a4f589d34275603ffc6725b4a8d11942",
    "flowers32_noise.weights.h5": "839b4067780297a3a4d9132d13dd0b3b685fbde6335e0fd41b0159935cae5f7b",
    "flowers32_plain_cnn.weights.h5": "2b33d9d5f205d087ab4d90f464f67ca2e2d0dc5f74191eda50e2c20360f1a49f",
}


def test_every_shipped_file_is_described_and_unchanged():
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in PRETRAINED.glob("*.h5")}
    assert files == CHECKSUMS
    described = (PRETRAINED / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in described for name in files)
    assert sum(file.stat().st_size for file in PRETRAINED.glob("*.h5")) < 24e6


@pytest.mark.parametrize("name", shipped_weights())
def test_each_file_says_of_itself_what_the_readme_says(name):
    model, origin = load_model(name)
    lines = (PRETRAINED / "README.md").read_text(encoding="utf-8").splitlines()
    _, _, _, kid, command, _ = next(line for line in lines if f"`{name}.weights.h5`" in line).split("|")
    options = command.strip(" `").split()[2:]
    values = dict(zip(options, options[1:]))
    assert origin["data"] == "procedural_flowers" and origin["val_kid"] == pytest.approx(float(kid), rel=0.05)
    assert values.get("--network", "unet") == model.config.network
    assert values.get("--prediction", model.prediction) == model.prediction
    assert values.get("--loss-on", model.loss_on) == model.loss_on
    assert ("--conditional" in options) == bool(model.config.class_names)


def test_shipped_flowers_are_good_and_not_remembered():
    model, origin = load_model("flowers32")
    assert origin["data"] == "procedural_flowers" and origin["command"].startswith("diffusion-lab train")
    real = load_dataset("procedural_flowers", "validation", 32, 32, count=128).images
    kid = ValidationKID(real, steps=10)
    assert kid(model) < 1.8  # measured: 1.23 ± 0.06 with 512 images; noise is above 30
    generated = generate_in_batches(model, 64, 10, seed=1)
    train = load_dataset("procedural_flowers", "train", 32, 32, count=2048).images
    memory = measure_memorisation(generated, train, real)
    assert memory.generated_distance > 0.7 * memory.reference_distance
    assert generated.std(axis=0).mean() == pytest.approx((real / 255).std(axis=0).mean(), rel=0.3)
    assert np.isfinite(generated).all()
