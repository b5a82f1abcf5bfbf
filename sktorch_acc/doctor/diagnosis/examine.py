"""The examination: every check that the facts allow, causes before symptoms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc._rates import rates
from sktorch_acc.checks.counting import (
    check_drawn_rows,
    check_dropped_rows,
    check_last_batch,
    check_order,
    check_resampled,
)
from sktorch_acc.checks.data import (
    check_finite_rows,
    check_grouped,
    check_majority,
    check_scales,
    column_scales,
    normalises_input,
)
from sktorch_acc.checks.duplicates import check_ceiling, check_leak, repeated_rows
from sktorch_acc.checks.evaluation import (
    check_held_out,
    check_norm_statistics,
    check_restored_epoch,
    check_running_figure,
    check_training_mode,
)
from sktorch_acc.checks.learning import (
    check_constant_output,
    check_exploding_loss,
    check_flat,
    check_gradient_flow,
    check_optimizer,
    check_registered,
    check_still_loss,
)
from sktorch_acc.checks.outputs import (
    LossFacts,
    OutputFacts,
    check_gradients,
    check_is_tensor,
    check_loss,
    check_parameters,
    check_rows,
    output_findings,
)
from sktorch_acc.data import Rows
from sktorch_acc.doctor.diagnosis.measure import (
    classes_as_it_is,
    classes_with_batch_statistics,
    evaluate,
    fails_on_one_row,
    loss_and_gradients,
    sampled,
)
from sktorch_acc.doctor.diagnosis.subject import Refused, Subject, settle_output_spec
from sktorch_acc.findings import Finding

__all__ = ["examine"]

Ints = npt.NDArray[np.int64]
_PROBE_ROWS = 64
# Who has one of these need not be told that nothing was learnt.
_CAUSES = ("ACC-B", "ACC-C", "ACC-D1", "ACC-D4", "ACC-D5", "ACC-D7", "ACC-E5", "ACC-F2", "ACC-F3", "ACC-F4", "ACC-F5")


def examine(subject: Subject, modes: list[tuple[nn.Module, bool]]) -> list[Finding]:
    """Return all that was found; `modes` are those in which the layers were handed over.

    The module is left in any state: the caller guards it.
    """
    found = list(subject.findings)
    try:
        found += _structure(subject)
        if not any(finding.severity == "error" for finding in found):
            found += _of_the_run(subject, modes, found)
    except Refused as refused:
        found.append(refused.finding)
    return found


def _present(*findings: Finding | None) -> Iterator[Finding]:
    yield from (finding for finding in findings if finding is not None)


def _structure(subject: Subject) -> Iterator[Finding]:
    """Ask data, loader, optimizer and one small batch."""
    yield from _of_the_loader(subject)
    # A module without parameters may hold layers in a list: the closer cause first.
    registered = check_registered(subject.module)
    yield from _present(registered or check_parameters(subject.module))
    if subject.optimizer is not None and registered is None:
        yield from _present(check_optimizer(subject.module, subject.optimizer))
    yield from _of_the_outputs(subject)
    yield from _of_the_data(subject)


def _of_the_loader(subject: Subject) -> Iterator[Finding]:
    loader = subject.loader
    if loader is None:
        return
    yield from _present(
        check_dropped_rows(loader), check_drawn_rows(loader), check_resampled(loader), check_order(loader)
    )
    if loader.tail == 1 and not loader.drop_last:
        yield from _present(check_last_batch(loader, fails_on_one_row(subject)))


def _of_the_data(subject: Subject) -> Iterator[Finding]:
    known = subject.targets >= 0
    X, y = (subject.X, subject.targets) if known.all() else (subject.X[known], subject.targets[known])
    repeated = repeated_rows(X, y)
    yield from _present(check_ceiling(repeated), check_leak(repeated, subject.validation_fraction))
    if subject.rows.dtype != torch.int64 and not normalises_input(subject.module):
        yield from _present(check_scales(column_scales(subject.X, subject.names)))
    if subject.loader is not None:
        yield from _present(check_grouped(subject.targets[known], subject.loader.order != "as given"))


def _of_the_outputs(subject: Subject) -> Iterator[Finding]:
    """Run a small batch and one row in evaluation mode; the first finding is the cause of the others."""
    n_rows = min(_PROBE_ROWS, len(subject.rows))
    subject.module.eval()
    with torch.no_grad():
        output = subject.module(subject.rows.chunk(0, n_rows))
    if not subject.labels:
        settle_output_spec(subject, output)
    yield from _first(_output_findings(subject, output, n_rows))
    if n_rows > 1 and isinstance(output, torch.Tensor):
        with torch.no_grad():
            alone = subject.module(subject.rows.chunk(0, 1))
        facts = _facts(subject, alone, 1)
        shape_kept = isinstance(alone, torch.Tensor) and alone.shape[:1] == (1,)
        yield from _present(None if shape_kept or output.shape[:1] != (n_rows,) else check_rows(facts))


def _output_findings(subject: Subject, output: Any, n_rows: int) -> Iterable[Finding]:
    facts = _facts(subject, output, n_rows)
    if isinstance(output, torch.Tensor) and output.is_floating_point() and bool(torch.isnan(output).any()):
        bad = sum(int((~torch.isfinite(p)).sum()) for p in subject.module.parameters())
        rows = int(torch.isnan(output).reshape(len(output), -1).any(dim=1).sum())
        return _present(check_finite_rows(0, rows, n_rows, bad, subject.labels[0]))
    if subject.sure:
        return output_findings(facts)
    return _present(check_is_tensor(facts) or check_rows(facts))


def _facts(subject: Subject, output: Any, n_rows: int) -> OutputFacts:
    criterion = type(subject.criterion).__name__
    return OutputFacts(output, n_rows, subject.spec, criterion, subject.module, "evaluation")


def _first(findings: Iterable[Finding]) -> Iterator[Finding]:
    for finding in findings:
        yield finding
        return


# ------------------------------------------------------------------ what the module does on all rows


@dataclass
class _Counts:
    """Rows of each class, and how many of them are right."""

    correct: Ints
    support: Ints

    @property
    def accuracy(self) -> float:
        return float(rates(self.correct.sum(), self.support.sum()))


def _counted(predicted: Ints, targets: Ints, n_classes: int) -> _Counts:
    right = np.bincount(targets[predicted == targets], minlength=n_classes)
    return _Counts(right.astype(np.int64), np.bincount(targets, minlength=n_classes).astype(np.int64))


def _of_the_run(subject: Subject, modes: list[tuple[nn.Module, bool]], earlier: list[Finding]) -> list[Finding]:
    known = np.flatnonzero(subject.targets >= 0)
    rows, targets = subject.rows, subject.targets
    if len(known) < len(targets):
        rows, targets = rows.take(known), targets[known]
    rows, targets = sampled(rows, targets)
    seen = evaluate(subject.module, rows)
    if seen.bad_rows:
        return list(_present(check_finite_rows(0, seen.bad_rows, len(rows), 0, subject.labels[0])))
    predicted = subject.spec.classes(seen.output).cpu().numpy()
    counts = _counted(predicted, targets, len(subject.labels))
    found = list(_of_the_gradients(subject, rows, targets))
    found += _of_the_modes(subject, modes, predicted, rows, targets)
    if subject.training is None or _any_of(found, "ACC-F2"):
        return found
    found += _of_the_history(subject, counts, targets)
    found += _of_the_learning(subject, counts, seen.spread, seen.size, seen.dead, [*earlier, *found])
    return found


def _of_the_gradients(subject: Subject, rows: Rows, targets: Ints) -> Iterator[Finding]:
    if not subject.sure:
        return
    output, loss, without = loss_and_gradients(subject, rows, targets)
    cut = check_gradients(subject.module, output)
    yield from _present(cut)
    if cut is None:
        yield from _present(check_loss(LossFacts(loss, type(subject.criterion).__name__, subject.spec.kind)))
        trained = sum(p.requires_grad for p in subject.module.parameters())
        yield from _present(check_gradient_flow(without, trained))


def _of_the_modes(
    subject: Subject, modes: list[tuple[nn.Module, bool]], predicted: Ints, rows: Rows, targets: Ints
) -> Iterator[Finding]:
    training = subject.training
    if training is not None and training.estimator is None and not training.fresh and modes[0][1]:
        now = classes_as_it_is(subject, modes, rows)
        yield from _present(check_training_mode(True, now, predicted, targets))
    with_batch = classes_with_batch_statistics(subject, rows, targets)
    if with_batch is not None:
        classes, in_order = with_batch
        right = float(rates((classes == in_order).sum(), len(in_order)))
        held = float(rates((predicted == targets).sum(), len(targets)))
        yield from _present(check_norm_statistics(right, held, len(targets)))


def _of_the_history(subject: Subject, counts: _Counts, targets: Ints) -> Iterator[Finding]:
    """Ask a fitted estimator's record, beside what the module does on the same rows."""
    estimator = _estimator(subject)
    if estimator is None:
        return
    history, n_fitted = estimator.history_, int(estimator.class_count_.sum())
    yield from _present(check_held_out(len(subject.targets), n_fitted, subject.validation_fraction))
    last, held = history.iloc[-1], history.loc[estimator.best_epoch_]
    measure = next((name for name in ("train_acc", "train_acc_running") if name in history), None)
    if measure is not None:
        yield from _present(
            check_restored_epoch(estimator.best_epoch_, estimator.n_iter_, held[measure], last[measure])
        )
    same_rows = len(subject.targets) == n_fitted == len(targets)
    if "train_acc_running" in history and "train_acc" not in history and same_rows:
        yield from _present(check_running_figure(held["train_acc_running"], counts.accuracy, n_fitted))


def _of_the_learning(
    subject: Subject,
    counts: _Counts,
    spread: float,
    size: float,
    dead: list[tuple[str, float]],
    earlier: list[Finding],
) -> Iterator[Finding]:
    training = subject.training
    assert training is not None
    found = [*earlier]
    scales = column_scales(subject.X).spreads
    widest = float(np.nanmax(scales)) if np.isfinite(scales).any() else 0.0
    asleep = check_constant_output(spread, size, dead)
    for finding in _present(
        check_exploding_loss(training.losses, training.lr, widest),
        asleep,
        None if asleep else check_still_loss(training.losses, training.lr, len(subject.labels)),
    ):
        found.append(finding)
        yield finding
    majority = None if asleep else check_majority(counts.correct, counts.support, subject.labels)
    yield from _present(majority)
    if majority is None and not _any_of(found, *_CAUSES):
        yield from _present(check_flat(counts.correct, counts.support, training.epochs, training.steps, subject.labels))


def _any_of(findings: Iterable[Finding], *codes: str) -> bool:
    return any(finding.code is not None and finding.code.startswith(codes) for finding in findings)


def _estimator(subject: Subject) -> Any:
    return None if subject.training is None else subject.training.estimator
