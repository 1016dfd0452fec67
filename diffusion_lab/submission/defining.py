"""Runs the source of an answer as a notebook would, in the sandbox and in `precheck`."""

import __future__

import ast
import linecache


def define(name: str, source: str, namespace: dict) -> None:
    """Runs an answer's source in `namespace`, statement by statement.

    A statement that fails does not stop the next ones: it may be a test on the notebook's data.
    Type hints are not evaluated, because they may contain names that do not exist here.

    Raises:
        SyntaxError: at once.
        Exception: at the end; the error of the statement that defines `name`, else the first one.
    """
    __tracebackhide__ = True  # IPython then shows only the student's lines
    file, hints = f"<{name}>", __future__.annotations.compiler_flag
    # so that messages can show the lines
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    tree, failed = compile(source, file, "exec", ast.PyCF_ONLY_AST | hints, dont_inherit=True), None
    # finds errors that parsing does not
    compile(tree, file, "exec", hints | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    for statement in tree.body:
        try:
            exec(
                compile(ast.Module([statement], []), file, "exec", hints, dont_inherit=True),
                namespace,
            )
        except Exception as error:
            if failed is None or getattr(statement, "name", None) == name:
                failed = error
    if failed is not None:
        here = failed.__traceback__
        raise failed.with_traceback(here and here.tb_next)
