"""Every entry of the catalogue that can be built here is built in a test that expects its code."""

from pathlib import Path

import pytest

from tests import wrong_loops
from tests.mistakes import data, fits, folds, loops

TESTS = Path(__file__).parents[1]
TABLES = (
    data.LOADERS,
    data.OUTPUTS,
    data.DATA,
    fits.ESTIMATORS,
    fits.LOOPS,
    folds.FOLDS,
    loops.MISTAKES,
    wrong_loops.LOOPS,
)
# Codes of errors and reports, which have no table.
ELSEWHERE = {
    "ACC-B5": "unit/doctor/test_reading.py",
    "ACC-G5": "unit/metrics/test_per_class_report.py",
}
# A9 as in old torch and B9 (a GPU backend) cannot be built; H comes later.
# C9, E8 and G4 cannot happen, as other tests show.
FAMILIES = {"A": 13, "B": 8, "C": 10, "D": 11, "E": 11, "F": 7, "G": 5}
NOT_BUILT = {"ACC-E8", "ACC-G4", "ACC-C9"}
CODES = [f"ACC-{family}{i}" for family, last in FAMILIES.items() for i in range(1, last + 1)]


@pytest.mark.parametrize("code", [code for code in CODES if code not in NOT_BUILT])
def test_the_entry_is_built_and_its_code_is_expected(code):
    built = {known for table in TABLES for known, _ in table.values()}
    if code in ELSEWHERE and code not in built:
        assert code in (TESTS / ELSEWHERE[code]).read_text(encoding="utf-8")
    else:
        assert code in built
