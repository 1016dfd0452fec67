"""Right numbers earn nothing if the answer could have forged them. Mathematics never could."""

import ast
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from diffusion_lab.instructor import running
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master, Task
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.submission.tampering import find_tampering

ROOT = Path(__file__).parents[1]
RECORDED, TAKEN = {"flags", "times"}, {"network", "fit"}
FORGERIES = {
    "replaces the measurement": (
        "import diffusion_lab.labs.exercise as module\nmodule.Exercise.run = lambda *all: 1"
    ),
    "by another way of importing": (
        "from diffusion_lab.labs.lab07 import checks\nchecks.Denoise.measure = None"
    ),
    "by an attribute": "import diffusion_lab\ndiffusion_lab.labs.exercise.Exercise.run = None",
    "by the table of modules": (
        "import sys\nsys.modules['diffusion_lab.labs.exercise'].Exercise = None"
    ),
    "by names from a module": "from sys import modules as all_of_them",
    "by importlib": "from importlib import import_module",
    "by code in a string": "exec('x = 1')",
    "by __import__": "__import__('gc')",
    "by __builtins__": "__builtins__['getattr'](1, 'real')",
    "edits the list of calls": "def f(self):\n    self.flags.clear()",
    "edits it through another name": "def f(self):\n    calls = self.times\n    del calls[1:]",
    "by getattr": "def f(self):\n    getattr(self, 'flags').clear()",
    "by a computed name": "def f(self):\n    getattr(self, 'fl' + 'ags').clear()",
    "by setattr": "def f(self):\n    setattr(self, 'flags', [])",
    "by vars": "def f(self):\n    vars(self).update(flags=[])",
    "by __dict__": "def f(self):\n    self.__dict__['flags'] = []",
    "calls a copy": "import copy\ndef f(self):\n    copy.deepcopy(self)",
    "calls another object": "def f(self):\n    type(self)(1, 2).denoise()",
    "calls its class": "def f(self):\n    self.__class__(1, 2)",
    "patches TensorFlow": "import tensorflow as tf\ntf.function = lambda f, **more: f",
    "patches it through another name": "def f(module):\n    module.function = None\nf(tf)",
    "in a loop": "for module in (np, ops):\n    module.array = None",
    "makes graphs eager": "tf.config.run_functions_eagerly(True)",
    "hides NumPy in a graph": "def f(x):\n    return tf.numpy_function(np.sin, [x], 'float32')",
    "behaves differently in a graph": (
        "def f(x):\n    return np.sin(x) if tf.executing_eagerly() else x"
    ),
    "walks the stack": (
        "def f(self):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n       "
        " error.__traceback__.tb_frame"
    ),
    "searches the memory": "import gc",
    "mocks": "from unittest.mock import patch",
    "uses IPython": "get_ipython().user_ns",
    "uses a magic": "%run forge.py",
    "writes its result": "open('/box/results/denoise.json', 'w').write('{}')",
    "with NumPy": "np.save('/box/results/x', x)",
    "with pathlib": "from pathlib import Path\nPath('/box').touch()",
    "with os": "import os\nos.write(3, b'{}')",
    "with a function of os": "from os import write",
    "with TensorFlow": "tf.io.write_file('x', 'y')",
    "by a class in the answer": "class A:\n    def f(m):\n        m.function = None\nA.f(tf)",
    "by another name of it": "class A:\n    def f(m):\n        m.flags.clear()\nB = A",
    "by a static method": (
        "class A:\n    @staticmethod\n    def f(m):\n        m.function = None\nA().f(tf)"
    ),
    "by a function named like a method": (
        "class A:\n    def f(self):\n        self.flags = 1\ndef f(self):\n    self.flags.clear()"
    ),
    "by a function in a method": (
        "class A:\n    def f(self):\n        def g(self):\n            self.function = 1\n       "
        " g(tf)"
    ),
    "by another self": "class A:\n    def f(self, m):\n        self = m\n        self.flags = 1",
    "by a self in a loop": "def f(self):\n    for self in [tf]:\n        self.start = None",
    "by an imported self": "def f(self):\n    import keras as self\n    self.start = None",
    "by a self that matches": (
        "class A:\n    def f(self, m):\n        match m:\n            case self:\n             "
        "   self.flags.clear()"
    ),
    "by the self of another function": (
        "class A:\n    def f(self, m):\n        def g():\n            nonlocal self\n            "
        "self = m\n        g()\n        self.flags.clear()"
    ),
    "by an asynchronous function in a method": (
        "class A:\n    def f(self):\n        async def g(self):\n            self.function = 1\n"
        "        g(tf)"
    ),
    "by a match": "def f(self):\n    match self:\n        case object(flags=x): x.clear()",
    "by a match of __dict__": "def f(self):\n    match self:\n        case object(__dict__=x): 1",
    "by another name of getattr": "def f(self):\n    g = getattr\n    g(self, 'flags').clear()",
    "by getattr as an argument": "def f(self):\n    [*map(getattr, [self], ['flags'])]",
    "by another name of type": "def f(self):\n    kind = type(self)\n    kind(1, 2).denoise()",
    "by a subclass": "def f(self):\n    class A(type(self)): ...\n    A(1, 2).denoise()",
    "by beginning again": "def f(self):\n    self.__init__(1, 2)",
    "by what is private": "def f(self):\n    getattr(self, 'denoise')._wrapped(1)",
    "by a class method": (
        "class A:\n    def f(self):\n        self.flags.clear()\n    @classmethod\n"
        "    def g(cls):\n        return cls\ndef f(self):\n    A().g().f(self)"
    ),
    "by a hook of isinstance": (
        "import abc\nclass A(abc.ABC):\n    @classmethod\n    def __subclasshook__(cls, x):\n"
        "        return True"
    ),
    "by a function of the grader's": "def globals():\n    return {}",
    "by the module of a builtin's name": "import _io\n_io.FileIO('/box/results/x', 'w')",
    "by a private module of a package": "from numpy._core import multiarray",
    "by code for timeit": "import timeit\ntimeit.timeit('import sys; sys.modules')",
    "by code for a profiler": "import cProfile\ncProfile.run('import sys')",
    "by code for a tracer": "import trace\ntrace.Trace().run('import sys')",
    "by code for NumPy's tests": "np.testing.measure('import sys')",
    "by code for IPython": "import IPython\nIPython.InteractiveShell.instance().run_cell('1')",
    "by codecs": "import codecs\ncodecs.open('/box/results/x.json', 'w')",
    "by any function that opens files": "gz.open('/box/results/x.json', 'w')",
    "by TensorFlow's files": "tf.io.gfile.GFile('/box/results/x.json', 'w')",
    "by a log": "import logging\nlogging.basicConfig(filename='/box/results/x.json')",
    "by a format": "import string\nstring.Formatter().get_field('0.flags', (1,), {})",
    "by a module in another": "np.ctypeslib.ctypes.pythonapi",
    "by a long chain": "x" + ".save" * 800,
    "by another name of os": "import os as o\no.write(3, b'{}')",
    "by the os of another module": "np.os.write(3, b'{}')",
    "by the function that runs the answer": "_define('f', 'hidden', {})",
    "by importing that function": (
        "from diffusion_lab.submission.defining import define as run\nrun('f', 'hidden', {})"
    ),
    "replaces the network": "def f(self):\n    self.network = None",
    "replaces it in a static method": "@staticmethod\ndef f(self):\n    self.start = 1",
    "calls a function like a method": "def f(self):\n    self.function = None\nf(tf)",
    "by another name of the function": "def f(self):\n    self.function = None\ng = f",
    "is not Python": "def f(:",
}
HONEST = [
    "import math\nimport numpy as np\n\ndef f(self, x):\n    return ops.mean(x), np.sin(x)",
    "%%time\ndef f(x):\n    return x",
    "def f(x):\n    %time y = 2 * x\n    return y",
    "%matplotlib inline\nimport matplotlib.pyplot as plt",
    "@tf.function\ndef f(x):\n    return tf.math.sin(x)",
    (
        "class Block(keras.layers.Layer):\n    def __init__(self, width):\n        super(Block,"
        " self).__init__()\n        self.times = self.flags = width\n    def call(self, x):\n      "
        "  return x * self.times\ndef f(x):\n    return Block(3)(x)"
    ),
    "from functools import partial, reduce\nfrom typing import Any",
    "import os\nos.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'",
    "import sys\nprint(f.__name__, file=sys.stderr)",
    "def f(x):\n    print(getattr(x, 'shape', None))\n    return x",
    "def f(network, optimizer):\n    network.compile(optimizer)\n    optimizer.apply(1)",
    "checks.denoise(denoise)",
    "import threading\nimport time\nthreading.Thread(target=time.sleep).start()",
    "from keras import ops, layers\nfrom IPython.display import display",
    "def f(self, x):\n    self.start_angle = 1\n    self.steps_done += 1\n    return x",
    "from __future__ import annotations\nimport string, operator\nstring.ascii_letters",
    "import logging\nlogging.getLogger('tensorflow').setLevel('ERROR')",
    "def f(x):\n    return np.trace(x), ops.copy(x), tf.io.read_file, layers.Embedding(3, 2)",
    "def f(x):\n    match x:\n        case object(shape=shape), [first, *others]: return shape",
    "def f(x):\n    print(type(x), f'{type(x)}')\n    return type(x) is list or type(x).__name__",
    (
        "class Block(keras.layers.Layer):\n    @classmethod\n    def from_config(cls, config):\n"
        "        return cls(**config)\n    def call(self, x):\n        self._seen = x\n"
        "        return self._seen"
    ),
    "def f(x):\n    result = []\n    result.append(x)\n    return x.copy(), result",
]


@pytest.mark.parametrize("source", FORGERIES.values(), ids=FORGERIES)
def test_means_of_tampering_are_named(source):
    assert find_tampering(source, RECORDED, TAKEN)


@pytest.mark.parametrize("source", HONEST)
def test_mathematics_is_not_suspicious(source):
    assert find_tampering(source, RECORDED, TAKEN) == []


@pytest.mark.parametrize("path", sources(ROOT), ids=lambda path: path.stem)
def test_no_official_answer_is_suspicious(path):
    master = Master(path)
    assert {
        name: find_tampering(source, master.recorded, master.taken)
        for name, source in master.answers.items()
    } == dict.fromkeys(master.answers, [])


def test_each_node_is_looked_at_a_few_times(monkeypatch):
    """Otherwise a right answer could hold up the grading of a class."""
    looked = Counter()
    original = ast.iter_child_nodes
    monkeypatch.setattr(
        ast,
        "iter_child_nodes",
        lambda node: looked.update([id(node)] * bool(node._fields)) or original(node),
    )
    nested = "lambda: " * 80 + "[" + "1, " * 2_000 + "]"
    assert not find_tampering(
        f"class A:\n    def f(self):\n        {'self.a; ' * 900}\n        {nested}"
    )
    assert max(looked.values()) < 30


def test_the_recording_attributes_are_found_in_the_staged_files():
    assert {"flags", "times"} <= Master(sources(ROOT, ["07"])[0]).recorded


def test_forged_right_numbers_earn_nothing_and_the_sentence_says_why(monkeypatch):
    monkeypatch.setattr(
        running, "_run", lambda master, answers, *more: (dict.fromkeys(answers, b"{}"), {}, None)
    )
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("right", "As it should be."))
    master = SimpleNamespace(
        tasks=[Task("7.1", "one", 4), Task("7.2", "other", 6)], recorded=RECORDED, taken=TAKEN
    )
    one, other = running.grade_answers(
        master, {"one": FORGERIES["edits the list of calls"], "other": HONEST[0]}, 1, Limits()
    )
    assert (one.outcome, one.points, other.points) == ("stopped", 0, 6)
    assert one.sentence.startswith("The numbers are right, but the answer uses `self.flags`")
