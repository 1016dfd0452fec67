"""Which attributes of the objects in the sandbox an answer must leave alone."""

import ast

from diffusion_lab.submission.handout import Handout


def taken_attributes(files: dict[str, str]) -> set[str]:
    """Returns the names of all attributes and methods of objects in `files`.

    Args:
        files: {path: source} of the code that is in the box with an answer.
    """
    taken: set[str] = set()
    for source in files.values():
        nodes = list(ast.walk(ast.parse(source)))
        imported = {
            alias.asname or alias.name.split(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        taken |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in imported
        }
        taken |= {
            node.name for each in classes for node in each.body if isinstance(node, ast.FunctionDef)
        }
    return taken


def taken_in(handout: Handout) -> set[str]:
    """Returns the attributes that have a meaning in a lab, with those of a Keras model."""
    import keras  # here, because it is slow

    return {*handout.taken, *dir(keras.Model())}


def recorded_attributes(files: dict[str, str], official: str) -> set[str]:
    """Returns the attributes in which objects record what happens: they change after `__init__`.

    The attributes that right answers use are not among them.

    Args:
        files: {path: source} of the code that is in the box with an answer.
        official: the source of the right answers.
    """
    methods = [
        method
        for path, source in files.items()
        if path.startswith("labs/")
        for klass in ast.walk(ast.parse(source))
        if isinstance(klass, ast.ClassDef)
        for method in klass.body
        if isinstance(method, ast.FunctionDef) and method.name != "__init__"
    ]
    nodes = [node for method in methods for node in ast.walk(method)]
    changed = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    changed |= {
        node.func.value.attr
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("append", "extend", "update", "add")
        and isinstance(node.func.value, ast.Attribute)
    }
    return changed - {
        node.attr for node in ast.walk(ast.parse(official)) if isinstance(node, ast.Attribute)
    }
