"""What an exception and the code of a function show: frames, lines, instructions and names."""

import ast
import dis
import inspect
import textwrap
import traceback
import types

# the instructions that come before the first line of a function
STARTING = ("RESUME", "MAKE_CELL", "COPY_FREE_VARS", "NOP", "RETURN_GENERATOR")


def code_of(function):
    """Returns the code object of a function, or None.

    It looks through decorators, `partial` and `tf.function`.
    """
    for _ in range(20):
        if isinstance(function, types.MethodType):
            function = function.__func__
        if hasattr(function, "__code__") and not hasattr(function, "__wrapped__"):
            return function.__code__
        inner = [
            getattr(function, name, None) for name in ("__wrapped__", "python_function", "func")
        ]
        function = next((one for one in inner if one is not None), None) or getattr(  # noqa: B004
            type(function), "__call__", None
        )
    return None


def origin(error):
    """Returns the exception raised first, before TensorFlow's autograph wrapped it in another."""
    while hasattr(error.__context__, "ag_error_metadata"):
        error = error.__context__
    return error


def frames_of(error):
    """Returns [(code object, line number, offset of the instruction)] of a traceback.

    The outermost frame comes first.
    """
    entries, entry = [], origin(error).__traceback__
    while entry is not None:
        entries.append((entry.tb_frame.f_code, entry.tb_lineno, entry.tb_lasti))
        entry = entry.tb_next
    return entries


def stub_of(error):
    """Returns the stub that raised `error`, if a stub did.

    A stub is a function that ends with its own `raise NotImplementedError`. The libraries also
    raise this exception, but from their own code.

    Returns:
        (code object, True if the stub has code above the `raise`), or None.
    """
    frames = frames_of(error)
    if not isinstance(error, NotImplementedError) or not frames:
        return None
    code, line, offset = frames[-1]
    if (
        instruction_at(code, offset).opname != "RAISE_VARARGS"
        or "NotImplementedError" not in code.co_names
    ):
        return None
    first = min(
        (instruction.offset for instruction, its_line in instructions_of(code) if its_line == line),
        default=0,
    )
    above = [instruction for instruction, _ in instructions_of(code) if instruction.offset < first]
    finished = any(instruction.opname not in STARTING for instruction in above)
    return code, finished


def keeps_stub(answer):
    """True if the source of the function still has a `raise NotImplementedError`.

    In a right answer, execution never reaches this line.
    """
    return any(map(_is_stub_line, nodes_of(code_of(answer))))


def has_code_below_stub(code):
    """True if the source of a stub has statements below its `raise NotImplementedError`."""
    bodies = [node.body for node in nodes_of(code) if isinstance(node, ast.FunctionDef)]
    return any(map(_is_stub_line, bodies[0][:-1])) if bodies else False


def nodes_of(code):
    """Returns the nodes of a code object's syntax tree, outermost first; [] without a source."""
    try:
        return list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(code)))))
    except (OSError, TypeError, SyntaxError):  # no source, or a lambda inside an expression
        return []


def method_given_self(answer):
    """Returns the name of a method that the code calls as `self.name(self, ...)`, or None."""
    for node in nodes_of(code_of(answer)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = [getattr(each, "id", "") for each in (node.func.value, *node.args[:1])]
            if names == ["self", "self"]:
                return node.func.attr
    return None


def unused_clip(answer):
    """True if the code has a line such as `ops.clip(x, 0, 1)`, which does not use the result."""
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "attr", "").startswith("clip")
        and "out" not in [keyword.arg for keyword in node.value.keywords]
        for node in nodes_of(code_of(answer))
    )


def _is_stub_line(node):
    raised = getattr(node.exc, "func", node.exc) if isinstance(node, ast.Raise) else None
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def line_of(error, answer):
    """Returns the last line of the student's file in the traceback, or ""."""
    code = code_of(answer)
    lines = [
        frame.line
        for frame in traceback.extract_tb(error.__traceback__)
        if code and frame.filename == code.co_filename
    ]
    return (lines[-1] or "").strip() if lines else ""


def names_on_the_line(error, answer):
    """Returns the set of names that the student's function uses in the failing line."""
    return {
        name
        for instruction in instructions_on_the_line(error, answer)
        for name in _names_in(instruction)
    }


def entry_of_answer(error, answer):
    """Returns the traceback's innermost entry that belongs to the student's function, or None."""
    entry, ours = origin(error).__traceback__, None
    while entry is not None:
        ours = entry if entry.tb_frame.f_code in codes_of(answer) else ours
        entry = entry.tb_next
    return ours


def values_on_the_line(error, answer):
    """Returns {name: value} of the local variables in the failing line."""
    ours, names = entry_of_answer(error, answer), names_on_the_line(error, answer)
    variables = ours.tb_frame.f_locals if ours else {}
    return {name: value for name, value in variables.items() if name in names}


def slices_on_the_line(error, answer):
    """True if the failing line has a slice, such as `x[:3]`."""
    return any("SLICE" in one.opname for one in instructions_on_the_line(error, answer))


def instructions_on_the_line(error, answer):
    """Returns the instructions of the failing line of the student's function."""
    ours = [(code, line) for code, line, _ in frames_of(error) if code in codes_of(answer)]
    if not ours:
        return []
    code, line = ours[-1]
    return [instruction for instruction, its_line in instructions_of(code) if its_line == line]


def _names_in(instruction):
    """Returns the names in an instruction; from Python 3.13 on, one may load two."""
    values = instruction.argval if isinstance(instruction.argval, tuple) else [instruction.argval]
    return [
        value for value in values if isinstance(value, str) and "COMPARE" not in instruction.opname
    ]


def names_in(answer):
    """Returns the set of global names and attributes that a function uses."""
    return {name for code in codes_of(answer) for name in code.co_names}


def codes_of(answer):
    """Returns the code objects of a function and of the functions defined in it."""
    code = code_of(answer)
    found, waiting = [], [code] if code else []
    while waiting:
        code = waiting.pop()
        found.append(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return found


def calls_itself_forever(answer):
    """Returns the name of a function inside the answer that calls itself in any case, or None.

    That happens when a new function takes the name of the one that it should call. It is better
    not to run it: TensorFlow may end the process when Python's stack is full.
    """
    for code in codes_of(answer):
        inner = None
        for instruction, _ in instructions_of(code):
            if isinstance(instruction.argval, types.CodeType):
                inner = instruction.argval
            elif "CALL" in instruction.opname:
                inner = None  # it was an argument
            elif instruction.opname.startswith("STORE") and inner:
                if instruction.argval in inner.co_freevars and _calls_in_any_case(inner):
                    return instruction.argval
                inner = None
    return None


def _calls_in_any_case(code):
    names = " ".join(instruction.opname for instruction, _ in instructions_of(code))
    return "CALL" in names and "JUMP" not in names


def instructions_of(code):
    """Returns [(instruction, line number)] of a code object."""
    found, line = [], code.co_firstlineno
    for instruction in dis.get_instructions(code):
        start = instruction.starts_line
        if start is True:  # from Python 3.13 on, the number is in another attribute
            start = instruction.line_number
        line = start or line
        found.append((instruction, line))
    return found


def instruction_at(code, offset):
    """Returns the instruction of a code object at an offset, or the last one before it."""
    return [
        instruction
        for instruction in dis.get_instructions(code)
        if instruction.offset <= max(offset, 0)
    ][-1]


def is_xor(instruction):
    """True if the instruction computes `x ^ y`."""
    return (
        instruction.opname == "BINARY_XOR"
        or instruction.opname == "BINARY_OP"
        and instruction.argrepr.startswith("^")
    )
