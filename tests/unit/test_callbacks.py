"""The two callbacks, in a plain skorch net and inside the estimator."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.callbacks import PerClassAccuracy, TrainAccuracy
from tests.modules import DropNorm

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4)).astype("float32")
Y = (X[:, 0] * 2).round().clip(-1, 1).astype("int64") + 1


def plain_net(**settings):
    return NeuralNetClassifier(
        DropNorm, module__n_features=4, module__n_classes=3, criterion=nn.CrossEntropyLoss, verbose=0, **settings
    )


@pytest.mark.parametrize("settings", [{}, {"train_split": None}, {"iterator_train__shuffle": True}, {"batch_size": 7}])
def test_a_plain_net_records_what_score_gives(settings):
    torch.manual_seed(0)
    net = plain_net(max_epochs=1, callbacks=[TrainAccuracy(), PerClassAccuracy()], **settings)
    net.fit(X, Y)
    split = settings.get("train_split", net.train_split)
    rows = np.arange(50)
    if split is not None:
        rows = np.asarray(net.get_split_datasets(X, Y)[0].indices)
    predicted = net.predict(X[rows])
    assert net.history[-1, "train_acc"] == np.mean(predicted == Y[rows])
    for label in range(3):
        own = Y[rows] == label
        assert net.history[-1, f"train_acc[{label}]"] == np.mean(predicted[own] == label)


def test_recording_does_not_move_a_plain_net():
    weights = []
    for callbacks in ([], [TrainAccuracy(), PerClassAccuracy()]):
        torch.manual_seed(0)
        net = plain_net(max_epochs=3, callbacks=callbacks, iterator_train__shuffle=True).fit(X, Y)
        weights.append(net.module_.layers[0].weight)
    assert torch.equal(*weights)


def test_a_binary_net_is_thresholded_as_skorch_does():
    y = (X[:, 0] > 0).astype("float32")
    net = NeuralNetBinaryClassifier(
        nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), max_epochs=2, verbose=0, train_split=None
    )
    net.set_params(callbacks=[TrainAccuracy()])
    net.fit(X, y)
    assert net.history[-1, "train_acc"] == net.score(X, y)


def test_names_can_be_given():
    net = plain_net(max_epochs=1, callbacks=[PerClassAccuracy(labels=["a", "b", "c"])], train_split=None).fit(X, Y)
    assert {"train_acc[a]", "train_acc[b]", "train_acc[c]"} <= set(net.history[-1])


@pytest.mark.parametrize("mode", ["exact", "running", None])
def test_inside_the_estimator_they_agree_with_it(mode):
    y = np.array(["x", "y", "z"])[Y]
    clf = TorchClassifier(
        max_epochs=2, train_accuracy=mode, callbacks=[TrainAccuracy, PerClassAccuracy], random_state=0
    )
    clf.fit(X, y)
    assert clf.net_.history[-1, "train_acc"] == clf.score(X, y)
    assert clf.net_.history[-1, "train_acc[y]"] == np.mean(clf.predict(X)[y == "y"] == "y")
