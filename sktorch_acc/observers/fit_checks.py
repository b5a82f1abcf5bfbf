"""The fast checks inside `fit`: of the data before epoch 1, and of the result after the last epoch.

Each check reports at most once per fit. The checks of the result use the recorded counts; only whether outputs depend
on their sample alone takes three more passes over some samples, in fits of which that is less than 2 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sktorch_acc._global_state import drawn_by, guarded_generators
from sktorch_acc._rates import rates
from sktorch_acc.checks.data import check_majority, check_scales, column_scales, normalises_input
from sktorch_acc.checks.duplicates import check_ceiling, repeated_rows
from sktorch_acc.checks.evaluation import check_new_module, check_norm_statistics
from sktorch_acc.checks.learning import check_flat, long_enough
from sktorch_acc.data import Examples, Rows
from sktorch_acc.engine.evaluate import chunk_rows
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.repeated import check_samples, comparable, seen_by
from sktorch_acc.engine.state import Fit
from sktorch_acc.engine.steps import norm_layers
from sktorch_acc.engine.trained import trained_further
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.exceptions import SktorchAccError, warn
from sktorch_acc.findings import Finding

_NEAR = 0.02  # distance to the ceiling at which it is reported
_CEILING = 0.95  # accuracy above which a ceiling is not reported
_PART = 32  # samples that are run again after the training, in two smaller batches
_MOST_SAMPLES = 512  # in the larger batch
_FEWEST_EPOCHS, _FEWEST_STEPS = 5, 50  # after which they are, if the probe could not compare outputs
# What is 2 % of a fit. By its samples, each of which costs three passes forward. And by its calls, where samples cost
# little: 150 steps and epochs, each of which has an evaluation and a record, take 50 times as long as the three passes.
_SHARE = 50
_PASSES_OF_TRAINING = 3
_MANY_CALLS = 150


class FitChecks(Observer):
    """Report the findings of the fast checks in a fit.

    Parameters
    ----------
    level : {"warn", "raise"}
        Whether to report a finding as an AccuracyWarning or as a SktorchAccError.
    names : sequence of str or None
        Names of the columns of X.
    """

    foreign = False

    def __init__(self, level: str, names: Sequence[str] | None) -> None:
        self._level, self._names = level, names

    def fit_begin(self, fit: Fit) -> None:
        """Check the scales of the features (D4), except for tokens and if the first layer normalises them."""
        rows = fit.fitted.rows
        if rows.dtype != torch.int64 and not normalises_input(fit.state.model.module):
            _report(check_scales(*column_scales(_on_host(rows), self._names)), self._level)

    def result(self, fit: Fit) -> None:
        """Check the epoch whose weights are kept: ceiling (D6), majority class (D7, F1), batch norm (E5).

        Weights that were 0 before epoch 1 may have hidden that outputs are random (E11) or depend on the batch (B4).
        """
        rows = fit.rows
        row = next((row for row in rows if row.epoch == fit.state.best_epoch), None)
        if row is None:  # a callback restored an epoch of an earlier fit, which was checked then
            return
        epochs, steps = len(rows), len(rows) * fit.n_steps
        if fit.first.finding is None and _worth_a_pass(fit, epochs, steps):
            _report(_of_samples(fit, _affordable(fit, epochs) - _PART), self._level)
        counts = row.counts.get("train_acc") or row.counts.get("train_acc_running")
        if counts is None:
            return
        correct, support = counts
        self._ceiling(fit.fitted, float(rates(correct.sum(), support.sum())))
        if not long_enough(epochs, steps):
            return
        labels = fit.state.model.labels.classes.tolist()
        _report(
            _lagging_norm(fit, row)
            or check_majority(correct, support, labels)
            or check_flat(correct, support, epochs, steps, labels),
            self._level,
        )

    def _ceiling(self, fitted: Examples, accuracy: float) -> None:
        """Report the ceiling that identical rows with different labels set, if the accuracy is close to it (D6).

        Far below the ceiling it is not what limits the accuracy, and most tables of categories have a ceiling.
        """
        if accuracy > _CEILING:
            return
        repeated = repeated_rows(_on_host(fitted.rows), fitted.targets.cpu().numpy())
        if accuracy >= repeated.ceiling - _NEAR:
            _report(check_ceiling(repeated), self._level)


class ModuleChecks(Observer):
    """Report the findings about a module that was built for this fit.

    Parameters
    ----------
    level : {"warn", "raise"}
        How to report them.
    """

    foreign = False

    def __init__(self, level: str) -> None:
        self._level = level
        self._trained_further: Callable[[], list[str]] = list

    def fit_begin(self, fit: Fit) -> None:
        """Report outputs that are random in evaluation mode (E11)."""
        self._trained_further = trained_further(fit.model.module, fit.model.criterion)
        _report(fit.first.finding, self._level)

    def epoch_recorded(self, fit: Fit, row: EpochRow) -> None:
        """Report layers that an earlier fit has trained and this one has trained further (E10)."""
        finding = check_new_module(self._trained_further())
        self._trained_further = list  # the others are the same in every epoch
        _report(finding, self._level)


def _report(finding: Finding | None, level: str) -> None:
    """Warn at the user's line, or raise an error; findings of severity "info" are left to `diagnose`."""
    if finding is None or finding.severity == "info":
        return
    if level == "raise":
        raise SktorchAccError(finding.text, finding.code)
    warn(finding.text, finding.code)


def _worth_a_pass(fit: Fit, epochs: int, steps: int) -> bool:
    """Whether the fit ran so many samples, in so many steps, that three passes over some more are nothing."""
    many_samples = _affordable(fit, epochs) >= 2 * _PART
    if many_samples and epochs + steps >= _MANY_CALLS:
        return True
    enough = many_samples or epochs >= _FEWEST_EPOCHS or steps >= _FEWEST_STEPS
    return enough and not comparable(fit.first.samples)


def _affordable(fit: Fit, epochs: int) -> int:
    """Return how many samples can be run again in 2 % of the fit."""
    return _PASSES_OF_TRAINING * epochs * len(fit.training) // _SHARE


def _of_samples(fit: Fit, n_samples: int) -> Finding | None:
    """Run about so many samples together, as `predict` does, and some in smaller batches; the module stays as it is."""
    model, rows = fit.state.model, fit.fitted.rows
    most = min(len(rows), _MOST_SAMPLES, chunk_rows(fit.elements_per_sample))
    n_samples = min(most, max(n_samples, _PART))
    chosen = torch.arange(n_samples, device=rows.index_device) * (len(rows) // n_samples)
    with guarded_generators(model.device), untouched(model.module):
        seen, drawn = drawn_by(lambda: seen_by(model.module, rows.gather(chosen)), model.device)
        return None if seen is None else check_samples(model.module, seen, drawn=drawn, thorough=True)


def _lagging_norm(fit: Fit, row: EpochRow) -> Finding | None:
    """Compare the running accuracy, with batch statistics, and the exact one, with running statistics (E5)."""
    both = [row.counts.get(name) for name in ("train_acc_running", "train_acc")]
    if None in both or not norm_layers(fit.state.model.module) or fit.eval_layers:
        return None
    running, exact = (float(rates(c.sum(), s.sum())) for c, s in filter(None, both))
    return check_norm_statistics(running, exact, len(fit.fitted))


def _on_host(rows: Rows) -> Any:
    """Return rows as an array or a CSR matrix, in the dtype in which the module gets them."""
    dtype = torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype
    if isinstance(rows.source, torch.Tensor):
        return rows.source.detach().to("cpu", dtype).numpy()
    return rows.source.astype(str(dtype).removeprefix("torch."), copy=False)
