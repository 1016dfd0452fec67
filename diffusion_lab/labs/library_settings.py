"""Library settings for calling an answer; the previous ones are always restored."""

import logging
from contextlib import ExitStack, contextmanager

import keras

from diffusion_lab.backend import BACKEND


@contextmanager
def eagerly():
    """Runs compiled functions (`tf.function`, `jax.jit`) as plain Python, with concrete values."""
    if BACKEND == "jax":
        import jax

        with jax.disable_jit():
            yield
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        with _switched(tf.config.functions_run_eagerly, tf.config.run_functions_eagerly, True):
            yield
    else:
        yield


@contextmanager
def full_tracebacks():
    """Keeps all frames of exceptions, because `blame` finds the cause in them.

    It also silences TensorFlow's warning about frequent retracing, which a check cannot avoid.
    """
    logger = logging.getLogger("tensorflow")
    with ExitStack() as stack:
        stack.enter_context(_switched(lambda: logger.level, logger.setLevel, logging.ERROR))
        stack.enter_context(
            _switched(keras.config.is_traceback_filtering_enabled, _filter_in_keras, False)
        )
        if BACKEND == "tensorflow":
            import tensorflow as tf

            stack.enter_context(
                _switched(tf.debugging.is_traceback_filtering_enabled, _filter_in_tensorflow, False)
            )
        yield


@contextmanager
def _switched(get, set, value):
    before = get()
    set(value)
    try:
        yield
    finally:
        set(before)


def _filter_in_keras(on):
    (keras.config.enable_traceback_filtering if on else keras.config.disable_traceback_filtering)()


def _filter_in_tensorflow(on):
    import tensorflow as tf

    (tf.debugging.enable_traceback_filtering if on else tf.debugging.disable_traceback_filtering)()
