"""A loop is watched while it runs: each mistake is named by its code, and the loop does what it did."""

import pytest

from tests.mistakes_in_loops import CLEAN, MISTAKES


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_loop_is_named_by_its_code_and_no_other(case):
    code, loop = MISTAKES[case]
    diagnosis = loop().diagnosis
    assert diagnosis.codes == [code], diagnosis
    assert f"[{code}]" in str(diagnosis)


@pytest.mark.parametrize("case", CLEAN)
def test_nothing_is_found_in_a_clean_loop(case):
    diagnosis = CLEAN[case]().diagnosis
    assert diagnosis.findings == (), diagnosis
    assert str(diagnosis).endswith("nothing found.")
