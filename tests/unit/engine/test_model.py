"""A module and what was decided for it: predictions, copies, moves."""

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc.data import FeatureSchema, Labels
from sktorch_acc.engine.model import Model
from sktorch_acc.outputs import OutputSpec
from tests.fits import CPU, table

META = torch.device("meta")


def model_of(module, *, dtype=torch.float32, n_threads=1, integers=False):
    schema = FeatureSchema((3,), integers=integers, dtype=str(dtype).removeprefix("torch."))
    spec = OutputSpec("logits", one_column=False, n_classes=2)
    labels = Labels(np.array(["a", "b"]))
    return Model(module, nn.CrossEntropyLoss(torch.ones(2)), spec, schema, labels, CPU, dtype, n_threads)


def outputs(model, X):
    return model.predict(X, lambda output: output, "TheEstimator")


def test_predictions_are_the_outputs_in_evaluation_mode():
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)).train()
    X = table()
    expected = module[0](torch.from_numpy(X)).detach().numpy()
    assert np.array_equal(outputs(model_of(module), X), expected)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_predictions_of_several_chunks_are_one_array(monkeypatch, n):
    monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", 2)
    X = np.arange(3.0 * n, dtype="float32").reshape(n, 3)
    assert np.array_equal(outputs(model_of(nn.Identity()), X), X)


def test_predictions_have_the_shape_and_dtype_of_the_conversion():
    model = model_of(nn.Linear(3, 2))
    classes = model.predict(table(), model.spec.classes, "TheEstimator")
    assert classes.shape == (20,)
    assert classes.dtype == np.int64


def test_rows_reach_the_module_in_its_dtype():
    seen = []

    class Looks(nn.Identity):
        def forward(self, X):
            seen.append(X.dtype)
            return X

    outputs(model_of(Looks(), dtype=torch.float64), table())
    outputs(model_of(Looks(), integers=True), torch.ones(4, 3, dtype=torch.int64))
    assert seen == [torch.float64, torch.int64]


def test_nan_is_an_error_with_the_rows_and_the_estimator():
    X = np.zeros((5, 3), dtype="float32")
    X[3] = np.nan
    with pytest.raises(ValueError, match=r"ACC-D5.*NaN for 1 of the rows 0 to 4.*TheEstimator was fitted"):
        outputs(model_of(nn.Identity()), X)


def test_predict_uses_the_threads_of_the_fit_but_no_more_than_there_are(monkeypatch):
    threads = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    outputs(model_of(nn.Identity(), n_threads=2), table())
    assert threads == [4, 2, 4]
    del threads[1:]
    outputs(model_of(nn.Identity(), n_threads=64), table())
    assert threads == [4]


def test_autocast_is_off():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert outputs(model_of(nn.Linear(3, 2)), table()).dtype == np.float32


def test_a_copy_predicts_the_same_and_does_not_follow_the_training():
    model = model_of(nn.Linear(3, 2).train())
    before = outputs(model, table())
    model.module.train()
    twin = model.copy()
    assert model.module.training
    assert not twin.module.training
    with torch.no_grad():
        model.module.weight.zero_()
    assert np.array_equal(outputs(twin, table()), before)
    assert twin.labels is model.labels


def test_copying_moves_no_generator():
    class Draws(nn.Linear):
        def __deepcopy__(self, memo):
            torch.rand(1)
            return Draws(3, 2)

    model = model_of(Draws(3, 2))
    state = torch.get_rng_state()
    model.copy()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_moves_with_its_criterion():
    model = model_of(nn.Linear(3, 2))
    moved = model.to(META)
    assert moved.device == META
    assert moved.module is model.module
    assert {p.device for p in moved.module.parameters()} == {moved.criterion.weight.device} == {META}


def test_a_module_that_is_there_already_is_not_moved():
    class Stays(nn.Linear):
        def to(self, *arguments, **options):
            raise AssertionError

    model = model_of(Stays(3, 2))
    assert model.to(CPU).module is model.module
