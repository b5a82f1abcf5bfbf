"""What cannot be stored is named when saving, with what to do; and doing it helps."""

import functools
import io

import numpy as np
import pytest
import torch
from sklearn.callback import ProgressBar
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from sktorch_acc import ModelFileError, TorchClassifier, save_model
from tests.modules import Doubles
from tests.saved import Tied, TwoLayers, loaded, parts, saved, small, table, three_classes


class Silent(Callback):
    """A callback without a state."""

    def __init__(self, volume=0):
        self.volume = volume


class Subclass(TorchClassifier):
    pass


def refused(clf, message, **options):
    with pytest.raises(ModelFileError, match=message):
        saved(clf, **options)


def test_a_lambda_is_refused_as_module_and_as_parameter():
    refused(small(lambda n_features, n_classes: TwoLayers(n_features, n_classes)), "module is a lambda.*with def")
    refused(small(functools.partial(lambda width: nn.Linear(4, width), 3)), "module is a lambda")
    refused(small(TwoLayers, module__activation=lambda: nn.ReLU()), "module__activation is a lambda")


def test_objects_in_the_place_of_classes_are_refused_by_name():
    refused(
        small(criterion=nn.CrossEntropyLoss(label_smoothing=0.1)), "criterion is a CrossEntropyLoss.*criterion__<name>"
    )
    refused(
        small(optimizer=functools.partial(torch.optim.SGD, momentum=0.9)), "optimizer is a partial.*optimizer__<name>"
    )
    refused(small(TwoLayers, module__activation=functools.partial(nn.ELU, 0.5)), "module__activation is a partial")


def test_a_random_state_object_is_refused_and_the_advice_helps():
    clf = small(random_state=np.random.RandomState(0))
    refused(clf, r"random_state is a RandomState.*set_params\(random_state=None\)")
    saved(clf.set_params(random_state=None))


def test_callbacks_with_a_state_are_refused_and_the_advice_helps():
    clf = small(callbacks=[("score", Silent())])
    refused(clf, r"callbacks\[0\] is an instance of Silent.*set_params\(callbacks=None\)")
    clf = small(
        callbacks=[("score", EpochScoring)], callbacks__score__scoring="accuracy", callbacks__score__use_caching=False
    )
    refused(clf, "The callback 'score' has a state.*best_score_")
    loaded(saved(clf.set_params(callbacks=None))).predict(table())


def test_callbacks_without_a_state_are_stored_and_must_be_allowed():
    clf = small(callbacks=[("silent", Silent)], callbacks__silent__volume=3)
    data = saved(clf)
    with pytest.raises(ModelFileError, match=r"callbacks.*allow=\[Silent\]"):
        loaded(data)
    again = loaded(data, allow=[Silent])
    assert again.get_params() == clf.get_params()
    assert [(name, type(callback), callback.volume) for name, callback in again.callbacks_] == [("silent", Silent, 3)]


def test_callbacks_of_scikit_learn_are_refused_and_the_advice_helps():
    clf = TorchClassifier(max_epochs=1).set_callbacks(ProgressBar())
    clf.partial_fit(table(), three_classes(), classes=[0, 1, 2])
    refused(clf, r"clf.set_callbacks\(\)")
    saved(clf.set_callbacks())


def test_what_only_a_pickle_would_keep_is_refused():
    refused(Subclass(max_epochs=1).fit(table(), three_classes()), "not its subclass Subclass")
    clf = small()
    clf.note_ = "from Tuesday"
    refused(clf, "'note_'.*del clf.note_")


def test_labels_that_are_long_doubles_are_read_as_float64_and_can_be_saved():
    clf = small(y=np.array([1.0, 2, 3], dtype=np.longdouble)[three_classes()])
    assert clf.classes_.dtype == loaded(saved(clf)).classes_.dtype == np.float64


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"criterion": nn.NLLLoss}, "criterion or output is not what the estimator was fitted with"),
        ({"criterion": nn.L1Loss}, "could not be built again.*Say what the module returns"),
        ({"criterion__no": 1}, "could not be built again.*criterion__no"),
        ({"optimizer__no": 1}, "could not be built again.*optimizer__no"),
        ({"lr": -1}, "could not be built again.*lr"),
        ({"module": Doubles}, "module_ is a TwoLayers, but module is Doubles"),
        ({"module": None}, "module_ is a TwoLayers, but module is MLP"),
        ({"module__hidden": 9}, "do not build module_ again .*shape"),
        ({"class_weight": {0: {1}}}, r"class_weight\[0\] is a set"),
        ({"verbose": np.float128(1)}, "verbose is a (float128|longdouble)"),
        ({"module__hidden": np.array(["a"])}, "module__hidden is an array of dtype <U1"),
    ],
)
def test_parameters_that_were_changed_since_fit_are_refused(params, message):
    refused(small(TwoLayers).set_params(**params), message)


def test_parameters_that_matter_in_fit_alone_may_be_changed_after_it():
    clf = small(TwoLayers).set_params(lr=0.5, max_epochs=7, optimizer=torch.optim.SGD, class_weight="balanced")
    assert loaded(saved(clf), TwoLayers).get_params() == clf.get_params()


def test_the_state_of_another_optimizer_than_the_parameter_names_is_refused():
    clf = small(warm_start=True).set_params(optimizer=torch.optim.SGD)
    refused(clf, "no longer AdamW", with_optimizer=True)


def test_a_module_that_was_changed_or_wrapped_after_fit_is_refused():
    clf = small(TwoLayers)
    clf.module_.layers[2] = nn.Linear(8, 5)
    refused(clf, "do not build module_ again .*layers.2")
    clf = small(TwoLayers)
    clf.net_.module_ = nn.DataParallel(clf.module_)
    refused(clf, "module_ is a DataParallel, but module is TwoLayers: it was wrapped")


class WithExtra(TwoLayers):
    def get_extra_state(self):
        return {"anything": 1}

    def set_extra_state(self, state):
        self.extra = state


class Quaternions(TwoLayers):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.register_buffer("unit", torch.ones(3, dtype=torch.complex128))


def test_state_that_is_no_plain_tensor_is_refused():
    refused(small(WithExtra), "'_extra_state' in its state, a dict")
    for name in ("seen", "cache"):  # in the state dict, and outside it
        clf = small(Tied, table(dtype=np.float32))
        setattr(clf.module_, name, torch.eye(3).to_sparse())
        refused(clf, f"'{name}' in its state, a Tensor that is not a plain tensor")
    refused(small(Quaternions), "cannot be stored")


def test_a_module_that_cannot_be_built_without_memory_is_stored_all_the_same():
    data = saved(small(Stubborn))
    assert loaded(data, Stubborn).module_.size == 8.0


class Stubborn(TwoLayers):
    """Reads a value while it is built, which a tensor on the meta device does not have."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.size = torch.full((), 8.0).item()


def test_containers_of_containers_and_deep_ones_know_their_limit():
    params = {"a": [1, (2.5, {"$x": None, 3: float("inf")})], "b": {"$name": "os:system"}}
    clf = small(TwoLayers).set_params(class_weight=params)
    again = loaded(saved(clf), TwoLayers)
    assert again.class_weight == params
    deep = []
    for _ in range(40):
        deep = [deep]
    refused(small().set_params(class_weight={0: deep}), "which a model file cannot hold")
    cyclic = {}
    cyclic[0] = cyclic
    refused(small().set_params(class_weight=cyclic), "which a model file cannot hold")


def test_arrays_dtypes_and_scalars_among_parameters_come_back():
    values = {
        "i": np.arange(3, dtype=">i2"),
        "f": np.ones((2, 2), dtype=np.float32),
        "t": torch.arange(3),
        "d": torch.float16,
        "s": [np.int8(1), np.float32(0.1), np.str_("x"), np.bool_(True)],
    }
    again = loaded(saved(small().set_params(class_weight=values))).class_weight
    assert again["i"].tolist() == [0, 1, 2]
    assert again["f"].dtype == np.float32
    assert again["t"].tolist() == [0, 1, 2]
    assert again["d"] is torch.float16
    assert again["s"] == values["s"]
    assert [type(value) for value in again["s"]] == [int, float, str, bool]


def test_values_that_are_not_finite_come_back():
    X, y = table(), three_classes()
    clf = TorchClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2, 3])
    assert clf.history_.isna().any(axis=None)
    clf._state.rows[0].values["train_loss"] = float("inf")
    again = loaded(saved(clf))
    assert again.history_.loc[1, "train_loss"] == float("inf")
    assert again.history_.drop(columns="train_loss").equals(clf.history_.drop(columns="train_loss"))


def test_what_callbacks_recorded_comes_back_and_only_that_is_stored_twice():
    clf = small(callbacks=[Silent])
    clf.net_.history.record("score", float("-inf"))
    data = saved(clf)
    again = loaded(data, allow=[Silent])
    assert list(again.net_.history) == list(clf.net_.history)
    assert again.net_.history[-1]["score"] == float("-inf")
    assert parts(saved(small()))[0]["callback_record"] is None


def test_a_record_of_a_callback_that_cannot_be_stored_is_named_and_the_advice_helps():
    clf = small(callbacks=[Silent])
    clf.net_.history.record("thing", object())
    refused(clf, r"net_.history\[1\]\['thing'\] is a object.*net_.history.clear")
    clf.net_.history.clear()
    assert loaded(saved(clf), allow=[Silent]).history_.equals(clf.history_)


def test_nothing_is_written_when_saving_is_refused():
    file = io.BytesIO()
    with pytest.raises(ModelFileError, match="lambda"):
        save_model(small(lambda: nn.Linear(4, 3)), file)
    assert file.getvalue() == b""
