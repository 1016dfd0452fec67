"""Each attack of tests/hostile succeeds where the defence that it meets is taken away (tests/defences.py): so it is one."""

import pytest

from tests import defences


@pytest.mark.slow
@pytest.mark.parametrize("attack", defences.SUCCEEDS)
def test_it_succeeds_where_its_defence_is_removed(attack, tmp_path):
    assert defences.SUCCEEDS[attack](attack, tmp_path)
