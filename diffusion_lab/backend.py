"""What Keras has no function for, such as gradients, with a branch for each backend.

Everything else in the package is written with `keras.ops` and `keras.random`, so it runs on all
three backends.
"""

import functools
import weakref

import keras
import numpy as np

from diffusion_lab.errors import seed_number

BACKEND = keras.backend.backend()


def input_gradient(function, inputs):
    """Returns the gradient of sum(function(inputs)) with respect to the inputs.

    Langevin dynamics follows it.

    Args:
        function: maps a batch to one number per example.
        inputs: a tensor.

    Returns:
        A tensor of the shape of `inputs`.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            total = keras.ops.sum(function(inputs))
        return tape.gradient(total, inputs)
    if BACKEND == "jax":
        import jax

        return jax.grad(lambda x: keras.ops.sum(function(x)))(inputs)
    import torch

    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_(True)
        return torch.autograd.grad(keras.ops.sum(function(inputs)), inputs)[0]


# the compiled methods of each model, which are dropped together with the model
_compiled_methods = weakref.WeakKeyDictionary()


def compiled(function):
    """Returns the function, compiled if it is a method of a Keras model.

    A `functools.partial` of such a method is compiled as well. A plain function is returned
    unchanged. It may use NumPy, print, or read globals that change, and compiling would break the
    first, silence the second and freeze the third. Weights are not frozen: if the model is trained
    further, the compiled method uses the new weights.
    """
    owner = owner_of(function)
    if owner is None:
        return function
    method, keywords = (
        (function.func, function.keywords)
        if isinstance(function, functools.partial)
        else (function, {})
    )
    methods = _compiled_methods.setdefault(owner, {})
    key = (method.__func__, tuple(sorted(keywords.items())))
    if key not in methods:
        methods[key] = _compile(method.__func__, weakref.ref(owner), keywords)
    return methods[key]


def owner_of(function):
    """Returns the Keras model whose method `function` is, or None for any other function.

    A `functools.partial` with only keyword arguments counts as the method.
    """
    method = function.func if isinstance(function, functools.partial) else function
    owner = getattr(method, "__self__", None)
    return (
        owner
        if isinstance(owner, keras.layers.Layer) and not getattr(function, "args", ())
        else None
    )


def forget_compiled(owner=None):
    """Drops a model's compiled methods, or those of all models.

    Call it after a change to something that they captured and that is not a Keras variable, such as
    a Python attribute, or a function in a notebook.
    """
    if owner is None:
        _compiled_methods.clear()
    else:
        _compiled_methods.pop(owner, None)


def parts(result):
    """Returns the items of a tuple, list or iterator, or an array's first axis, as a tuple.

    Unlike `first, second = array`, this also works inside a graph, where TensorFlow refuses to
    iterate.
    """
    return (
        tuple(result[index] for index in range(result.shape[0]))
        if hasattr(result, "shape")
        else tuple(result)
    )


def _call(method, owner, keywords, *arguments):
    return method(owner(), *arguments, **keywords)


def _compile(method, owner, keywords):
    """Compiles a method. `owner` is a weak reference; otherwise the cache would keep it alive."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        # TensorFlow counts the traces of a function by its code, but those of a partial by itself.
        # So several models that are traced once each do not look like one that is always retraced.
        return tf.function(
            functools.partial(_call, method, owner, keywords), jit_compile=has_accelerator()
        )
    if BACKEND == "jax":
        import jax

        @jax.jit
        # JAX would treat variables as constants, so their values are arguments
        def pure(values, *arguments):
            with keras.StatelessScope(state_mapping=list(zip(owner().variables, values))):
                return method(owner(), *arguments, **keywords)

        return lambda *arguments: pure(
            [variable.value for variable in owner().variables], *arguments
        )
    import torch

    @torch.no_grad()
    def without_gradients(*arguments):
        return method(owner(), *arguments, **keywords)

    return without_gradients


def without_tf_autotuning(kind):
    """Disables autotuning in the TensorFlow pipelines of a `PyDataset` class; returns the class.

    There is nothing to tune, and at the end of `fit` Keras waits for the tuner, which may sleep for
    up to a minute (TensorFlow 2.21; measured: 4 seconds after 6 of training). Keras has no argument
    to disable it.
    """
    if BACKEND != "tensorflow":
        return kind
    import tensorflow as tf
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    get_tf_dataset = PyDatasetAdapter.get_tf_dataset

    @functools.wraps(get_tf_dataset)
    def get_untuned(adapter):
        pipeline = get_tf_dataset(adapter)
        if isinstance(adapter.py_dataset, kind):
            options = tf.data.Options()
            options.autotune.enabled = False
            pipeline = pipeline.with_options(options)
        return pipeline

    PyDatasetAdapter.get_tf_dataset = get_untuned
    return kind


def to_numpy_or_none(values):
    """Returns the values as a NumPy array, or None inside a graph, which has no values yet."""
    if BACKEND == "tensorflow" and keras.ops.is_tensor(values) and not hasattr(values, "numpy"):
        return None
    if BACKEND == "jax":
        import jax

        if isinstance(values, jax.core.Tracer):
            return None
    if isinstance(values, keras.KerasTensor):
        return None
    return np.asarray(keras.ops.convert_to_numpy(values))


def devices():
    """Returns the names of the backend's devices, such as ["gpu:0"] or ["cpu:0"]."""
    if BACKEND == "torch":  # Keras has no list of devices for it
        import torch

        return [f"gpu:{number}" for number in range(torch.cuda.device_count())] or ["cpu:0"]
    return keras.distribution.list_devices()


def has_accelerator():
    """True if there is a GPU or TPU.

    XLA makes a U-Net faster on these, but slower on a CPU.
    """
    return not all(device.startswith("cpu") for device in devices())


def seed_generator(seed=None):
    """Returns a `keras.random.SeedGenerator`.

    Args:
        seed: an integer, None (random), or a `SeedGenerator`, which is returned unchanged.

    Raises:
        UserError: for anything else.
    """
    if isinstance(seed, keras.random.SeedGenerator):
        return seed
    return keras.random.SeedGenerator(None if seed is None else seed_number(seed))
