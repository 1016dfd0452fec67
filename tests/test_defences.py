"""Each attack of tests/hostile succeeds without the defence that stops it: see tests/defences.py.

This shows that the attack is real.
"""

import os
import shutil

import pytest

from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL
from tests import defences

BOXED = shutil.which("bwrap") or os.environ.get("DIFFUSION_LAB_SANDBOX") == "required"
pytestmark = pytest.mark.skipif(not BOXED, reason=INSTALL)


@pytest.mark.slow
@pytest.mark.parametrize("attack", defences.SUCCEEDS)
def test_an_attack_succeeds_without_its_defence(attack, tmp_path):
    assert defences.SUCCEEDS[attack](attack, tmp_path)
