"""The benchmark scripts run; what they measure is asserted nowhere."""

import importlib
import json
import shutil

import numpy as np
import pytest

from benchmarks import against, commits, configurations, golden, publish, report, run, tracing
from benchmarks.leanest import LeanestFit
from benchmarks.measure import Row, Settings, alternate, ratio_row
from benchmarks.tables import SMALL, Stamped
from sktorch_acc.data import batch_sizes


@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger:UserWarning")
@pytest.mark.parametrize("clock", ["wall", "cpu"])
@pytest.mark.slow
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


# ------------------------------------------------------------ against another commit


@pytest.mark.slow
def test_golden_names_what_a_changed_package_does_differently(tmp_path, monkeypatch, capsys):
    """The package at hand is a changed copy: each process imports its own."""
    shutil.copytree(commits.TREE / "sktorch_acc", tmp_path / "sktorch_acc")
    with (tmp_path / "sktorch_acc" / "classifier.py").open("a") as file:
        file.write("\n_proba = TorchClassifier.predict_proba\n")
        file.write("TorchClassifier.predict_proba = lambda self, X: _proba(self, X) / 2\n")
    monkeypatch.setattr(golden, "TREE", tmp_path)
    names = ["images", "13 float64 columns, batches of 17"]
    status = golden.main(["--against", "HEAD", "--only", *names])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == names
    assert all("predict_proba (by up to " in line for line in lines)
    assert "DIFFERENT: " in lines[0]
    assert status == sum("DIFFERENT" in line for line in lines)


@pytest.mark.parametrize("configuration", configurations.CONFIGURATIONS, ids=lambda c: c.name)
@pytest.mark.filterwarnings("ignore::sktorch_acc.AccuracyWarning")
def test_a_configuration_gives_the_same_bits_twice(configuration):
    first, second = configurations.collect(configuration), configurations.collect(configuration)
    assert "error" not in first
    assert golden.differences(first, second) == []


def test_golden_compares_bits():
    weights = {"bias": np.array([1.0, np.nan, 0.0])}
    result = {"weights": weights, "n_iter_": 3, "skorch history": [{"train_loss": float("nan")}]}
    assert golden.differences(result, {**result, "weights": {"bias": weights["bias"].copy()}}) == []
    for value in ([1.0, np.nan, -0.0], [np.nextafter(1.0, 2), np.nan, 0.0], [1.0, np.nan]):
        (found,) = golden.differences(result, {**result, "weights": {"bias": np.array(value)}})
        assert found.startswith("weights")
    half = {"bias": weights["bias"].astype("float32")}
    assert golden.differences(result, {**result, "weights": half}) != []
    assert golden.differences(result, {**result, "n_iter_": 3.0}) == ["n_iter_"]
    assert golden.differences(result, {**result, "skorch history": [{"valid_loss": 1.0}]}) == ["skorch history"]
    assert golden.differences(result, {"weights": weights, "n_iter_": 3}) == ["skorch history"]
    assert golden.differences({"error": "KeyError: 'a'"}, result) == ["then: KeyError: 'a'"]


def test_other_weights_are_excused_where_batches_begin_off_alignment_alone(monkeypatch, capsys):
    then, now = {"weights": {"w": np.zeros(1)}, "n_iter_": 1}, {"weights": {"w": np.ones(1)}, "n_iter_": 1}
    later = {"weights": {"w": np.zeros(1)}, "n_iter_": 2}
    monkeypatch.setattr(
        golden,
        "CONFIGURATIONS",
        [configurations.Configuration(name, lambda: None, aligned=name == "aligned") for name in ("aligned", "a", "b")],
    )
    results = [{"aligned": then, "a": then, "b": then}, {"aligned": now, "a": now, "b": later}]
    monkeypatch.setattr(golden, "_fitted", lambda commit, names: results)
    assert golden.main(["--against", "HEAD"]) == 2
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "DIFFERENT: weights (by up to 1.0e+00)",
        "batches off alignment: weights (by up to 1.0e+00)",
        "DIFFERENT: n_iter_",
    ]


@pytest.mark.slow
def test_a_quick_run_against_a_commit_prints_ratios(capsys):
    status = run.main(["--against", "HEAD", "--quick", "--only", "c"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == ["predict", "predict_proba"] * 2
    assert all(" x HEAD, " in line for line in lines)
    assert status == sum("SLOWER" in line for line in lines)


@pytest.mark.parametrize("letter", against.FAMILIES)
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than:UserWarning")
@pytest.mark.slow
def test_what_is_measured_against_a_commit_can_be_measured(letter):
    offers = [(own.family, own.call()) for own in against.FAMILIES[letter](Settings(0.01, 0.01))]
    assert {family for family, _ in offers} == {letter}
    assert all(seconds > 0 for _, seconds in offers)


class Pair:
    """A pair of workers for one measurement, of which the package at hand takes so many times as long."""

    def __init__(self, ratio):
        self.ratio = ratio
        self.offers = iter([{"case": "another"}, OFFER])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def offer(self):
        return next(self.offers)

    def times(self, offer, commit):
        return {offer["contender"]: [self.ratio] * offer["rounds"], commit: [1.0] * offer["rounds"]}


OFFER = {"family": "b", "case": "case", "contender": "exact", "rounds": 3}


@pytest.mark.parametrize(
    ("ratios", "median", "rounds"),
    [
        ([1.03], 1.03, 3),
        ([1.06, 1.0], 1.03, 6),
        ([1.06, 1.05, 1.04, 1.0], 1.045, 12),  # believed after three doubts
        ([1.2], 1.2, 3),  # beyond doubt
    ],
)
def test_a_ratio_that_is_a_little_too_high_is_measured_by_other_processes(ratios, median, rounds):
    first, *others = map(Pair, ratios)
    row = against._ratio(OFFER, "HEAD", first.times(OFFER, "HEAD"), lambda letter: others.pop(0), 3)
    assert row.median == pytest.approx(median)
    assert row.rounds == rounds
    assert others == []


@pytest.mark.slow
def test_rounds_are_spread_over_pairs_of_processes(monkeypatch):
    asked = []

    def pair(package, question):
        asked.append(question["settings"]["rounds"])
        made = Pair([1.0, 0.9, 0.8][len(asked) - 1])
        made.offers = iter([OFFER, None])
        return made

    monkeypatch.setattr(against, "_Pair", pair)
    (row,) = against.compare("HEAD", ["b"], Settings(rounds=6), "wall", pairs=3, doubts=3)
    assert asked == [2, 2, 2]
    assert (row.rounds, row.median) == (9, 0.9)


@pytest.mark.slow
def test_tracing_prints_both_packages(capsys):
    tracing.main(["--against", "HEAD"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["HEAD", "at", "hand"]
    numbers = {line[:30].strip(): [int(value) for value in line[30:].split()] for line in lines}
    assert len(numbers) == 12
    for name, values in numbers.items():
        assert len(values) == 2
        assert all(value > 0 for value in values) or "skorch" in name
    assert all(above < deep for above, deep in zip(*(numbers[f"fit: {n}"] for n in NESTED), strict=True))


NESTED = ("frames above forward", "depth")


def test_tracing_counts_calls_files_switches_and_frames(tmp_path, monkeypatch):
    (tmp_path / "traced_one.py").write_text(
        "import traced_two as two\n\ndef outer():\n    inner()\n    two.other(inner)\n    two.other(inner)\n\n"
        "def inner():\n    len([])\n\nclass Module:\n    training = True\n    def forward(self):\n        pass\n\n"
        "def steps(n):\n    two.other(lambda: two.other(Module().forward))\n    yield from two.some(n)\n"
    )
    (tmp_path / "traced_two.py").write_text("def other(call):\n    call()\n\ndef some(n):\n    yield from range(n)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tracing, "_PACKAGE", str(tmp_path))
    one = importlib.import_module("traced_one")
    forward = one.Module.forward.__code__
    counted = tracing.Trace(forward, training=True).run(one.outer).numbers()
    # outer, inner, other, inner, other, inner
    assert counted == dict(zip(counted, [6, 2, 4, 3, 0, 0], strict=True))
    counted = tracing.Trace(forward, training=True).run(lambda: list(one.steps(2))).numbers()
    # steps, other, the lambda, other, forward, some; steps and some go on twice each
    assert (counted["calls"], counted["switches"], counted["depth"]) == (10, 9, 5)
    assert counted["frames above forward"] == 4
    assert tracing.Trace(forward, training=False).run(lambda: list(one.steps(2))).above_forward == 0


@pytest.mark.parametrize("main", [golden.main, run.main, tracing.main])
@pytest.mark.slow
def test_a_missing_commit_and_a_missing_git_are_named(main, monkeypatch):
    with pytest.raises(SystemExit, match=r"--against no-such-commit: git found no sktorch_acc at this commit \(fatal"):
        main(["--against", "no-such-commit"])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="--against needs git"):
        main(["--against", "HEAD"])


def test_families_with_rivals_are_not_compared():
    with pytest.raises(SystemExit, match="--against compares the families b, c, e, not a,b"):
        run.main(["--against", "HEAD", "--only", "a,b"])


def test_a_process_with_the_wrong_package_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ImportError, match="is to be measured"):
        commits.check_import()
