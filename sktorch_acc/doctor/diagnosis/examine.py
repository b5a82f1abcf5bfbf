"""Run every check that the given parts allow, causes before their consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc._rates import rates
from sktorch_acc.checks.counting import (
    check_drawn_samples,
    check_dropped_samples,
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
    check_running_accuracy,
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
    Evaluated,
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
Modes = list[tuple[nn.Module, bool]]
_PROBE_SAMPLES = 64
# Findings that explain why nothing was learnt (F1).
_CAUSES = ("ACC-B", "ACC-C", "ACC-D1", "ACC-D4", "ACC-D5", "ACC-D7", "ACC-E5", "ACC-F2", "ACC-F3", "ACC-F4", "ACC-F5")


def examine(subject: Subject, modes: Modes) -> list[Finding]:
    """Return all findings; `modes` are those that the layers had before anything was run.

    The module is left in any state: the caller restores it.
    """
    found = list(subject.findings)
    try:
        found += _present(_before_the_run(subject))
        if not any(finding.severity == "error" for finding in found):
            found += _present(_of_the_run(subject, modes, found))
    except Refused as refused:
        found.append(refused.finding)
    return found


def _present(findings: Iterable[Finding | None]) -> Iterator[Finding]:
    return (finding for finding in findings if finding is not None)


def _before_the_run(subject: Subject) -> Iterator[Finding | None]:
    """Check data, loader, optimizer and the output for one small batch."""
    yield from _of_the_loader(subject)
    # A module without parameters may hold layers in a list, which is the cause: it comes first.
    registered = check_registered(subject.module)
    yield registered or check_parameters(subject.module)
    if subject.optimizer is not None and registered is None:
        yield check_optimizer(subject.module, subject.optimizer)
    yield from _of_the_outputs(subject)
    yield from _of_the_data(subject)


def _of_the_loader(subject: Subject) -> Iterator[Finding | None]:
    loader = subject.loader
    if loader is None:
        return
    for check in (check_dropped_samples, check_drawn_samples, check_resampled, check_order):
        yield check(loader)
    if loader.last_batch == 1 and not loader.drop_last:
        yield check_last_batch(loader, fails_on_one_row(subject))


def _of_the_data(subject: Subject) -> Iterator[Finding | None]:
    known = subject.targets >= 0
    X, y = (subject.X, subject.targets) if known.all() else (subject.X[known], subject.targets[known])
    repeated = repeated_rows(X, y)
    yield check_ceiling(repeated)
    yield check_leak(repeated, subject.validation_fraction)
    if subject.rows.dtype != torch.int64 and not normalises_input(subject.module):
        yield check_scales(column_scales(subject.X, subject.names))
    if subject.loader is not None:
        yield check_grouped(y, subject.loader.order != "as given")


def _of_the_outputs(subject: Subject) -> Iterator[Finding | None]:
    """Run a small batch and one sample in evaluation mode; the first finding is the cause of the others."""
    n_samples = min(_PROBE_SAMPLES, len(subject.rows))
    subject.module.eval()
    with torch.no_grad():
        output = subject.module(subject.rows.chunk(0, n_samples))
    if not subject.labels:
        settle_output_spec(subject, output)
    yield from islice(_present(_of_one_output(subject, output, n_samples)), 1)
    if n_samples > 1 and isinstance(output, torch.Tensor) and output.shape[:1] == (n_samples,):
        with torch.no_grad():
            alone = subject.module(subject.rows.chunk(0, 1))
        if not isinstance(alone, torch.Tensor) or alone.shape[:1] != (1,):
            yield check_rows(_facts(subject, alone, 1))


def _of_one_output(subject: Subject, output: Any, n_samples: int) -> Iterable[Finding | None]:
    facts = _facts(subject, output, n_samples)
    if isinstance(output, torch.Tensor) and output.is_floating_point() and bool(torch.isnan(output).any()):
        weights = sum(int((~torch.isfinite(p)).sum()) for p in subject.module.parameters())
        outputs = int(torch.isnan(output).reshape(len(output), -1).any(dim=1).sum())
        return [check_finite_rows(0, outputs, n_samples, weights, subject.labels[0])]
    return output_findings(facts) if subject.sure else [check_is_tensor(facts) or check_rows(facts)]


def _facts(subject: Subject, output: Any, n_samples: int) -> OutputFacts:
    criterion = type(subject.criterion).__name__
    return OutputFacts(output, n_samples, subject.spec, criterion, subject.module, "evaluation")


# ------------------------------------------------------------------ what the module does on all samples


def _of_the_run(subject: Subject, modes: Modes, earlier: list[Finding]) -> list[Finding | None]:
    known = np.flatnonzero(subject.targets >= 0)
    rows, targets = subject.rows, subject.targets
    if len(known) < len(targets):
        rows, targets = rows.take(known), targets[known]
    rows, targets = sampled(rows, targets)
    seen = evaluate(subject.module, rows)
    if seen.bad_rows:
        return [check_finite_rows(0, seen.bad_rows, len(rows), 0, subject.labels[0])]
    predicted = subject.spec.classes(seen.output).cpu().numpy()
    found = [*_of_the_gradients(subject, rows, targets), *_of_the_modes(subject, modes, predicted, rows, targets)]
    if subject.training is None or _any_of(found, "ACC-F2"):
        return found
    correct, support = (np.bincount(y, minlength=len(subject.labels)) for y in (targets[predicted == targets], targets))
    found += _of_the_history(subject, float(rates(correct.sum(), len(targets))), len(targets))
    return [*found, *_of_the_learning(subject, correct, support, seen, [*earlier, *found])]


def _of_the_gradients(subject: Subject, rows: Rows, targets: Ints) -> Iterator[Finding | None]:
    if not subject.sure:
        return
    output, loss, without = loss_and_gradients(subject, rows, targets)
    detached = check_gradients(subject.module, output)
    yield detached
    if detached is None:
        yield check_loss(LossFacts(loss, type(subject.criterion).__name__, subject.spec.kind))
        yield check_gradient_flow(without, sum(p.requires_grad for p in subject.module.parameters()))


def _of_the_modes(
    subject: Subject, modes: Modes, predicted: Ints, rows: Rows, targets: Ints
) -> Iterator[Finding | None]:
    training = subject.training
    if training is not None and training.estimator is None and not training.fresh and modes[0][1]:
        yield check_training_mode(True, classes_as_it_is(subject, modes, rows), predicted, targets)
    with_batch = classes_with_batch_statistics(subject, rows, targets)
    if with_batch is not None:
        classes, in_order = with_batch
        yield check_norm_statistics(
            float((classes == in_order).mean()), float((predicted == targets).mean()), len(targets)
        )


def _of_the_history(subject: Subject, accuracy: float, n_samples: int) -> Iterator[Finding | None]:
    """Compare what a fitted estimator recorded with the accuracy of its module on the same samples."""
    estimator = subject.training.estimator if subject.training is not None else None
    if estimator is None:
        return
    history, n_given, n_fitted = estimator.history_, len(subject.targets), int(estimator.class_count_.sum())
    yield check_held_out(n_given, n_fitted, subject.validation_fraction)
    last, held = history.iloc[-1], history.loc[estimator.best_epoch_]
    name = next((name for name in ("train_acc", "train_acc_running") if name in history), None)
    if name is not None:
        yield check_restored_epoch(estimator.best_epoch_, estimator.n_iter_, held[name], last[name])
    if name == "train_acc_running" and n_given == n_fitted == n_samples:
        yield check_running_accuracy(held[name], accuracy, n_fitted)


def _of_the_learning(
    subject: Subject, correct: Ints, support: Ints, seen: Evaluated, earlier: list[Finding | None]
) -> Iterator[Finding | None]:
    training = subject.training
    assert training is not None
    scales = column_scales(subject.X).spreads
    widest = float(np.nanmax(scales)) if np.isfinite(scales).any() else 0.0
    found = [
        check_exploding_loss(training.losses, training.lr, widest),
        check_constant_output(seen.spread, seen.size, seen.dead),
    ]
    if found[-1] is None:
        found.append(check_still_loss(training.losses, training.lr, len(subject.labels)))
        found.append(check_majority(correct, support, subject.labels))
    yield from found
    if not _any_of([*earlier, *found], *_CAUSES):
        yield check_flat(correct, support, training.epochs, training.steps, subject.labels)


def _any_of(findings: Iterable[Finding | None], *codes: str) -> bool:
    return any(finding.code is not None and finding.code.startswith(codes) for finding in _present(findings))
