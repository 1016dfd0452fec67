"""Measures the full-size models on a GPU: `KERAS_BACKEND=jax python -m benchmarks.gpu`.

It needs only Keras, NumPy and a backend: no TensorFlow, no data set and no internet, because the
images are random. It measures training at several batch sizes, sampling and memory, and compares
them with the peak of the device's matrix units. It says what limits each model: arithmetic or
memory traffic.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import keras
import numpy as np
from keras import ops

from benchmarks.flops import forward_flops
from diffusion_lab.backend import compiled, devices, has_accelerator
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import attention_unet, residual_unet, unet

EPOCH = 1020  # images in the official training split of Oxford Flowers 102


def models(quick):
    """Returns {name: function that builds it}: the U-Nets of DDPM, DDIM and the course."""
    if quick:
        return {
            "attention U-Net": lambda: DDPM(attention_unet(16, 8, (1, 2), (False, True), 1)),
            "U-Net": lambda: DiffusionModel(unet(16, (8, 16))),
        }
    return {
        "attention U-Net": lambda: DDPM(attention_unet()),
        "residual U-Net": lambda: DiffusionModel(residual_unet()),
        "U-Net": lambda: DiffusionModel(unet(64, (64, 128, 192, 256))),
    }


def matrix_peak(size, dtype, seconds=2.0):
    """Returns the FLOP/s of a product of two square matrices."""
    layer = keras.layers.Dense(size, use_bias=False, dtype=dtype)
    network = keras.Sequential([keras.Input((size,), dtype=dtype), *[layer] * 4])
    run, x = compiled(network.call), ops.ones((size, size), dtype)
    seconds_each = time_of(lambda: run(x), seconds)
    return 4 * 2 * size**3 / seconds_each


def copy_speed(megabytes, seconds=1.0):
    """Returns the bytes per second that a device reads and writes.

    They are measured by adding one to a large array.
    """
    layer = keras.layers.Rescaling(1.0, offset=1.0, dtype="float32")
    run, x = compiled(layer.call), ops.ones((megabytes, 250_000))
    return 2 * 1e6 * megabytes / time_of(lambda: run(x), seconds)


def time_of(function, seconds):
    """Returns the seconds of one call, after a first call that compiles.

    A corner of the last result is fetched, to be sure that it has been computed.
    """

    def wait(result):
        ops.convert_to_numpy(result[(slice(0, 1),) * len(result.shape)])

    wait(function())
    repeats, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(4):
            result = function()
        wait(result)
        repeats += 4
    return (time.perf_counter() - begin) / repeats


def training(build, batch_size, steps):
    """Returns {"images/s", "FLOP/s", ...} of `fit` in bfloat16, or why it failed."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build()
    images = np.random.default_rng(0).random((batch_size * steps, *model.image_shape), "float32")
    model.adapt(images[:64])
    model.compile(keras.optimizers.AdamW(1e-4), "mse", jit_compile=has_accelerator())
    keras.mixed_precision.set_global_policy("float32")
    ends = []
    try:
        model.fit(
            images,
            batch_size=batch_size,
            epochs=3,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
                )
            ],
        )
    except Exception as error:  # the batch is too large: each backend raises a different exception
        return {"batch": batch_size, "failed": str(error).splitlines()[0][:100]}
    # the second epoch still includes some compilation
    speed = len(images) / (ends[2] - ends[1])
    return {
        "batch": batch_size,
        "images/s": speed,
        "FLOP/s": 3 * speed * forward_flops(model.network),
        "seconds for 1,020 images": EPOCH / speed,
        "peak memory GB": peak_memory(),
    }


def sampling(build, quick):
    """Returns the seconds of all DDPM steps, and of a few DDIM steps, after compilation."""
    model, result = build(), {}
    if isinstance(model, DDPM):
        if quick:
            model.diffusion.timesteps = 3
        result[f"{model.diffusion.timesteps} steps of DDPM, 32 images, s"] = timed(
            lambda: model.generate_images(32, seed=0)
        )
    count, nfe = (16, 2) if quick else (1024, 10)
    result[f"{nfe} steps of DDIM, {count} images, s"] = timed(
        lambda: model.generate(count, nfe, seed=0)
    )
    return result


def timed(function):
    ops.convert_to_numpy(function())
    begin = time.perf_counter()
    ops.convert_to_numpy(function())
    return time.perf_counter() - begin


def peak_memory():
    """Returns the device's peak memory use in gigabytes, if the backend reports it."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        statistics = jax.devices()[0].memory_stats() or {}
        return statistics.get("peak_bytes_in_use", 0) / 1e9
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return (
        tf.config.experimental.get_memory_info(gpus[0].name.removeprefix("/device:"))["peak"] / 1e9
        if gpus
        else 0.0
    )


def device_name():
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    return ", ".join(devices())


def intensity(build, batch_size):
    """Returns the forward pass's FLOP per byte of memory traffic, as XLA counts them.

    Returns None without JAX.
    """
    if keras.backend.backend() != "jax":
        return None
    import jax

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = build().network
    keras.mixed_precision.set_global_policy("float32")
    inputs = [jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype) for x in network.inputs]
    values = [variable.value for variable in network.variables]

    def forward(values, inputs):
        with keras.StatelessScope(state_mapping=list(zip(network.variables, values))):
            return network(inputs)

    cost = jax.jit(forward).lower(values, inputs).compile().cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return batch_size * forward_flops(network) / cost["bytes accessed"]


def roofline(flops, peak, bandwidth, per_byte):
    """Returns a sentence on what limits a model that reaches `flops`.

    At low intensity (few FLOP per byte) it is memory, and at high intensity arithmetic. A model far
    below both limits is slowed down by many small kernels.
    """
    words = (
        f"{100 * flops / peak:.0f} % of the matrix peak; this device's limit changes from memory to"
        f" arithmetic at {peak / bandwidth:.0f} FLOP per byte"
    )
    if per_byte is None:
        return words
    roof = min(peak, per_byte * bandwidth)
    side = "memory" if roof < peak else "arithmetic"
    return (
        f"{words}, and the network has {per_byte:.0f}: it is limited by {side}, and reaches"
        f" {100 * flops / roof:.0f} % of that limit"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--out", type=Path, default=Path("out/bench/gpu.json"))
    arguments = parser.parse_args()
    small = arguments.quick
    report = {
        "device": device_name(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "date": date.today().isoformat(),
        "matrix peak FLOP/s": {
            dtype: matrix_peak(128 if small else 8192, dtype) for dtype in ("float32", "bfloat16")
        },
        "memory bytes/s": copy_speed(4 if small else 4000),
        "models": {},
    }
    print(json.dumps(report, indent=1), flush=True)
    for name, build in models(small).items():
        entry = report["models"][name] = {
            "parameters": build().network.count_params(),
            "training": [],
        }
        for batch_size in [4] if small else arguments.batch_sizes:
            entry["training"].append(
                training(build, batch_size, 2 if small else max(8, 4096 // batch_size))
            )
            print(name, json.dumps(entry["training"][-1]), flush=True)
        entry |= sampling(build, small)
        best = max(entry["training"], key=lambda row: row.get("FLOP/s", 0))
        entry["bound"] = roofline(
            best.get("FLOP/s", 0),
            report["matrix peak FLOP/s"]["bfloat16"],
            report["memory bytes/s"],
            intensity(build, best["batch"]),
        )
        print(
            name,
            json.dumps({key: value for key, value in entry.items() if key != "training"}),
            flush=True,
        )
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
