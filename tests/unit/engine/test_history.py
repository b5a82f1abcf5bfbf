"""The columns that a fit will have are known before its first epoch."""

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.engine.history import check_monitor

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4)).astype(np.float32)
Y = np.array(["a", "b", "c"])[np.arange(60) % 3]


@pytest.mark.parametrize("train_accuracy", [None, "running", "exact"])
@pytest.mark.parametrize("fraction", [None, 0.25])
def test_every_column_of_the_history_can_be_monitored_and_no_other(train_accuracy, fraction):
    clf = TorchClassifier(max_epochs=1, train_accuracy=train_accuracy, validation_fraction=fraction).fit(X, Y)
    names = list(clf.history_)
    for name in names:
        check_monitor(name, train_accuracy, fraction is not None, clf.classes_)
    everything = {"train_loss", "train_acc", "train_acc_running", "valid_loss", "valid_acc", "valid_acc[a]"}
    for name in everything - set(names) | {"train_acc[d]", "loss", ""}:
        with pytest.raises(ValueError, match="is not a column of history_") as refused:
            check_monitor(name, train_accuracy, fraction is not None, clf.classes_)
        assert all(repr(column) in str(refused.value) for column in names[:12])


class CountsSteps(nn.Module):
    steps = 0

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        self.layer.weight.register_hook(self.count)

    @staticmethod
    def count(gradient):
        CountsSteps.steps += 1

    def forward(self, X):
        return self.layer(X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"early_stopping": True, "monitor": "valid_accuracy"}, "'valid_accuracy' is not a column"),
        ({"early_stopping": True, "monitor": "train_acc", "train_accuracy": "running"}, "'train_acc' is not a column"),
        ({"lr_scheduler": "plateau", "monitor": "valid_acc[z]"}, r"'valid_acc\[z\]' is not a column"),
        (
            {"lr_scheduler": "plateau", "monitor": "valid_acc[z]", "validation_fraction": None},
            r"'valid_acc\[z\]' is not a column",
        ),
    ],
)
def test_a_wrong_monitor_is_refused_before_the_first_step(settings, message):
    CountsSteps.steps = 0
    with pytest.raises(ValueError, match=message):
        TorchClassifier(CountsSteps, **{"validation_fraction": 0.25, "max_epochs": 2, **settings}).fit(X, Y)
    assert CountsSteps.steps == 0


def test_a_monitor_that_nobody_follows_is_not_looked_at():
    clf = TorchClassifier(monitor="valid_acc[z]", max_epochs=1, random_state=0).fit(X, Y)
    assert torch.isfinite(torch.tensor(clf.loss_curve_)).all()
