"""The benchmark scripts run; what they measure is asserted nowhere."""

import json

import pytest

from benchmarks import publish, report, run
from benchmarks.leanest import LeanestFit
from benchmarks.measure import Row, alternate, ratio_row
from benchmarks.tables import SMALL, Stamped
from sktorch_acc.data import batch_sizes


@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger:UserWarning")
@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_a_quick_run_writes_both_files(tmp_path, capsys, clock):
    assert run.main(["--quick", "--only", "b,c", "--clock", clock, "--output", str(tmp_path)]) == 0
    run.use_clock("wall")
    written = json.loads((tmp_path / "results.json").read_text())
    assert {row["family"] for row in written["rows"]} == {"b", "c"}
    assert all(row["median"] > 0 for row in written["rows"])
    page = (tmp_path / "results.md").read_text()
    assert "(b) Cost of recording" in page
    assert "(a)" not in page
    assert "(c) took" in capsys.readouterr().out


@pytest.mark.parametrize(("n_rows", "batch_size"), [(7, 3), (6, 3), (2, 3), (1, 3), (65, 32)])
def test_the_baseline_takes_the_steps_that_the_library_takes(n_rows, batch_size):
    fit = LeanestFit(SMALL.module(), [0] * n_rows, [0] * n_rows, batch_size)
    assert fit.sizes() == batch_sizes(n_rows, batch_size)


def test_our_loop_enters_training_mode_once_per_epoch():
    from benchmarks.tables import estimator

    X, y = SMALL.data()
    Stamped.stamps.clear()
    estimator(SMALL, "exact", 3).fit(X[:100], y[:100])
    after_probe = len(Stamped.stamps) - 3
    Stamped.stamps.clear()
    estimator(SMALL, "exact", 5).fit(X[:100], y[:100])
    assert len(Stamped.stamps) - after_probe == 5


def test_ratios_are_taken_round_by_round():
    ticks = iter([9.0, 9.0, 1.0, 2.0, 8.0, 4.0])  # the first round is not counted; the order rotates
    times = alternate({"a": lambda: next(ticks), "b": lambda: next(ticks)}, 2)
    assert times == {"a": [1.0, 4.0], "b": [2.0, 8.0]}
    row = ratio_row("b", "case", times, "a", "b")
    assert (row.low, row.median, row.high) == (0.5, 0.5, 0.5)


def test_slower_means_by_more_than_the_spread():
    def row(median, spread):
        return Row("a", "case", "ours", "loop", median, median - spread / 2, median + spread / 2, 5)

    assert not report.slower(row(2.0, 0.1), None)
    assert not report.slower(row(1.05, 0.1), row(1.0, 0.1))
    assert not report.slower(row(1.2, 0.1), row(1.0, 0.3))
    assert report.slower(row(1.2, 0.1), row(1.0, 0.1))
    assert "**slower** (was 1)" in report.markdown([row(1.2, 0.1)], {}, {row(1.0, 0.1).key: row(1.0, 0.1)})


def test_the_picture_has_a_panel_per_table():
    rows = [
        Row("a", case.title, name, "leanest loop", 1.2, 1.1, 1.3, 5)
        for case in (SMALL,)
        for name in ("ours, exact", "skorch")
    ]
    fig = publish.draw(rows)
    (ax,) = fig.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["skorch", "TorchClassifier, exact"]
    publish.plt.close(fig)


def test_the_pages_take_the_tables_of_modes_and_threads(tmp_path):
    modes = [Row("b", SMALL.title, name, "leanest loop", m, m, m, 5) for name, m in (("None", 0.7), ("running", 0.8))]
    rows = [*modes, Row("b", SMALL.title, "exact", "leanest loop", 0.9, 0.9, 0.9, 5)]
    assert publish.modes(rows).splitlines()[2] == "| 12-32-32-3, batch 32, 2,000 rows | 0.70 | 0.80 | 0.90 |"
    assert "| 4.9 |" in publish.threads([Row("t", "4.9 MFLOP a step", "2 threads", "1 threads", 1.1, 1.0, 1.2, 5)])
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- modes -->\nold\n<!-- end of modes -->\nafter\n")
    publish._rewrite(page, "modes", "new\n")
    assert page.read_text() == "before\n<!-- modes -->\nnew\n<!-- end of modes -->\nafter\n"
