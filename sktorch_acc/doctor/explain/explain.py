"""The public function: which formula gives the accuracy that a loop printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sktorch_acc.doctor.explain.message import SURE, as_html, as_text, write_message
from sktorch_acc.doctor.explain.ranking import Candidate, Ranking, rank
from sktorch_acc.doctor.explain.reading import read_problem
from sktorch_acc.doctor.explain.reported import read_printed

Verdict = Literal["true", "explained", "ambiguous", "unexplained"]

# A formula that gives the value of the accuracy itself is shown only from this share on.
NOTICEABLE = 0.01


@dataclass(frozen=True, repr=False)
class Explanation:
    """Result of `explain_accuracy`, shown as text, and in a notebook as a table.

    Parameters
    ----------
    verdict : {"true", "explained", "ambiguous", "unexplained"}
        ``"true"``: the printed value is the accuracy. ``"explained"``: one wrong formula gives it.
        ``"ambiguous"``: several do. ``"unexplained"``: no listed formula gives it, or it is more probably a
        coincidence.
    code : str or None
        Catalogue code of the most probable formula; None if the verdict is ``"true"`` or ``"unexplained"``.
    confidence : float
        Probability in [0, 1] of the verdict: that the loop used the formula of `code`, that it is correct, or
        that the cause is not listed.
    scale : {1, 100}
        100 if the printed value is in percent.
    reported : float
        The printed value as a number.
    true_accuracy : float
        Number of correct predictions divided by the number of samples, in [0, 1].
    candidates : tuple of Candidate
        Every formula that gives the printed value, the most probable first. With the verdict ``"true"``,
        these formulas give the same value at this precision by coincidence.
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
    """Find the wrong formula that computes the reported accuracy from these outputs and targets.

    The accuracy and about forty wrong formulas are computed from `outputs` and `targets`, each as loops write
    it. They are compared with the reported accuracy at the precision at which it was printed.

    Parameters
    ----------
    outputs : tensor, array or list of shape (n_samples, n_classes), (n_samples, 1) or (n_samples,)
        Output of the module for a data set, on any device: logits, log-probabilities or probabilities, in
        the order of the samples; floating, without NaN. A single column means two classes. It is read as
        probabilities if all its values lie in [0, 1], else as logits.
    targets : tensor, array or list of shape (n_samples,) or (n_samples, 1)
        Class indices in [0, n_classes), as integers or whole floats. A single column is flattened.
    reported : float or str
        The accuracy as the loop printed it, such as ``0.683``, ``"0.6830"`` or ``"68.30%"``. The number of
        digits sets the tolerance. Prefer text to a number, which loses trailing zeros. Four decimals or more
        usually identify a formula, two rarely do.
    batch_size : int or None, default=None
        Number of samples in a batch of the loop. Most formulas need it.
    shuffled : bool or None, default=None
        Whether the loop drew its batches in another order than that of `outputs`. With None or False, each
        batch holds `batch_size` consecutive samples. With True, the formulas that depend on the last batch
        (A1, A3, A8, and A2 as a sum of batch accuracies) are tried with every possible number of correct
        predictions in this batch. Other formulas that depend on single batches are left out.

    Returns
    -------
    explanation : Explanation
        With `verdict`, `code`, `confidence`, `scale`, `true_accuracy`, `candidates` and `message`.

    Raises
    ------
    ValueError
        If `outputs` or `targets` have another shape, their lengths differ, `outputs` contains NaN or inf,
        `targets` are negative, not whole or not a column of `outputs`, `reported` is not a number, or
        `batch_size` is below 1.

    See Also
    --------
    diagnose : Checks the module, its settings and its modes, and the splits of an estimator.
    audit_loop : Watches a training loop while it runs.

    Notes
    -----
    Errors that leave no trace in `outputs` and `targets` cannot be found here: a module in training mode, an
    accuracy measured while the weights changed, another split (families D to G of the catalogue). Their
    accuracies are counts close to the correct one. A formula that gives such a count is named only if it is
    more probable than these errors, which is rare with few samples.

    Examples
    --------
    Samples 980 to 999 are wrong. They are half of the short last batch, which has the same weight as a full
    one:

    >>> import torch
    >>> from sktorch_acc import explain_accuracy
    >>> index = torch.arange(1000)
    >>> targets = index % 3
    >>> predicted = torch.where((index % 9 == 0) | (index >= 980), (targets + 1) % 3, targets)
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
    printed = read_printed(reported)
    ranking = rank(problem, printed)
    verdict, confidence = _verdict(ranking)
    candidates = ranking.candidates
    if verdict == "true":
        candidates = tuple(c for c in candidates if c.share >= NOTICEABLE)
    named = candidates[0] if verdict in ("explained", "ambiguous") else None
    return Explanation(
        verdict=verdict,
        code=named.code if named else None,
        confidence=confidence,
        scale=ranking.true_scale or (named.scale if named else printed.likely_scale),
        reported=printed.value,
        true_accuracy=problem.accuracy,
        candidates=candidates,
        message=write_message(verdict, candidates, problem, printed),
    )


def _verdict(ranking: Ranking) -> tuple[Verdict, float]:
    """Return the verdict and its probability; a match with the accuracy itself comes first."""
    if ranking.true_scale is not None:
        return "true", ranking.true_share
    first = ranking.candidates[0].share if ranking.candidates else 0.0
    if first <= ranking.other_share:
        return "unexplained", ranking.other_share
    alone = len(ranking.candidates) == 1 and first >= 0.5
    return "explained" if alone or first >= SURE else "ambiguous", first
