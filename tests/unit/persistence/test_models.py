"""Round trips: what is loaded is what was saved."""

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

from sktorch_acc import ModelFileError, TorchClassifier, inspect_model, load_model, save_model
from sktorch_acc.modules import MLP
from tests import modules
from tests.saved import PairLoss, Tied, TwoLayers, loaded, parts, saved, small, table, three_classes, two_layers
from tests.saved import wide_layers as wide


def assert_same(clf, again, X):
    """Predictions, fitted attributes and parameters are equal, to the last bit."""
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.predict_proba(X).dtype == clf.predict_proba(X).dtype
    assert_array_equal(again.decision_function(X), clf.decision_function(X))
    assert_array_equal(again.predict(X), clf.predict(X))
    assert again.classes_.dtype == clf.classes_.dtype
    assert_array_equal(again.classes_, clf.classes_)
    assert_array_equal(again.class_count_, clf.class_count_)
    assert again.class_count_.dtype == np.int64
    assert_frame_equal(again.history_, clf.history_, check_exact=True)
    assert list(again.net_.history) == list(clf.net_.history)
    for name in ("n_features_in_", "n_iter_", "best_epoch_", "loss_curve_", "device_"):
        assert getattr(again, name) == getattr(clf, name), name
    assert not again.module_.training
    assert again.__sklearn_is_fitted__()


def round_trip(clf, X, module=None, **options):
    again = loaded(saved(clf), module, **options)
    assert_same(clf, again, X)
    return again


# ------------------------------------------------------------ labels

LABELS = {
    "str": np.array(["cat", "dog", "Straße ü"]),
    "str, wider than its labels": np.array(["a", "b", "c"], dtype="<U20"),
    "object": np.array(["cat", "dog", "lynx"], dtype=object),
    "surrogate": np.array(["a", "b", "\udc80"]),
    "int64": np.array([-1, 0, 7]),
    "int8": np.array([1, 2, 3], dtype=np.int8),
    "uint64": np.array([1, 2, 2**64 - 1], dtype=np.uint64),
    "big endian": np.array([1, 2, 3], dtype=">i4"),
    "float64": np.array([0.0, 1.0, 2.0]),
    "float32": np.array([0.0, 1.0, 2.0], dtype=np.float32),
    "float16": np.array([0.0, 1.0, 2.0], dtype=np.float16),
    "dates": np.array(["2026-01-01", "2026-01-02", "2026-01-04"], dtype="M8[D]"),
    "durations": np.array([1, 2, 3], dtype="m8[us]"),
    "category": pd.Series(["x", "y", "z"], dtype="category"),
    "nullable": pd.Series([1, 2, 3], dtype="Int64"),
    "pandas strings": pd.Series(["x", "y", "z"]),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind_come_back(labels):
    X, k = table(), three_classes()
    round_trip(small(X=X, y=labels[k] if isinstance(labels, np.ndarray) else labels.iloc[k]), X)


def test_bools_one_class_and_a_thousand_classes_come_back():
    X = table(2000, 3)
    round_trip(small(X=X, y=X[:, 0] > 0), X)
    round_trip(small(X=X, y=np.full(2000, "only")), X)
    round_trip(small(X=X, y=np.arange(2000) % 1000, batch_size=2000), X)


# ------------------------------------------------------------ features and modules


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, bool])
def test_the_bundled_module_keeps_its_dtype(dtype):
    X = (table() * 4).astype(dtype)
    again = round_trip(small(X=X, module__hidden_sizes=(5, 3), module__dropout=0.1), X)
    assert again.get_params()["module__hidden_sizes"] == (5, 3)


@pytest.mark.parametrize(
    ("module", "X", "params"),
    [
        (modules.Floats, table(n_features=1), {}),
        (modules.Doubles, table(), {}),
        (modules.DropNorm, table(dtype=np.float32), {"module__p": 0.25}),
        (modules.LogProbabilities, table(), {"criterion": nn.NLLLoss}),
        (modules.Ensemble, table(), {}),
        (modules.Lazy, table(dtype=np.float32), {}),
        (modules.Images, table(40, 3 * 4 * 4).reshape(40, 3, 4, 4), {}),
        (modules.Lazy, table(40, 12).reshape(40, 12), {"criterion__label_smoothing": 0.1}),
        (modules.Sequences, torch.arange(200).reshape(40, 5) % 20, {}),
        (Tied, table(dtype=np.float32), {}),
        (TwoLayers, table(), {"module__activation": nn.Tanh, "module__hidden": 5}),
        (MLP, table(), {"module__hidden_sizes": [4]}),
        (two_layers, table(), {}),
        (wide, table(), {}),
        (nn.LazyLinear, table(), {}),
    ],
    ids=lambda value: getattr(value, "__name__", None) and value.__name__,
)
def test_modules_of_every_kind_come_back(module, X, params):
    clf = small(module, X, **params)
    again = round_trip(clf, X, None if module is MLP else module)
    assert again.get_params() == clf.get_params()
    assert [type(layer) for layer in again.module_.modules()] == [type(layer) for layer in clf.module_.modules()]


@pytest.mark.parametrize(
    ("module", "criterion"), [(modules.OneLogit, nn.BCEWithLogitsLoss), (modules.OneProbability, nn.BCELoss)]
)
def test_one_column_comes_back(module, criterion):
    X = table()
    round_trip(small(module, X, X[:, 0] > 0, criterion=criterion), X, module)


def test_three_dimensional_rows_sparse_rows_and_frames_come_back():
    class Flat(TwoLayers):
        def __init__(self, n_classes):
            super().__init__(12, n_classes)

        def forward(self, X):
            return super().forward(X.flatten(1))

    X = table(40, 12).reshape(40, 3, 4)
    round_trip(small(Flat, X), X, Flat)
    sparse = csr_array(table() * (table(seed=1) > 0))
    round_trip(small(X=sparse), sparse)
    frame = pd.DataFrame(table(), columns=["age", "income", "größe", "\N{GREEK SMALL LETTER ALPHA}"])
    again = round_trip(small(X=frame), frame)
    assert again.feature_names_in_.tolist() == frame.columns.tolist()
    assert again.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame.rename(columns={"age": "alter"}))


def test_a_loaded_model_refuses_rows_as_the_saved_one_did():
    again = loaded(saved(small()))
    with pytest.raises(ValueError, match="expecting 4 features"):
        again.predict(table(n_features=3))
    tokens = torch.arange(200).reshape(40, 5) % 20
    again = loaded(saved(small(modules.Sequences, tokens)), modules.Sequences)
    with pytest.raises(ValueError, match="Pass integers again"):
        again.predict(tokens.numpy() + 0.5)


def test_parameters_in_another_dtype_than_the_class_begins_with_come_back():
    net = TwoLayers(4, 3).double()
    net.layers[0].weight.requires_grad_(False)
    X = table()
    clf = small(net, X)
    again = round_trip(clf, X, TwoLayers(4, 3))  # an instance in float32, not frozen
    assert again.module_.layers[0].weight.dtype == torch.float64
    assert [p.requires_grad for p in again.module_.parameters()] == [False, True, True, True]


def test_tied_weights_stay_tied_and_buffers_outside_the_state_dict_come_back():
    clf = small(Tied, table(dtype=np.float32))
    again = loaded(saved(clf), Tied)
    assert again.module_.first.weight is again.module_.second.weight
    assert again.module_.seen == clf.module_.seen
    assert_array_equal(again.module_.scale, clf.module_.scale)
    assert_array_equal(again.module_.cache, clf.module_.cache)


def test_an_instance_gives_way_to_one_of_the_callers():
    X = table(dtype=np.float32)
    clf = small(TwoLayers(4, 3, hidden=6), X)
    given = TwoLayers(4, 3, hidden=6)
    before = copy.deepcopy(given.state_dict())
    again = round_trip(clf, X, given)
    assert again.module is given
    assert again.module_ is not given
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())


def test_with_an_instance_no_argument_of_the_file_reaches_a_constructor():
    X = table(dtype=np.float32)
    again = round_trip(small(TwoLayers, X, module__hidden=6), X, TwoLayers(4, 3, hidden=6))
    assert not [name for name in again.get_params() if name.startswith("module__")]
    again.fit(X, three_classes())


# ------------------------------------------------------------ parameters


def test_parameters_of_every_kind_come_back():
    X = table()
    weight = torch.tensor([1.0, 2.0, 0.5])
    clf = small(
        TwoLayers,
        X,
        criterion__weight=weight,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=np.float64(0.01),
        lr_scheduler=torch.optim.lr_scheduler.StepLR,
        lr_scheduler__step_size=2,
        class_weight={np.int64(0): 1.0, 1: 2, 2: 0.5},
        device=torch.device("cpu"),
        n_threads=1,
        train_accuracy="running",
        validation_fraction=0.25,
        early_stopping=True,
        tol=np.float32(0.5),
    )
    again = round_trip(clf, X, TwoLayers)
    params, expected = again.get_params(), clf.get_params()
    assert torch.equal(params.pop("criterion__weight"), expected.pop("criterion__weight"))
    assert params == expected
    assert type(params["lr"]) is float
    again.set_params(criterion__weight=None).fit(X, three_classes())


def test_a_loaded_model_can_be_cloned_and_fitted_to_the_same_bits():
    X = table()
    clf = small(TwoLayers, X, module__hidden=5)
    again = loaded(saved(clf), TwoLayers)
    refitted = clone(again).fit(X, three_classes())
    assert_array_equal(refitted.predict_proba(X), clf.predict_proba(X))


def test_a_loaded_model_equals_its_pickle_round_trip():
    X = table()
    clf = small(TwoLayers, X)
    again, unpickled = loaded(saved(clf), TwoLayers), pickle.loads(pickle.dumps(clf))
    assert_same(unpickled, again, X)
    assert again.get_params() == unpickled.get_params()
    assert vars(again).keys() == vars(unpickled).keys()
    assert vars(again._state).keys() == vars(unpickled._state).keys()
    assert vars(again.net_).keys() == vars(unpickled.net_).keys()
    assert_same(again, pickle.loads(pickle.dumps(again)), X)


def test_a_saved_model_can_be_saved_again_unchanged():
    clf = small(TwoLayers)
    data = saved(clf)
    assert saved(clf) == data
    assert saved(loaded(data, TwoLayers)) == data


def test_a_criterion_of_ones_own_comes_back_with_its_parameters():
    X = table()
    clf = small(modules.Doubles, X, criterion=PairLoss, output="logits", criterion__temperature=2.0, lr=0.1)
    data = saved(clf)
    assert inspect_model(io.BytesIO(data))["needs"] == ["tests.saved:PairLoss"]
    with pytest.raises(ModelFileError, match=r"allow=\[PairLoss\]"):
        loaded(data, modules.Doubles)
    again = loaded(data, modules.Doubles, allow=[PairLoss])
    assert_same(clf, again, X)
    assert again.net_.criterion_.log_temperature == clf.net_.criterion_.log_temperature


def test_metadata_requests_come_back():
    clf = small()
    with sklearn.config_context(enable_metadata_routing=True):
        clf.set_fit_request(sample_weight="w").set_score_request(sample_weight=False)
        again = loaded(saved(clf))
        assert str(again.get_metadata_routing()) == str(clf.get_metadata_routing())


# ------------------------------------------------------------ training on


OPTIMIZERS = {name for name in torch.optim.__all__ if isinstance(getattr(torch.optim, name), type)}
NOT_FOR_THIS_MODULE = {"Optimizer", "SparseAdam", "Muon"}  # sparse gradients; matrices alone


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS - NOT_FOR_THIS_MODULE))
def test_with_the_optimizer_partial_fit_goes_on_as_if_nothing_had_been_saved(optimizer):
    X, y = table(), three_classes()
    options = {"optimizer__momentum": 0.9} if optimizer == "SGD" else {}
    clf = TorchClassifier(TwoLayers, optimizer=getattr(torch.optim, optimizer), random_state=0, **options)
    for _ in range(3):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    data = saved(clf, with_optimizer=True)
    assert inspect_model(io.BytesIO(data))["optimizer"]
    again = loaded(data, TwoLayers)
    assert str(again.net_.optimizer_.state_dict()) == str(clf.net_.optimizer_.state_dict())
    for _ in range(2):
        clf.partial_fit(X, y)
        again.partial_fit(X, y)
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.n_iter_ == 5
    assert again.history_.index.tolist() == [1, 2, 3, 4, 5]
    dropped = [name for name in clf.history_ if name != "seconds"]
    assert_frame_equal(again.history_[dropped], clf.history_[dropped], check_exact=True)
    assert again.net_.history[:, "train_loss_best"] == clf.net_.history[:, "train_loss_best"]


def test_with_the_optimizer_a_warm_start_goes_on():
    X, y = table(), three_classes()
    clf = small(X=X, warm_start=True)
    again = loaded(saved(clf, with_optimizer=True))
    assert_array_equal(again.fit(X, y).predict_proba(X), clf.fit(X, y).predict_proba(X))
    assert again.n_iter_ == 4


def test_after_a_plain_fit_the_optimizer_starts_anew_loaded_or_not():
    X, y = table(), three_classes()
    clf = small(X=X)
    plain, whole = loaded(saved(clf)), loaded(saved(clf, with_optimizer=True))
    clf.partial_fit(X, y)
    for again in (plain, whole):
        assert_array_equal(again.partial_fit(X, y).predict_proba(X), clf.predict_proba(X))


def test_without_the_optimizer_partial_fit_works_and_the_file_is_small():
    X, y = table(n_features=30), three_classes()
    clf = small(X=X, warm_start=True, module__hidden_sizes=(200, 200))
    without, within = saved(clf), saved(clf, with_optimizer=True)
    n_bytes = sum(p.nbytes for p in clf.module_.parameters())
    assert len(without) < 1.05 * n_bytes + 10_000
    assert len(within) > 3 * n_bytes
    again = loaded(without).partial_fit(X, y)
    assert again.n_iter_ == 3
    with pytest.raises(ModelFileError, match="no optimizer any more"):
        saved(loaded(without), with_optimizer=True)


def test_a_learning_rate_that_was_set_after_fit_is_followed_after_loading_too():
    X, y = table(), three_classes()
    clf = TorchClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2]).set_params(lr=0.5)
    again = loaded(saved(clf, with_optimizer=True))
    assert_array_equal(again.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X))
    assert again.history_["lr"].tolist() == [0.001, 0.5]


# ------------------------------------------------------------ around it


def test_loading_and_saving_change_no_shared_state():
    data = saved(small(TwoLayers))
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_default_dtype()  # noqa: NPY002
    with torch.inference_mode():
        again = loaded(data, TwoLayers)
        saved(again)
    assert torch.equal(before[0], torch.get_rng_state())
    assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.get_default_dtype() is before[2]
    again.partial_fit(table(), three_classes())  # the parameters are no inference tensors


def test_a_path_may_be_text_or_a_path_and_a_link_is_followed(tmp_path):
    clf = small()
    save_model(clf, str(tmp_path / "v1"))
    (tmp_path / "latest").symlink_to("v1")
    (tmp_path / "v1").chmod(0o640)
    clf.partial_fit(table(), three_classes())
    save_model(clf, tmp_path / "latest")
    assert load_model(tmp_path / "v1").n_iter_ == 3
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "v1").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "v1"]


def test_errors_of_the_system_and_of_the_caller_are_their_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        save_model(small(), tmp_path / "no" / "folder")
    with pytest.raises(NotFittedError):
        save_model(TorchClassifier(), tmp_path / "x")
    with pytest.raises(TypeError, match=r"got a Pipeline.*skops"):
        save_model(make_pipeline(small()), tmp_path / "x")
    with pytest.raises(ValueError, match="not available"):
        loaded(saved(small()), device="cuda:99")
    with pytest.raises(TypeError, match="allow must hold classes"):
        loaded(saved(small()), allow=["os.system"])
    assert not list(tmp_path.iterdir())


def test_inspect_says_what_is_there_without_the_classes():
    frame = pd.DataFrame(table(), columns=list("abcd"))
    data = saved(small(TwoLayers, frame, y=np.array(["x", "y", "z"])[three_classes()], module__hidden=5))
    facts = inspect_model(io.BytesIO(data))
    assert facts["module"] == {"kind": "class", "name": "tests.saved:TwoLayers"}
    assert facts["parameters"]["module__hidden"] == 5
    assert facts["parameters"]["optimizer"] == {"$name": "torch.optim.AdamW"}
    assert facts["needs"] == []
    assert facts["classes"].tolist() == ["x", "y", "z"]
    assert facts["feature_names"] == list("abcd")
    assert facts["row_shape"] == (4,)
    assert facts["history"].index.tolist() == [1, 2]
    assert facts["tensors"]["module.layers.0.weight"] == {"dtype": "float32", "shape": [5, 4]}
    assert facts["versions"]["torch"] == torch.__version__
    assert not facts["optimizer"]


def test_the_file_is_a_zip_that_other_tools_open_and_whose_json_is_ascii():
    import zipfile

    data = saved(small(y=np.array(["ä", "b", "c"])[three_classes()]))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["manifest.json", "weights.safetensors"]
        assert archive.testzip() is None
        assert archive.read("manifest.json").isascii()
    assert parts(data)[0]["format_version"] == 2
