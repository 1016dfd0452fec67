"""`python -m diffusion_lab` is the command `diffusion-lab`."""

from diffusion_lab.commands.cli import main

main()
