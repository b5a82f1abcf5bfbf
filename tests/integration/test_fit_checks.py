"""Where the checks inside `fit` begin to warn."""

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, TorchClassifier


def answers_first(n_features, n_classes):
    """Predict the first class, whatever comes."""
    layer = nn.Linear(n_features, n_classes)
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.arange(n_classes, 0.0, -1)
    return layer


@pytest.mark.parametrize(
    ("class_sizes", "code"),
    [
        ([225, 75], "ACC-D7"),  # half way from 1/2 to 1
        ([224, 76], "ACC-F1"),
        ([200, 50, 50], "ACC-D7"),  # half way from 1/3 to 1
        ([199, 51, 50], "ACC-F1"),
        ([199, 100, 1], "ACC-F1"),
    ],
)
def test_a_share_from_half_way_between_chance_and_one_is_a_majority(class_sizes, code):
    X = np.random.default_rng(0).standard_normal((300, 4), dtype=np.float32)
    y = np.repeat(np.arange(len(class_sizes)), class_sizes)
    clf = TorchClassifier(answers_first, max_epochs=5, batch_size=30, lr=1e-9, random_state=0)
    with pytest.warns(AccuracyWarning) as caught:
        clf.fit(X, y)
    assert [warning.message.code for warning in caught] == [code]
    assert clf.history_["train_acc"].tolist() == [class_sizes[0] / 300] * 5
