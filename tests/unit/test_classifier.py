"""`TorchClassifier`: parameters, messages, labels, what is fitted."""

import pickle

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from sktorch_acc import AccuracyWarning, TorchClassifier
from tests.modules import DropNorm, Images, Lazy, OneLogit, Sequences

X, INDICES = make_classification(40, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]


def quick(*args, **settings):
    return TorchClassifier(*args, **{"max_epochs": 2, "random_state": 0, **settings})


# ------------------------------------------------------------------ parameters


def test_parameters_round_trip_through_get_set_and_clone():
    clf = TorchClassifier(DropNorm, module__hidden=8, optimizer__weight_decay=0.1, lr=0.5)
    assert clf.get_params()["module__hidden"] == 8
    again = clone(clf)
    assert again.get_params() == clf.get_params()
    clf.set_params(module__hidden=4, lr=0.1, criterion__label_smoothing=0.2)
    assert (clf.get_params()["module__hidden"], clf.lr, again.get_params()["module__hidden"]) == (4, 0.1, 8)
    assert "module__hidden=4" in repr(clf)
    assert "module__hidden" in clf._repr_html_()


def test_an_unknown_name_is_an_error_at_once():
    with pytest.raises(TypeError, match=r"no parameter 'max_epoch'\. Did you mean 'max_epochs'"):
        TorchClassifier(max_epoch=3)
    with pytest.raises(TypeError, match="no parameter 'modul__hidden'"):
        TorchClassifier(modul__hidden=3)
    with pytest.raises(ValueError, match=r"no parameter 'batchsize'\. Did you mean 'batch_size'"):
        TorchClassifier().set_params(batchsize=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module__hiden": 3}, r"DropNorm has no parameter 'hiden'. Did you mean 'module__hidden'"),
        (
            {"optimizer__weight_decya": 3},
            r"AdamW has no parameter 'weight_decya'. Did you mean 'optimizer__weight_decay'",
        ),
        ({"criterion__label_smothing": 3}, r"Did you mean 'criterion__label_smoothing'"),
        ({"lr_scheduler": "cosine", "lr_scheduler__eta_mni": 3}, r"Did you mean 'lr_scheduler__eta_min'"),
        ({"lr_scheduler__eta_min": 3}, r"lr_scheduler__eta_min was set, but lr_scheduler is None"),
    ],
)
def test_a_misspelt_nested_parameter_is_an_error_in_fit_that_names_the_nearest(settings, message):
    with pytest.raises(ValueError, match=message):
        quick(DropNorm, **settings).fit(X, Y)


def test_the_name_of_the_var_keyword_is_refused_in_fit():
    with pytest.raises(TypeError, match="no parameter 'nested'"):
        TorchClassifier(nested=1).fit(X, Y)


BAD = {
    "module": 3,
    "criterion": "cross_entropy",
    "output": "logit",
    "optimizer": "adam",
    "lr": 0,
    "max_epochs": -1,
    "batch_size": 0.5,
    "validation_fraction": 1.5,
    "early_stopping": "yes",
    "n_iter_no_change": 0,
    "tol": -1.0,
    "monitor": None,
    "lr_scheduler": "linear",
    "class_weight": "even",
    "train_accuracy": True,
    "callbacks": "early",
    "device": 0.5,
    "n_threads": 0,
    "random_state": "seed",
    "warm_start": "no",
    "verbose": -1,
    "diagnose": "loudly",
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_value_of_every_parameter_is_named(name):
    with pytest.raises(
        InvalidParameterError, match=f"The '{name}' parameter of TorchClassifier must be .* Got .* instead"
    ):
        TorchClassifier(**{name: BAD[name]}).fit(X, Y)


def test_the_names_that_are_given_out_are_ones_own():
    names = TorchClassifier._get_param_names()
    names.append("bogus")
    assert "bogus" not in TorchClassifier._get_param_names()


def test_the_list_of_wrong_values_is_complete():
    assert set(BAD) == set(TorchClassifier().get_params())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"device": "cuda"}, ValueError, "device='cuda' is not available.*Use 'auto' or 'cpu'"),
        ({"device": "gpu"}, ValueError, "device='gpu' is not a device of torch"),
        ({"device": "meta"}, ValueError, "device='meta' is not available"),
        ({"criterion": nn.functional.cross_entropy}, TypeError, "cannot be built.*plain function"),
        ({"criterion": nn.MSELoss}, ValueError, "MSELoss is not one whose inputs are known.*output='logits'"),
        ({"output": "probabilities"}, ValueError, "contradicts criterion CrossEntropyLoss"),
        ({"module": lambda width: nn.Linear(6, width)}, TypeError, r"\[\]: missing a required argument: 'width'"),
        ({"module": lambda: 3}, TypeError, "must make a torch.nn.Module, but made a int"),
        ({"module": nn.Linear(6, 3), "module__bias": False}, ValueError, "module is an instance of Linear"),
        ({"criterion": nn.CrossEntropyLoss(), "criterion__reduction": "sum"}, ValueError, "criterion is an instance"),
        ({"early_stopping": True}, ValueError, "early_stopping=True needs a validation set"),
        ({"early_stopping": True, "validation_fraction": 0.2, "monitor": "valid_f1"}, ValueError, "neither 'loss'"),
        (
            {"early_stopping": True, "validation_fraction": 0.2, "monitor": "valid_acc[lynx]"},
            ValueError,
            r"monitor='valid_acc\[lynx\]' is not a column of history_\. Columns",
        ),
        (
            {"early_stopping": True, "validation_fraction": 0.2, "monitor": "valid_acc[rare]", "rare": True},
            ValueError,
            r"monitor='valid_acc\[rare\]' is NaN in the first epoch.*no row of that class",
        ),
        ({"validation_fraction": 0.001}, ValueError, "holds out no sample"),
        ({"optimizer": nn.Linear}, TypeError, "optimizer=Linear must make a torch optimizer"),
        ({"optimizer": lambda parameters, lr: 3}, TypeError, "must make a torch optimizer, but made a int"),
        ({"lr_scheduler": torch.optim.lr_scheduler.StepLR}, TypeError, "StepLR cannot be built.*lr_scheduler__<name>"),
        ({"class_weight": {"wolf": 2}}, ValueError, "not in class_weight"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_together_say_so(settings, error, message):
    settings = dict(settings)
    y = np.where(np.arange(40) == 0, "rare", Y) if settings.pop("rare", False) else Y
    with pytest.raises(error, match=message):
        quick(**settings).fit(X, y)


# ------------------------------------------------------------------ rows and labels


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X[:0], Y[:0], r"0 sample\(s\)"),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X, None, "requires y to be passed"),
        (np.ones((4, 2, 2)), Y[:4], "plain MLP for two-dimensional floating X, but X has rows of shape"),
        (torch.ones(4, 2, dtype=torch.int64), Y[:4], "but X has integer tensors"),
    ],
)
def test_rows_that_make_no_sense_say_so(X, y, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_what_is_wrong_with_the_rows_is_said_at_predict_too(method):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    clf = quick().fit(frame, Y)
    predict = getattr(clf, method)
    with pytest.raises(ValueError, match=r"NaN in column 'b' \(1 rows\)"):
        predict(frame.assign(b=[np.nan, *X[1:, 1]]))
    with pytest.raises(ValueError, match="feature names should match"):
        predict(frame[list("fedcba")])
    with pytest.raises(ValueError, match="feature names should match"):
        predict(frame.drop(columns="f"))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        predict(frame[:0])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(quick(), method)(frame)


def test_a_failed_fit_leaves_the_estimator_unfitted():
    clf = quick().fit(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(np.full((4, 6), np.nan), Y[:4])
    with pytest.raises(NotFittedError):
        clf.predict(X)
    assert not hasattr(clf, "module_")


def test_one_row_and_one_class_are_enough():
    clf = quick().fit(X[:1], Y[:1])
    assert clf.predict(X).tolist() == ["fox" if Y[0] == "fox" else Y[0]] * 40
    assert clf.predict_proba(X[:2]).tolist() == [[1.0], [1.0]]
    assert clf.score(X[:1], Y[:1]) == 1.0


def test_unseen_labels_count_as_wrong_with_one_warning():
    clf = quick().fit(X, Y)
    y = Y.copy().astype(object)
    y[:3] = "lynx"
    with pytest.warns(
        AccuracyWarning, match=r"not seen in fit: \['lynx'\] \(3 of 40 samples, counted as wrong\)"
    ) as caught:
        score = clf.score(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert score == np.mean(clf.predict(X) == y)


def test_labels_of_another_type_count_as_wrong_too():
    clf = quick().fit(X, INDICES)
    with pytest.warns(AccuracyWarning, match="not seen in fit"):
        assert clf.score(X, Y) == 0.0


def test_unseen_labels_in_y_val_and_partial_fit_are_an_error():
    with pytest.raises(ValueError, match=r"y_val: y contains 1 label\(s\) not seen in fit: \['lynx'\]"):
        quick().fit(X, Y, X_val=X[:1], y_val=["lynx"])
    clf = quick().partial_fit(X, Y, classes=["cat", "dog", "fox", "wolf"])
    assert clf.predict_proba(X).shape == (40, 4)
    with pytest.raises(ValueError, match="not seen in fit"):
        clf.partial_fit(X[:1], ["lynx"])
    with pytest.raises(ValueError, match="not the same as on the last call"):
        clf.partial_fit(X, Y, classes=["cat", "dog", "fox"])


def test_validation_rows_come_in_pairs_and_instead_of_a_fraction():
    with pytest.raises(ValueError, match="go together"):
        quick().fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="Both validation_fraction and X_val"):
        quick(validation_fraction=0.2).fit(X, Y, X_val=X, y_val=Y)
    with pytest.raises(ValueError, match="X_val: X has 4 features"):
        quick().fit(X, Y, X_val=X[:, :4], y_val=Y)


def test_the_first_partial_fit_needs_classes_and_no_early_stopping():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, Y)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        quick(early_stopping=True).partial_fit(X, Y, classes=np.unique(Y))


KINDS = {
    "str": Y,
    "object": Y.astype(object),
    "bool": INDICES == 0,
    "gaps": np.array([3, 7, 9])[INDICES],
    "category": pd.Series(pd.Categorical(Y)),
    "pandas str": pd.Series(Y, dtype="str"),
    "objects of integers": INDICES.astype(object),
    "objects of bools": (INDICES == 0).astype(object),
    "nullable integers": pd.Series(INDICES, dtype="Int64"),
    "nullable bools": pd.Series(INDICES == 0, dtype="boolean"),
    "categories of integers": pd.Series(pd.Categorical(INDICES)),
    "list": Y.tolist(),
    "tensor": torch.as_tensor(INDICES),
    "float": INDICES.astype(float),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind_come_back_as_they_were(kind):
    clf = quick().fit(X, KINDS[kind])
    assert set(clf.predict(X).tolist()) <= set(np.asarray(KINDS[kind]).tolist())
    assert clf.score(X, KINDS[kind]) == clf.history_["train_acc"].iloc[-1]
    assert (np.diff(np.argsort(clf.classes_)) == 1).all()
    expected = {"objects of integers": "i", "objects of bools": "b", "nullable integers": "i", "nullable bools": "b"}
    if kind in expected:
        assert clf.classes_.dtype.kind == expected[kind]


@pytest.mark.slow
def test_sorted_labels_are_stratified():
    data = load_iris()
    clf = TorchClassifier(lr=0.01, max_epochs=40, random_state=0)
    assert is_classifier(clf)
    scores = cross_val_score(clf, data.data, data.target_names[data.target], cv=3, n_jobs=2)
    assert scores.min() > 0.9


# ------------------------------------------------------------------ modules


def test_images_and_another_size_at_predict():
    digits = load_digits()
    images = digits.images[:300, None].astype("float32") / 16
    clf = TorchClassifier(Images, lr=0.02, max_epochs=15, batch_size=32, random_state=0).fit(
        images, digits.target[:300]
    )
    assert clf.module_.layers[0].in_channels == 1
    assert clf.score(images, digits.target[:300]) > 0.9
    with pytest.raises(
        ValueError, match=r"shape \(1, 1, 9, 9\), but TorchClassifier was fitted on samples of shape \(1, 8, 8\)"
    ):
        clf.predict(np.ones((1, 1, 9, 9)))


def test_a_recurrent_module_on_integer_sequences():
    rng = np.random.default_rng(0)
    tokens = torch.as_tensor(rng.integers(0, 20, (200, 7)))
    y = np.where((tokens == 3).any(1), "has a 3", "none")
    clf = TorchClassifier(Sequences, lr=0.02, max_epochs=20, batch_size=32, random_state=0).fit(tokens, y)
    assert clf.score(tokens, y) > 0.9
    assert clf.predict(tokens.numpy()).tolist() == clf.predict(tokens).tolist()
    with pytest.raises(ValueError, match="fitted on integers"):
        clf.predict(tokens.numpy().astype(float))


def test_lazy_layers_are_shaped_by_the_data():
    clf = quick(Lazy).fit(X, Y)
    assert clf.module_.layers[0].in_features == 6


@pytest.mark.parametrize(
    ("X", "module", "dtype"),
    [
        (X, None, torch.float32),
        (X.astype("float64"), None, torch.float64),
        (X.astype("float16"), None, torch.float32),
        ((X > 0), None, torch.float64),
        (X.round().astype(int), None, torch.float64),
        (X.astype("float64"), DropNorm, torch.float32),
        (X, lambda: nn.Linear(6, 3, dtype=torch.float64), torch.float64),
    ],
)
def test_the_computing_dtype(X, module, dtype):
    clf = quick(module).fit(X, Y)
    assert next(clf.module_.parameters()).dtype == dtype
    assert clf.predict_proba(X).dtype == np.dtype(str(dtype).removeprefix("torch."))


def test_sizes_from_the_data_yield_to_what_was_set():
    clf = quick(DropNorm, module__n_classes=3).fit(X, Y)
    assert clf.module_.layers[-1].out_features == 3
    from functools import partial

    quick(partial(DropNorm, n_features=6)).fit(X, Y)


def test_an_instance_keeps_its_weights():
    built = nn.Linear(6, 3)
    clf = quick(built, lr=1e-30, max_epochs=1).fit(X, Y)
    assert torch.allclose(clf.module_.weight, built.weight)
    assert clf.module_ is not built


def test_one_column_gets_one_output():
    clf = quick(OneLogit, criterion=nn.BCEWithLogitsLoss, criterion__pos_weight=torch.tensor(2.0)).fit(X, Y == "fox")
    assert clf.predict_proba(X).shape == (40, 2)
    assert quick(criterion=nn.BCEWithLogitsLoss).fit(X, Y == "fox").module_.layers[-1].out_features == 1


# ------------------------------------------------------------------ what is fitted


@pytest.mark.parametrize("dump", [pickle, cloudpickle, joblib])
def test_a_pickle_predicts_the_same_bits(dump, tmp_path):
    clf = quick(DropNorm, validation_fraction=0.2).fit(X, Y)
    if dump is joblib:
        joblib.dump(clf, tmp_path / "clf")
        again = joblib.load(tmp_path / "clf")
    else:
        again = dump.loads(dump.dumps(clf))
    assert np.array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.module_ is again.net_.module_
    assert again.history_.equals(clf.history_)
    again.partial_fit(X, Y)
    clf.partial_fit(X, Y)
    assert np.array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_the_pickle_is_about_the_size_of_the_weights():
    clf = quick(DropNorm, module__hidden=2000).fit(X, Y)
    weights = sum(t.numel() * t.element_size() for t in clf.module_.state_dict().values())
    assert len(pickle.dumps(clf)) < weights + 40_000


def test_the_estimator_and_its_net_hold_one_module():
    clf = quick().fit(X, Y)
    assert clf.module_ is clf.net_.module_
    assert not clf.module_.training
    assert clf.device_ == torch.device("cpu")
    assert clf.callbacks_ == []
    assert clf.n_iter_ == clf.best_epoch_ == 2
    assert (clf.net_.predict(X) == np.searchsorted(clf.classes_, clf.predict(X))).all()


def test_the_net_is_trained_through_its_estimator_alone():
    clf = quick().fit(X, Y)
    with pytest.raises(TypeError, match="with the estimator's fit"):
        clf.net_.partial_fit(X, INDICES)


def test_fitted_attributes_are_missing_before_fit():
    clf = TorchClassifier()
    for name in ("module_", "net_", "callbacks_", "device_", "loss_curve_", "history_", "best_epoch_"):
        assert not hasattr(clf, name)
    assert "TorchClassifier" in clf._repr_html_()


def test_the_html_of_a_fitted_estimator_is_cheap_and_links_to_its_page():
    html = quick().fit(X, Y)._repr_html_()
    assert "sktorch_acc" in html
    assert "history_" in html


def test_predictions_do_not_depend_on_the_mode_a_user_left_the_module_in():
    clf = quick(DropNorm).fit(X, Y)
    before = clf.predict_proba(X)
    clf.module_.train()
    assert np.array_equal(clf.predict_proba(X), before)


def test_a_search_over_nested_parameters():
    grid = {"module__hidden": [4, 8], "optimizer__weight_decay": [0.0, 0.1], "lr": [0.01]}
    search = GridSearchCV(quick(DropNorm), grid, cv=2, error_score="raise").fit(X, Y)
    assert search.best_params_.keys() == grid.keys()
