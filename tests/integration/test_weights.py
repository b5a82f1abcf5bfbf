"""Weights mean what scikit-learn says: a weight of k is k copies of the row, 0 is its absence."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc._global_state import split_seed
from sktorch_acc.data import stratified_holdout
from tests.modules import Doubles, DropNorm, Ensemble, Floats, LogProbabilities, OneLogit, OneProbability


def doubled(module):
    """A factory of the module with float64 parameters."""

    def make(n_features, n_classes):
        sizes = {"n_features": n_features}
        if module is Ensemble:
            sizes["out_features"] = n_classes
        elif module is LogProbabilities:
            sizes["n_classes"] = n_classes
        return module(**sizes).double()

    return make


FORMS = {
    "cross entropy": {"module": Doubles},
    "label smoothing": {"module": Doubles, "criterion__label_smoothing": 0.1},
    "class weights of the criterion": {
        "module": Doubles,
        "criterion__weight": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64),
    },
    "log-probabilities": {"module": doubled(LogProbabilities), "criterion": nn.NLLLoss},
    "one logit": {"module": doubled(OneLogit), "criterion": nn.BCEWithLogitsLoss},
    "one probability": {"module": doubled(OneProbability), "criterion": nn.BCELoss},
    "ensemble": {"module": doubled(Ensemble)},
    "the bundled module": {},
    "SGD": {"module": Doubles, "optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "LBFGS": {"module": Doubles, "optimizer": torch.optim.LBFGS, "lr": 0.1, "max_epochs": 3},
}


def full_batch(form):
    return TorchClassifier(**{"lr": 0.01, "max_epochs": 15, "batch_size": 1000, "random_state": 0} | form)


def rows(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 4))
    noisy = X @ rng.standard_normal((4, n_classes)) + rng.standard_normal((40, n_classes))
    return X, np.array(["ant", "bee", "cow"])[noisy.argmax(axis=1)]


def number_of_classes(form):
    return 2 if "BCE" in getattr(form.get("criterion"), "__name__", "") else 3


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_weight_of_k_is_k_copies_and_a_weight_of_0_is_absence(form):
    X, y = rows(number_of_classes(form))
    copies = np.random.default_rng(1).integers(0, 4, size=len(y))
    repeated = np.repeat(np.arange(len(y)), copies)
    weighted = full_batch(form).fit(X, y, sample_weight=copies)
    plain = full_batch(form).fit(X[repeated], y[repeated])
    assert_array_equal(weighted.classes_, plain.classes_)
    assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), rtol=1e-10)
    assert_allclose(weighted.loss_curve_, plain.loss_curve_, rtol=1e-10)


def test_rows_of_weight_0_are_fitted_rows_that_do_not_train():
    X, y = rows(3)
    weights = (np.arange(len(y)) % 2).astype(float)
    clf = full_batch(FORMS["cross entropy"]).fit(X, y, sample_weight=weights)
    assert clf.class_count_.sum() == len(y)
    assert clf.history_.loc[clf.best_epoch_, "train_acc"] == clf.score(X, y)
    moved = X.copy()
    moved[weights == 0] += 100.0
    other = full_batch(FORMS["cross entropy"]).set_params(diagnose="off").fit(moved, y, sample_weight=weights)
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))


def test_a_label_whose_rows_all_weigh_0_keeps_its_column():
    X, y = rows(3)
    clf = full_batch(FORMS["cross entropy"]).fit(X, y, sample_weight=np.where(y == "bee", 0.0, 1.0))
    assert clf.classes_.tolist() == ["ant", "bee", "cow"]
    assert clf.predict_proba(X).shape == (40, 3)


@pytest.mark.parametrize("value", [1.0, 3.0, 0.1])
def test_constant_weights_give_the_same_bits_as_none(value):
    X, y = rows(3)
    clf = TorchClassifier(DropNorm, max_epochs=4, batch_size=8, random_state=0)
    none = clf.fit(X, y).predict_proba(X)
    constant = clf.fit(X, y, sample_weight=np.full(len(y), value)).predict_proba(X)
    assert_array_equal(constant, none)


def test_weights_follow_their_rows_through_the_shuffle():
    """In minibatches too: a row of weight 0 has no influence, wherever it comes."""
    X, y = rows(3)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    weights[::5] = 0
    clf = TorchClassifier(Doubles, max_epochs=4, batch_size=8, random_state=0)
    base = clf.fit(X, y, sample_weight=weights).predict_proba(X)
    keep = weights > 0
    assert_array_equal(clf.fit(X[keep], y[keep], sample_weight=weights[keep]).predict_proba(X), base)


def test_only_the_ratio_of_weights_counts():
    X, y = rows(3)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    clf = TorchClassifier(Doubles, max_epochs=4, batch_size=8, random_state=0)
    base = clf.fit(X, y, sample_weight=weights).predict_proba(X)
    assert_allclose(clf.fit(X, y, sample_weight=1000 * weights).predict_proba(X), base, rtol=1e-10)


def imbalanced():
    X, y = rows(3)
    order = np.argsort(y)
    return X[order][:33], y[order][:33]


def test_balanced_equals_the_explicit_dict():
    X, y = imbalanced()
    explicit = dict(zip(np.unique(y), compute_class_weight("balanced", classes=np.unique(y), y=y), strict=True))
    balanced = TorchClassifier(DropNorm, max_epochs=4, batch_size=8, random_state=0, class_weight="balanced")
    ours = balanced.fit(X, y).predict_proba(X)
    assert_array_equal(balanced.set_params(class_weight=explicit).fit(X, y).predict_proba(X), ours)


def test_balanced_counts_the_weights_of_the_rows():
    """Three copies of every bee and a weight of 3 balance alike."""
    X, y = imbalanced()
    weights = np.where(y == "bee", 3, 1)
    repeated = np.repeat(np.arange(len(y)), weights)
    form = FORMS["cross entropy"] | {"class_weight": "balanced"}
    weighted = full_batch(form).fit(X, y, sample_weight=weights)
    plain = full_batch(form).fit(X[repeated], y[repeated])
    assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), rtol=1e-10)


def test_balanced_passes_over_a_label_whose_rows_all_weigh_0():
    X, y = rows(3)
    weights = np.where(y == "bee", 0.0, 1.0)
    form = FORMS["cross entropy"] | {"class_weight": "balanced"}
    clf = full_batch(form).fit(X, y, sample_weight=weights)
    explicit = compute_class_weight("balanced", classes=np.array(["ant", "cow"]), y=y[y != "bee"])
    by_hand = full_batch(FORMS["cross entropy"]).fit(X, y, sample_weight=weights * np.where(y == "ant", *explicit))
    assert_allclose(clf.predict_proba(X), by_hand.predict_proba(X), rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 1e-42, 1e-6, 1e38, 1e300])
@pytest.mark.parametrize("module", [Doubles, Floats])
def test_weights_of_any_size_train(module, scale):
    X, y = rows(3)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    clf = TorchClassifier(module, max_epochs=3, batch_size=8, random_state=0)
    base = clf.fit(X, y, sample_weight=weights).predict_proba(X)
    assert_allclose(clf.fit(X, y, sample_weight=scale * weights).predict_proba(X), base, rtol=1e-3)


def test_a_batch_of_rows_that_weigh_next_to_nothing_does_not_divide_by_0():
    """Boosting makes such weights; float32 holds nothing below 1e-45."""
    X, y = rows(3)
    weights = np.where(np.arange(40) < 30, 1e-60, 1.0)
    clf = TorchClassifier(DropNorm, max_epochs=3, batch_size=4, random_state=0)
    absent = clf.fit(X, y, sample_weight=np.where(weights < 1, 0.0, np.linspace(1, 2, 40))).predict_proba(X)
    tiny = clf.fit(X, y, sample_weight=weights * np.linspace(1, 2, 40)).predict_proba(X)
    assert_array_equal(tiny, absent)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_class_weight_that_is_no_weight_is_refused(value):
    X, y = rows(3)
    with pytest.raises(ValueError, match=r"class_weight=.* holds a negative weight, or one that is not finite"):
        TorchClassifier(class_weight={"ant": value}).fit(X, y)


def test_class_weight_times_sample_weight_is_the_effective_weight():
    X, y = imbalanced()
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    of_label = {"ant": 1.0, "bee": 4.0, "cow": 0.5}
    clf = TorchClassifier(DropNorm, max_epochs=4, batch_size=8, random_state=0)
    product = clf.fit(X, y, sample_weight=weights * np.array([of_label[label] for label in y])).predict_proba(X)
    both = clf.set_params(class_weight=of_label).fit(X, y, sample_weight=weights).predict_proba(X)
    assert_array_equal(both, product)


@pytest.mark.parametrize("labels", [[3, 7, 9], [False, True], ["ant", "bee", "cow"]])
def test_class_weight_is_keyed_by_the_labels_themselves(labels):
    X, y = rows(3)
    codes = np.unique(y, return_inverse=True)[1] % len(labels)
    y = np.asarray(labels)[codes]
    heavy = labels[1]
    clf = TorchClassifier(Doubles, max_epochs=3, batch_size=8, random_state=0)
    by_row = clf.fit(X, y, sample_weight=np.where(codes == 1, 5.0, 1.0)).predict_proba(X)
    by_label = clf.set_params(class_weight={heavy: 5.0}).fit(X, y).predict_proba(X)
    assert_array_equal(by_label, by_row)


def test_weights_enter_the_validation_loss_and_leave_accuracies_alone():
    X, y = rows(3)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    clf = TorchClassifier(Doubles, max_epochs=2, lr=1e-30, validation_fraction=0.25, random_state=0)
    plain = clf.fit(X, y).history_
    weighted = clf.fit(X, y, sample_weight=weights).history_
    assert (plain["valid_loss"] != weighted["valid_loss"]).all()
    assert plain["valid_acc"].tolist() == weighted["valid_acc"].tolist()
    assert plain["train_acc"].tolist() == weighted["train_acc"].tolist()


def test_class_weights_hold_for_validation_rows_however_they_come():
    """The same rows held out by fraction and passed as X_val have the same weighted validation loss."""
    X, y = load_iris(return_X_y=True)
    X, y = X[:, :2], np.where(y == 0, "a", "b")
    settings = {"class_weight": {"a": 5, "b": 1}, "max_epochs": 1, "lr": 1e-30, "random_state": 0}
    by_fraction = TorchClassifier(validation_fraction=0.2, **settings).fit(X, y)
    seed = split_seed(by_fraction._state.seed)
    kept, held = stratified_holdout(np.searchsorted(["a", "b"], y), 0.2, seed)
    given = TorchClassifier(**settings).fit(X[kept], y[kept], X_val=X[held], y_val=y[held])
    assert given.history_.loc[1, "valid_loss"] == by_fraction.history_.loc[1, "valid_loss"]


# ------------------------------------------------------------ sums, members, scales


SUM = {"module": Doubles, "criterion__reduction": "sum", "optimizer": torch.optim.SGD, "lr": 1e-3}


@pytest.mark.parametrize("value", [3.0, 0.1, 1e-20])
@pytest.mark.parametrize("validation", [{}, {"validation_fraction": 0.25}])
def test_the_loss_of_a_sum_is_proportional_to_the_weights(value, validation):
    X, y = rows(3)
    clf = full_batch(SUM | {"max_epochs": 1, "lr": 1e-30} | validation)
    plain = clf.fit(X, y).history_
    constant = clf.fit(X, y, sample_weight=np.full(len(y), value)).history_
    for column in {"train_loss", "valid_loss"} & set(plain):
        assert_allclose(constant[column], value * plain[column], rtol=1e-12)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    once = clf.fit(X, y, sample_weight=weights).history_["train_loss"]
    scaled = clf.fit(X, y, sample_weight=value * weights).history_["train_loss"]
    assert_allclose(scaled, value * once, rtol=1e-12)


@pytest.mark.parametrize("weights", [np.full(40, 1e39), np.linspace(1, 1e39, 40)])
def test_weights_of_a_sum_that_overflow_are_refused(weights):
    X, y = rows(3)
    clf = full_batch(SUM | {"module": Floats, "max_epochs": 1})
    with pytest.raises(ValueError, match=r"Weights up to 1e\+39 are infinite in float32"):
        clf.fit(X, y, sample_weight=weights)
    of_class = dict.fromkeys(("ant", "bee"), 1e39)
    with pytest.raises(ValueError, match=r"Weights up to 1e\+39 are infinite in float32"):
        clf.set_params(class_weight=of_class).fit(X, y)


def test_constant_weights_of_a_sum_are_a_learning_rate():
    X, y = rows(3)
    clf = full_batch(SUM | {"max_epochs": 5})
    faster = clf.fit(X, y, sample_weight=np.full(len(y), 4.0)).predict_proba(X)
    assert_allclose(clf.set_params(lr=4e-3).fit(X, y).predict_proba(X), faster, rtol=1e-12)


def test_weights_of_1_change_no_bit_of_a_sum():
    X, y = rows(3)
    clf = full_batch(SUM | {"max_epochs": 3, "batch_size": 7})
    assert_array_equal(clf.fit(X, y, sample_weight=np.ones(40)).predict_proba(X), clf.fit(X, y).predict_proba(X))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_ensemble_without_weights_trains_as_one_with_weights_that_are_next_to_1(reduction):
    X, y = rows(3)
    form = FORMS["ensemble"] | {"criterion__reduction": reduction, "optimizer": torch.optim.SGD, "lr": 1e-3}
    clf = full_batch(form | {"validation_fraction": 0.25})
    plain, weights = clf.fit(X, y).history_, np.linspace(1, 1 + 1e-12, len(y))
    weighted = clf.fit(X, y, sample_weight=weights).history_
    for column in ("train_loss", "valid_loss"):
        assert_allclose(weighted[column], plain[column], rtol=1e-9)


@pytest.mark.parametrize("nested", [{"weight": torch.tensor([1.0, 5.0, 0.2]).double()}, {"ignore_index": 2}])
def test_the_mean_of_single_losses_is_over_samples_with_weights_too(nested):
    X, y = rows(3)
    form = {"module": Doubles, "criterion__reduction": "none", "batch_size": 7, "validation_fraction": 0.25}
    clf = full_batch(form | {f"criterion__{name}": value for name, value in nested.items()})
    plain = clf.fit(X, y).history_
    weighted = clf.fit(X, y, sample_weight=np.linspace(1, 1 + 1e-12, len(y))).history_
    for column in ("train_loss", "valid_loss"):
        assert_allclose(weighted[column], plain[column], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-48, 1e-30, 1e39, 1e300])
@pytest.mark.parametrize("module", [Doubles, Floats])
def test_class_weights_of_any_size_validate(module, scale):
    X, y = rows(3)
    clf = TorchClassifier(module, max_epochs=2, early_stopping=True, random_state=0)
    of_label = {"ant": 1.0, "bee": 2.0, "cow": 1.0}
    base = clf.set_params(class_weight=of_label).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:]).history_
    scaled = {label: scale * weight for label, weight in of_label.items()}
    other = clf.set_params(class_weight=scaled).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:]).history_
    assert_allclose(other["valid_loss"], base["valid_loss"], rtol=1e-5)


def test_tiny_sample_weights_leave_the_validation_samples_alike():
    X, y = rows(3)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=30)
    clf = TorchClassifier(Floats, max_epochs=2, random_state=0)
    base = clf.fit(X[:30], y[:30], weights, X_val=X[30:], y_val=y[30:]).history_["valid_loss"]
    tiny = clf.fit(X[:30], y[:30], 1e-48 * weights, X_val=X[30:], y_val=y[30:]).history_["valid_loss"]
    assert_allclose(tiny, base, rtol=1e-5)


def test_class_weights_that_cancel_in_training_hold_in_validation():
    X, y = rows(2)
    y = np.where(y == "ant", "ant", "bee")
    weights = np.where(y == "ant", 0.5, 1.0)
    clf = TorchClassifier(Doubles, max_epochs=1, lr=1e-30, class_weight={"ant": 2}, random_state=0)
    cancelled = clf.fit(X, y, sample_weight=weights, X_val=X, y_val=y).history_["valid_loss"]
    almost = clf.fit(X, y, sample_weight=weights + 1e-12, X_val=X, y_val=y).history_["valid_loss"]
    assert_allclose(cancelled, almost, rtol=1e-9)
