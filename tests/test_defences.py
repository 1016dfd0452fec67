"""Each attack of tests/hostile succeeds without the defence that stops it.

See tests/defences.py. This shows that it really is an attack.
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
def test_it_succeeds_where_its_defence_is_removed(attack, tmp_path):
    assert defences.SUCCEEDS[attack](attack, tmp_path)
