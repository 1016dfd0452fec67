"""Langevin dynamics, which lab 01 follows in a landscape of energy and lab 06 with the score."""

import math

import keras


def langevin(slope, points, steps, step_size, noise_scale=1.0, seed=0):
    """Langevin dynamics: steps down the slope of an energy, and the noise that the theory requires.

    Args:
        slope: maps points to the gradient of the energy there, minus that of the log density.
        points: where the walks begin, (N, 1, 1, 2).
        steps: a whole number.
        step_size: η in lab 01, a number.
        noise_scale: a factor of the noise; the theory requires 1.
        seed: of the noise.

    Returns:
        The points at the end of the walks, in the same shape.
    """
    seed = keras.random.SeedGenerator(seed)
    for _ in range(steps):
        knock = math.sqrt(2 * step_size) * keras.random.normal(points.shape, seed=seed)
        points = points - step_size * slope(points) + noise_scale * knock
    return points
