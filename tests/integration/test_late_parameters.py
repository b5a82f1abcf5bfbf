"""A parameter may get its first gradient at any step: it is trained from there on, as ``optimizer.step()`` does."""

import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from sktorch_acc import TorchClassifier

X, Y = make_classification(64, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
STEPS_PER_EPOCH = 4


class Late(nn.Module):
    """Uses its second layer from a training step on; nothing but training steps counts."""

    def __init__(self, n_features, n_classes, first_step):
        super().__init__()
        self.always, self.late = nn.Linear(n_features, n_classes), nn.Linear(n_classes, n_classes)
        self.first_step = first_step
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, X):
        z = self.always(X)
        if self.training:
            self.steps += 1
        return z + self.late(z) if self.steps >= self.first_step else z


class OwnAdam(torch.optim.Adam):
    def step(self, closure=None):
        return super().step(closure)


class OwnAdamW(torch.optim.AdamW):
    def step(self, closure=None):
        return super().step(closure)


def trained(optimizer, first_step):
    clf = TorchClassifier(
        Late,
        module__first_step=first_step,
        optimizer=optimizer,
        lr=0.05,
        max_epochs=3,
        batch_size=len(X) // STEPS_PER_EPOCH,
        random_state=0,
        device="cpu",
    ).fit(X, Y)
    return clf.module_.state_dict()


@pytest.mark.parametrize(("optimizer", "plain"), [(torch.optim.Adam, OwnAdam), (torch.optim.AdamW, OwnAdamW)])
@pytest.mark.parametrize("first_step", [2, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, STEPS_PER_EPOCH + 2])
def test_a_layer_that_is_used_late_is_trained_from_there_on(optimizer, plain, first_step):
    ours, by_step = trained(optimizer, first_step), trained(plain, first_step)
    assert all(torch.equal(ours[name], by_step[name]) for name in ours)
    never = trained(optimizer, 1000)
    assert ours["steps"] == never["steps"] == 3 * STEPS_PER_EPOCH
    assert not torch.equal(ours["late.weight"], never["late.weight"])
