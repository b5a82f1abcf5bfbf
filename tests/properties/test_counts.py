"""Counts do not depend on batches or order, and equal scikit-learn's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from sktorch_acc import AccuracyCounter


@st.composite
def problems(draw):
    n_classes = draw(st.integers(2, 6))
    n_samples = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = torch.as_tensor(rng.integers(0, n_classes, n_samples))
    scores = torch.as_tensor(rng.standard_normal((n_samples, n_classes)).round(1))
    return n_classes, scores, targets


@st.composite
def splits(draw):
    n_classes, scores, targets = draw(problems())
    cuts = sorted(draw(st.lists(st.integers(0, len(targets)), max_size=5)))
    order = draw(st.permutations(range(len(targets))))
    return n_classes, scores, targets, cuts, torch.tensor(order)


def counted(n_classes, scores, targets, confusion=False):
    counter = AccuracyCounter(n_classes, confusion=confusion)
    counter.update(scores, targets)
    return counter


def same(a, b):
    return np.array_equal(a.correct, b.correct) and np.array_equal(a.support, b.support)


@given(splits())
def test_any_split_into_batches_and_any_order_give_the_same_counts(problem):
    n_classes, scores, targets, cuts, order = problem
    whole = counted(n_classes, scores, targets)
    parts = AccuracyCounter(n_classes)
    shuffled_scores, shuffled_targets = scores[order], targets[order]
    for start, stop in zip([0, *cuts], [*cuts, len(targets)], strict=True):
        parts.update(shuffled_scores[start:stop], shuffled_targets[start:stop])
    assert same(whole, parts)


@given(problems(), st.booleans())
def test_counts_equal_scikit_learns(problem, confusion):
    n_classes, scores, targets = problem
    counter = counted(n_classes, scores, targets, confusion)
    true, predicted = targets.numpy(), scores.argmax(1).numpy()
    assert counter.compute() == accuracy_score(true, predicted)
    recall = recall_score(true, predicted, labels=range(n_classes), average=None, zero_division=np.nan)
    assert np.array_equal(counter.per_class(), recall, equal_nan=True)
    if confusion:
        assert np.array_equal(counter.confusion, confusion_matrix(true, predicted, labels=range(n_classes)))


@given(st.lists(problems(), min_size=3, max_size=3), st.booleans())
def test_merging_is_commutative_and_associative(problems, confusion):
    n_classes = max(n for n, _, _ in problems)
    a, b, c = (
        counted(n_classes, torch.nn.functional.pad(scores, (0, n_classes - n), value=-99), targets, confusion)
        for n, scores, targets in problems
    )
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert same(a.merge(AccuracyCounter(n_classes, confusion=confusion)), a)


@given(problems(), st.randoms(use_true_random=False))
def test_permuting_classes_permutes_the_result(problem, random):
    n_classes, scores, targets = problem
    permutation = list(range(n_classes))
    random.shuffle(permutation)
    inverse = torch.tensor(np.argsort(permutation))
    classes = scores.argmax(1)
    before = counted(n_classes, classes, targets).per_class()
    after = counted(n_classes, inverse[classes], inverse[targets]).per_class()
    assert np.array_equal(before[permutation], after, equal_nan=True)
