"""Runs the source of an answer, as a notebook would have run its cells: in the sandbox, and in
`precheck`.
"""

import __future__

import ast
import linecache


def define(name: str, source: str, namespace: dict) -> None:
    """Runs an answer's source statement by statement: one that fails, such as a test on data of the
    notebook, does not keep the next from running. At the end raises what went wrong: in the
    statement that defines `name`, else the first error; a SyntaxError at once.

    Type hints are not evaluated: they may name what is not here.
    """
    __tracebackhide__ = True  # IPython shows the student's lines, and not these
    file, hints = f"<{name}>", __future__.annotations.compiler_flag
    linecache.cache[file] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        file,
    )  # for messages that show a line
    tree, failed = compile(source, file, "exec", ast.PyCF_ONLY_AST | hints, dont_inherit=True), None
    compile(
        tree, file, "exec", hints | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )  # finds what parsing lets pass
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
