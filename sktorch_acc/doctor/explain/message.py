"""Put an explanation into words: the message, the text and the HTML. Nothing is decided here."""

from __future__ import annotations

from html import escape

from sktorch_acc.doctor.explain.problem import Problem
from sktorch_acc.doctor.explain.ranking import Candidate
from sktorch_acc.doctor.explain.reported import Figure

__all__ = ["as_html", "as_text", "write_message"]

SHOWN = 3
# Distance from the accuracy up to which another pass is worth a word.
NEAR = 0.1


def write_message(verdict: str, candidates: tuple[Candidate, ...], problem: Problem, figure: Figure) -> str:
    """Say what the figure is, what the accuracy is, and what to do next."""
    sentences = {
        "true": _true,
        "explained": _explained,
        "ambiguous": _ambiguous,
        "unexplained": _unexplained,
    }[verdict](candidates, problem, figure)
    if problem.reading == "probabilities":
        sentences.append(
            "The single column lies in [0, 1] and is read as probabilities; if it holds logits, the "
            "threshold is 0, not 0.5."
        )
    return " ".join(sentences)


def _is_near(problem: Problem, figure: Figure) -> bool:
    return abs(figure.accuracy(figure.likely_scale) - problem.truth) <= NEAR


def _accuracy(problem: Problem) -> str:
    return f"{problem.correct} of {problem.n_rows} rows are right: {problem.truth:.4f}"


def _codes(candidates: tuple[Candidate, ...]) -> str:
    return ", ".join(c.code for c in candidates)


def _true(candidates: tuple[Candidate, ...], problem: Problem, figure: Figure) -> list[str]:
    sentences = [f"{figure.text} is the accuracy of these outputs ({_accuracy(problem)})."]
    if candidates:
        rivals = {"the accuracy": problem.truth, **_rivals(candidates)}
        sentences.append(
            f"At this precision it coincides with {_codes(candidates)}; {_distinguish(candidates, figure, rivals)}"
        )
    return sentences


def _explained(candidates: tuple[Candidate, ...], problem: Problem, figure: Figure) -> list[str]:
    first = candidates[0]
    sure = first.share >= 0.9
    degree = "is" if sure else "is most likely"
    sentences = [f"{figure.text} {degree} {first.name} ({first.code}). {first.reason} {_accuracy(problem)}."]
    if not sure and _is_near(problem, figure):
        sentences.append(
            "Not surely: it may also be a count of another pass over as many rows, on a moving model (ACC-E2) or on "
            "another split (ACC-E7), which `audit_loop` and `diagnose` tell."
        )
    return sentences


def _ambiguous(candidates: tuple[Candidate, ...], problem: Problem, figure: Figure) -> list[str]:
    names = "; ".join(f"{c.name} ({c.code})" for c in candidates[:SHOWN])
    more = len(candidates) - SHOWN
    names += f"; and {more} more" if more > 0 else ""
    degree = "is most likely" if candidates[0].share >= 0.5 else "can be"
    opening = f"{figure.text} {degree} one of {len(candidates)} things"
    second_look = _distinguish(candidates, figure, _rivals(candidates))
    return [f"{opening}: {names}. {_accuracy(problem)}. To tell: {second_look}"]


def _distinguish(candidates: tuple[Candidate, ...], figure: Figure, rivals: dict[str, float]) -> str:
    """Say which second look separates the `rivals` (what each would give, unrounded)."""
    spread = max(rivals.values()) - min(rivals.values())
    if figure.decimals < 6 and spread > 2e-6:
        shown = ", ".join(f"{name} {value:.6f}" for name, value in rivals.items())
        return f"print six decimals ({shown})."
    look = f"look in the loop for {_lines(candidates)}."
    if figure.value == 0:
        return look
    return f"print the figure for other rows or another batch size, or {look}"


def _rivals(candidates: tuple[Candidate, ...]) -> dict[str, float]:
    return {c.code: c.value for c in candidates[:SHOWN]}


def _lines(candidates: tuple[Candidate, ...]) -> str:
    return " or ".join(f"`{_telling_line(c)}`" for c in candidates[:SHOWN])


def _telling_line(candidate: Candidate) -> str:
    """Return the first line of the wrong formula that the right one does not have."""
    right = candidate.fix.splitlines()
    return next(line for line in candidate.formula.splitlines() if line not in right)


def _unexplained(candidates: tuple[Candidate, ...], problem: Problem, figure: Figure) -> list[str]:
    sentences = [f"No listed mistake explains {figure.text}. {_accuracy(problem)}."]
    if candidates:
        sentences.append(
            f"It is also what {_codes(candidates)} would give, but with so few digits or rows that means little."
        )
    if problem.batch_size is None:
        sentences.append("Pass batch_size: without it only formulas over all rows are tried.")
    elif not problem.shuffled:
        sentences.append("If the loop shuffled its rows, pass shuffled=True.")
    if _is_near(problem, figure):
        sentences.append(
            "A figure this near can have been measured on a moving model (ACC-E2) or in training mode (ACC-E1): score "
            "the finished module once more after model.eval(). Or on another split (ACC-E7): compare the number of "
            f"rows with {problem.n_rows}. To tell: `audit_loop` watches a loop while it runs and knows the figure of a "
            "moving model; `diagnose` looks at the modes and settings of a module and at the splits of an estimator."
        )
    return sentences


def _worth_showing(verdict: str, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Leave out the coincidences of a true figure: its message names them, and there is nothing to mend."""
    return () if verdict == "true" else candidates[:SHOWN]


def as_text(verdict: str, message: str, candidates: tuple[Candidate, ...]) -> str:
    """Lay the answer out for a terminal."""
    lines = [f"Explanation: {verdict}", f"  {message}"]
    for c in _worth_showing(verdict, candidates):
        lines += [
            "",
            f"  [{c.code}] {c.share:.0%}: {c.name}",
            *_block("    - ", c.formula),
            *_block("    + ", c.fix),
        ]
    return "\n".join(lines)


def _block(prefix: str, code: str) -> list[str]:
    return [f"{prefix}{line}" for line in code.splitlines()]


def as_html(verdict: str, message: str, candidates: tuple[Candidate, ...]) -> str:
    """Lay the answer out for a notebook; every text is escaped."""
    rows = "".join(
        f"<tr><td>{escape(c.code)}</td><td>{c.share:.0%}</td><td>{escape(c.name)}</td>"
        f"<td><pre>{escape(c.formula)}</pre></td><td><pre>{escape(c.fix)}</pre></td></tr>"
        for c in _worth_showing(verdict, candidates)
    )
    head = "<tr><th>code</th><th>share</th><th>the figure is</th><th>wrong</th><th>right</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return f"<div><p><b>{escape(verdict)}</b>: {escape(message)}</p>{table}</div>"
