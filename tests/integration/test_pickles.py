"""Pickle and joblib: tensors on the CPU, about the size of the weights, a warning for other versions."""

import copy
import io
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning

from sktorch_acc import AccuracyWarning, TorchClassifier
from tests.saved import TwoLayers, saved, small, table, three_classes

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).parent.parent / "data"
X, Y = table(), three_classes()


def test_pickle_and_joblib_give_the_same_bits_back(tmp_path):
    clf = small(TwoLayers)
    joblib.dump(clf, tmp_path / "clf.joblib")
    for again in (pickle.loads(pickle.dumps(clf)), joblib.load(tmp_path / "clf.joblib"), copy.deepcopy(clf)):
        assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert again.module_ is again.net_.module_
        assert again.get_params() == clf.get_params()
        assert vars(again).keys() == vars(clf).keys()


def test_a_pickle_is_about_as_large_as_the_weights_unless_training_goes_on():
    wide = table(n_features=30)
    params = {"module__hidden_sizes": (200, 200), "n_threads": 1}
    clf = small(X=wide, **params)
    n_bytes = sum(p.nbytes for p in clf.module_.parameters())
    assert len(pickle.dumps(clf)) < 1.05 * n_bytes + 20_000
    again = pickle.loads(pickle.dumps(clf))
    assert not hasattr(again.net_, "optimizer_")
    assert hasattr(clf.net_, "optimizer_")
    warm = small(X=wide, warm_start=True, **params)
    assert len(pickle.dumps(warm)) > 3 * n_bytes
    assert_array_equal(
        pickle.loads(pickle.dumps(warm)).fit(wide, Y).predict_proba(wide), warm.fit(wide, Y).predict_proba(wide)
    )


def test_an_unpickled_estimator_trains_on():
    clf = TorchClassifier(TwoLayers, random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    again = pickle.loads(pickle.dumps(clf))
    parameters = {id(p) for p in again.module_.parameters()}
    assert {id(p) for group in again.net_.optimizer_.param_groups for p in group["params"]} == parameters
    assert_array_equal(again.partial_fit(X, Y).predict_proba(X), clf.partial_fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_what_an_accelerator_made_comes_back_on_the_cpu_with_a_warning(device, warm_start):
    clf = small(TwoLayers, warm_start=warm_start)
    expected = clf.predict_proba(X)
    clf._state.model = replace(clf._state.model, device=torch.device(device))  # all but the tensors themselves
    data = pickle.dumps(clf)
    with pytest.warns(AccuracyWarning, match=f"was on '{device}', which is not available here"):
        again = pickle.loads(data)
    assert again.device_ == torch.device("cpu")
    assert again.net_.device == "cpu"
    assert_array_equal(again.predict_proba(X), expected)
    again.partial_fit(X, Y)
    saved(again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(again))


@pytest.mark.parametrize("package", ["scikit-learn", "sktorch-acc"])
def test_another_version_gives_the_warning_of_scikit_learn(package):
    for clf in (small(), TorchClassifier()):
        state = clf.__getstate__()
        assert not [name for name in vars(clf) if "version" in name]
        state["_versions"][package] = "0.0.1"
        with pytest.warns(InconsistentVersionWarning, match=f"TorchClassifier from version {package} 0.0.1") as caught:
            TorchClassifier().__setstate__(state)
        assert len(caught) == 1
        assert caught[0].message.original_sklearn_version == f"{package} 0.0.1"


def test_the_same_version_and_a_clone_give_no_warning():
    clf = small()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(clf))
        clone(copy.deepcopy(clf))
    state = clf.__getstate__()
    del state["_versions"]  # a subclass that keeps a state of its own
    TorchClassifier().__setstate__(state)


def test_setting_a_state_leaves_the_state_alone():
    state = small().__getstate__()
    TorchClassifier().__setstate__(state)
    assert "_versions" in state


@pytest.mark.slow
def test_a_pickle_predicts_the_same_bits_in_a_new_process(tmp_path):
    clf = small(TwoLayers, n_threads=1)
    joblib.dump((clf, X), tmp_path / "clf.joblib")
    script = (
        "import joblib, numpy, sys; clf, X = joblib.load(sys.argv[1]); numpy.save(sys.argv[2], clf.predict_proba(X))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "clf.joblib", tmp_path / "out.npy"], check=True, cwd=ROOT)
    assert_array_equal(np.load(tmp_path / "out.npy"), clf.predict_proba(X))


def test_a_file_object_takes_a_pickle_too():
    file = io.BytesIO()
    joblib.dump(small(), file)
    file.seek(0)
    assert joblib.load(file).n_iter_ == 2


EARLIER = DATA / "pickle-0.1.0.pkl"  # written once, by a build with another layout: do not write it anew


@pytest.mark.parametrize(
    "load",
    [
        joblib.load,
        lambda path: pickle.loads(path.read_bytes()),
        lambda path: pickle._Unpickler(io.BytesIO(path.read_bytes())).load(),  # in Python, as joblib's is
    ],
    ids=["joblib", "pickle", "pickle in Python"],
)
def test_a_pickle_of_an_earlier_build_says_what_to_do(load):
    with pytest.raises(pickle.UnpicklingError, match=r"earlier build of sktorch-acc 0\.1\.0.*Fit again.*load_model"):
        load(EARLIER)


def test_the_module_that_earlier_pickles_name_has_nothing_else():
    from sktorch_acc.engine import session

    with pytest.raises(AttributeError, match="no attribute 'Plan'"):
        _ = session.Plan
    assert not hasattr(session, "__path__")
    assert b"sktorch_acc.engine.session" in EARLIER.read_bytes()
