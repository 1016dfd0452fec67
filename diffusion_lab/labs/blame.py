"""What went wrong in a student's function, in one sentence.

The evidence is the exception's frames and the function's code. The words of a message are read in
one case only, when the shapes of two arrays do not fit: each library has a different exception for
that, and only its message says so.
"""

import difflib
import inspect
import re
import types

import keras
import numpy as np

from diffusion_lab.labs.evidence import (
    codes_of,
    entry_of_answer,
    frames_of,
    instruction_at,
    instructions_of,
    instructions_on_the_line,
    is_xor,
    line_of,
    method_given_self,
    names_on_the_line,
    origin,
    unused_clip,
    values_on_the_line,
)
from diffusion_lab.labs.language import say

# Python calls these to turn an array into one number.
NUMBERS = ("__float__", "__int__", "__index__")
# These need a value, and a symbol in a graph has none.
SYMBOLS = (*NUMBERS, "__array__", "__bool__", "__iter__", "_numpy", "numpy")
JOINING = ("concatenate", "concat", "Concatenate", "stack", "append")
MISMATCH = re.compile(
    "broadcast|incompatible shapes|must be equal|matching shapes|must match", re.IGNORECASE
)
TENSOR_METHODS = {
    "astype": 'ops.cast(x, "float32")',
    "reshape": "ops.reshape(x, ...)",
    "mean": "ops.mean(x)",
    "sum": "ops.sum(x)",
    "clip": "ops.clip(x, low, high)",
    "sqrt": "ops.sqrt(x)",
    "copy": "x itself",
}


def signature_mistake(answer, takes, arguments, named):
    """Returns what is wrong with the first line of a function, as a sentence, or None.

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
        return say("`self` is missing: it is the first argument of every method.")
    if not method and given[:1] == ["self"]:
        return say(
            "`self` is one argument too many: this function is not a method, so leave it out."
        )
    strange = [name for name in named if name not in given]
    if strange:
        return say(
            "it has no argument named `{name}`: keep this name, because the lab uses it in its"
            " calls.",
            name=strange[0],
        )
    return say(
        "it does not take the arguments that the lab gives it, which are ({takes}): keep its first"
        " line as it was.",
        takes=takes,
    )


def what_went_wrong(error, answer, doing=None):
    """Returns one sentence without its full stop: the failing line, the exception, and advice.

    It begins with `doing`, by default "your code stops", and gives advice only if the evidence
    supports it.
    """
    error = origin(error)
    line = line_of(error, answer)
    where = say(" in the line `{line}`", line=shortened(line, 80)) if line else ""
    hints = [hint for hint in _advice(error, answer) if hint]
    return say(
        "{doing}{where} with {error}",
        doing=doing or say("your code stops"),
        where=where,
        error=first_line(error),
    ) + "".join(f" ({hint})" for hint in hints[:1])


def first_line(error):
    """Returns one line about an exception: its type and the beginning of its message."""
    paragraphs = str(error).split("\n\n")
    # Keras surrounds the message with its own text
    if hasattr(error, "_keras_call_info_injected") and len(paragraphs) > 1:
        reason = re.sub(r"\x1b\[\d*m", "", paragraphs[1])
    else:
        reason = str(error)
    # removes internals of TensorFlow
    reason = re.sub(r"{{function_node .*?}} ?| \[Op:.*", "", reason).strip()
    # shortens the qualified name of a function to its last part
    reason = re.sub(r"\b[\w.]+(?:<locals>)?\.(\w+\(\))", r"\1", reason)
    return (
        f"{type(error).__name__}:"
        f" {shortened((reason.splitlines() or ['no message'])[0].rstrip('. '), 130)}"
    )


def needs_values(error, answer):
    """True if the code needed the value of a symbol in a graph, which has none."""
    error = origin(error)
    if isinstance(error, AttributeError):
        return getattr(error, "name", "") == "numpy" and not isinstance(
            getattr(error, "obj", None), np.ndarray
        )
    if isinstance(error, TypeError) and frames_of(error)[-1][0] in codes_of(answer):
        return bool({"int", "float", "math"} & names_on_the_line(error, answer))
    names = [code.co_name for code, _, _ in frames_of(error)]
    return (
        any(name in SYMBOLS or name == "_disallow_iteration" for name in names)
        or "Tracer" in type(error).__name__
    )


def remarks(answer):
    """Returns sentences about suspicious code in a function with wrong results."""
    instructions = [
        instruction for code in codes_of(answer) for instruction, _ in instructions_of(code)
    ]
    names = [
        instruction.argval for instruction in instructions if instruction.opname == "LOAD_GLOBAL"
    ]
    scope = getattr(getattr(answer, "python_function", answer), "__globals__", {})
    data = [name for name in names if name in scope and _is_data(scope[name])]
    methods = [
        name
        for name in names
        if inspect.isfunction(scope.get(name))
        and "self" in inspect.signature(scope[name]).parameters
    ]
    sentences = [
        say("It reads `{name}`, a variable of the notebook: use only the arguments.", name=name)
        for name in data[:1]
    ]
    sentences += [
        say(
            "It calls the notebook's function `{name}`, not the model's method: write"
            " `self.{name}(...)`.",
            name=name,
        )
        for name in methods[:1]
    ]
    if unused_clip(answer):
        sentences.append(
            say(
                "`clip` returns a new array, and you do not use it: give its result a name, as in"
                " `x = ops.clip(x, low, high)`."
            )
        )
    if any(map(is_xor, instructions)):
        sentences.append(
            say("In Python, powers are written with `**`; `^` is a different operation.")
        )
    return sentences


def _is_data(value):
    """True for numbers, arrays, models and other data, but not for functions, modules and texts."""
    return isinstance(value, keras.Layer) or not (
        callable(value) or inspect.ismodule(value) or isinstance(value, str) or value is None
    )


def shapes_do_not_fit(error, answer):
    """True if the exception is about two arrays whose shapes do not fit together."""
    error = origin(error)
    joins = not isinstance(error, (NameError, AttributeError)) and set(JOINING) & names_on_the_line(
        error, answer
    )
    return bool(joins or MISMATCH.search(str(error)))


def _advice(error, answer):
    """Yields pieces of advice, the most certain first; some may be None."""
    frames, names = frames_of(error), names_on_the_line(error, answer)
    if isinstance(error, UnboundLocalError):
        yield say(
            "it gets its value only in a loop that did not run even once, or in a branch that was"
            " not taken"
        )
    elif isinstance(error, NameError) and not _called_without_self(error, answer):
        yield say("only the arguments and what the lab's first cells import are certain to exist")
    if isinstance(error, AttributeError):
        yield _about_attribute(error)
    if isinstance(error, (TypeError, NameError)) and (
        method := _called_without_self(error, answer)
    ):
        yield say("attributes of the model need `self.`: write `self.{name}`", name=method)
    if isinstance(error, TypeError) and (method := method_given_self(answer)):
        yield say(
            "Python passes `self` automatically: leave it out of the parentheses in"
            " `self.{name}(self, ...)`",
            name=method,
        )
    ours = [(code, index) for code, _, index in frames if code in codes_of(answer)]
    if ours and is_xor(instruction_at(*ours[-1])):
        yield say("in Python, powers are written with `**`; `^` is a different operation")
    inner = frames[-1][0].co_name if frames else ""
    one_number = isinstance(error, (TypeError, ValueError)) and (
        inner in NUMBERS or frames and frames[-1][0] in codes_of(answer)
    )
    if one_number and (converting := sorted(names & {"int", "float"})):
        yield say(
            "`{name}` takes one number; for a whole array write `x.astype({name})` (a NumPy array)"
            ' or `ops.cast(x, "{name}32")` (a tensor)',
            name=converting[-1],
        )
    # a wrong index has nothing to do with the types of numbers
    if not isinstance(error, IndexError) and (name := _float64_next_to_float32(error, answer)):
        yield say(
            "`{name}` is float64, like most NumPy arrays: write `ops.` instead of `np.`", name=name
        )
    if _assigns_to_a_tensor(error, answer):
        yield say(
            "you cannot assign to the elements of a tensor: make a new tensor with `ops.where` or"
            " a mask"
        )
    if one_number and "math" in names:
        yield say(
            "the functions of `math` take one number; for a whole array use `np.` (NumPy arrays)"
            " or `ops.` (tensors), as in `ops.sin`"
        )
    if (
        inner == "__bool__"
        or isinstance(error, ValueError)
        and ours
        and "JUMP" in instruction_at(*ours[-1]).opname
    ):
        yield say(
            "`if`, `and`, `min` and `max` take one number; for a whole array write `where`,"
            " `minimum` or `maximum`"
        )


def _called_without_self(error, answer):
    """Returns a name in the failing line that lacks its `self.`, or None."""
    ours = entry_of_answer(error, answer)
    model = ours.tb_frame.f_locals.get("self") if ours else None
    names = [
        instruction.argval
        for instruction in instructions_on_the_line(error, answer)
        if instruction.opname == "LOAD_GLOBAL"
    ]
    return next((name for name in names if model is not None and hasattr(model, name)), None)


def _arrays_on_the_line(error, answer):
    """Returns {name: value} of the local variables with a dtype in the failing line."""
    values = values_on_the_line(error, answer)
    return {name: value for name, value in values.items() if _dtype(value)}


def _dtype(value):
    return str(getattr(value, "dtype", ""))


def _float64_next_to_float32(error, answer):
    """Returns the name of a float64 array if the failing line also has a float32 array, or None."""
    if shapes_do_not_fit(error, answer):
        return None
    arrays = _arrays_on_the_line(error, answer)
    single = any("float32" in _dtype(value) for value in arrays.values())
    return next((name for name in arrays if single and "float64" in _dtype(arrays[name])), None)


def _assigns_to_a_tensor(error, answer):
    """True if the failing line is an assignment such as `x[0] = 1`, and has a tensor."""
    if not any(map(keras.ops.is_tensor, _arrays_on_the_line(error, answer).values())):
        return False
    return any(
        instruction.opname == "STORE_SUBSCR"
        for instruction in instructions_on_the_line(error, answer)
    )


def _about_attribute(error):
    """Returns advice on an attribute that does not exist, or None."""
    owner, name = getattr(error, "obj", None), getattr(error, "name", None) or ""
    if isinstance(owner, types.ModuleType):
        existing = [one for one in dir(owner) if not one.startswith("_")]
        variants = {
            "a" + name.removeprefix("arc"),
            "arc" + name.removeprefix("a"),
            "reduce_" + name,
            name.removeprefix("reduce_"),
            name + "enate",
            name.removesuffix("enate"),
        } - {name}
        near = [one for one in existing if one in variants] or difflib.get_close_matches(
            name, existing, 1
        )
        return (
            say("in {module} it is called `{name}`", module=owner.__name__, name=near[0])
            if near
            else say("{module} has no such function", module=owner.__name__)
        )
    if name in TENSOR_METHODS and hasattr(owner, "shape"):
        return say("a tensor has no such method: write {code}", code=TENSOR_METHODS[name])
    known = getattr(type(owner), "has", None)
    return say("{owner} has {attributes}", owner=known[0], attributes=known[1]) if known else None


def shortened(text, length):
    """Returns the text, cut off if it is longer than `length`."""
    return text if len(text) <= length else text[: length - 3] + "..."
