"""The question and its answer: which formula gives the accuracy that a loop printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sktorch_acc.doctor.explain.message import as_html, as_text, write_message
from sktorch_acc.doctor.explain.ranking import Candidate, Ranking, rank
from sktorch_acc.doctor.explain.reading import read_problem
from sktorch_acc.doctor.explain.reported import read_figure

__all__ = ["Explanation", "Verdict", "explain_accuracy"]

Verdict = Literal["true", "explained", "ambiguous", "unexplained"]

SURE = 0.9
# A coincidence with the accuracy itself is worth a word only if it is not far-fetched.
NOTICEABLE = 0.01


@dataclass(frozen=True, repr=False)
class Explanation:
    """What `explain_accuracy` found; printed, it is a text to read, in a notebook a small table.

    Parameters
    ----------
    verdict : {"true", "explained", "ambiguous", "unexplained"}
        ``"true"``: the figure is the accuracy. ``"explained"``: one mistake gives it. ``"ambiguous"``:
        several do. ``"unexplained"``: no listed mistake does, or none that is likelier than an accident.
    code : str or None
        Catalogue code of the likeliest mistake; None if the verdict is ``"true"`` or ``"unexplained"``.
    confidence : float
        Probability in [0, 1] of what the verdict says: that of `code`, of a right loop, or of something not
        listed.
    scale : {1, 100}
        100 if the figure is in percent.
    reported : float
        The figure as a number, as it was printed.
    true_accuracy : float
        Right rows divided by rows, in [0, 1].
    candidates : tuple of Candidate
        Every mistake that gives the figure, likeliest first. With the verdict ``"true"`` these are
        coincidences: at this precision they print the same number.
    message : str
        The answer in a few sentences, and what to do next.
    """

    verdict: Verdict
    code: str | None
    confidence: float
    scale: int
    reported: float
    true_accuracy: float
    candidates: tuple[Candidate, ...]
    message: str

    def __repr__(self) -> str:
        return as_text(self.verdict, self.message, self.candidates)

    def _repr_html_(self) -> str:
        return as_html(self.verdict, self.message, self.candidates)


def explain_accuracy(
    outputs: Any,
    targets: Any,
    reported: Any,
    *,
    batch_size: int | None = None,
    shuffled: bool | None = None,
) -> Explanation:
    """Name the mistake that turns these outputs and targets into the reported accuracy.

    The true accuracy and some forty wrong formulas are computed from `outputs` and `targets`, each as loops
    write it, and compared with the figure to the precision with which it was printed.

    Parameters
    ----------
    outputs : tensor, array or list of shape (n_rows, n_classes), (n_rows, 1) or (n_rows,)
        What the module returned for a data set, on any device: logits, log-probabilities or probabilities,
        in the order of the rows; floating, without NaN. A single column means two classes; it is read as
        probabilities if all of it lies in [0, 1], else as logits.
    targets : tensor, array or list of shape (n_rows,) or (n_rows, 1)
        Class indices in [0, n_classes), int or whole-numbered float. A single column is flattened.
    reported : float or str
        The figure as the loop printed it, such as ``0.683``, ``"0.6830"`` or ``"68.30%"``. Its digits set
        the tolerance. Text is better than a number, which loses trailing zeros; four decimals or more name
        a cause, two seldom do.
    batch_size : int or None, default=None
        Rows of a batch in the loop. Most mistakes need it.
    shuffled : bool or None, default=None
        Whether the loop drew its batches in another order than that of `outputs`. None and False: batches
        are consecutive runs of `batch_size` rows. True: the mistakes that depend on the rows of the last
        batch (A1, A3, A8, and A2 as a sum of batch accuracies) are tried with every number of right rows
        that this batch can hold; other figures of single batches cannot be told and are left out.

    Returns
    -------
    explanation : Explanation
        With `verdict`, `code`, `confidence`, `scale`, `true_accuracy`, `candidates` and `message`.

    Raises
    ------
    ValueError
        If `outputs` or `targets` have another shape, lengths differ, outputs hold NaN or inf, targets are
        negative, not whole or beyond the columns of `outputs`, `reported` is no figure, or `batch_size` is
        below 1.

    See Also
    --------
    diagnose : Looks at the module, its settings and its modes, and at the splits of an estimator.

    Notes
    -----
    Mistakes that leave no trace in outputs and targets cannot be found here: a module in training mode, a
    running figure over a moving model, another split (families D to G of the catalogue). Their figures are
    counts of rows near the right one. A formula that gives such a count is named only if it is likelier than
    such a pass, which with few rows it seldom is.

    Examples
    --------
    Rows 980 to 999 are wrong, half of the short last batch, which counts as much as a full one:

    >>> import torch
    >>> from sktorch_acc import explain_accuracy
    >>> rows = torch.arange(1000)
    >>> targets = rows % 3
    >>> predicted = torch.where((rows % 9 == 0) | (rows >= 980), (targets + 1) % 3, targets)
    >>> outputs = 3.0 * torch.nn.functional.one_hot(predicted, 3) - 0.9
    >>> found = explain_accuracy(outputs, targets, "0.8611", batch_size=64)
    >>> found.verdict, found.code, found.true_accuracy
    ('explained', 'ACC-A1', 0.871)
    >>> print(found.candidates[0].fix)
    correct += (pred == y).sum().item()
    total += len(y)
    # after the loop
    accuracy = correct / total
    """
    problem = read_problem(outputs, targets, batch_size, shuffled)
    figure = read_figure(reported)
    ranking = rank(problem, figure)
    verdict, confidence = _verdict(ranking)
    candidates = ranking.candidates
    if verdict == "true":
        candidates = tuple(c for c in candidates if c.share >= NOTICEABLE)
    named = candidates[0] if verdict in ("explained", "ambiguous") else None
    return Explanation(
        verdict=verdict,
        code=named.code if named else None,
        confidence=confidence,
        scale=ranking.truth_scale or (named.scale if named else figure.likely_scale),
        reported=figure.value,
        true_accuracy=problem.truth,
        candidates=candidates,
        message=write_message(verdict, candidates, problem, figure),
    )


def _verdict(ranking: Ranking) -> tuple[Verdict, float]:
    """Decide what to say and how sure it is; a match with the accuracy itself always comes first."""
    if ranking.truth_scale is not None:
        return "true", ranking.truth
    first = ranking.candidates[0].share if ranking.candidates else 0.0
    if first <= ranking.other:
        return "unexplained", ranking.other
    alone = len(ranking.candidates) == 1 and first >= 0.5
    return "explained" if alone or first >= SURE else "ambiguous", first
