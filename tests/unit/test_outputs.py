"""The output spec: classes are computed from outputs, never from rounded probabilities."""

import pytest
import torch
from torch import nn

from sktorch_acc import ModuleOutputError
from sktorch_acc.outputs import OutputForm, OutputSpec, output_spec


def test_the_class_is_the_argmax_of_the_output_not_of_rounded_probabilities():
    """Two large logits whose float32 probabilities are both rounded to the same value."""
    z = torch.tensor([[0.0, 1e-9, -1.0]], dtype=torch.float64)
    spec = OutputSpec("logits", False, 3)
    assert spec.classes(z).item() == 1
    z = torch.tensor([[200.0, 100.0], [-200.0, 100.0]])
    assert OutputSpec("logits", False, 2).classes(z).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("columns", [2, 31, 32, 33, 1000])
def test_of_ties_the_first_class_whatever_the_width(columns, dtype):
    draws = torch.Generator().manual_seed(columns)
    z = torch.randint(-3, 4, (300, columns), generator=draws).to(dtype)  # nearly every row has ties
    z[0], z[1], z[2, -1], z[3] = 0.0, -torch.inf, torch.inf, torch.tensor([-0.0, *[0.0] * (columns - 1)])
    firsts = [next(k for k, value in enumerate(row) if value == max(row)) for row in z.tolist()]
    spec = OutputSpec("logits", False, columns)
    assert spec.classes(z).tolist() == firsts
    assert spec.classes(z.T.contiguous().T).tolist() == firsts  # strided
    assert spec.classes(z.clone().requires_grad_()).dtype == torch.int64


@pytest.mark.parametrize(
    ("kind", "values", "classes"),
    [
        ("logits", [-0.1, 0.0, 0.1], [0, 0, 1]),
        ("probabilities", [0.49, 0.5, 0.51], [0, 0, 1]),
        ("log_probabilities", [-0.70, -0.69], [0, 1]),
    ],
)
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_column_is_thresholded_where_its_kind_says(kind, values, classes, shape):
    output = torch.tensor(values).reshape(shape)
    spec = OutputSpec(kind, True, 2)
    assert spec.classes(output).tolist() == classes
    probabilities = spec.probabilities(output)
    assert probabilities.shape == (len(values), 2)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(values)))


def test_one_saturated_logit_keeps_a_precise_small_probability():
    p = OutputSpec("logits", True, 2).probabilities(torch.tensor([40.0]))
    assert 0 < p[0, 0] < 1e-16


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    z = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    spec = OutputSpec("logits", False, 3)
    mean = z.softmax(2).mean(1)
    assert torch.allclose(spec.probabilities(z), mean)
    assert torch.equal(spec.classes(z), mean.argmax(1))
    assert torch.allclose(spec.decision(z), mean.log())


def test_the_decision_of_two_classes_is_one_value_positive_for_the_second():
    z = torch.tensor([[1.0, 3.0], [2.0, 0.5]])
    assert OutputSpec("logits", False, 2).decision(z).tolist() == [2.0, -1.5]
    assert OutputSpec("logits", True, 2).decision(torch.tensor([[0.3]])).tolist() == pytest.approx([0.3])
    p = torch.tensor([0.8])
    assert OutputSpec("probabilities", True, 2).decision(p).item() == pytest.approx(torch.logit(p).item())


def test_half_precision_comes_back_as_float32():
    assert OutputSpec("logits", False, 2).probabilities(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("criterion", "kind", "one_column"),
    [
        (nn.CrossEntropyLoss(), "logits", False),
        (nn.NLLLoss(), "log_probabilities", False),
        (nn.BCEWithLogitsLoss(), "logits", True),
        (nn.BCELoss(), "probabilities", True),
    ],
)
def test_the_criterion_decides(criterion, kind, one_column):
    spec = output_spec(criterion, None, 3)
    assert (spec.kind, spec.one_column) == (kind, one_column)


def test_a_subclass_of_a_known_criterion_may_say_otherwise():
    class Focal(nn.CrossEntropyLoss):
        pass

    assert output_spec(Focal(), None, 3).kind == "logits"
    assert output_spec(Focal(), "probabilities", 3).kind == "probabilities"


# ------------------------------------------------------------ what is no distribution over the classes

INF, NAN = torch.inf, torch.nan
NONE = [False, False]
ONE_COLUMN = {"logits": (1.0, -3.0), "log_probabilities": (-0.7, -INF), "probabilities": (0.0, 1.0)}
UNUSABLE = {
    "finite logits": ("logits", [[1e30, -1e30, 0.0], [0.0, 0.0, 0.0]], NONE),
    "a sum that overflows": ("logits", [[3e38, 3e38, 0.0], [0.0, 0.0, 0.0]], NONE),
    "masked classes": ("logits", [[-INF, -INF, 0.0], [0.0, -INF, 1.0]], NONE),
    "every class masked": ("logits", [[-INF, -INF, -INF], [0.0, -INF, 1.0]], [True, False]),
    "inf": ("logits", [[0.0, 1.0, 2.0], [0.0, INF, 0.0]], [False, True]),
    "inf and -inf": ("logits", [[0.0, 1.0, 2.0], [-INF, INF, 0.0]], [False, True]),
    "NaN": ("logits", [[0.0, NAN, 0.0], [0.0, 1.0, 2.0]], [True, False]),
    "probabilities": ("probabilities", [[0.2, 0.3, 0.5], [0.0, 0.0, 1.0]], NONE),
    "rounded probabilities": ("probabilities", [[0.2, 0.3, 0.500001], [-1e-6, 0.0, 1.000001]], NONE),
    "drifted": ("probabilities", [[0.2, 0.3, 0.5], [-0.54, 0.0, 1.54]], [False, True]),
    "a sum of 1.2": ("probabilities", [[0.2, 0.5, 0.5], [0.0, 0.0, 1.0]], [True, False]),
    "NaN probabilities": ("probabilities", [[0.2, 0.3, 0.5], [NAN, 0.0, 1.0]], [False, True]),
    "log-probabilities": ("log_probabilities", [[-1.0986123] * 3, [0.0, -INF, -INF]], NONE),
    "logits as log-probabilities": ("log_probabilities", [[-1.0986123] * 3, [0.0, 1.0, -1.0]], [False, True]),
    "no log-probability": ("log_probabilities", [[-1.0986123] * 3, [-INF, -INF, -INF]], [False, True]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", UNUSABLE)
def test_samples_without_probabilities_are_found(case, dtype):
    kind, values, expected = UNUSABLE[case]
    output, spec = torch.tensor(values, dtype=dtype), OutputSpec(kind, None, 3)
    found = spec.unusable(output)
    assert (NONE if found is None else found.tolist()) == expected
    good = output[~torch.tensor(expected)]
    assert torch.allclose(spec.probabilities(good).sum(1), torch.ones(len(good), dtype=dtype), rtol=1e-6)
    assert not torch.isnan(spec.log_probabilities(good)).any()
    members = torch.stack([output, output.flip(0)], dim=1)
    found = spec.unusable(members)
    assert (NONE if found is None else found.tolist()) == [any(expected)] * 2


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("logits", NAN),
        ("log_probabilities", 0.5),
        ("log_probabilities", INF),
        ("probabilities", 1.54),
        ("probabilities", -0.54),
        ("probabilities", NAN),
    ],
)
def test_one_column_that_gives_no_probabilities_is_found(kind, bad, shape):
    spec = OutputSpec(kind, True, 2)
    good = torch.tensor(ONE_COLUMN[kind]).reshape(shape)
    assert spec.unusable(good) is None
    output = good.clone()
    output[1] = bad
    assert spec.unusable(output).tolist() == [False, True]


def test_an_infinite_logit_of_one_column_is_certain():
    spec, output = OutputSpec("logits", True, 2), torch.tensor([INF, -INF])
    assert spec.unusable(output) is None
    assert spec.probabilities(output).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_a_log_probability_in_bfloat16_has_the_class_that_is_more_likely():
    spec, output = OutputSpec("log_probabilities", True, 2), torch.tensor([-0.6914, -0.6953], dtype=torch.bfloat16)
    assert torch.equal(spec.classes(output), spec.probabilities(output).argmax(1))


def test_with_one_class_every_number_is_usable():
    assert OutputSpec("probabilities", None, 1).unusable(torch.tensor([[7.0], [-INF]])) is None
    assert OutputSpec("logits", None, 1).unusable(torch.tensor([[7.0], [NAN]])).tolist() == [False, True]


@pytest.mark.parametrize("columns", [3, 1000])
def test_softmax_in_bfloat16_is_usable_and_sums_to_1(columns):
    z = torch.randn(200, columns, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    for kind, output in (("probabilities", z.softmax(1)), ("log_probabilities", z.log_softmax(1))):
        spec = OutputSpec(kind, None, columns)
        assert spec.unusable(output) is None
        total = spec.probabilities(output).sum(1)
        assert (total - 1).abs().max() < 1e-5


def test_rounding_out_of_range_is_clipped_and_right_probabilities_keep_their_bits():
    right = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).softmax(1)
    spec = OutputSpec("probabilities", None, 7)
    assert torch.equal(spec.probabilities(right), right)
    right[0], right[1] = torch.tensor([1 + 1e-6, -1e-6, 0, 0, 0, 0, 0]), right[1] * 1.01
    p = spec.probabilities(right)
    assert torch.equal(p[2:], right[2:])
    assert ((p >= 0) & (p <= 1)).all()
    assert torch.allclose(p.sum(1), torch.ones(50), rtol=1e-6)
    assert not torch.isnan(spec.log_probabilities(right)).any()
    column = OutputSpec("probabilities", True, 2).probabilities(torch.tensor([1 + 1e-6, -1e-6, 0.3]))
    assert column.tolist() == [[0.0, 1.0], [1.0, 0.0], [(1 - torch.tensor(0.3)).item(), torch.tensor(0.3).item()]]


def test_log_probabilities_agree_with_probabilities_where_sums_are_off():
    right = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log_softmax(1)
    spec = OutputSpec("log_probabilities", None, 7)
    assert torch.equal(spec.log_probabilities(right), right)
    off = right + 0.03
    assert torch.allclose(spec.log_probabilities(off), right, rtol=1e-12)
    assert torch.allclose(spec.probabilities(off), right.exp(), rtol=1e-12)


@pytest.mark.parametrize(
    ("one_column", "n_classes", "shape", "taken"),
    [
        (False, 3, (5, 3), True),
        (False, 3, (5, 4, 3), True),
        (False, 3, (5, 4), False),
        (False, 3, (3,), False),
        (False, 2, (5, 1), False),
        (False, 1, (5, 7), True),
        (True, 2, (5,), True),
        (True, 2, (5, 1), True),
        (True, 2, (5, 4, 1), True),
        (True, 2, (5, 2), False),
        (True, 3, (5, 1), False),
        (None, 2, (5,), True),
        (None, 2, (5, 1), True),
        (None, 2, (5, 2), True),
        (None, 3, (5, 1), False),
    ],
)
def test_the_columns_that_fit_the_classes(one_column, n_classes, shape, taken):
    spec, output = OutputSpec("logits", one_column, n_classes), torch.zeros(shape)
    assert spec.takes(output) == taken
    if taken:
        assert torch.equal(spec.converted("classes", output), spec.classes(output))
    else:
        with pytest.raises(ModuleOutputError, match=f"ACC-C8.*do not fit {n_classes} classes"):
            spec.converted("classes", output)


def test_outputs_of_four_axes_do_not_fit():
    with pytest.raises(ModuleOutputError, match="ACC-C8"):
        OutputSpec("logits", False, 3).converted("classes", torch.zeros(5, 1, 1, 3))


@pytest.mark.parametrize(
    ("shape", "same", "other"),
    [
        ((5,), [(9,), (1,)], [(5, 1), ()]),
        ((5, 3), [(9, 3)], [(5, 4), (3,), (5, 1, 3)]),
        ((5, 4, 3), [(9, 4, 3), (5, 2, 3)], [(5, 4, 2), (5, 3)]),  # the number of members may change
    ],
)
def test_the_form_of_an_output_is_its_axes_and_columns(shape, same, other):
    form, module = OutputForm.of(torch.zeros(shape)), nn.Identity()
    for other_shape in same:
        form.check(torch.zeros(other_shape), module)
    for value in [*map(torch.zeros, other), (torch.zeros(shape),), None]:
        with pytest.raises(ModuleOutputError, match=r"ACC-C8.*Identity.forward \(in training mode\) returned"):
            form.check(value, module)
