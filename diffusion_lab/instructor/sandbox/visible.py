"""What a box sees: the system, Python's environment, and no copy of the package."""

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
LIBRARY_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
)


def variables(box: str, home: str, boxed: bool = True) -> dict[str, str]:
    """Returns a kernel's environment variables.

    Args:
        box: holds its package, inputs and results.
        home: where it may write.
        boxed: False if there is no sandbox around it.
    """
    return {
        "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{box}/package",
        "DIFFUSION_LAB_BOX": box,
        "PYTHONDONTWRITEBYTECODE": "1",
        "IPYTHONDIR": f"{home}/ipython",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        # without it, ipykernel looks for its parent process, finds none in the box, and exits
        "JPY_PARENT_PID": "0",
        **({"DIFFUSION_LAB_BOXED": "yes", "TMPDIR": home} if boxed else {}),
    }


def bind_arguments() -> list[str]:
    """Returns bubblewrap's arguments for `layout`."""
    arguments: list[str] = []
    for path, shown in layout().items():
        if os.path.islink(path) and path in SYSTEM:
            arguments += ["--symlink", os.readlink(path), path]
        elif shown:
            arguments += ["--ro-bind", path, path]
        elif os.path.isdir(path):
            arguments += ["--size", "4096", "--tmpfs", path]
        else:
            arguments += ["--ro-bind", "/dev/null", path]
    return arguments


@lru_cache
def layout() -> dict[str, bool]:
    """Returns {path: True if the box sees it, False if something empty takes its place}.

    A folder comes before the folders in it.
    """
    wanted = {
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sysconfig.get_paths().values(),
        *site.getsitepackages(),
    }
    wanted |= {os.path.realpath(path) for path in wanted}
    shown = {path for path in (*SYSTEM, *wanted) if os.path.isdir(path)}
    return dict(sorted((dict.fromkeys(shown, True) | dict.fromkeys(_copies(shown), False)).items()))


def hidden() -> list[str]:
    """Returns the copies of the package in folders that the box sees.

    The box itself does not see them, since they hold the answers.
    """
    return [path for path, shown in layout().items() if not shown]


def _copies(shown: set[str]) -> Iterator[str]:
    """Yields each place in the visible folders `shown` that holds the package or its repository.

    An archive of the package is also such a place.
    """
    seen = set()
    for root in sorted(map(os.path.realpath, shown)):
        for place, folders, files in os.walk(root):
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            if {"diffusion_lab", "solutions"} <= set(folders) and place not in shown:
                yield place
                folders.clear()
                continue
            found = {
                name
                for name in (*folders, *files)
                if name.replace("-", "_").startswith("diffusion_lab")
            }
            yield from {os.path.join(place, name) for name in found} - shown
            folders[:] = [name for name in folders if name not in found]
