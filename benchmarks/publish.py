"""Draw the picture and write the tables of the pages that show `benchmarks/results.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from benchmarks import report
from benchmarks.measure import Row
from benchmarks.training import LEANEST

__all__ = ["draw", "main", "modes", "recorded", "rivals", "threads"]

_HERE = Path(__file__).parent
_OURS, _RIVAL = "#1f5fa8", "#b9bec6"
_NAMES = {
    "ours, running": "TorchClassifier, running",
    "ours, exact": "TorchClassifier, exact",
    "tutorial loop": "tutorial DataLoader loop",
    "skorch": "skorch",
    "skorch + train accuracy": "skorch + train accuracy",
    "MLPClassifier": "MLPClassifier",
    "RealMLP": "RealMLP",
}


def main() -> None:
    """Read the results, draw the picture and rewrite the tables."""
    docs = _HERE.parent / "docs"
    rows = list(report.load(_HERE / "results.json").values())
    (docs / "images").mkdir(parents=True, exist_ok=True)
    fig = draw(rows)
    fig.savefig(docs / "images" / "speed.png", dpi=130, metadata={"Software": None})
    plt.close(fig)
    for make in (rivals, recorded, threads):
        _rewrite(docs / "speed.md", make.__name__, make(rows))
    _rewrite(docs / "accuracy-and-its-definitions.md", "modes", modes(rows))


def _rewrite(page: Path, name: str, table: str) -> None:
    """Replace the text between the two marks of a table."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(start)
    page.write_text(before + start + table + end + rest.partition(end)[2])


def rivals(rows: list[Row]) -> str:
    """Return the table of family (a): a line per contender, a column per table."""
    chosen = [row for row in rows if row.family == "a" and row.against == LEANEST]
    cases = list(dict.fromkeys(row.case for row in chosen))
    lines = ["| time of an epoch | " + " | ".join(case.replace(": ", "<br>", 1) for case in cases) + " |"]
    lines.append("|---" * (len(cases) + 1) + "|")
    lines.append(f"| {LEANEST} | " + " | ".join("1" for _ in cases) + " |")
    for contender, name in _NAMES.items():
        by_case = {row.case: _with_quartiles(row) for row in chosen if row.contender == contender}
        if by_case:
            lines.append(f"| {name} | " + " | ".join(by_case.get(case, "") for case in cases) + " |")
    return "\n".join(lines) + "\n"


def recorded(rows: list[Row]) -> str:
    """Return the table of the rows with targets, except those of family (a)."""
    lines = ["| what | measured | at most |", "|---|---|---|"]
    for row in rows:
        if row.target is not None and row.family != "a":
            against = f", against {row.against}" if row.against else ""
            unit = "" if row.unit == "x" else f" {row.unit}"
            lines.append(f"| {row.case}: {row.contender}{against} | {_with_quartiles(row)}{unit} | {row.target:.4g} |")
    return "\n".join(lines) + "\n"


def modes(rows: list[Row]) -> str:
    """Return the table of family (b): a line per network, a column per mode."""
    names = {"None": "`None`", "running": '`"running"`', "exact": '`"exact"`'}
    chosen = [row for row in rows if row.family == "b"]
    lines = ["| network, batch, rows | " + " | ".join(names.values()) + " |", "| ---" * (len(names) + 1) + " |"]
    for case in dict.fromkeys(row.case for row in chosen):
        medians = {row.contender: f"{row.median:.2f}" for row in chosen if row.case == case}
        lines.append(f"| {case.partition(': ')[2]} | " + " | ".join(medians[name] for name in names) + " |")
    return "\n".join(lines) + "\n"


def threads(rows: list[Row]) -> str:
    """Return the table of family (t): two threads against one, by operations per step."""
    chosen = [row for row in rows if row.family == "t"]
    head = [f"{row.case.partition(' ')[0]}" for row in chosen]
    lines = ["| MFLOP a step | " + " | ".join(head) + " |", "|---" * (len(chosen) + 1) + "|"]
    name = chosen[0].contender if chosen else "more threads"
    lines.append(f"| {name}, against one | " + " | ".join(_with_quartiles(row) for row in chosen) + " |")
    return "\n".join(lines) + "\n"


def _with_quartiles(row: Row) -> str:
    if row.low == row.high:
        return f"{row.median:.3g}"
    return f"{row.median:.2f} ({row.low:.2f} - {row.high:.2f})"


def draw(rows: list[Row]) -> Any:
    """Return a new matplotlib figure with one panel per table; whiskers are quartiles over the rounds."""
    cases: dict[str, list[Row]] = {}
    for row in rows:
        if row.family == "a" and row.against == LEANEST:
            cases.setdefault(row.case, []).append(row)
    fig, axes = plt.subplots(1, len(cases), figsize=(12, 3.6), sharey=True, squeeze=False, layout="constrained")
    for ax, (case, chosen) in zip(axes[0], cases.items(), strict=True):
        _panel(ax, case, chosen)
    fig.supxlabel(f"time of an epoch, as a multiple of the {LEANEST} (line at 1), which records nothing", fontsize=9)
    return fig


def _panel(ax: Any, case: str, rows: list[Row]) -> None:
    rows = [row for name in reversed(_NAMES) for row in rows if row.contender == name]
    ratios = [row.median for row in rows]
    spread = [[row.median - row.low for row in rows], [row.high - row.median for row in rows]]
    colors = [_OURS if row.contender.startswith("ours") else _RIVAL for row in rows]
    names = [_NAMES[row.contender] for row in rows]
    ax.barh(names, ratios, xerr=spread, color=colors, error_kw={"ecolor": "#444444", "elinewidth": 1, "capsize": 2})
    for position, row in enumerate(rows):
        ax.text(row.high + 0.08, position, f"{row.median:.2f}", va="center", fontsize=8)
    ax.axvline(1, color="#444444", linewidth=1)
    ax.set_xlim(0, max(row.high for row in rows) * 1.18)
    name, _, described = case.partition(": ")
    network, batch, n_rows = described.split(", ", maxsplit=2)
    ax.set_title(f"{name}: {network}\n{batch}, {n_rows}", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
