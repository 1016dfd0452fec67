"""Exports a diffusion model to ONNX, for programs and browsers without Keras."""

import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnx.helper import make_node

from diffusion_lab.backend import BACKEND
from diffusion_lab.errors import UserError
from diffusion_lab.models.conditional import ConditionalDiffusionModel
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.weights import LARGE
from diffusion_lab.predictions import PREDICTIONS
from diffusion_lab.storage import write_atomically

INPUTS = ("noisy_images", "noise_rates", "signal_rates", "labels")
OUTPUTS = ("pred_noises", "pred_images")
TOLERANCE = 1e-3  # of the check of the exported network


def export_onnx(model: Any, path: Path) -> float:
    """Writes an ONNX file, and a .json next to it that describes the model.

    The file computes what samplers call `denoise`: from `noisy_images` (B, S, S, C) and their
    `noise_rates` and `signal_rates` (B, 1, 1, 1), it computes `pred_noises` and `pred_images`, all
    float32. A conditional model also needs `labels`, int32 (B,): places in the list `class_names`
    of the .json, or its length for "none". The .json has the schedule, and mean and variance of the
    images: image = mean + pred_image * sqrt(variance).

    Args:
        model: a `DiffusionModel` or a `ConditionalDiffusionModel`.
        path: of the ONNX file.

    Returns:
        The largest difference between its results and Keras's.

    Raises:
        UserError: for another kind of model or backend, or if the results differ.
    """
    if type(model) not in (DiffusionModel, ConditionalDiffusionModel):
        raise UserError(
            "Only models with a continuous time can be exported: those of diffusion-lab train with"
            " another network than attention_unet."
        )
    if BACKEND != "tensorflow":
        raise UserError("Exporting needs TensorFlow: unset KERAS_BACKEND.")
    denoise = _denoise_network(model)
    exported = _compressed(_converted(denoise))
    difference = _difference(denoise, exported)
    if difference > TOLERANCE:
        raise UserError(
            f"The exported network differs from the model by {difference:.2g}. Please report this."
        )
    mean, variance = (np.ravel(weight) for weight in model.normalizer.get_weights()[:2])
    about = asdict(model.config) | {"mean": mean.tolist(), "variance": variance.tolist()}
    write_atomically(path, exported.SerializeToString())
    write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1).encode())
    return difference


def _denoise_network(model: DiffusionModel) -> keras.Model:
    """Returns `model.denoise`, or `denoise_labelled`, as a network of its own."""
    noisy_images = keras.Input(model.image_shape, name=INPUTS[0])
    rates = [keras.Input((1, 1, 1), name=name) for name in INPUTS[1:3]]
    is_conditional = isinstance(model, ConditionalDiffusionModel)
    labels = [keras.Input((), dtype="int32", name=INPUTS[3])] if is_conditional else []
    prediction = model.ema_network([noisy_images, rates[0] ** 2, *labels])
    outputs = PREDICTIONS[model.prediction](prediction, noisy_images, *rates)
    return keras.Model([noisy_images, *rates, *labels], outputs)


def _converted(network: keras.Model) -> onnx.ModelProto:
    network(_random_inputs(network))  # Keras exports only networks that have been called
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about NumPy's future
        path = Path(folder, "network.onnx")
        network.export(path, format="onnx", verbose=False)
        exported = onnx.load(path)
    for output, name in zip(exported.graph.output, OUTPUTS):
        for node in exported.graph.node:
            node.output[:] = [name if each == output.name else each for each in node.output]
            node.input[:] = [name if each == output.name else each for each in node.input]
        output.name = name
    return exported


def _compressed(exported: onnx.ModelProto) -> onnx.ModelProto:
    """Stores large arrays in 8 or 16 bits, if they have no more.

    `save_model` rounds to 8 bits, and once rounded to 16, so for its files this changes nothing but
    the size.
    """
    graph, kept, decoded = exported.graph, [], []
    for stored in graph.initializer:
        array, name = numpy_helper.to_array(stored), stored.name
        factors = _factors(array) if array.dtype == "float32" and array.size >= LARGE else None
        if factors is None:
            kept.append(stored)
            continue
        names = f"{name}/small", f"{name}/scale"
        kept += map(numpy_helper.from_array, factors, names)
        # DequantizeLinear would be shorter, but makes onnxruntime round the images as well
        decoded += [
            make_node("Cast", [names[0]], [f"{name}/float"], to=TensorProto.FLOAT),
            make_node("Mul", [f"{name}/float", names[1]], [name]),
        ]
    nodes = [*decoded, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(exported)
    return exported


def _factors(array: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns an int8 or float16 array and a float32 scale whose product is the array, if any."""
    for axis in range(array.ndim):
        others = tuple(other for other in range(array.ndim) if other != axis)
        scale = np.abs(array).max(axis=others, keepdims=True) / np.float32(127)
        whole = np.rint(array / np.where(scale > 0, scale, 1))
        if np.allclose(whole * scale, array, rtol=0, atol=1e-7):
            return whole.astype("int8"), scale
    half = array.astype("float16")
    return (half, np.ones((), "float32")) if np.array_equal(half, array) else None


def _difference(network: keras.Model, exported: onnx.ModelProto) -> float:
    inputs = _random_inputs(network)
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    theirs = session.run(list(OUTPUTS), dict(zip(INPUTS, inputs)))
    ours = map(keras.ops.convert_to_numpy, network(inputs, training=False))
    return max(float(np.abs(one - other).max()) for one, other in zip(ours, theirs))


def _random_inputs(network: keras.Model) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    angles = np.array([0.3, 0.9, 1.5]).reshape(-1, 1, 1, 1)
    noisy_images = rng.normal(size=(3, *network.inputs[0].shape[1:]))
    inputs = [values.astype("float32") for values in (noisy_images, np.sin(angles), np.cos(angles))]
    return [*inputs, np.arange(3, dtype="int32")][: len(network.inputs)]
