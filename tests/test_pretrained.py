"""The shipped weights are those that the documents describe, and they draw flowers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import diffusion_lab
from diffusion_lab.data import load_dataset
from diffusion_lab.metrics import measure_memorisation
from diffusion_lab.models.files import load_model
from diffusion_lab.training import ValidationKID, generate_in_batches

PRETRAINED = Path(diffusion_lab.__file__).parent / "pretrained"
CHECKSUMS = {
    "flower_features.weights.h5": "65ca742d1fabfc4949ca591c05329cac6041772138fb7ec4620ec3280ac76cc6",  # frozen
    "flowers32.weights.h5": "c1148b4e55e2e8bfcf8aa7809e5b5844ba96cb9470fbb7456866084ecf47e01c",
}


def test_every_shipped_file_is_described_and_unchanged():
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in PRETRAINED.glob("*.h5")}
    assert files == CHECKSUMS
    described = (PRETRAINED / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in described for name in files)


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
