"""Input gradients against calculus, and compilation that freezes no weights and leaks no models."""

import gc
import weakref
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, input_gradient, seed_generator, to_numpy_or_none


class Scale(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.factor = self.add_weight(shape=(), initializer="ones")
        self.built, self.calls = True, 0

    def times(self, x, plus=0.0):
        self.calls += 1
        return self.factor * x + plus


def test_input_gradient_is_the_derivative_example_by_example():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    gradient = input_gradient(
        lambda x: ops.sum(x**3, axis=-1, keepdims=True), ops.convert_to_tensor(x)
    )
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-5)


def test_plain_functions_and_their_partials_run_unchanged():
    def function(x, y=0):
        return x

    assert compiled(function) is function
    with_argument = partial(function, y=1)
    assert compiled(with_argument) is with_argument


def test_a_method_is_traced_once_for_each_set_of_keywords_and_sees_new_weights():
    layer, x = Scale(), ops.ones((2,))
    np.testing.assert_allclose(compiled(layer.times)(x), 1.0)
    np.testing.assert_allclose(compiled(partial(layer.times, plus=2.0))(x), 3.0)
    layer.factor.assign(5.0)
    np.testing.assert_allclose(compiled(layer.times)(x), 5.0)
    np.testing.assert_allclose(compiled(partial(layer.times, plus=2.0))(x), 7.0)
    assert layer.calls == 2


def test_several_models_are_compiled_without_a_warning_about_retracing(caplog):
    """TensorFlow warns after five traces of one function in ten calls."""
    for layer in [Scale() for _ in range(7)]:
        compiled(layer.times)(ops.ones((2,)))
    assert not caplog.records


def test_compiling_does_not_keep_a_model_alive():
    layer = Scale()
    compiled(layer.times)(ops.ones((2,)))
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_values_exist_only_outside_a_compiled_graph():
    seen = []

    class Look(keras.layers.Layer):
        def look(self, x):
            seen.append(to_numpy_or_none(x))
            return x

    layer = Look()
    compiled(layer.look)(ops.ones((2,)))
    layer.look(ops.ones((2,)))
    assert seen[0] is None and seen[1].tolist() == [1.0, 1.0]


def test_a_seed_generator_is_returned_and_an_integer_seeds_a_new_one():
    generator = keras.random.SeedGenerator(1)
    assert seed_generator(generator) is generator
    first, second = (keras.random.normal((3,), seed=seed_generator(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
