"""The kinds of X that are accepted, and the messages for all others."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import coo_array, csc_matrix, csr_array, csr_matrix
from sklearn.base import BaseEstimator

from sktorch_acc.data import FeatureSchema

CPU = torch.device("cpu")


class Holder(BaseEstimator):
    """Stands for the estimator, on which validation leaves n_features_in_."""


def tensor_of(X, dtype=torch.float64):
    schema, checked = FeatureSchema.learn(Holder(), X)
    rows = schema.rows(checked).on(CPU, dtype)
    return rows.chunk(0, len(rows))


VALUES = np.array([[1, 0], [0, 1], [1, 1]])
FRAME = pd.DataFrame({"a": [1, 0, 1], "b": [0.0, 1.0, 1.0]})


@pytest.mark.parametrize(
    "X",
    [
        *(VALUES.astype(d) for d in ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
        np.asfortranarray(VALUES.astype(float)),
        VALUES.astype(">f8"),
        VALUES[::-1][::-1],
        VALUES.tolist(),
        [tuple(row) for row in VALUES.tolist()],
        VALUES.astype(object),
        FRAME,
        FRAME.astype({"a": "Int64", "b": "Float64"}),
        FRAME.astype({"a": "bool"}),
        FRAME.astype(object),
        FRAME.set_axis([0, 1], axis=1),
        pl.DataFrame(FRAME.to_dict("list")),
        csr_array(VALUES.astype(float)),
        csr_matrix(VALUES),
        csc_matrix(VALUES.astype("f4")),
        coo_array(VALUES.astype(float)),
        torch.tensor(VALUES, dtype=torch.float32),
        torch.tensor(VALUES, dtype=torch.bfloat16),
        torch.tensor(VALUES, dtype=torch.bool),
        torch.tensor(VALUES, dtype=torch.float64).T.contiguous().T,
        torch.tensor(VALUES, dtype=torch.float64, requires_grad=True),
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_every_kind_of_table_gives_the_same_tensor(X):
    assert torch.equal(tensor_of(X), torch.tensor(VALUES, dtype=torch.float64))


def test_a_read_only_array_is_taken_without_a_warning_and_never_written_to():
    X = np.ones((3, 2))
    X.flags.writeable = False
    chunk = tensor_of(X)
    chunk.zero_()
    assert X.all()


def test_a_chunk_is_always_a_copy():
    X = np.ones((3, 2))
    tensor_of(X).zero_()
    assert X.all()


def test_rows_in_the_computing_dtype_share_the_callers_memory():
    X = np.ones((3, 2))
    schema, checked = FeatureSchema.learn(Holder(), X)
    resident = schema.rows(checked).on(CPU, torch.float64).resident()
    assert resident.source.data_ptr() == X.ctypes.data


def test_integer_tensors_stay_integers_and_integer_arrays_become_floats():
    assert tensor_of(torch.tensor([[1, 2]], dtype=torch.int32)).dtype == torch.int64
    assert tensor_of(np.array([[1, 2]])).dtype == torch.float64


def test_n_dimensional_rows_keep_their_shape():
    schema, _ = FeatureSchema.learn(Holder(), np.ones((4, 1, 8, 8)))
    assert schema.row_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, np.nan]]), r"NaN in column 1 \(1 rows\)"),
        (np.array([[np.inf, 1.0], [-np.inf, 2.0]]), r"infinity in column 0 \(2 rows\)"),
        (pd.DataFrame({"wage": [1.0, np.nan], "age": [1, 2]}), r"NaN in column 'wage' \(1 rows\)"),
        (FRAME.astype("Float64").where(FRAME > 0), r"NaN in column 'a' \(1 rows\), 'b' \(1 rows\)"),
        (csr_array(np.array([[np.nan, 0.0]])), r"NaN in column 0"),
        (torch.tensor([[1.0, torch.nan]]), r"NaN in column 1"),
        (np.full((2, 1, 2, 2), np.nan), r"NaN: 8 values"),
        (pd.DataFrame({"a": [1], "sector": ["x"], "when": [pd.Timestamp("2020")]}), r"\['sector', 'when'\].*OneHot"),
        (pd.DataFrame({"a": pd.Categorical(["x", "y"])}), r"\['a'\].*Encode text"),
        (pd.DataFrame({"a": ["x", 1]}, dtype=object), r"\['a'\].*Encode text"),
        (pl.DataFrame({"a": ["x", "y"]}), r"\['a'\].*Encode text"),
        (FRAME.set_axis(["a", "a"], axis=1), r"more than one column of the name\(s\) \['a'\]"),
        (np.array([["a", "b"]]), "Input X holds strings.*Encode text"),
        ([["a", "b"]], "Input X holds strings"),
        (np.array([["a", 1]], dtype=object), "Input X holds text.*Encode text"),
        (np.ones(3), "Expected 2D array, got 1D array"),
        (np.ones((0, 3)), r"0 sample\(s\)"),
        (np.ones((3, 0)), r"0 feature\(s\)"),
        (np.ones((2, 2), dtype=complex), "Complex data not supported"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(X, message):
    with pytest.raises(ValueError, match=message):
        FeatureSchema.learn(Holder(), X)


def test_finite_values_whose_sum_overflows_pass():
    assert torch.isfinite(tensor_of(np.full((4, 2), 1e308))).all()


def test_values_beyond_the_computing_dtype_are_refused():
    schema, checked = FeatureSchema.learn(Holder(), np.array([[1e300, 1.0]]))
    with pytest.raises(ValueError, match=r"1e\+300, which is infinite in float32.*StandardScaler"):
        schema.rows(checked).on(CPU, torch.float32)


@pytest.mark.parametrize("kind", ["Dataset", "DataLoader"])
def test_a_dataset_or_loader_is_told_what_to_do_instead(kind):
    data = torch.utils.data.TensorDataset(torch.ones(3, 2))
    X = data if kind == "Dataset" else torch.utils.data.DataLoader(data)
    with pytest.raises(TypeError, match=r"arrays are expected.*torch\.stack"):
        FeatureSchema.learn(Holder(), X)


def test_a_sparse_torch_tensor_is_told_what_to_do_instead():
    with pytest.raises(TypeError, match="to_dense"):
        FeatureSchema.learn(Holder(), torch.ones(2, 2).to_sparse())


@pytest.mark.parametrize(
    ("fitted", "later", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "X has 4 features, but Holder is expecting 3 features"),
        (np.ones((2, 1, 8, 8)), np.ones((2, 1, 9, 9)), r"shape \(2, 1, 9, 9\).*samples of shape \(1, 8, 8\)"),
        (np.ones((2, 1, 8, 8)), np.ones((2, 64)), r"shape \(2, 64\).*samples of shape \(1, 8, 8\)"),
        (np.ones((2, 3)), np.ones((2, 3, 4)), r"samples of shape \(3, 4\).*samples of shape \(3,\)"),
        (torch.ones(2, 3, dtype=torch.int64), np.ones((2, 3)), "fitted on integers"),
    ],
)
def test_rows_of_another_shape_are_refused_later(fitted, later, message):
    holder = Holder()
    schema, _ = FeatureSchema.learn(holder, fitted)
    with pytest.raises(ValueError, match=message):
        schema.check(holder, later)


def test_reordered_columns_are_refused_by_name():
    holder = Holder()
    schema, _ = FeatureSchema.learn(holder, FRAME)
    with pytest.raises(ValueError, match="feature names should match"):
        schema.check(holder, FRAME[["b", "a"]])


def test_a_schema_is_restored_from_its_state():
    schema, _ = FeatureSchema.learn(Holder(), torch.ones(2, 3, 4, dtype=torch.int64))
    assert FeatureSchema.from_state(schema.to_state()) == schema
