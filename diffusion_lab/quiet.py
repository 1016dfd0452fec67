"""Imports a package whose compiled part writes to standard error, without what it writes."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import tempfile


class QuietImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A finder that silences standard error while one package is first imported; if that fails, nothing is hidden."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name != self.package:
            return None
        sys.meta_path.remove(self)  # the import below is for the ordinary finders
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


@contextlib.contextmanager
def quiet_stderr():
    """Diverts file descriptor 2, which compiled code writes to, and shows what it wrote if an exception passes."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error at all, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
        except BaseException:
            heard.seek(0)
            os.write(kept, heard.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
