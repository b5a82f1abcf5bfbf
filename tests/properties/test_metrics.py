"""Properties of per-class accuracies that hold for any labels."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score
from sklearn.utils.multiclass import unique_labels

from sktorch_acc.metrics import (
    per_class_accuracy_score,
    per_class_accuracy_table,
    worst_class_accuracy_score,
)
from tests.properties import oracles
from tests.properties.strategies import Labelled, labelled, labelled_with_counts, labelled_with_subset


def same(a, b):
    """Equal to the last bit, NaN where NaN."""
    return np.array_equal(a, b, equal_nan=True)


@given(labelled())
def test_within_class_accuracy_equals_recall_of_scikit_learn(data: Labelled):
    expected = recall_score(data.true, data.pred, average=None, zero_division=np.nan, labels=None)
    assert same(per_class_accuracy_score(data.y_true, data.y_pred), expected)


@given(labelled_with_subset())
def test_a_subset_of_labels_gives_the_same_accuracies_in_its_own_order(case):
    data, labels = case
    expected = recall_score(data.true, data.pred, labels=labels, average=None, zero_division=np.nan)
    assert same(per_class_accuracy_score(data.y_true, data.y_pred, labels=labels), expected)
    assert same(expected, [oracles.within(data.true, data.pred, label) for label in labels])


@given(labelled_with_subset())
def test_one_vs_rest_equals_accuracy_of_the_yes_no_question(case):
    data, labels = case
    true, pred = np.array(data.true), np.array(data.pred)
    expected = [accuracy_score(true == label, pred == label) for label in labels]
    assert same(per_class_accuracy_score(data.y_true, data.y_pred, labels=labels, kind="one_vs_rest"), expected)
    assert same(expected, [oracles.one_vs_rest(data.true, data.pred, label) for label in labels])


@given(labelled())
def test_overall_row_equals_accuracy_score_and_class_counts_sum_to_it(data: Labelled):
    table = per_class_accuracy_table(data.y_true, data.y_pred)
    assert table["accuracy"].iloc[-1] == accuracy_score(data.true, data.pred)
    counts = table[["support", "correct", "wrong", "predicted"]]
    assert (counts.iloc[:-1].sum() == counts.iloc[-1]).all()
    assert table["support"].iloc[-1] == len(data.true)


@given(labelled_with_subset())
def test_table_counts_equal_those_of_a_loop_over_the_samples(case):
    data, labels = case
    table = per_class_accuracy_table(data.y_true, data.y_pred, labels=labels)
    rest = sorted({*data.true, *data.pred} - set(labels))
    for row, label in zip(table.to_dict("records"), labels, strict=False):
        assert {k: row[k] for k in ("support", "correct", "wrong", "predicted")} == oracles.table_row(
            data.true, data.pred, label
        )
        assert row["most_confused_with"] == oracles.most_confused(data.true, data.pred, label, [*labels, *rest])
    covered = [i for i, label in enumerate(data.true) if label in labels]
    assert table["support"].iloc[-1] == len(covered)
    assert table["correct"].iloc[-1] == sum(data.true[i] == data.pred[i] for i in covered)


@given(labelled())
def test_table_is_in_the_sorted_order_of_all_labels(data: Labelled):
    table = per_class_accuracy_table(data.y_true, data.y_pred)
    assert table.index[:-1].tolist() == unique_labels(data.true, data.pred).tolist()
    matrix = np.zeros((len(table) - 1, len(table) - 1), dtype=np.int64)
    if len(matrix) > 1:  # scikit-learn warns about a single class
        matrix += confusion_matrix(data.true, data.pred)
    else:
        matrix += len(data.true)
    assert table["correct"].tolist()[:-1] == matrix.diagonal().tolist()
    assert table["predicted"].tolist()[:-1] == matrix.sum(axis=0).tolist()


@given(labelled(), st.randoms(use_true_random=False))
def test_order_of_samples_changes_nothing(data: Labelled, random):
    order = list(range(len(data.true)))
    random.shuffle(order)
    shuffled = per_class_accuracy_table([data.true[i] for i in order], [data.pred[i] for i in order])
    pd.testing.assert_frame_equal(per_class_accuracy_table(data.true, data.pred), shuffled)


@given(labelled_with_subset())
def test_permuting_the_labels_permutes_the_accuracies(case):
    data, labels = case
    table = per_class_accuracy_table(data.y_true, data.y_pred, labels=labels)
    turned = per_class_accuracy_table(data.y_true, data.y_pred, labels=labels[::-1])
    columns = [column for column in table if column != "most_confused_with"]  # its ties follow the order
    pd.testing.assert_frame_equal(table[columns].iloc[:-1], turned[columns].iloc[-2::-1], check_exact=True)


@given(labelled_with_counts())
def test_integer_weights_equal_repeated_samples(case):
    data, counts = case
    true, pred = np.repeat(data.true, counts), np.repeat(data.pred, counts)
    labels = sorted({*data.true, *data.pred})
    for kind in ("within", "one_vs_rest"):
        weighted = per_class_accuracy_score(data.y_true, data.y_pred, labels=labels, kind=kind, sample_weight=counts)
        assert same(weighted, per_class_accuracy_score(true, pred, labels=labels, kind=kind))
    table = per_class_accuracy_table(data.y_true, data.y_pred, labels=labels, sample_weight=counts)
    repeated = per_class_accuracy_table(true, pred, labels=labels)
    assert same(table["weight"], repeated["support"])
    assert same(table["weighted_accuracy"], repeated["accuracy"])


@given(labelled(), st.integers(0, 2**31))
def test_weighted_accuracies_agree_with_scikit_learn(data: Labelled, seed):
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(data.true))
    labels = sorted(set(data.true))
    expected = recall_score(data.true, data.pred, labels=labels, average=None, sample_weight=weight)
    score = per_class_accuracy_score(data.y_true, data.y_pred, labels=labels, sample_weight=weight)
    np.testing.assert_allclose(score, expected, rtol=1e-12, atol=0)
    true, pred = np.array(data.true), np.array(data.pred)
    rest = [accuracy_score(true == label, pred == label, sample_weight=weight) for label in labels]
    score = per_class_accuracy_score(data.y_true, data.y_pred, labels=labels, kind="one_vs_rest", sample_weight=weight)
    np.testing.assert_allclose(score, rest, rtol=0, atol=1e-12)


@given(labelled_with_counts())
def test_weights_never_change_the_counted_columns(case):
    data, weight = case
    plain = per_class_accuracy_table(data.y_true, data.y_pred)
    weighted = per_class_accuracy_table(data.y_true, data.y_pred, sample_weight=weight)
    pd.testing.assert_frame_equal(weighted[plain.columns], plain, check_exact=True)


@given(labelled(), st.sampled_from([0.5, 1.0, 4.0]))
def test_constant_weights_change_no_accuracy(data: Labelled, weight):
    weights = np.full(len(data.true), weight)
    assert same(
        per_class_accuracy_score(data.y_true, data.y_pred, sample_weight=weights),
        per_class_accuracy_score(data.y_true, data.y_pred),
    )


@given(labelled())
def test_worst_class_is_the_minimum_over_classes_with_samples(data: Labelled):
    expected = min(oracles.within(data.true, data.pred, label) for label in set(data.true))
    assert worst_class_accuracy_score(data.y_true, data.y_pred) == expected


@given(labelled(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_interval_holds_the_accuracy_and_lies_between_0_and_1(data: Labelled, confidence):
    table = per_class_accuracy_table(data.y_true, data.y_pred, confidence=confidence)
    table = table[table["support"] > 0]
    assert ((table["low"] >= 0) & (table["low"] <= table["accuracy"])).all()
    assert ((table["accuracy"] <= table["high"]) & (table["high"] <= 1)).all()
