"""The shipped weights are those in the documentation, and they generate flowers."""

import shutil

import numpy as np
import pytest

from diffusion_lab.commands.evaluate import autoguided
from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.metrics import flower_features, kernel_inception_distance, measure_memorisation
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models import weights
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_energy_model, load_model, shipped_weights
from diffusion_lab.models.weights import SHIPPED, checksums, shipped_file
from diffusion_lab.pretrained import train_energy, train_few_steps
from diffusion_lab.samplers import adams_bashforth

# with other features, KID would have another scale
FROZEN = "65ca742d1fabfc4949ca591c05329cac6041772138fb7ec4620ec3280ac76cc6"


def test_every_shipped_file_is_described_and_what_its_checksum_says():
    files = {file.name.removesuffix(".weights.h5"): file for file in SHIPPED.glob("*.h5")}
    assert (
        files == {name: shipped_file(name) for name in checksums()}
        and checksums()["flower_features"] == FROZEN
    )
    described = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert all(f"`{file.name}`" in described for file in files.values())
    sizes = [file.stat().st_size for file in files.values()]
    assert sum(sizes) < 24e6 and max(sizes) < 5e6


@pytest.mark.parametrize(
    "load, name",
    [
        (load_model, "flowers32"),
        (load_energy_model, "digits_energy"),
        (lambda name: flower_features(), "flower_features"),
    ],
)
def test_weights_that_differ_from_the_shipped_ones_are_refused(load, name, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    shutil.copy(SHIPPED / "SHA256SUMS", tmp_path)
    path = tmp_path / f"{name}.weights.h5"
    content = (SHIPPED / path.name).read_bytes()
    for damaged in (None, content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(UserError, match="missing, damaged or changed"):
            load(name)
    path.write_bytes(content)
    load(name)


@pytest.mark.parametrize("name", shipped_weights())
def test_each_file_describes_itself_as_the_readme_does(name):
    model, origin = load_model(name)
    lines = (SHIPPED / "README.md").read_text(encoding="utf-8").splitlines()
    _, _, _, kid, command, _ = next(line for line in lines if f"`{name}.weights.h5`" in line).split(
        "|"
    )
    tuned = model.config.most_steps is not None
    program = (
        "python -m diffusion_lab.pretrained.train_few_steps" if tuned else "diffusion-lab train"
    )
    options = command.strip(" `").removeprefix(program).split()
    assert command.strip(" `") == " ".join([program, *options])
    values = dict(zip(options, options[1:]))
    assert origin["data"] == "procedural_flowers" and origin["epochs"] <= int(values["--epochs"])
    assert origin["val_kid"] == pytest.approx(float(kid), rel=0.05)
    assert values.get("--network", "unet") == model.config.network
    assert int(values.get("--image-size", 32)) == model.image_shape[0]
    assert values.get("--prediction", model.prediction) == model.prediction
    assert values.get("--loss-on", model.loss_on) == model.loss_on
    assert ("--conditional" in options) == bool(model.config.class_names)


@pytest.mark.slow
@pytest.mark.parametrize("size, worst, variety", [(32, 1, 0.7), (64, 3, 0.5)])
def test_shipped_flowers_are_good_and_not_memorised(size, worst, variety):
    model, origin = load_model(f"flowers{size}")
    assert model.image_shape == (size, size, 3) and origin["data"] == "procedural_flowers"
    real = load_dataset("procedural_flowers", "validation", size, 32, count=128).images
    # measured: 0.58 and 2.16; noise is above 30
    assert ValidationKID(real, steps=10)(model) < worst
    generated = generate_in_batches(model, 64, 10, seed=1)
    train = load_dataset("procedural_flowers", "train", size, 32, count=2048).images
    memory = measure_memorisation(generated, train, real)
    assert memory.generated_distance > 0.7 * memory.reference_distance
    # measured: 0.77 and 0.58
    assert variety < generated.std(axis=0).mean() / (real / 255).std(axis=0).mean() < 1.2
    assert np.isfinite(generated).all()


@pytest.mark.slow
def test_two_tuned_steps_and_ten_guided_ones_are_better_than_ten_plain_ones():
    plain, few = (load_model(name)[0] for name in ("flowers32", "flowers32_fewstep"))
    real = load_dataset("procedural_flowers", "validation", 32, 32, count=128).images
    kid = ValidationKID(real, steps=10)
    guide = autoguided(adams_bashforth, "flowers32_guide", None)
    images = {
        "plain": generate_in_batches(plain, 128, 10, seed=1, sampler=adams_bashforth),
        "few": generate_in_batches(few, 128, 2, seed=1),
        "guided": generate_in_batches(plain, 128, 10, seed=1, sampler=guide),
    }
    kids = {
        name: kernel_inception_distance(kid.real_features, kid.encode(own))
        for name, own in images.items()
    }
    # measured with 512 images: 0.21, 0.11 and 0.03
    assert kids["few"] < kids["plain"] and kids["guided"] < kids["plain"] / 2, kids


def test_a_training_that_would_keep_nothing_is_refused_at_once():
    with pytest.raises(TypeError, match="on_epoch_end"):
        train_energy.train(epochs=1)
    with pytest.raises(TypeError, match="on_epoch_end"):
        train_few_steps.tune("flowers32", count=64, epochs=1)
