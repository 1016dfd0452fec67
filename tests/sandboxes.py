"""The two sandboxes, for tests that try both."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import boxes, guests, user_box
from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL, Launch, box_command
from diffusion_lab.instructor.sandbox.folders import box_folder
from diffusion_lab.instructor.sandbox.guests import guest
from diffusion_lab.instructor.sandbox.processes import belonging_to

BOXES = ("bubblewrap", "user")
REQUIRED = os.environ.get("DIFFUSION_LAB_SANDBOX") == "required"


@lru_cache
def missing(box):
    """Returns why this machine has no such sandbox, or "" if it has, or must have."""
    if REQUIRED and (box == "bubblewrap" or _open_to_others(sys.prefix, sys.executable)):
        return ""
    if box == "bubblewrap":
        return "" if shutil.which("bwrap") else INSTALL
    try:
        user_box.require_user_box()
    except UserError as error:
        return str(error)
    return ""


def _open_to_others(*paths):
    """True if we are root and another user can come to these places, as the second box needs."""
    places = {place for path in paths for place in Path(path).resolve().parents}
    return os.geteuid() == 0 and all(place.stat().st_mode & 0o001 for place in places)


def skipped_without(box):
    """Returns the mark that skips a test on a machine without this sandbox."""
    return pytest.mark.skipif(bool(missing(box)), reason=missing(box) or "there is one")


def each_box(*boxes):
    """Returns the sandboxes as parameters of tests."""
    return [pytest.param(box, marks=skipped_without(box)) for box in boxes or BOXES]


def output_in(box, command, environment=None):
    """Returns what a command prints in a sandbox that holds nothing else."""
    if box == "bubblewrap":
        with Launch(box_command()) as launch:
            return _output([*launch.command, *command], launch.descriptors, environment or {})
    with box_folder() as folder, guest() as user:
        user_box.prepare(folder, [], user)
        path = folder / "box.json"
        path.write_text(json.dumps(user_box.describe(folder, [], user)))
        return _output(
            [*user_box.command(path, []), *command],
            [user.lock],
            user_box.environment() | (environment or {}),
        )


def _output(command, descriptors, environment):
    command = [shutil.which(command[0]) or command[0], *command[1:]]
    return subprocess.run(
        command, pass_fds=descriptors, env=environment, cwd="/", capture_output=True, text=True
    ).stdout


def record_guests(patch):
    """Returns a list that will hold the user id of each box."""
    used, guest = [], boxes.guest

    @contextmanager
    def recorded():
        with guest() as user:
            used.append(user)
            yield user

    patch.setattr(boxes, "guest", recorded)
    return used


def left_by(user):
    """True if a guest has left a process or a file."""
    with open(guests.LOCKS / str(user.number)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another grader has taken this user id since then
            return False
        return bool(belonging_to(user.number) or user.stored(list(guests.SHARED))[0])
