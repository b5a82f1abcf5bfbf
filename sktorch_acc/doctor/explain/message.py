"""Write an explanation as a message, as text and as HTML."""

from __future__ import annotations

from html import escape

from sktorch_acc.doctor.explain.problem import Problem
from sktorch_acc.doctor.explain.ranking import Candidate
from sktorch_acc.doctor.explain.reported import PrintedAccuracy

# Probability from which the message says "is" and not "is most likely".
SURE = 0.9
SHOWN = 3
# Distance from the accuracy up to which the message mentions another evaluation.
NEAR = 0.1


def write_message(verdict: str, candidates: tuple[Candidate, ...], problem: Problem, printed: PrintedAccuracy) -> str:
    """Say what was printed, what the accuracy is, and what to do next."""
    write = {"true": _true, "explained": _explained, "ambiguous": _ambiguous, "unexplained": _unexplained}[verdict]
    sentences = write(candidates, problem, printed)
    if problem.kind == "probabilities":
        sentences.append(
            "The single column lies in [0, 1] and is read as probabilities; if it holds logits, the "
            "threshold is 0, not 0.5."
        )
    return " ".join(sentences)


def _is_near(problem: Problem, printed: PrintedAccuracy) -> bool:
    return abs(printed.value / printed.likely_scale - problem.accuracy) <= NEAR


def _accuracy(problem: Problem) -> str:
    return f"{problem.n_correct} of {problem.n_samples} predictions are correct: {problem.accuracy:.4f}"


def _codes(candidates: tuple[Candidate, ...]) -> str:
    return ", ".join(c.code for c in candidates)


def _true(candidates: tuple[Candidate, ...], problem: Problem, printed: PrintedAccuracy) -> list[str]:
    sentences = [f"{printed.text} is the accuracy of these outputs ({_accuracy(problem)})."]
    if candidates:
        values = {"the accuracy": problem.accuracy, **_values(candidates)}
        how = _distinguish(candidates, printed, values)
        sentences.append(f"At this precision it coincides with {_codes(candidates)}; to tell them apart, {how}")
    return sentences


def _explained(candidates: tuple[Candidate, ...], problem: Problem, printed: PrintedAccuracy) -> list[str]:
    first = candidates[0]
    sure = first.share >= SURE
    verb = "is" if sure else "is most likely"
    sentences = [f"{printed.text} {verb} {first.name} ({first.code}). {first.reason} {_accuracy(problem)}."]
    if not sure and _is_near(problem, printed):
        sentences.append(
            "This is not certain: it may also be the accuracy of another evaluation of as many samples, measured while "
            "the weights changed (ACC-E2) or on another split (ACC-E7). `audit_loop` and `diagnose` detect these."
        )
    return sentences


def _ambiguous(candidates: tuple[Candidate, ...], problem: Problem, printed: PrintedAccuracy) -> list[str]:
    names = "; ".join(f"{c.name} ({c.code})" for c in candidates[:SHOWN])
    more = len(candidates) - SHOWN
    names += f"; and {more} more" if more > 0 else ""
    verb = "is most likely" if candidates[0].share >= 0.5 else "can be"
    how = _distinguish(candidates, printed, _values(candidates))
    return [
        f"{printed.text} {verb} the value of one of {len(candidates)} formulas: {names}. {_accuracy(problem)}. To tell "
        f"them apart, {how}"
    ]


def _distinguish(candidates: tuple[Candidate, ...], printed: PrintedAccuracy, values: dict[str, float]) -> str:
    """Say how to tell the formulas with these unrounded values apart."""
    spread = max(values.values()) - min(values.values())
    if printed.decimals < 6 and spread > 2e-6:
        shown = ", ".join(f"{name} {value:.6f}" for name, value in values.items())
        return f"print six decimals ({shown})."
    lines = " or ".join(f"`{_wrong_line(c)}`" for c in candidates[:SHOWN])
    look = f"look in the loop for {lines}."
    if printed.value == 0:
        return look
    return f"print the accuracy of other samples or with another batch size, or {look}"


def _values(candidates: tuple[Candidate, ...]) -> dict[str, float]:
    return {c.code: c.value for c in candidates[:SHOWN]}


def _wrong_line(candidate: Candidate) -> str:
    """Return the first line of the wrong formula that is not in the fix."""
    fix = candidate.fix.splitlines()
    return next(line for line in candidate.formula.splitlines() if line not in fix)


def _unexplained(candidates: tuple[Candidate, ...], problem: Problem, printed: PrintedAccuracy) -> list[str]:
    sentences = [f"No listed formula explains {printed.text}. {_accuracy(problem)}."]
    if candidates:
        sentences.append(
            f"{_codes(candidates)} would give the same value, but with so few digits or samples this is probably a "
            "coincidence."
        )
    if problem.batch_size is None:
        sentences.append("Pass batch_size: without it, only formulas over all samples are tried.")
    elif not problem.shuffled:
        sentences.append("If the loop shuffled the samples, pass shuffled=True.")
    if _is_near(problem, printed):
        sentences.append(
            "An accuracy this close may have been measured while the weights changed (ACC-E2) or in training mode "
            "(ACC-E1): evaluate the trained module again, after model.eval(). It may also come from another split "
            f"(ACC-E7): compare the number of samples with {problem.n_samples}. To tell these apart: `audit_loop` "
            "watches a loop while it runs and detects an accuracy of changing weights; `diagnose` checks the modes and "
            "settings of a module and the splits of an estimator."
        )
    return sentences


def _shown(verdict: str, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return the candidates to show: none for a true accuracy, which needs no fix."""
    return () if verdict == "true" else candidates[:SHOWN]


def as_text(verdict: str, message: str, candidates: tuple[Candidate, ...]) -> str:
    """Format the answer for a terminal."""
    lines = [f"Explanation: {verdict}", f"  {message}"]
    for c in _shown(verdict, candidates):
        lines += ["", f"  [{c.code}] {c.share:.0%}: {c.name}"]
        lines += [f"    - {line}" for line in c.formula.splitlines()]
        lines += [f"    + {line}" for line in c.fix.splitlines()]
    return "\n".join(lines)


def as_html(verdict: str, message: str, candidates: tuple[Candidate, ...]) -> str:
    """Format the answer for a notebook, with all text escaped."""
    rows = "".join(
        f"<tr><td>{escape(c.code)}</td><td>{c.share:.0%}</td><td>{escape(c.name)}</td>"
        f"<td><pre>{escape(c.formula)}</pre></td><td><pre>{escape(c.fix)}</pre></td></tr>"
        for c in _shown(verdict, candidates)
    )
    head = "<tr><th>code</th><th>share</th><th>formula</th><th>wrong</th><th>fix</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return f"<div><p><b>{escape(verdict)}</b>: {escape(message)}</p>{table}</div>"
