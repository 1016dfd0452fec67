"""Lab 10: numbers the exercises, which have their own modules."""

from diffusion_lab.labs.exercise import numbered
from diffusion_lab.labs.lab10.anagrams import AnagramDenoise
from diffusion_lab.labs.lab10.inpainting import InpaintStep
from diffusion_lab.labs.lab10.partial_noise import SDEdit

inpaint_step, sdedit, anagram_denoise = numbered(10, InpaintStep, SDEdit, AnagramDenoise)
