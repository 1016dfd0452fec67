"""Which attributes of the objects in the sandbox an answer must leave alone."""

import ast

import keras


def taken_attributes(files: dict[str, str]) -> set[str]:
    """Returns the names of all attributes and functions in `files`, and those of a Keras model.

    Args:
        files: {path: source} of the code that is in the box with an answer.
    """
    nodes = [node for source in files.values() for node in ast.walk(ast.parse(source))]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return attributes | functions | set(dir(keras.Model))


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
