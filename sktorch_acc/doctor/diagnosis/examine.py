"""Run every check that the given parts allow, causes before their consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._global_state import drawn_by
from sktorch_acc._rates import rates
from sktorch_acc.checks import counting, data, duplicates, evaluation, learning, outputs
from sktorch_acc.data import Rows
from sktorch_acc.doctor.diagnosis import measure
from sktorch_acc.doctor.diagnosis.subject import PROBE_SAMPLES, Subject, device_of
from sktorch_acc.engine.evaluate import nan_rows
from sktorch_acc.engine.repeated import Seen, check_samples, spread
from sktorch_acc.engine.trained import trained_names
from sktorch_acc.findings import Finding

Ints = npt.NDArray[np.int64]
_MOST_SAMPLES = 10_000
_FEW = 8  # different samples below which units may be 0 for all of them by chance
# Findings that explain why nothing was learnt (F1).
_CAUSES = ("ACC-B", "ACC-C", "ACC-D1", "ACC-D4", "ACC-D5", "ACC-D7", "ACC-E5", "ACC-F2", "ACC-F3", "ACC-F4", "ACC-F5")


def examine(subject: Subject) -> Iterator[Finding]:
    """Yield all findings; all samples are run only if there is no error before that.

    The module is left in any state: the caller restores it.
    """
    modes = [(layer, layer.training) for layer in subject.module.modules()]
    found = []
    for finding in _present(_before_the_run(subject)):
        found.append(finding)
        yield finding
    if not any(finding.severity == "error" for finding in found):
        yield from _present(_of_the_run(subject, modes, found))


def _present(findings: Iterable[Finding | None]) -> Iterator[Finding]:
    return (finding for finding in findings if finding is not None)


def _before_the_run(subject: Subject) -> Iterator[Finding | None]:
    """Check data, loader, optimizer and the output for one small batch."""
    yield subject.unseen
    yield from _of_the_loader(subject)
    # A module without parameters may hold layers in a list, which is the cause: it comes first.
    registered = learning.check_registered(subject.module)
    yield registered or outputs.check_parameters(subject.module)
    if subject.optimizer is not None and registered is None:
        yield learning.check_optimizer(subject.module, subject.optimizer)
    yield from _of_the_outputs(subject)
    yield from _of_the_data(subject)


def _of_the_loader(subject: Subject) -> Iterator[Finding | None]:
    loader = subject.loader
    if loader is None:
        return
    yield counting.check_dropped_samples(loader)
    yield counting.check_drawn_samples(loader)
    yield counting.check_resampled(loader)
    yield counting.check_order(loader)
    if loader.last_batch == 1 and not loader.drop_last:
        yield counting.check_last_batch(loader, measure.fails_on_one_row(subject))


def _of_the_data(subject: Subject) -> Iterator[Finding | None]:
    known = subject.targets >= 0
    X, y = (subject.X, subject.targets) if known.all() else (subject.X[known], subject.targets[known])
    repeated = duplicates.repeated_rows(X, y)
    yield duplicates.check_ceiling(repeated)
    yield duplicates.check_leak(repeated, subject.validation_fraction)
    if subject.rows.dtype != torch.int64 and not data.normalises_input(subject.module):
        yield data.check_scales(*data.column_scales(subject.X, subject.names))
    if subject.loader is not None:
        yield data.check_grouped(y, subject.loader.order != "as given")


def _of_the_outputs(subject: Subject) -> Iterator[Finding | None]:
    """Check a small batch and one sample in evaluation mode; the first finding is the cause of the others."""
    n_samples = min(PROBE_SAMPLES, len(subject.rows))
    facts = _facts(subject, measure.first_output(subject, n_samples), n_samples)
    found = list(islice(_present(_of_one_output(subject, facts)), 1))
    yield from found
    if n_samples == 1 or outputs.check_rows(facts) is not None:
        return
    batch = subject.rows.chunk(0, n_samples)
    samples = spread(batch)
    at = (len(samples) - 1) // 2
    single, drawn = drawn_by(lambda: measure.single_output(subject, samples[at : at + 1]), device_of(subject.module))
    lost = None if single is None else outputs.check_rows(_facts(subject, single, 1))
    yield lost
    if not found and lost is None:
        seen = Seen(batch, spread(facts.output.detach()).clone())
        alone = [] if single is None else list(_alone(subject, samples))
        yield check_samples(subject.module, seen, alone, drawn=drawn, thorough=True)


def _alone(subject: Subject, samples: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Run every sample alone, and yield its position and output; some layers leave out what does not fit in a batch."""
    for at in range(len(samples)):
        output = measure.single_output(subject, samples[at : at + 1])
        if isinstance(output, torch.Tensor) and output.ndim and len(output) == 1:
            yield at, output.detach().clone()


def _of_one_output(subject: Subject, facts: outputs.OutputFacts) -> Iterable[Finding | None]:
    output = facts.output
    if isinstance(output, torch.Tensor) and output.is_floating_point() and nan_rows(output):
        weights = sum(int((~torch.isfinite(p)).sum()) for p in subject.module.parameters())
        return [data.check_finite_rows(0, nan_rows(output), facts.n_samples, weights, subject.labels[0])]
    if subject.sure:
        return outputs.output_findings(facts)
    return [outputs.check_is_tensor(facts) or outputs.check_rows(facts)]


def _facts(subject: Subject, output: Any, n_samples: int) -> outputs.OutputFacts:
    criterion = type(subject.criterion).__name__
    return outputs.OutputFacts(output, n_samples, subject.spec, criterion, subject.module, "evaluation")


# ------------------------------------------------------------------ what the module does on all samples


def _of_the_run(subject: Subject, modes: measure.Modes, earlier: list[Finding]) -> list[Finding | None]:
    chosen = measure.spaced(subject.targets, _MOST_SAMPLES)
    if not len(chosen):  # all labels are unknown to the estimator, which is reported
        return []
    rows = subject.rows if len(chosen) == len(subject.rows) else subject.rows.take(chosen)
    targets = subject.targets[chosen]
    output, dead = measure.evaluate(subject.module, rows)
    n_nan = nan_rows(output)
    if n_nan:
        return [data.check_finite_rows(0, n_nan, len(rows), 0, subject.labels[0])]
    spec = subject.spec if subject.sure else replace(subject.spec, kind="logits")  # the kind is a guess
    bad = spec.unusable(output)
    if bad is not None:
        return [outputs.check_unusable(spec, output[bad], f"{int(bad.sum())} of {len(rows)} samples")]
    predicted = subject.spec.classes(output).cpu().numpy()
    found = [*_of_the_gradients(subject, rows, targets), *_of_the_batch_norm(subject, predicted, rows, targets)]
    if all(finding.code != "ACC-E11" for finding in earlier):  # predictions differ in evaluation mode, too
        found.append(_of_the_mode(subject, modes, predicted, rows, targets))
    if subject.training is None or _any_of(found, "ACC-F2"):
        return found
    correct, support = (np.bincount(y, minlength=len(subject.labels)) for y in (targets[predicted == targets], targets))
    found += _of_the_history(subject, float(rates(correct.sum(), len(targets))), len(targets))
    constant = learning.check_constant_output(*measure.spread_and_size(output), dead)
    if constant is not None:
        constant, judged = _examined_constant(subject, rows, constant, dead)
        if not judged:
            return [*found, constant]
    return [*found, *_of_the_learning(subject, correct, support, constant, [*earlier, *found])]


def _examined_constant(
    subject: Subject, rows: Rows, constant: Finding, dead: list[tuple[str, float]]
) -> tuple[Finding | None, bool]:
    """Return what remains of F5 on a closer look, and whether to judge what was learnt.

    Equal samples rightly have one output, and nothing can be learnt from them. The last layer of a module that was not
    trained may be 0. Units may be 0 for a few samples by chance.
    """
    different = measure.n_different(rows)
    if different == 1:
        return None, False
    layers = learning.check_constant_output(np.inf, 0.0, dead)
    if layers is not None and different < _FEW:
        return None, True
    training = subject.training
    untrained = training is not None and not training.steps
    if constant.severity == "error" and untrained and measure.can_differ(subject.module, rows):
        return layers, False
    return constant, True


def _of_the_gradients(subject: Subject, rows: Rows, targets: Ints) -> Iterator[Finding | None]:
    if not subject.sure:
        return
    output, loss, without = measure.loss_and_gradients(subject, rows, targets)
    detached = outputs.check_gradients(subject.module, output)
    yield detached
    if detached is None:
        kind = subject.spec.kind
        underflow = outputs.check_underflow(output, subject.module, kind)
        yield underflow or outputs.check_loss(loss, type(subject.criterion).__name__, kind)
        if subject.training is None:  # built as `fit` would build it
            yield evaluation.check_new_module(trained_names(subject.module, without))
        yield learning.check_gradient_flow(without, sum(p.requires_grad for p in subject.module.parameters()))


def _of_the_mode(subject: Subject, modes: measure.Modes, predicted: Ints, rows: Rows, targets: Ints) -> Finding | None:
    training = subject.training
    if training is None or training.state is not None or training.fresh or not modes[0][1]:
        return None
    return evaluation.check_training_mode(measure.classes_as_it_is(subject, modes, rows), predicted, targets)


def _of_the_batch_norm(subject: Subject, predicted: Ints, rows: Rows, targets: Ints) -> Iterator[Finding | None]:
    with_batch = measure.classes_with_batch_statistics(subject, rows, targets)
    if with_batch is not None:
        classes, in_order = with_batch
        yield evaluation.check_norm_statistics(
            float((classes == in_order).mean()), float((predicted == targets).mean()), len(targets)
        )


def _of_the_history(subject: Subject, accuracy: float, n_samples: int) -> Iterator[Finding | None]:
    """Compare what a fitted estimator recorded with the accuracy of its module on the same samples."""
    training = subject.training
    if training is None or training.state is None:
        return
    state, n_given, n_fitted = training.state, len(subject.targets), training.n_fitted
    yield evaluation.check_held_out(n_given, n_fitted, subject.validation_fraction)
    records = {row.epoch: row.numbers() for row in state.rows}
    held, last = records[state.best_epoch], records[state.epoch]
    name = next((name for name in ("train_acc", "train_acc_running") if name in held and name in last), None)
    if name is not None:
        yield evaluation.check_restored_epoch(state.best_epoch, state.epoch, held[name], last[name])
    if name == "train_acc_running" and n_given == n_fitted == n_samples:
        yield evaluation.check_running_accuracy(held[name], accuracy, n_fitted)


def _of_the_learning(
    subject: Subject, correct: Ints, support: Ints, constant: Finding | None, earlier: list[Finding | None]
) -> Iterator[Finding | None]:
    training = subject.training
    assert training is not None
    spreads, _ = data.column_scales(subject.X)
    widest = float(np.nanmax(spreads)) if np.isfinite(spreads).any() else 0.0
    found = [learning.check_exploding_loss(training.losses, training.lr, widest), constant]
    if constant is None:
        found.append(learning.check_still_loss(training.losses, training.lr, len(subject.labels)))
        found.append(data.check_majority(correct, support, subject.labels))
    yield from found
    if not _any_of([*earlier, *found], *_CAUSES):
        yield learning.check_flat(correct, support, training.epochs, training.steps, subject.labels)


def _any_of(findings: Iterable[Finding | None], *codes: str) -> bool:
    return any(finding.code is not None and finding.code.startswith(codes) for finding in _present(findings))
