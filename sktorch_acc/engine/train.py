"""Carry out fits that are prepared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sktorch_acc._global_state import thread_limit
from sktorch_acc.checks.outputs import check_unusable
from sktorch_acc.counts import host_counts
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.loop import count_correct, refuse_other_module, run_epochs
from sktorch_acc.engine.observer import tell
from sktorch_acc.engine.snapshot import fingerprint
from sktorch_acc.engine.state import Fit, TrainingState
from sktorch_acc.exceptions import ModuleOutputError, warn


def train(fits: Sequence[Fit]) -> None:
    """Run the epochs of every fit; `fit.rows` and `fit.state.best_epoch` say what came of it.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, with the module at the last complete epoch.
    NonFiniteLossError
        If the loss or the outputs became NaN or infinite.
    ModuleOutputError
        If the weights that a fit ends with give outputs that are no probabilities.
    """
    for fit in fits:
        state = fit.state
        state.running = True
        try:
            with thread_limit(state.model.n_threads):
                module, optimizer = state.model.module, state.optimizer
                tell(fit, "fit_begin")
                if state.optimizer is optimizer:
                    refuse_other_module(fit, module)
                run_epochs(fit)
                restored: list[int] = []
                try:
                    restored = [epoch for epochs in tell(fit, "fit_end") for epoch in epochs]
                finally:
                    _name_held_epoch(fit, restored)
                _refuse_unusable(fit)
            tell(fit, "result")
        finally:
            if state.model.module.training:  # an observer left another mode
                state.model.module.eval()
            state.end_fit()


def _name_held_epoch(fit: Fit, restored: Sequence[int]) -> None:
    """Set `state.best_epoch` to the epoch whose weights the module holds, after observers may have changed them.

    `restored` are the epochs that observers say they brought back.
    """
    state = fit.state
    held = state.best or state.last
    if held is None:
        return
    touched = any(observer.foreign for observer in fit.observers)
    if not (touched and held.differs(state.model.module)):
        # A module that is random in evaluation mode (E11) never predicts as recorded.
        if state.best is not None and fit.first.finding is None and not _predicts_as_recorded(fit):
            _warn_of_other_weights(
                "The module keeps state outside of its parameters and buffers (a plain tensor attribute, say), which "
                "cannot be brought back with the best epoch's weights. Register it: self.register_buffer(...)."
            )
        return
    known = _recorded_with_these_weights(state)
    candidates = [epoch for epoch in restored if epoch in known] or known[-1:]
    if candidates:
        state.best_epoch = int(candidates[0])
        return
    _warn_of_other_weights(
        "A callback changed the weights after an epoch was recorded, to none of the recorded epochs."
    )


def _recorded_with_these_weights(state: TrainingState) -> list[int]:
    now = fingerprint(state.model.module)
    return [epoch for epoch, recorded in state.fingerprints.items() if recorded == now]


def _predicts_as_recorded(fit: Fit) -> bool:
    """Whether the module, back at the best epoch, predicts as it did then; one more pass over the samples.

    Not if it keeps state outside of its parameters and buffers, which no snapshot holds.
    """
    row = fit.state.row_of(fit.state.best_epoch)
    if row is None or "train_acc" not in row.counts or row.epoch == fit.state.epoch:
        return True
    now, _ = host_counts({"train_acc": (count_correct(fit, fit.fitted), fit.fitted.support)})["train_acc"]
    return bool((now == row.counts["train_acc"][0]).all())


def _warn_of_other_weights(cause: str) -> None:
    warn(f"{cause} history_ does not describe the weights that the estimator holds.", "ACC-E6")


def _refuse_unusable(fit: Fit) -> None:
    """Raise if the weights that the fit ends with give outputs that are no probabilities.

    They were counted in the epoch's evaluation. Where nothing was evaluated, one batch is: not of logits, which are
    finite if the weights are, but for a division by 0 in the module.
    """
    row, spec = fit.state.row_of(fit.state.best_epoch), fit.model.spec
    if row is None:
        return
    examples = fit.fitted
    if not row.n_unusable:
        if "train_acc" in row.counts or spec.kind == "logits" or spec.n_classes == 1:
            return
        examples = examples.take(np.arange(min(len(examples), fit.settings.batch_size)))
    parts = [part for part in (examples, fit.validation if row.n_unusable else None) if part is not None]
    outputs: list[torch.Tensor] = []

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        bad = spec.unusable(output)
        if bad is not None:
            outputs.append(output[bad])

    for part in parts:
        each_output(fit.model.module, part.rows, consume)
    if not outputs:
        return
    output = torch.cat(outputs)
    where = f"{len(output)} of {sum(map(len, parts))} samples, with the weights of epoch {row.epoch}"
    finding = check_unusable(spec, output, where)
    raise ModuleOutputError(f"{finding.text} predict would refuse them.", finding.code)
