"""The loss of a batch against its formula written out."""

import pytest
import torch
from torch import nn

from sktorch_acc.engine.loss import Loss
from sktorch_acc.outputs import output_spec

CE, NLL, BCE, BCEL = nn.CrossEntropyLoss, nn.NLLLoss, nn.BCELoss, nn.BCEWithLogitsLoss
D = torch.float64
Z = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 1.0], [-1.0, 0.0, 4.0]], dtype=D)
Y = torch.tensor([0, 2, 1, 0])
W = torch.tensor([1.0, 0.25, 3.0, 0.5], dtype=D)
COLUMN = torch.tensor([[1.0], [-2.0], [0.5], [3.0]], dtype=D)
BINARY = torch.tensor([0, 1, 1, 0])


def loss_for(criterion, output, *, weighted=False, kind=None, n_classes=3):
    return Loss.for_output(criterion, output_spec(criterion, kind, n_classes), output, weighted)


def of_samples(z=Z, y=Y):
    """``-log p[y]`` of each sample."""
    return torch.stack([-(row - row.exp().sum().log())[k] for row, k in zip(z, y, strict=True)])


def of_column(z, y):
    """``-log p`` of class 1 where y is 1, ``-log (1 - p)`` where it is 0."""
    p = 1 / (1 + (-z.reshape(-1)).exp())
    return torch.where(y == 1, -p.log(), -(1 - p).log())


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


# ------------------------------------------------------------ without weights


def test_without_weights_the_criterion_itself_is_called():
    criterion = CE()
    loss = loss_for(criterion, Z)
    assert loss.plain is criterion
    same(loss.plain(Z, Y), of_samples().mean())
    same(loss(Z, Y), of_samples().mean())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_reduction_of_the_criterion_is_kept(reduction):
    same(loss_for(CE(reduction=reduction), Z).plain(Z, Y), getattr(of_samples(), reduction)())


def test_losses_of_single_samples_are_averaged():
    same(loss_for(CE(reduction="none"), Z).plain(Z, Y), of_samples().mean())


def test_a_criterion_without_a_reduction_is_called_as_it_is():
    class Margin(nn.Module):
        def forward(self, output, target):
            return (1 - output.gather(1, target[:, None])).mean()

    criterion = Margin()
    assert loss_for(criterion, Z, kind="logits").plain is criterion


# ------------------------------------------------------------ weights


def test_weighted_samples_give_the_weighted_mean():
    loss = loss_for(CE(), Z, weighted=True)
    same(loss.plain(Z, (Y, W)), (W * of_samples()).sum() / W.sum())


def test_the_scale_of_the_weights_does_not_matter():
    loss = loss_for(CE(), Z, weighted=True)
    same(loss(Z, (Y, 1000 * W)), loss(Z, (Y, W)))


def test_equal_weights_change_nothing():
    same(loss_for(CE(), Z, weighted=True)(Z, (Y, torch.full((4,), 0.7, dtype=D))), CE()(Z, Y))


def test_a_sum_of_weighted_losses_is_not_divided():
    same(loss_for(CE(reduction="sum"), Z, weighted=True)(Z, (Y, W)), (W * of_samples()).sum())


def test_class_weights_of_the_criterion_multiply_with_those_of_the_samples():
    by_class = torch.tensor([1.0, 2.0, 0.5], dtype=D)
    both = W * by_class[Y]
    expected = (both * of_samples()).sum() / both.sum()
    same(loss_for(CE(weight=by_class), Z, weighted=True)(Z, (Y, W)), expected)
    ones = torch.ones(4, dtype=D)
    same(loss_for(CE(weight=by_class), Z, weighted=True)(Z, (Y, ones)), CE(weight=by_class)(Z, Y))


def test_ignored_targets_count_neither_above_nor_below():
    kept = Y != 0
    expected = (W * of_samples())[kept].sum() / W[kept].sum()
    same(loss_for(CE(ignore_index=0), Z, weighted=True)(Z, (Y, W)), expected)


def test_weights_of_log_probabilities_and_of_one_column():
    log_p = Z.log_softmax(1)
    same(loss_for(NLL(), log_p, weighted=True)(log_p, (Y, W)), (W * of_samples()).sum() / W.sum())
    loss = loss_for(BCEL(), COLUMN, weighted=True, n_classes=2)
    expected = (W * of_column(COLUMN, BINARY)).sum() / W.sum()
    same(loss(COLUMN, (loss.targets(BINARY), W)), expected)


def test_label_smoothing_is_that_of_the_criterion():
    smoothed = CE(label_smoothing=0.1, reduction="none")(Z, Y)
    same(loss_for(CE(label_smoothing=0.1), Z, weighted=True)(Z, (Y, W)), (W * smoothed).sum() / W.sum())


def test_the_criterion_given_is_not_changed():
    criterion = CE()
    loss = loss_for(criterion, Z, weighted=True)
    assert criterion.reduction == "mean"
    assert loss.criterion is criterion
    assert loss.per_sample.reduction == "none"


def test_weights_need_a_reduction_that_is_obeyed():
    class OneNumber(CE):
        def forward(self, output, target):
            return super().forward(output, target).mean()

    with pytest.raises(ValueError, match=r"OneNumber returned one number.*obey self\.reduction"):
        loss_for(OneNumber(), Z, weighted=True)(Z, (Y, W))


def test_weights_need_a_reduction():
    class NoReduction(nn.Module):
        def forward(self, output, target):
            return output.mean()

    with pytest.raises(ValueError, match="NoReduction has no attribute `reduction`"):
        loss_for(NoReduction(), Z, weighted=True, kind="logits")


@pytest.mark.parametrize("options", [{"weight": torch.tensor([1.0, 2.0, 0.5], dtype=D)}, {"ignore_index": 0}])
def test_losses_of_single_samples_are_divided_by_the_weights_of_the_samples_alone(options):
    """So is the mean without weights: by the number of samples."""
    losses = CE(reduction="none", **options)(Z, Y)
    loss = loss_for(CE(reduction="none", **options), Z, weighted=True)
    same(loss(Z, (Y, W)), (W * losses).sum() / W.sum())
    same(loss.shares(Y, W), W)
    same(loss(Z, (Y, torch.ones(4, dtype=D))), loss_for(CE(reduction="none", **options), Z)(Z, Y))


class Own(nn.Module):
    """A criterion of a user's own, which divides by nothing but the number of samples."""

    def __init__(self, reduction="mean", **attributes):
        super().__init__()
        self.reduction = reduction
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, output, target):
        losses = nn.functional.cross_entropy(output, target, reduction="none")
        return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[self.reduction]()


@pytest.mark.parametrize(
    "attributes",
    [
        {"weight": torch.tensor([1.0, 2.0, 0.0], dtype=D)},
        {"weight": 0.5},
        {"weight": [1, 2, 3]},
        {"weight": torch.tensor(0.5, dtype=D)},
        {"weight": torch.ones(3, 3, dtype=D)},
        {"weight": torch.ones(2, dtype=D)},
        {"ignore_index": 0},
        {"ignore_index": "none"},
        {"ignore_index": None, "weight": None},
        {"label_smoothing": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_attributes_of_a_criterion_of_ones_own_have_no_weight(attributes, reduction):
    loss = loss_for(Own(reduction, **attributes), Z, weighted=True, kind="logits")
    same(loss(Z, (Y, W)), (W * of_samples()).sum() / W.sum())
    same(loss.shares(Y, W), W)
    assert loss.counted(Y, W).all()


def hooked(change):
    criterion = CE(weight=torch.tensor([1.0, 2.0, 0.5], dtype=D))
    change(criterion)
    return criterion


class Called(CE):
    def __call__(self, *args):
        return 2 * super().__call__(*args)


CHANGED = {
    "a forward of its own": lambda: hooked(lambda c: setattr(c, "forward", lambda z, y: CE.forward(c, 2 * z, y))),
    "a hook": lambda: hooked(lambda c: c.register_forward_hook(lambda c, args, value: 2 * value)),
    "a hook before": lambda: hooked(lambda c: c.register_forward_pre_hook(lambda c, args: (2 * args[0], args[1]))),
    "a call of its own": lambda: Called(weight=torch.tensor([1.0, 2.0, 0.5], dtype=D)),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_criterion_that_was_changed_is_not_taken_for_that_of_torch(case):
    loss = loss_for(CHANGED[case](), Z)
    assert not loss.additive
    assert not loss.by_class
    assert loss_for(hooked(lambda c: None), Z).additive


class SaysNothing(nn.Module):
    """One value per sample, and no attribute that says so."""

    def forward(self, output, target):
        return nn.functional.cross_entropy(output, target, reduction="none")


def test_one_value_per_sample_is_averaged_where_the_criterion_says_nothing():
    loss = loss_for(SaysNothing(), Z, kind="logits")
    averaging = loss.averaging(loss.plain(Z, Y), 4)
    same(averaging.plain(Z, Y), of_samples().mean())
    assert loss.averaging(loss.plain(Z, Y).mean(), 4) is loss
    assert loss.averaging(loss.plain(Z, Y)[:1], 4) is loss


# ------------------------------------------------------------ one column


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_targets_of_one_column_are_floats_in_the_shape_of_the_output(shape):
    output = COLUMN.reshape(shape)
    loss = loss_for(BCEL(), output, n_classes=2)
    targets = loss.targets(BINARY)
    assert targets.dtype == D
    assert targets.shape == shape
    assert targets.reshape(-1).tolist() == [0.0, 1.0, 1.0, 0.0]
    same(loss.plain(output, targets), of_column(COLUMN, BINARY).mean())


def test_targets_of_several_columns_are_the_class_indices():
    assert torch.equal(loss_for(CE(), Z).targets(Y), Y)


def test_targets_are_repeated_where_one_class_meets_several_columns():
    output = torch.tensor([[0.2, 0.3], [0.4, 0.5]], dtype=D)
    loss = loss_for(BCEL(), output, n_classes=1)
    targets = loss.targets(torch.tensor([0, 0]))
    assert targets.shape == (2, 2)
    same(loss.plain(output, targets), BCEL()(output, torch.zeros(2, 2, dtype=D)))


def test_probabilities_of_one_column():
    p = COLUMN.sigmoid()
    loss = loss_for(BCE(), p, n_classes=2)
    same(loss.plain(p, loss.targets(BINARY)), of_column(COLUMN, BINARY).mean())


# ------------------------------------------------------------ ensembles


MEMBERS = torch.stack([Z, 0.5 * Z + 1, -Z], dim=1)


def of_members(y=Y):
    return torch.stack([of_samples(MEMBERS[:, m], y) for m in range(3)]).mean(dim=0)


def test_an_ensemble_has_the_mean_of_the_losses_of_its_members():
    loss = loss_for(CE(), MEMBERS)
    assert loss.plain is loss
    same(loss(MEMBERS, Y), of_members().mean())


def test_a_weighted_ensemble_weighs_samples_not_members():
    same(loss_for(CE(), MEMBERS, weighted=True)(MEMBERS, (Y, W)), (W * of_members()).sum() / W.sum())


def test_a_weighted_ensemble_divides_by_the_class_weights_of_the_samples():
    by_class = torch.tensor([1.0, 2.0, 0.5], dtype=D)
    both = W * by_class[Y]
    expected = (both * of_members()).sum() / both.sum()
    same(loss_for(CE(weight=by_class), MEMBERS, weighted=True)(MEMBERS, (Y, W)), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sum_is_over_samples_not_over_members(weighted):
    loss = loss_for(CE(reduction="sum"), MEMBERS, weighted=weighted)
    weight = W if weighted else torch.ones(4, dtype=D)
    same(loss.plain(MEMBERS, (Y, W) if weighted else Y), (weight * of_members()).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_an_ensemble_of_one_column(weighted):
    output = torch.stack([COLUMN, -COLUMN], dim=1)  # (4, 2, 1)
    loss = loss_for(BCEL(), output, weighted=weighted, n_classes=2)
    by_sample = (of_column(COLUMN, BINARY) + of_column(-COLUMN, BINARY)) / 2
    targets = loss.targets(BINARY)
    weight = W if weighted else torch.ones(4, dtype=D)
    same(loss(output, (targets, W) if weighted else targets), (weight * by_sample).sum() / weight.sum())


# ------------------------------------------------------------ dtypes and gradients


def test_the_criterion_takes_over_the_dtype_of_the_output():
    criterion = CE(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float32))
    loss = loss_for(criterion, Z)
    assert criterion.weight.dtype == loss.dtype == D
    assert loss.plain(Z, Y).dtype == D


def test_gradients_are_those_of_the_formula():
    ours, formula = Z.clone().requires_grad_(), Z.clone().requires_grad_()
    loss_for(CE(), ours, weighted=True)(ours, (Y, W)).backward()
    ((W * of_samples(formula)).sum() / W.sum()).backward()
    same(ours.grad, formula.grad)


class Tempered(nn.Module):
    """A criterion that is trained, and that smooths in training mode alone."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones((), dtype=D))
        self.register_buffer("calls", torch.zeros(()))
        self.reduction = reduction

    def forward(self, output, target):
        self.calls += 1
        smoothing = 0.1 if self.training else 0.0
        return nn.functional.cross_entropy(
            output / self.temperature, target, label_smoothing=smoothing, reduction=self.reduction
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_parameters_of_the_criterion_get_gradients(weighted):
    criterion = Tempered()
    loss_for(criterion, Z, weighted=weighted, kind="logits")(Z, (Y, W) if weighted else Y).backward()
    assert criterion.temperature.grad != 0
    assert criterion.calls == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mode_of_the_criterion_is_followed(weighted):
    loss = loss_for(Tempered().eval(), Z, weighted=weighted, kind="logits")
    target = (Y, torch.ones(4, dtype=D)) if weighted else Y
    same(loss(Z, target), of_samples().mean())
    loss.train(True)
    same(loss(Z, target), CE(label_smoothing=0.1)(Z, Y))
    loss.train(False)
    same(loss(Z, target), of_samples().mean())
