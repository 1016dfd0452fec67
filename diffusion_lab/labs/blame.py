"""What went wrong in a student's function, in one sentence.

The evidence is the exception's frames and the function's code. Nothing here reads the words of a
message, except for two arrays whose shapes do not fit: each library has a different exception for
that, and only its message says so.
"""

import ast
import difflib
import dis
import inspect
import re
import textwrap
import traceback
import types

import numpy as np

NUMBERS = ("__float__", "__int__", "__index__")  # called on an array that should become one number
# called on a graph's symbol, which has no value
SYMBOLS = (*NUMBERS, "__array__", "__bool__", "__iter__", "_numpy", "numpy")
JOINING = ("concatenate", "concat", "Concatenate", "stack", "append")
UNFIT = re.compile(
    "broadcast|incompatible shapes|must be equal|matching shapes|must match", re.IGNORECASE
)
# instructions before a function's first line
STARTING = ("RESUME", "MAKE_CELL", "COPY_FREE_VARS", "NOP", "RETURN_GENERATOR")
TENSOR_METHODS = {
    "astype": 'ops.cast(x, "float32")',
    "reshape": "ops.reshape(x, ...)",
    "mean": "ops.mean(x)",
    "sum": "ops.sum(x)",
    "clip": "ops.clip(x, low, high)",
    "sqrt": "ops.sqrt(x)",
    "copy": "x itself",
}


def code_of(function):
    """Returns a function's code object, or None if it has none.

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
    """Returns the traceback's entries, outermost first, as tuples.

    Each is (code object, line number, index of the instruction).
    """
    entries, entry = [], origin(error).__traceback__
    while entry is not None:
        entries.append((entry.tb_frame.f_code, entry.tb_lineno, entry.tb_lasti))
        entry = entry.tb_next
    return entries


def stub_of(error):
    """Returns (code object, True if there is code above) of a stub that raised `error`, else None.

    A stub is a function that ends with its own `raise NotImplementedError`. The libraries raise
    that exception as well, but theirs comes from their own code.
    """
    frames = frames_of(error)
    if not isinstance(error, NotImplementedError) or not frames:
        return None
    code, line, index = frames[-1]
    if (
        _instruction(code, index).opname != "RAISE_VARARGS"
        or "NotImplementedError" not in code.co_names
    ):
        return None
    first = min((instruction.offset for instruction, at in _lines(code) if at == line), default=0)
    above = [instruction for instruction, _ in _lines(code) if instruction.offset < first]
    finished = any(instruction.opname not in STARTING for instruction in above)
    return code, finished


def keeps_stub(answer):
    """True if the function's source still has a `raise NotImplementedError`.

    In a right answer, nothing reaches that line.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code_of(answer))))
    except (OSError, TypeError, SyntaxError):  # no source, or a lambda inside an expression
        return False
    raised = [
        getattr(node.exc, "func", node.exc)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
    ]
    return any(isinstance(node, ast.Name) and node.id == "NotImplementedError" for node in raised)


def misfit(answer, takes, arguments, named):
    """Returns what is wrong with the function's first line, or None.

    It is wrong if the function cannot be called with these arguments.
    """
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # a library's function without a signature
        return None
    try:
        signature.bind(*arguments, **named)
        return None
    except TypeError:
        pass
    given, method = list(signature.parameters), takes.startswith("self")
    if method and given[:1] != ["self"] and len(given) < len(arguments) + len(named):
        return "`self` is missing: it is the first argument of every method."
    if not method and given[:1] == ["self"]:
        return "`self` is one argument too many: this function is not a method, so leave it out."
    strange = [name for name in named if name not in given]
    if strange:
        return (
            f"keep the argument's name `{strange[0]}`: the lab uses it when it calls your function."
        )
    return (
        f"it does not take the arguments that the lab gives it, which are ({takes}): keep its first"
        " line as it was."
    )


def what_went_wrong(error, answer, doing="your code stops"):
    """Returns one sentence without its full stop: the place, the exception, and some advice.

    The advice is there only if the evidence supports it.
    """
    error = origin(error)
    line = _line_of(error, answer)
    where = f" in the line `{shortened(line, 80)}`" if line else ""
    hints = [hint for hint in _advice(error, answer) if hint]
    return f"{doing}{where} with {first_line(error)}" + "".join(f" ({hint})" for hint in hints[:1])


def first_line(error):
    """Returns an exception in one line: its type, and the beginning of its message."""
    paragraphs = str(error).split("\n\n")
    # Keras adds its own words
    if hasattr(error, "_keras_call_info_injected") and len(paragraphs) > 1:
        reason = re.sub(r"\x1b\[\d*m", "", paragraphs[1])
    else:
        reason = str(error)
    # without internals of TensorFlow
    reason = re.sub(r"{{function_node .*?}} ?| \[Op:.*", "", reason).strip()
    # keeps only the last part of a function's name
    reason = re.sub(r"\b[\w.]+(?:<locals>)?\.(\w+\(\))", r"\1", reason)
    return (
        f"{type(error).__name__}:"
        f" {shortened((reason.splitlines() or ['no message'])[0].rstrip('. '), 130)}"
    )


def needs_values(error, answer):
    """True if a value in a graph had to become a number or a NumPy array, which it cannot."""
    error = origin(error)
    if isinstance(error, AttributeError):
        return getattr(error, "name", "") == "numpy" and not isinstance(
            getattr(error, "obj", None), np.ndarray
        )
    if isinstance(error, TypeError) and frames_of(error)[-1][0] in _codes(answer):
        return bool({"int", "float", "math"} & _names_on_the_line(error, answer))
    names = [code.co_name for code, _, _ in frames_of(error)]
    return (
        any(name in SYMBOLS or name == "_disallow_iteration" for name in names)
        or "Tracer" in type(error).__name__
    )


def remarks(answer):
    """Returns facts about the code of a function with wrong results, as sentences."""
    instructions = [instruction for code in _codes(answer) for instruction, _ in _lines(code)]
    names = [
        instruction.argval for instruction in instructions if instruction.opname == "LOAD_GLOBAL"
    ]
    scope = getattr(getattr(answer, "python_function", answer), "__globals__", {})
    data = [
        name
        for name in names
        if isinstance(scope.get(name), (int, float)) or hasattr(scope.get(name), "__array__")
    ]
    said = [
        f"It reads `{name}`, a variable of the notebook: use only the arguments."
        for name in data[:1]
    ]
    if any(map(_is_xor, instructions)):
        said.append("In Python a power is `**`; `^` is another operation.")
    return said


def unfit(error, answer):
    """True if two arrays did not fit together."""
    error = origin(error)
    joins = not isinstance(error, (NameError, AttributeError)) and set(
        JOINING
    ) & _names_on_the_line(error, answer)
    return bool(joins or UNFIT.search(str(error)))


def _advice(error, answer):
    """Yields advice, the most certain first."""
    frames, names = frames_of(error), _names_on_the_line(error, answer)
    if isinstance(error, UnboundLocalError):
        yield (
            "it gets its value only in a loop that did not run even once, or in a branch that was"
            " not taken"
        )
    elif isinstance(error, NameError) and not _called_without_self(error, answer):
        yield "only the arguments and what the lab's first cells import are certain to exist"
    if isinstance(error, AttributeError):
        yield _about_attribute(error)
    if isinstance(error, (TypeError, NameError)) and (
        method := _called_without_self(error, answer)
    ):
        yield f"attributes of the model need `self.`: write `self.{method}`"
    ours = [(code, index) for code, _, index in frames if code in _codes(answer)]
    if ours and _is_xor(_instruction(*ours[-1])):
        yield "in Python a power is `**`; `^` is another operation"
    inner = frames[-1][0].co_name if frames else ""
    if isinstance(error, (TypeError, ValueError)) and (
        inner in NUMBERS or frames and frames[-1][0] in _codes(answer)
    ):
        if names & {"int", "float", "math"}:
            yield (
                "the functions of `math`, and `int` and `float`, take one number; to take a whole"
                " array, write `np.` for NumPy arrays and `ops.` for tensors, as in `ops.sin`"
            )
    if (
        inner == "__bool__"
        or isinstance(error, ValueError)
        and ours
        and "JUMP" in _instruction(*ours[-1]).opname
    ):
        yield (
            "`if`, `and`, `min` and `max` take one number; for a whole array write `where`,"
            " `minimum` or `maximum`"
        )


def _called_without_self(error, answer):
    """Returns the notebook's name in the failing line that `self.` should precede, else None."""
    entry, ours = error.__traceback__, None
    while entry is not None:
        ours = entry if entry.tb_frame.f_code in _codes(answer) else ours
        entry = entry.tb_next
    model = ours.tb_frame.f_locals.get("self") if ours else None
    names = [
        instruction.argval
        for instruction, line in (_lines(ours.tb_frame.f_code) if ours else [])
        if line == ours.tb_lineno and instruction.opname == "LOAD_GLOBAL"
    ]
    return next((name for name in names if model is not None and hasattr(model, name)), None)


def _about_attribute(error):
    owner, name = getattr(error, "obj", None), getattr(error, "name", None) or ""
    if isinstance(owner, types.ModuleType):
        there = [one for one in dir(owner) if not one.startswith("_")]
        other = {
            "a" + name.removeprefix("arc"),
            "arc" + name.removeprefix("a"),
            "reduce_" + name,
            name.removeprefix("reduce_"),
            name + "enate",
            name.removesuffix("enate"),
        } - {name}
        near = [one for one in there if one in other] or difflib.get_close_matches(name, there, 1)
        return (
            f"in {owner.__name__} it is called `{near[0]}`"
            if near
            else f"{owner.__name__} has no such function"
        )
    if name in TENSOR_METHODS and hasattr(owner, "shape"):
        return f"a tensor has no such method: write {TENSOR_METHODS[name]}"
    known = getattr(type(owner), "has", None)
    return f"{known[0]} has {known[1]}" if known else None


def _line_of(error, answer):
    code = code_of(answer)
    lines = [
        frame.line
        for frame in traceback.extract_tb(error.__traceback__)
        if code and frame.filename == code.co_filename
    ]
    return (lines[-1] or "").strip() if lines else ""


def _names_on_the_line(error, answer):
    """Returns the names that the student's function uses in the failing line."""
    ours = [(code, line) for code, line, _ in frames_of(error) if code in _codes(answer)]
    if not ours:
        return set()
    code, line = ours[-1]
    return {
        name for instruction, at in _lines(code) if at == line for name in _names_in(instruction)
    }


def _names_in(instruction):
    return (
        [instruction.argval]
        if isinstance(instruction.argval, str) and "COMPARE" not in instruction.opname
        else []
    )


def _codes(answer):
    """Returns the code objects of a function and of those defined in it."""
    code = code_of(answer)
    found, waiting = [], [code] if code else []
    while waiting:
        code = waiting.pop()
        found.append(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return found


def _lines(code):
    """Returns [(instruction, its line number)] of a code object."""
    found, line = [], code.co_firstlineno
    for instruction in dis.get_instructions(code):
        start = instruction.starts_line
        if start is True:  # Python 3.13 has the number elsewhere
            start = instruction.line_number
        line = start or line
        found.append((instruction, line))
    return found


def _instruction(code, index):
    return [
        instruction
        for instruction in dis.get_instructions(code)
        if instruction.offset <= max(index, 0)
    ][-1]


def _is_xor(instruction):
    return (
        instruction.opname == "BINARY_XOR"
        or instruction.opname == "BINARY_OP"
        and instruction.argrepr.startswith("^")
    )


def shortened(text, length):
    """Returns the text, cut off where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 3] + "..."
