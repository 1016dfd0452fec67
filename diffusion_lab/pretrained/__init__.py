"""Weights that come with the package, next to the scripts that made two of them; `diffusion_lab.storage` reads them."""
