"""Everything scikit-learn has for classifiers, around ours: once each, with string labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from skorch.callbacks import GradientNormClipping
from torch import nn

from sktorch_acc import TorchClassifier


class Net(nn.Module):
    """What a user would write: sizes from the data, one parameter to search."""

    def __init__(self, n_features, n_classes, hidden=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_classes))

    def forward(self, X):
        return self.layers(X)


def classifier(**parameters):
    return TorchClassifier(Net, **{"lr": 0.05, "max_epochs": 12, "batch_size": 32, "random_state": 0} | parameters)


def scaled(**parameters):
    return make_pipeline(StandardScaler(), classifier(**parameters))


def linear():
    return LogisticRegression(max_iter=1000)


@pytest.fixture(scope="module")
def flowers():
    """Iris in a frame, sorted by label, with the species as strings."""
    X, target = load_iris(return_X_y=True, as_frame=True)
    return X, load_iris().target_names[target]


@pytest.fixture(scope="module")
def two_flowers(flowers):
    """The two species that are not easily told apart."""
    X, y = flowers
    return X[50:].reset_index(drop=True), y[50:]


@pytest.fixture
def _no_window():
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = mpl.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


WRAPPED = {
    "Pipeline": Pipeline([("scale", StandardScaler()), ("net", classifier())]),
    "Calibrated(sigmoid)": CalibratedClassifierCV(scaled(), cv=3),
    "Calibrated(isotonic, ensemble=False)": CalibratedClassifierCV(scaled(), cv=3, method="isotonic", ensemble=False),
    "Calibrated(temperature)": CalibratedClassifierCV(scaled(), cv=3, method="temperature"),
    "Voting(hard)": VotingClassifier([("net", scaled()), ("linear", linear())], voting="hard"),
    "Voting(soft)": VotingClassifier([("net", scaled()), ("linear", linear())], voting="soft"),
    "Stacking": StackingClassifier([("net", scaled()), ("linear", linear())], cv=3),
    "Stacking(net on top)": StackingClassifier([("linear", linear())], classifier(), cv=3),
    "Bagging": BaggingClassifier(scaled(), n_estimators=2, random_state=0),
    "Bagging(features)": BaggingClassifier(classifier(), n_estimators=3, max_features=3, random_state=0),
    "AdaBoost": AdaBoostClassifier(classifier(), n_estimators=2, random_state=0),
    "OneVsRest": OneVsRestClassifier(scaled()),
    "Stacking(Bagging(net))": StackingClassifier(
        [("bag", BaggingClassifier(scaled(), n_estimators=2, random_state=0))], cv=3
    ),
    "Calibrated(Grid(net))": CalibratedClassifierCV(
        GridSearchCV(scaled(), {"torchclassifier__lr": [0.01, 0.05]}, cv=2, error_score="raise"), cv=2
    ),
    "Grid(Grid(net))": GridSearchCV(
        GridSearchCV(scaled(), {"torchclassifier__lr": [0.01, 0.05]}, cv=2, error_score="raise"),
        {"estimator__torchclassifier__module__hidden": [4, 8]},
        cv=2,
        error_score="raise",
    ),
}


@pytest.mark.parametrize("estimator", WRAPPED.values(), ids=WRAPPED.keys())
def test_it_works_inside(estimator, flowers):
    X, y = flowers
    fitted = clone(estimator).fit(X, y)
    predicted = fitted.predict(X)
    assert predicted.dtype.kind in "OU"
    assert set(predicted) <= set(y)
    assert list(fitted.classes_) == ["setosa", "versicolor", "virginica"]
    assert fitted.score(X, y) == accuracy_score(y, predicted) > 0.85


SEARCHES = {
    "module": {"module__hidden": [4, 8]},
    "optimizer": {"optimizer__weight_decay": [0.0, 0.1]},
    "criterion": {"criterion__label_smoothing": [0.0, 0.1]},
    "lr": {"lr": [0.01, 0.05]},
    "callbacks": {"callbacks__clip__gradient_clip_value": [0.5, 1.0]},
    "lr_scheduler": {"lr_scheduler__T_max": [12, 24]},
}


@pytest.mark.parametrize("grid", SEARCHES.values(), ids=SEARCHES.keys())
@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV,
        lambda *args, **kw: RandomizedSearchCV(*args, n_iter=2, random_state=0, **kw),
        lambda *args, **kw: HalvingGridSearchCV(*args, random_state=0, min_resources=75, **kw),
    ],
    ids=["grid", "random", "halving"],
)
def test_a_search_reaches_every_nested_parameter(search, grid, flowers):
    X, y = flowers
    net = classifier(
        max_epochs=4, lr_scheduler="cosine", callbacks=[("clip", GradientNormClipping(gradient_clip_value=2.0))]
    )
    pipeline = Pipeline([("scale", StandardScaler()), ("net", net)])
    ((name, values),) = grid.items()
    found = search(pipeline, {f"net__{name}": values}, cv=2, error_score="raise").fit(X, y)
    assert found.best_params_[f"net__{name}"] in values
    assert found.best_estimator_["net"].get_params()[name] == found.best_params_[f"net__{name}"]
    assert set(found.predict(X)) <= set(y)
    scores = found.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()


def test_the_searched_value_is_the_one_that_trains(flowers):
    X, y = flowers
    found = GridSearchCV(classifier(max_epochs=1), {"module__hidden": [5]}, cv=2, error_score="raise").fit(X, y)
    assert found.best_estimator_.module_.layers[0].out_features == 5


def test_a_column_transformer_feeds_it_a_mixed_table(flowers):
    X, y = flowers
    X = X.assign(size=pd.cut(X["petal width (cm)"], 3, labels=["small", "middle", "large"]))
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(), make_column_selector(dtype_include="category")),
    )
    assert make_pipeline(columns, classifier()).fit(X, y).score(X, y) > 0.9


@pytest.mark.slow
def test_cross_validate_in_two_workers_returns_the_estimators(flowers):
    X, y = flowers
    serial = cross_validate(scaled(), X, y, cv=3, return_estimator=True, error_score="raise")
    parallel = cross_validate(scaled(), X, y, cv=3, n_jobs=2, return_estimator=True, error_score="raise")
    assert parallel["test_score"].tolist() == serial["test_score"].tolist()
    for ours, theirs in zip(parallel["estimator"], serial["estimator"], strict=True):
        np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
        assert ours[-1].n_threads == "auto"


def test_cross_val_predict_returns_probabilities_in_the_order_of_the_labels(flowers):
    X, y = flowers
    probabilities = cross_val_predict(scaled(), X, y, cv=3, method="predict_proba")
    assert probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    labels = np.unique(y)[probabilities.argmax(axis=1)]
    assert accuracy_score(y, labels) > 0.85


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_log_proba"])
def test_cross_val_predict_with_every_other_method(method, flowers):
    X, y = flowers
    values = cross_val_predict(scaled(), X, y, cv=3, method=method)
    assert len(values) == 150
    if method == "predict":
        assert set(values) == set(y)
    else:
        assert values.shape == (150, 3)


def test_learning_curve(flowers):
    X, y = flowers
    sizes, train, test = learning_curve(
        scaled(), X, y, cv=3, train_sizes=[30, 90], shuffle=True, random_state=0, error_score="raise"
    )
    assert sizes.tolist() == [30, 90]
    assert train.shape == test.shape == (2, 3)
    assert test[-1].mean() > 0.8


def test_learning_curve_that_goes_on_with_partial_fit(flowers):
    X, y = flowers
    options = {"cv": 3, "train_sizes": [30, 90], "shuffle": True, "random_state": 0, "error_score": "raise"}
    sizes, train, _ = learning_curve(classifier(), X, y, exploit_incremental_learning=True, **options)
    assert sizes.tolist() == [30, 90]
    assert np.isfinite(train).all()


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "balanced_accuracy", "top_k_accuracy"])
def test_scorers_of_every_kind_of_output(scoring, flowers):
    X, y = flowers
    scores = cross_validate(scaled(), X, y, cv=3, scoring=scoring, error_score="raise")["test_score"]
    assert np.isfinite(scores).all()


def test_a_halving_search_may_spend_epochs(flowers):
    X, y = flowers
    search = HalvingGridSearchCV(
        classifier(), {"lr": [0.001, 0.01, 0.05]}, resource="max_epochs", min_resources=2, max_resources=6,
        cv=2, random_state=0, error_score="raise",
    ).fit(X, y)  # fmt: skip
    assert search.best_estimator_.n_iter_ == search.best_params_["max_epochs"] == 6


def test_a_search_over_modules(flowers):
    X, y = flowers
    search = GridSearchCV(classifier(), {"module": [None, Net, nn.Linear]}, cv=2, error_score="raise").fit(X, y)
    assert set(search.predict(X)) <= set(y)


def test_several_targets_by_one_module_each(flowers):
    X, y = flowers
    both = np.stack([y, y[::-1]], axis=1)
    assert MultiOutputClassifier(scaled()).fit(X, both).predict(X).shape == (150, 2)


@pytest.mark.parametrize(
    "meta",
    [CalibratedClassifierCV(classifier(), cv=3), BaggingClassifier(classifier(), n_estimators=2, random_state=0)],
)
def test_weights_through_a_meta_estimator(meta, flowers):
    X, y = flowers
    fitted = clone(meta).fit(X, y, sample_weight=np.where(y == "virginica", 1e-9, 1.0))
    assert (fitted.predict(X) == "virginica").mean() < 0.05


def test_validation_curve(flowers):
    X, y = flowers
    train, test = validation_curve(
        classifier(), X, y, param_name="max_epochs", param_range=[1, 12], cv=3, error_score="raise"
    )
    assert train[1].mean() > train[0].mean()
    assert np.isfinite(test).all()


def test_self_training_learns_from_the_rows_without_a_label(flowers):
    X, y = flowers
    partly = y.astype(object)
    partly[np.arange(len(y)) % 3 > 0] = -1
    fitted = SelfTrainingClassifier(scaled(), threshold=0.6, max_iter=2).fit(X, partly)
    assert (fitted.labeled_iter_ > 0).any()
    assert fitted.score(X, y) > 0.85


def test_a_tuned_threshold_keeps_the_labels(two_flowers):
    X, y = two_flowers
    tuned = TunedThresholdClassifierCV(scaled(), cv=3, random_state=0).fit(X, y)
    assert set(tuned.predict(X)) == {"versicolor", "virginica"}
    assert tuned.score(X, y) > 0.85


def test_a_frozen_estimator_is_not_trained_again(flowers):
    X, y = flowers
    fitted = scaled().fit(X, y)
    weights = fitted[-1].module_.layers[0].weight.detach().clone()
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y)
    assert calibrated.predict(X).shape == (150,)
    assert fitted[-1].n_iter_ == 12
    assert bool((fitted[-1].module_.layers[0].weight == weights).all())


def test_sequential_feature_selection(flowers):
    X, y = flowers
    chosen = SequentialFeatureSelector(classifier(max_epochs=6), n_features_to_select=1, cv=2).fit(X, y)
    assert X.columns[chosen.get_support()][0].startswith("petal")


def test_permutation_importance(flowers):
    X, y = flowers
    result = permutation_importance(scaled().fit(X, y), X, y, n_repeats=2, random_state=0)
    assert X.columns[result.importances_mean.argmax()].startswith("petal")


@pytest.mark.usefixtures("_no_window")
def test_partial_dependence_display(flowers):
    X, y = flowers
    display = PartialDependenceDisplay.from_estimator(
        scaled().fit(X, y), X, ["petal length (cm)"], target="virginica", grid_resolution=5
    )
    assert display.axes_.shape == (1, 1)


@pytest.mark.usefixtures("_no_window")
def test_confusion_matrix_display_names_the_labels(flowers):
    X, y = flowers
    display = ConfusionMatrixDisplay.from_estimator(scaled().fit(X, y), X, y)
    assert display.confusion_matrix.sum() == 150
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == list(np.unique(y))


@pytest.mark.usefixtures("_no_window")
def test_roc_curve_display(two_flowers):
    X, y = two_flowers
    display = RocCurveDisplay.from_estimator(scaled().fit(X, y), X, y, pos_label="virginica")
    assert display.roc_auc > 0.9


def test_weights_are_routed_through_a_pipeline_in_a_search(flowers):
    X, y = flowers
    weights = np.where(y == "virginica", 0.0, 1.0)
    with config_context(enable_metadata_routing=True):
        net = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        search = GridSearchCV(make_pipeline(scaler, net), {"torchclassifier__lr": [0.05]}, cv=3, error_score="raise")
        search.fit(X, y, sample_weight=weights)
    assert "virginica" not in search.predict(X)
    assert search.best_score_ > 0.9


def test_it_reads_frames_that_set_output_makes(flowers):
    X, y = flowers
    pipeline = scaled().set_output(transform="pandas").fit(X, y)
    assert list(pipeline[-1].feature_names_in_) == list(X.columns)
    assert pipeline.score(X, y) > 0.9


def test_a_clone_of_a_fitted_estimator_is_not_fitted(flowers):
    X, y = flowers
    fitted = classifier(max_epochs=1).fit(X, y)
    assert not clone(fitted).__sklearn_is_fitted__()
