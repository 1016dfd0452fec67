"""Weights that come with the package, and the scripts that trained two of them.

`diffusion_lab.models.weights` reads them.
"""
