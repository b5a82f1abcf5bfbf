"""A monitored value that is not finite decides nothing, and its cause is named."""

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, TorchClassifier
from tests.fits import table

X, Y = table(60, 4), np.repeat([0, 1, 2], 20)
DECIDES = {
    "early stopping": ({"early_stopping": True}, "which epoch is best"),
    "plateau": ({"lr_scheduler": "plateau"}, "when to lower the learning rate"),
    "a class on a plateau": (
        {"lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau},
        "when to lower the learning rate",
    ),
    "a class of one's own": (
        {"lr_scheduler": type("Own", (torch.optim.lr_scheduler.ReduceLROnPlateau,), {})},
        "when to lower the learning rate",
    ),
}


class Masked(nn.Linear):
    """No sample with a large first feature is of class 2."""

    def forward(self, X):
        z = super().forward(X)
        masked = (X[:, :1] > 50) & (torch.arange(3) == 2)
        return z.masked_fill(masked, -torch.inf)


def validation(large, y=2):
    """Ten samples, of which `large` are masked, and their labels."""
    Xv = X[:10].copy()
    Xv[:large, 0] = 60
    return {"X_val": Xv, "y_val": np.where(np.arange(10) < large, y, 0)}


@pytest.fixture(params=DECIDES)
def decider(request):
    return DECIDES[request.param]


@pytest.mark.parametrize("n_masked", [1, 4])
def test_an_infinite_loss_is_named_with_the_samples_that_have_it(decider, n_masked):
    settings, decides = decider
    clf = TorchClassifier(Masked, max_epochs=5, diagnose="off", **settings)
    with pytest.raises(ValueError, match=f"'valid_loss' is infinite in the first epoch, .*{decides}") as caught:
        clf.fit(X, Y, **validation(n_masked))
    assert f"{n_masked} of the 10 validation samples have a loss of CrossEntropyLoss" in str(caught.value)
    assert not hasattr(clf, "classes_")


def test_an_infinite_loss_that_decides_nothing_is_recorded():
    clf = TorchClassifier(Masked, max_epochs=2, diagnose="off").fit(X, Y, **validation(1))
    assert clf.history_["valid_loss"].tolist() == [np.inf, np.inf]


class Wraps(nn.Module):
    """Ignores a class, which only it knows."""

    def __init__(self):
        super().__init__()
        self.loss = nn.CrossEntropyLoss(ignore_index=2)

    def forward(self, output, target):
        return self.loss(output, target)


def test_a_wrapper_that_divides_by_0_is_named(decider):
    settings, decides = decider
    clf = TorchClassifier(criterion=Wraps, output="logits", max_epochs=5, batch_size=60, **settings)
    with pytest.raises(ValueError, match=f"is NaN in the first epoch, .*{decides}: Wraps is not a finite number"):
        clf.fit(X, Y, X_val=X[40:], y_val=Y[40:])


@pytest.mark.parametrize(
    ("monitor", "cause"),
    [
        ("valid_acc[0]", "the validation set has no row of that class"),
        ("train_acc_running[0]", "the samples to train on have no row of that class with a weight"),
    ],
)
def test_an_accuracy_of_no_sample_is_named_by_its_side(decider, monitor, cause):
    settings, decides = decider
    clf = TorchClassifier(monitor=monitor, max_epochs=5, class_weight={0: 0, 1: 1, 2: 2}, **settings)
    with pytest.raises(ValueError, match="is NaN in the first epoch") as caught:
        clf.fit(X, Y, X_val=X[40:], y_val=Y[40:])
    assert f"monitor={monitor!r}" in str(caught.value)
    assert f"cannot say {decides}: {cause}" in str(caught.value)


def test_a_fit_that_continues_is_left_as_it_was():
    clf = TorchClassifier(Masked, max_epochs=2, warm_start=True, diagnose="off", random_state=0).fit(X, Y)
    before = {name: value.clone() for name, value in clf.module_.state_dict().items()}
    with pytest.raises(ValueError, match="is infinite in the first epoch"):
        clf.set_params(lr_scheduler="plateau").fit(X, Y, **validation(1))
    assert clf.n_iter_ == 2
    assert all(torch.equal(before[name], value) for name, value in clf.module_.state_dict().items())


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"lr_scheduler": "plateau"}])
def test_the_sum_of_no_loss_decides_nothing(settings):
    clf = TorchClassifier(criterion__reduction="sum", class_weight={0: 1, 1: 1, 2: 0}, max_epochs=3, **settings)
    with pytest.raises(ValueError, match="valid_loss has no value: each of the 20 samples"):
        clf.fit(X, Y, X_val=X[40:], y_val=Y[40:])


@pytest.mark.parametrize(
    "nested", [{"class_weight": {0: 1, 1: 1, 2: 0}}, {"criterion__ignore_index": 2}], ids=["weights", "ignored"]
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_of_no_sample_is_nan_whatever_the_reduction(nested, reduction):
    clf = TorchClassifier(criterion__reduction=reduction, max_epochs=2, **nested)
    with pytest.warns(AccuracyWarning, match="valid_loss has no value: each of the 20 samples"):
        clf.fit(X, Y, X_val=X[40:], y_val=Y[40:])
    assert clf.history_["valid_loss"].isna().all()


def test_samples_of_weight_0_with_an_infinite_loss_do_not_count(decider):
    """Their loss is not seen in training either."""
    settings, _ = decider
    Xv, yv = validation(4).values()
    clf = TorchClassifier(
        Masked, max_epochs=3, class_weight={0: 1, 1: 2, 2: 0}, random_state=0, diagnose="off", **settings
    )
    with_masked = clf.fit(X, Y, X_val=Xv, y_val=yv).history_["valid_loss"].to_numpy()
    without = clf.fit(X, Y, X_val=Xv[4:], y_val=yv[4:]).history_["valid_loss"].to_numpy()
    assert np.isfinite(without).all()
    np.testing.assert_allclose(with_masked, without, rtol=1e-6)


def test_a_finite_value_is_followed_as_before():
    clf = TorchClassifier(max_epochs=4, early_stopping=True, validation_fraction=0.25, random_state=0).fit(X, Y)
    assert clf.best_epoch_ == clf.history_["valid_loss"].idxmin()
