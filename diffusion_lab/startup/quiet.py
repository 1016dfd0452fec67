"""Imports TensorFlow and Keras without their log, and with the settings of the course."""

import contextlib
import importlib.abc
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

from diffusion_lab.errors import UserError

SETTINGS = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


class QuietImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A finder that silences standard error during the first import of one package.

    If the import fails, nothing is hidden. `before()` is called before that import, and
    `after(module)` when it is complete.
    """

    def __init__(self, package, before=lambda: None, after=lambda module: None):
        self.package, self.before, self.after = package, before, after

    def find_spec(self, name, path=None, target=None):
        if name != self.package:
            return None
        self.before()
        sys.meta_path.remove(self)  # so that the ordinary finders find the package below
        spec = importlib.util.find_spec(name)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        with quiet_stderr():
            self.loader.exec_module(module)
        self.after(module)


@contextlib.contextmanager
def quiet_stderr():
    """Hides what is written to file descriptor 2, also by compiled code.

    If an exception is raised, the text is shown after all.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error, for example under pythonw
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(kept, captured.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def keras_file():
    """Returns the path of Keras's settings file."""
    # `os.path.expanduser` also works without a home folder
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")), "keras.json")


def keras_settings():
    """Returns the settings in that file, or {} if there is none.

    Raises:
        UserError: if Keras cannot start with this file.
    """
    path = keras_file()
    try:
        settings = json.loads(path.read_bytes()) if path.exists() else {}
    except OSError as error:
        raise UserError(
            f"Keras cannot read its settings in {path} ({error.strerror}): delete this file, or"
            " make it readable."
        ) from None
    except ValueError:  # Keras ignores a damaged file
        return {}
    wrong = [] if isinstance(settings, dict) else [repr(settings)[:40]]
    wrong = wrong or [
        f"{name} is {settings[name]!r}"
        for name in SETTINGS
        if settings.get(name, SETTINGS[name][0]) not in SETTINGS[name]
    ]
    if not wrong and not isinstance(settings.get("epsilon", 1e-7), float):
        wrong = [f"epsilon is {settings['epsilon']!r}"]
    if wrong:
        raise UserError(
            f"Keras cannot start with its settings in {path} ({', '.join(wrong)}): delete this"
            " file, and Keras will write it again."
        )
    return settings


def use_course_settings(keras):
    """Sets Keras to float32 and channels-last, which the networks need, despite any keras.json."""
    if keras.config.floatx() != "float32":
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
