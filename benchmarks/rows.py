"""The rows of the speed benchmark, one function each.

`benchmarks.speed` runs each in a separate process.
"""

import subprocess
import sys
import time
from functools import partial

import numpy as np

from benchmarks import textbook
from benchmarks.report import Row, in_turn, medians, times_faster
from benchmarks.training import ours, some_images, train, training
from diffusion_lab.backend import compiled
from diffusion_lab.gaussian_diffusion import GaussianDiffusion
from diffusion_lab.metrics import (
    encode,
    flower_features,
    inception_features,
    kernel_inception_distance,
)
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.energy_based import EnergyBasedModel, contrastive_divergence
from diffusion_lab.networks import attention_unet, energy_network, plain_cnn, residual_unet, unet

FIRST_SAMPLE = """
import json, time
begin = time.perf_counter()
import diffusion_lab.models.io as files
from diffusion_lab.plots import image_grid, save_png
imported = time.perf_counter()
model, _ = files.load_model("flowers32")
loaded = time.perf_counter()
images = model.generate(16, 10, seed=0).numpy()
drawn = time.perf_counter()
model.generate(16, 10, seed=1)
print(json.dumps({
    "import": imported - begin, "load": loaded - imported,
    "draw (compiles)": drawn - loaded, "draw again": time.perf_counter() - drawn,
}))
"""


def ddpm_sampling(quick=False):
    """Measures ancestral sampling of 16 images, 32 × 32, with small and larger networks."""
    size, steps = (8, 2) if quick else (32, 50)
    networks = {
        "0.1 M": (lambda: residual_unet(size, (16, 32, 48), block_depth=1), 5),
        "0.2 M with attention": (lambda: attention_unet(size, 16, (1, 2), (False, True), 1), None),
        "the demo's": (lambda: unet(size, (8, 16) if quick else (32, 64, 96)), 2),
    }
    rows = []
    for name, (network, target) in networks.items():
        model = DDPM(network(), GaussianDiffusion(timesteps=steps), seed=0)
        if not model.takes_timesteps:  # `predict` must receive this network's inputs
            model.ema_network.predict = _with_noise_variances(model, model.ema_network.predict)
        images, t = np.zeros((16, size, size, 3), "float32"), np.zeros(16, "int32")
        alone = compiled(partial(model.predict_noises, training=False))
        seconds = in_turn(
            {
                "textbook": lambda: textbook.generate_by_predict(model, 16, seed=0),
                "ours": lambda: model.generate_images(16, seed=0),
                "network alone": lambda: [np.asarray(alone(images, t)) for _ in range(steps)],
            }
        )
        numbers = {
            f"{who} ms a step": 1000 * median / steps for who, median in medians(seconds).items()
        }
        numbers["parameters"] = model.network.count_params()
        rows.append(
            Row(
                f"DDPM sampling, {name}",
                times_faster(seconds, "textbook", "ours"),
                at_least=target,
                numbers=numbers,
            )
        )
    return rows


def _with_noise_variances(model, predict):
    return lambda inputs, **options: predict(
        [
            inputs[0],
            (model.diffusion.sqrt_one_minus_alphas_cumprod[inputs[1]] ** 2).reshape(-1, 1, 1, 1),
        ],
        **options,
    )


def kid(quick=False):
    """Measures ten validation passes of KID, with real images encoded once or each time.

    If encoding took all the time, the ratio would be 20 sets over 11, so this is the limit.
    """
    passes = 3 if quick else 10
    return [
        _kid(flower_features(), "", passes, 8 if quick else 256),
        # untrained weights are as slow as trained ones
        _kid(inception_features(weights=None), " by InceptionV3", passes, 2 if quick else 48),
    ]


def _kid(extractor, name, passes, count):
    real = some_images(count, 32) / np.float32(255)
    generated = real[:, ::-1]

    def once():
        features = encode(extractor, real)
        return [
            kernel_inception_distance(features, encode(extractor, generated)) for _ in range(passes)
        ]

    def each_time():
        return [textbook.kid_of_validation(extractor, real, generated) for _ in range(passes)]

    assert np.allclose(once(), each_time(), atol=1e-3), "both ways must measure the same"
    features = encode(extractor, real)
    seconds = in_turn(
        {
            "textbook": each_time,
            "ours": once,
            "one encoding": lambda: encode(extractor, generated),
            "one kernel": lambda: kernel_inception_distance(features, features),
        },
        rounds=5,
    )
    return Row(
        f"KID{name}, {passes} passes over {count} images",
        times_faster(seconds, "textbook", "ours"),
        at_least=1.8,
        numbers={f"{who} s": median for who, median in medians(seconds).items()}
        | {"ceiling": 2 * passes / (passes + 1)},
    )


def energy_based(quick=False):
    """Measures a training step of the energy-based model, including its Langevin steps."""
    batch_size, steps, size = (4, 1, 16) if quick else (64, 4, 16)
    images = some_images(batch_size * steps, size, channels=1)
    langevin_steps = 3 if quick else 60
    fast = EnergyBasedModel(
        energy_network(size), buffer_size=2048, langevin_steps=langevin_steps, seed=0
    )
    fast.compile("adam", contrastive_divergence, jit_compile=False)
    slow = textbook.TextbookEnergyModel(energy_network(size), 2048, langevin_steps)
    slow.compile("adam", run_eagerly=True)
    seconds = in_turn(
        {
            "textbook": lambda: train(slow, images, batch_size),
            "ours": lambda: train(fast, images, batch_size),
        }
    )
    return [
        Row(
            f"energy-based training, {langevin_steps} Langevin steps",
            times_faster(seconds, "textbook", "ours"),
            at_least=3,
            numbers={f"{who} ms a step": 1000 * s / steps for who, s in medians(seconds).items()},
        )
    ]


def first_sample(quick=False):
    """Measures the time to sixteen flowers from the shipped weights, in a fresh process."""
    import json

    runs = []
    for _ in range(1 if quick else 4):
        begin = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", FIRST_SAMPLE], capture_output=True, text=True, check=True
        )
        parts = json.loads(result.stdout)
        parts["all"] = time.perf_counter() - begin - parts["draw again"]
        runs.append(parts)
    parts = {name: float(np.median([run[name] for run in runs[1:] or runs])) for name in runs[0]}
    compiling = parts["load"] + parts["draw (compiles)"] - parts["draw again"]
    return [
        Row(
            "first sample in a fresh process", parts.pop("all"), at_most=15, unit="s", numbers=parts
        ),
        Row("of which loading and compiling", compiling, at_most=2.5, unit="s"),
    ]


def growth(quick=False):
    """Measures how time grows with images, batch size and steps.

    The value is the factor in time divided by the factor in size, so 1 is linear.
    """
    from diffusion_lab.models.io import load_model

    small, large = (16, 32) if quick else (1024, 8192)
    tiny = ours(lambda: plain_cnn(32, width=8, depth=2))
    epochs = in_turn(
        {
            count: lambda images=some_images(count, 32): train(tiny, images, 16)
            for count in (small, large)
        }
    )
    batches = (2, 4) if quick else (8, 64)
    model = ours(lambda: unet(32, (8, 16) if quick else (32, 64, 96)))
    of_batches = in_turn(
        {
            size: lambda images=some_images(2 * size, 32), size=size: train(model, images, size)
            for size in batches
        }
    )
    shipped, steps = load_model("flowers32")[0], (1, 2) if quick else (5, 80)
    sampling = in_turn(
        {
            count: lambda count=count: np.asarray(shipped.generate(16, count, seed=0))
            for count in steps
        }
    )
    rows = [
        Row(
            f"growth, {name} {a} to {b}",
            times_faster(seconds, b, a) / (b / a),
            at_most=1.1,
            unit="× linear",
            numbers={f"{count}: s": median for count, median in medians(seconds).items()},
        )
        for name, seconds, (a, b) in (
            ("images", epochs, (small, large)),
            ("batch", of_batches, batches),
            ("steps", sampling, steps),
        )
    ]
    return rows + [_memory_growth(small, large, runs=1 if quick else 2)]


def _memory_growth(small, large, runs):
    """Compares the peak memory of training on a large and on a small cached data set."""
    code = (
        "import sys, resource\nfrom benchmarks import rows\n"
        "from diffusion_lab.data import load_dataset\n"
        "data = load_dataset('procedural_flowers', 'train', 32, 16, count=int(sys.argv[1]))\n"
        "model = rows.ours(lambda: rows.plain_cnn(32, width=8, depth=2))\n"
        "model.fit(data, shuffle=False, verbose=0)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)"
    )
    megabytes = {}
    for count in (small, large):
        for _ in range(runs):  # the first draws the flowers
            result = subprocess.run(
                [sys.executable, "-c", code, str(count)], capture_output=True, text=True, check=True
            )
        megabytes[f"{count} images MB"] = float(result.stdout)
    return Row(
        f"memory, images {small} to {large}",
        megabytes[f"{large} images MB"] / megabytes[f"{small} images MB"],
        at_most=1.1,
        numbers=megabytes,
    )


ROWS = {
    function.__name__: function
    for function in (training, ddpm_sampling, kid, energy_based, first_sample, growth)
}
