"""Random estimators agree with a slow loop, and the comparison sees planted faults."""

import math

import pytest
import torch

from benchmarks import fuzz_estimator, oracles
from sktorch_acc import TorchClassifier
from sktorch_acc.engine import loop, optimizers, prepare, snapshot, steps
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.stopping import EarlyStopping
from sktorch_acc.outputs import OutputSpec


@pytest.mark.slow
def test_random_estimators_record_and_return_the_numbers_of_the_slow_loop(capsys):
    assert fuzz_estimator.run(150, seed=12) == 0
    assert "150 configurations, seed 12: 0 wrong" in capsys.readouterr().out


def _ignore_class_weights(monkeypatch):
    monkeypatch.setattr(Loss, "_norm", lambda self, weight, *_: weight.sum())


def _sum_over_the_members(monkeypatch):
    right = Loss.__call__

    def call(self, output, target):
        members = output.shape[1] if self.ensemble and self.summed and not self.weighted else 1
        return members * right(self, output, target)

    monkeypatch.setattr(Loss, "__call__", call)


def _drop_equal_weights_of_a_sum(monkeypatch):
    right = prepare._weighed
    monkeypatch.setattr(prepare, "_weighed", lambda data, summed: right(data, False))


def _count_classes_without_a_mean(monkeypatch):
    monkeypatch.setattr(Loss, "by_class", property(lambda self: not self.summed and self._tells_classes))


def _prefer_the_later_of_equal_epochs(monkeypatch):
    right = EarlyStopping.update

    def update(self, epoch, value):
        before = self.best
        return right(self, epoch, value) or (self._sign * value == before and self._take(epoch))

    monkeypatch.setattr(
        EarlyStopping, "_take", lambda self, epoch: setattr(self, "best_epoch", epoch) or True, raising=False
    )
    monkeypatch.setattr(EarlyStopping, "update", update)


def _train_in_evaluation_mode(monkeypatch):
    monkeypatch.setattr(steps, "_train_mode", lambda fit: fit.state.model.module.eval())


def _compare_rounded_outputs(monkeypatch):
    right = OutputSpec.classes
    monkeypatch.setattr(OutputSpec, "classes", lambda self, output: right(self, output.to(torch.float16)))


def _lose_late_gradients(monkeypatch):
    right = optimizers._Group.gradients

    def gradients(self):
        idle, self.idle = self.idle, []
        try:
            return right(self)
        finally:
            self.idle = idle

    monkeypatch.setattr(optimizers._Group, "gradients", gradients)


def _order_of_epoch_1(monkeypatch):
    right = loop.epoch_seeds
    monkeypatch.setattr(loop, "epoch_seeds", lambda seed, epoch: (*right(seed, epoch)[:3], right(seed, 1)[3]))


def _keep_the_last_weights(monkeypatch):
    monkeypatch.setattr(snapshot.Snapshot, "restore", lambda self, module: None)


def _score_to_three_digits(monkeypatch):
    right = TorchClassifier.score
    monkeypatch.setattr(TorchClassifier, "score", lambda self, *given: round(right(self, *given), 3))


@pytest.mark.parametrize(
    "fault",
    [
        _ignore_class_weights,
        _sum_over_the_members,
        _drop_equal_weights_of_a_sum,
        _count_classes_without_a_mean,
        _prefer_the_later_of_equal_epochs,
        _train_in_evaluation_mode,
        _compare_rounded_outputs,
        _lose_late_gradients,
        _order_of_epoch_1,
        _keep_the_last_weights,
        _score_to_three_digits,
    ],
)
@pytest.mark.slow
def test_a_planted_fault_gives_wrong_numbers(fault, monkeypatch, capsys):
    fault(monkeypatch)
    for first in range(0, 200, 20):
        if any(_is_wrong(seed) for seed in range(first, first + 20)):
            return
    pytest.fail("no configuration of 200 has a wrong number")


def _is_wrong(seed):
    try:
        fuzz_estimator.check(fuzz_estimator.draw(seed))
    except fuzz_estimator.WrongNumberError:
        return True
    return False


class _MeanOfSingle(torch.nn.CrossEntropyLoss):
    def __init__(self, weight):
        super().__init__(torch.tensor(weight), reduction="none")

    def forward(self, output, target):
        return super().forward(output, target).mean()


@pytest.mark.parametrize(
    ("criterion", "torchs"),
    [
        (oracles.Criterion("ce", weight=[1.0, 0.25, 2.0]), torch.nn.CrossEntropyLoss(torch.tensor([1.0, 0.25, 2.0]))),
        (
            oracles.Criterion("ce", smoothing=0.1, ignored=1),
            torch.nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1),
        ),
        (oracles.Criterion("nll", weight=[0.0, 1.0, 1.0]), torch.nn.NLLLoss(torch.tensor([0.0, 1.0, 1.0]))),
        (oracles.Criterion("ce", reduction="sum"), torch.nn.CrossEntropyLoss(reduction="sum")),
        (oracles.Criterion("ce", weight=[1.0, 0.25, 2.0], reduction="none"), _MeanOfSingle([1.0, 0.25, 2.0])),
    ],
)
def test_the_formulas_of_the_slow_loop_are_those_of_torch(criterion, torchs):
    output = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double().log_softmax(dim=1)
    target = torch.arange(20) % 3
    assert math.isclose(
        criterion.loss(output, target, None).item(), torchs.double()(output, target).item(), rel_tol=1e-12
    )


def test_the_batches_of_the_slow_loop():
    assert oracles.sizes_of(7, 3) == [3, 4]
    assert oracles.sizes_of(3, 1) == [1, 1, 1]
    assert oracles.sizes_of(1, 5) == [1]
    assert oracles.sizes_of(8, 4) == [4, 4]
