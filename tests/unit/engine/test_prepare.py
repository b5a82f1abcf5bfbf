"""From parameters and data to a fit: what is built, split, continued and set up."""

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning
from sktorch_acc.engine.train import train
from tests.fits import classes, examples, prepared, table
from tests.modules import DropNorm
from tests.saved import TwoLayers

WARM = {"warm_start": True, "max_epochs": 1}


def trained(module=nn.Linear, given=None, **parameters):
    fit = prepared(module, given, **parameters)
    train([fit])
    return fit.state


def steps_of(optimizer):
    return {int(state["step"]) for state in optimizer.state.values()}


# ------------------------------------------------------------ a new fit


def test_a_new_fit_begins_with_epoch_one():
    fit = prepared(max_epochs=3)
    assert fit.first_epoch == 1
    assert (fit.state.epoch, fit.state.best_epoch, fit.state.rows) == (0, 0, [])
    assert fit.state.last is None
    assert fit.rows == []


def test_module_and_optimizer_follow_from_the_seed_alone():
    weights = []
    for generator_seed, seed in ((1, 5), (2, 5), (2, 6)):
        torch.manual_seed(generator_seed)
        weights.append(prepared(seed=seed).model.module.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("n", "batch_size", "steps"), [(20, 5, 4), (21, 5, 4), (22, 5, 5), (20, 64, 1)])
def test_the_number_of_steps_follows_the_tail_rule(n, batch_size, steps):
    assert prepared(given=examples(table(n)), batch_size=batch_size).n_steps == steps


def test_the_widest_of_features_and_output_decides_how_many_samples_are_gathered():
    assert prepared(given=examples(table(20, 7))).elements_per_sample == 7
    given = examples(table(20, 2), classes(20, 5), n_classes=5)
    assert prepared(given=given).elements_per_sample == 5


def test_only_a_fit_that_says_so_is_continued():
    assert prepared(warm_start=True).state.continued
    assert not prepared().state.continued


def test_what_was_not_asked_for_is_not_set_up():
    state = prepared().state
    assert (state.schedule, state.stopping) == (None, None)


def test_batch_norm_stays_in_evaluation_mode_where_batches_are_one_sample():
    assert prepared(DropNorm).eval_layers == ()
    with pytest.warns(AccuracyWarning, match="Every batch is one row"):
        fit = prepared(DropNorm, batch_size=1)
    assert fit.eval_layers == (fit.model.module.layers[1],)


# ------------------------------------------------------------ the split


def test_without_validation_all_samples_are_fitted():
    given = examples()
    fit = prepared(given=given)
    assert len(fit.fitted) == len(fit.training) == 20
    assert fit.validation is None
    assert fit.kept is None


def test_a_fraction_is_held_out_and_the_rest_is_named():
    X = table(20)
    fit = prepared(given=examples(X), validation_fraction=0.25)
    assert len(fit.fitted) == 15
    assert len(fit.validation) == 5
    assert fit.fitted.rows.source.tolist() == X[fit.kept].tolist()
    held = np.setdiff1d(np.arange(20), fit.kept)
    assert fit.validation.rows.source.tolist() == X[held].tolist()
    assert fit.validation.targets.tolist() == classes(20)[held].tolist()


def test_the_hold_out_is_the_same_when_a_fit_continues():
    given = examples()
    state = trained(given=given, validation_fraction=0.25, **WARM)
    first = prepared(given=given, validation_fraction=0.25, **WARM).kept
    again = prepared(given=given, validation_fraction=0.25, state=state, seed=99, **WARM).kept
    assert again.tolist() == first.tolist()


def test_samples_that_were_passed_for_validation_hold_nothing_out():
    fit = prepared(given=examples(), validation=examples(table(6)))
    assert len(fit.fitted) == 20
    assert len(fit.validation) == 6
    assert fit.kept is None


# ------------------------------------------------------------ weights


WEIGHTS = np.arange(20) % 4  # every fourth sample weighs nothing


def test_samples_of_weight_zero_do_not_train_and_are_fitted_all_the_same():
    fit = prepared(given=examples(weights=WEIGHTS), batch_size=5)
    assert len(fit.training) == 15
    assert len(fit.fitted) == 20
    assert fit.fitted.support.tolist() == [10, 10]
    assert fit.n_steps == 3


def test_the_hold_out_keeps_its_weights():
    fit = prepared(given=examples(weights=WEIGHTS), validation_fraction=0.25)
    held = np.setdiff1d(np.arange(20), fit.kept)
    assert fit.validation.weights.tolist() == WEIGHTS[held].tolist()


def test_a_hold_out_that_takes_all_samples_with_a_weight_is_refused():
    weights = np.ones(20)
    weights[prepared(validation_fraction=0.25).kept] = 0
    with pytest.raises(ValueError, match="All samples to train on have the weight 0"):
        prepared(given=examples(weights=weights), validation_fraction=0.25)


def test_samples_passed_for_validation_without_weights_weigh_one_each():
    fit = prepared(given=examples(weights=WEIGHTS), validation=examples(table(6)))
    assert fit.validation.weights.tolist() == [1.0] * 6
    own = prepared(given=examples(weights=WEIGHTS), validation=examples(table(6), weights=np.full(6, 2.0)))
    assert own.validation.weights.tolist() == [2.0] * 6


def test_without_weights_those_of_the_validation_samples_are_not_used():
    assert prepared(given=examples(), validation=examples(table(6), weights=np.full(6, 2.0))).validation.weights is None


def test_weights_have_the_dtype_of_the_output():
    class Mixed(nn.Linear):
        def forward(self, X):
            return super().forward(X).double()

    fit = prepared(Mixed, examples(weights=WEIGHTS), validation_fraction=0.25)
    assert fit.training.weights.dtype == fit.validation.weights.dtype == torch.float64
    assert fit.training.rows.dtype == torch.float32


# ------------------------------------------------------------ continuing


def test_a_fit_that_continues_begins_with_the_next_epoch_and_keeps_the_module():
    state = trained(**WARM)
    module, optimizer = state.model.module, state.optimizer
    fit = prepared(state=state, **WARM)
    assert fit.first_epoch == 2
    assert fit.state is state
    assert fit.model.module is module
    assert state.optimizer is optimizer
    assert not state.last.differs(module)


def test_an_optimizer_whose_state_was_not_to_be_kept_is_built_anew():
    state = trained(max_epochs=2)
    assert steps_of(state.optimizer) == {2}
    prepared(state=state, **WARM)
    assert steps_of(state.optimizer) == set()
    state = trained(**WARM)
    state.optimizer = None
    prepared(state=state, **WARM)
    assert steps_of(state.optimizer) == set()


@pytest.mark.parametrize("replaced", ["module", "layer"])
def test_parts_of_the_module_that_were_replaced_get_a_new_optimizer(replaced):
    state = trained(TwoLayers, **WARM)
    if replaced == "layer":
        state.model.module.layers[2] = nn.Linear(8, 2)
    else:
        state.use(module=TwoLayers(3, 2))
    prepared(TwoLayers, state=state, **WARM)
    moved = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    assert moved == {id(p) for p in state.model.module.parameters()}


def test_a_new_optimizer_is_built_as_the_first_one_with_the_learning_rate_of_now():
    state = trained(optimizer=torch.optim.SGD, optimizer__momentum=0.9, lr=0.1, max_epochs=1)
    with pytest.warns(AccuracyWarning, match="the changes of optimizer, optimizer__momentum have no effect"):
        prepared(state=state, lr=0.3, **WARM)
    assert type(state.optimizer) is torch.optim.SGD
    group = state.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"]) == (0.3, 0.9)


def test_a_learning_rate_that_was_set_is_followed_except_by_groups_with_their_own():
    groups = {"optimizer__param_groups": [("weight", {"lr": 0.01})]}
    state = trained(lr=0.1, **groups, **WARM)
    prepared(state=state, lr=0.3, **groups, **WARM)
    assert [group["lr"] for group in state.optimizer.param_groups] == [0.01, 0.3]
    assert state.lr == 0.3


def test_a_rate_that_was_changed_by_hand_is_kept_while_lr_stays_the_same():
    state = trained(lr=0.1, **WARM)
    state.optimizer.param_groups[0]["lr"] = 0.05
    prepared(state=state, lr=0.1, **WARM)
    assert state.optimizer.param_groups[0]["lr"] == 0.05


def test_changes_without_effect_are_named_at_the_users_line():
    state = trained(**WARM)
    with pytest.warns(AccuracyWarning, match=r"the changes of criterion, module__bias have no effect") as caught:
        prepared(state=state, criterion=nn.NLLLoss, module__bias=False, **WARM)
    assert caught[0].filename.endswith("fits.py")


def test_what_a_failed_preparation_left_is_let_go():
    state = trained(lr=0.1, **WARM)
    wrong = {"lr_scheduler": "onecycle", "early_stopping": True, "validation_fraction": 0.25, "monitor": "valid_acc[z]"}
    with pytest.raises(ValueError, match="is not a column of history_"):
        prepared(state=state, lr=0.1, **wrong, **WARM)
    assert state.schedule is None
    assert state.stopping is None
    assert state.optimizer.param_groups[0]["lr"] == 0.1


# ------------------------------------------------------------ what follows the monitored column


def test_early_stopping_needs_a_validation_set():
    with pytest.raises(ValueError, match="early_stopping=True needs a validation set"):
        prepared(early_stopping=True)


def test_early_stopping_takes_its_parameters():
    fit = prepared(
        validation_fraction=0.25, early_stopping=True, n_iter_no_change=2, tol=0.5, monitor="valid_acc", max_epochs=9
    )
    stopping = fit.state.stopping
    stopping.update(1, 0.5)
    assert not stopping.update(2, 0.4)  # lower is not better for an accuracy
    assert stopping.update(3, 0.9)  # no improvement of more than tol
    assert stopping.exhausted


def test_a_schedule_knows_the_length_of_the_fit():
    fit = prepared(given=examples(), batch_size=5, max_epochs=3, lr_scheduler="onecycle")
    assert fit.state.schedule.scheduler.total_steps == 3 * 4


def test_a_wrong_parameter_of_a_schedule_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="lr_scheduler__gamma was set, but lr_scheduler is None"):
        prepared(lr_scheduler__gamma=0.5)


def test_without_validation_the_training_loss_is_monitored_in_the_place_of_the_validation_loss():
    assert prepared(monitor="valid_loss").monitor == "train_loss"
    assert prepared(monitor="train_acc").monitor == "train_acc"
    assert prepared(monitor="valid_loss", validation_fraction=0.25).monitor == "valid_loss"


def test_a_plateau_of_an_accuracy_is_maximised():
    fit = prepared(lr_scheduler="plateau", monitor="valid_acc", validation_fraction=0.25)
    assert fit.state.schedule.scheduler.mode == "max"
    assert prepared(lr_scheduler="plateau").state.schedule.scheduler.mode == "min"
