"""The network that a student built in lab 05, read from the notebook of that lab."""

import ast
import json
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.networks import residual_unet

INSTEAD = 'or set network_name to "unet"'


def network_of_lab_05(image_size, widths, block_depth, path="05_unet.ipynb"):
    """Returns a new network, built by the functions in a student's notebook of lab 05.

    Args:
        image_size: in pixels.
        widths: channels of each level, the last one at the bottom.
        block_depth: number of residual blocks per level.
        path: of the notebook, as saved; relative to the folder of the running notebook.

    Raises:
        UserError: if the notebook is missing, or if its functions build no network or another one.
    """
    if not Path(path).exists():
        raise UserError(
            f"Your network cannot be read, because {path} is not in the folder of this notebook:"
            f" copy your lab 05 notebook there (in Colab, upload it in the Files panel), {INSTEAD}."
        )
    try:
        network = definitions(path)["my_unet"](image_size, widths, block_depth)
    except Exception as error:  # whatever a student's functions may raise
        raise UserError(
            f"The functions in {path} build no network ({type(error).__name__}: {error}): do the"
            f" exercises of lab 05, save that notebook, and run this cell again, {INSTEAD}."
        ) from None
    right = residual_unet(image_size, widths, block_depth)
    if [weight.shape for weight in network.weights] != [weight.shape for weight in right.weights]:
        raise UserError(  # it could be trained, but no longer loaded from its file
            f"The functions in {path} do not build the network that lab 05 asks for: run the checks"
            f" of that lab, save its notebook, and run this cell again, {INSTEAD}."
        )
    return network


def definitions(path):
    """Returns what a notebook imports and defines, {name: object}, without running the rest."""
    names = {}
    for cell in json.loads(Path(path).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            module = ast.parse("".join(cell["source"]))
        except SyntaxError:  # a magic, for example
            continue
        kinds = ast.Import, ast.ImportFrom, ast.FunctionDef
        module.body = [statement for statement in module.body if isinstance(statement, kinds)]
        exec(compile(module, str(path), "exec"), names)
    return names
