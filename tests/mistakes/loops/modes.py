"""E4: steps in evaluation mode."""

from torch import nn
from torch.nn.functional import dropout

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, mlp
from tests.mistakes.loops.common import CLEAN, MISTAKES, batches, clean, count, each_batch, mistake, parts, step
from tests.modules import DropNorm


def drop_norm():
    return DropNorm(6, 3)


def evaluated_between(model, restore, report=False):
    """Evaluate after each epoch; `restore` is called at the start of each."""
    model, optimizer = parts(model)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        model.train()
        for _ in range(3):
            restore(model)
            for x, y in batches():
                step(model, optimizer, x, y)
            accuracy = count(model)
            if report:
                audit.epoch(accuracy)
    return audit


class Functional(nn.Module):
    """Dropout that is not a layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(dropout(x, 0.3, training=self.training))


class Wrapped(nn.Module):
    """A module around another, as DataParallel; the loop sets the mode of the inner one."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def forget(model):
    """Do nothing, as in a loop that calls train() once."""


LEFT = {
    "dropout": lambda: mlp(3, nn.Dropout(0.1)),
    "batch_norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
    "a_function": Functional,
    "both_inside_a_wrapper": lambda: nn.DataParallel(drop_norm()),
}
for name, build in LEFT.items():
    MISTAKES[f"eval_mode_kept_with_{name}"] = ("ACC-E4", lambda build=build: evaluated_between(build(), forget))


@mistake("ACC-E4")
def eval_mode_kept_and_reported():
    return evaluated_between(drop_norm(), forget, report=True)


@mistake("ACC-E4")
def evaluated_in_the_middle_of_an_epoch():
    model, optimizer = parts(drop_norm())
    with audit_loop(model, optimizer) as audit:
        for _ in range(2):
            model.train()
            for i, (x, y) in enumerate(batches()):
                step(model, optimizer, x, y)
                if i == 4:
                    count(model)
            audit.epoch()
    return audit


@mistake("ACC-E4")
def only_the_module_inside_the_wrapper_is_evaluated():
    inside = drop_norm()
    model, optimizer = parts(Wrapped(inside))
    with audit_loop(model, optimizer) as audit:
        for _ in range(2):
            for x, y in batches():
                step(model, optimizer, x, y)
            count(inside)
    return audit


CLEAN["mode_restored"] = lambda: evaluated_between(drop_norm(), nn.Module.train, report=True)
CLEAN["mode_restored_in_a_wrapper"] = lambda: evaluated_between(nn.DataParallel(drop_norm()), nn.Module.train)
CLEAN["eval_mode_without_dropout"] = lambda: evaluated_between(mlp(), forget)
CLEAN["eval_mode_with_dropout_of_0"] = lambda: evaluated_between(mlp(3, nn.Dropout(0.0)), forget)
CLEAN["eval_mode_with_only_batch_statistics"] = lambda: evaluated_between(
    nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3)), forget
)


@clean
def all_layers_restored_but_not_the_module():
    def restore(model):
        for layer in model.layers:
            layer.train()

    return evaluated_between(drop_norm(), restore)


@clean
def norm_layers_frozen_from_the_second_epoch():
    def restore(model):
        model.train()
        model.layers[1].eval()

    return evaluated_between(drop_norm(), restore)


@clean
@each_batch(build=lambda: drop_norm().eval(), epochs=3, report=count)
def fine_tuned_in_eval_mode_from_the_first_step(model, optimizer, x, y):
    step(model, optimizer, x, y)


@clean
@each_batch(build=drop_norm)
def gradients_in_eval_mode_but_steps_in_training_mode(model, optimizer, x, y):
    """As adversarial samples are computed."""
    model.eval()
    x = x.clone().requires_grad_()
    CE(model(x), y).backward()
    x = (x + 0.01 * x.grad.sign()).detach()
    model.train()
    step(model, optimizer, x, y)
