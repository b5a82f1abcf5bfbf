"""From parameters and checked data to a `Fit`: build or continue, split, probe, and set up what decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._global_state import epoch_seeds, seed_generators, split_seed
from sktorch_acc.data import Examples, FeatureSchema, Labels, batch_sizes, relative_weights, stratified_holdout
from sktorch_acc.engine.build import build_model, build_optimizer
from sktorch_acc.engine.device import resolve_device, resolve_threads, step_operations, threads_to_choose
from sktorch_acc.engine.history import check_monitor
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.probe import probe
from sktorch_acc.engine.schedules import ScheduleFacts, build_schedule
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.state import Fit, TrainingState
from sktorch_acc.engine.stopping import EarlyStopping, maximised
from sktorch_acc.exceptions import warn


@dataclass(frozen=True)
class FitData:
    """The checked data of one call of `fit`.

    Parameters
    ----------
    schema, labels : FeatureSchema, Labels
        What was learned about X and y.
    given : Examples
        The samples given, on the host.
    validation : Examples or None
        Samples to validate on, on the host.
    part : bool
        Whether more data follows, in other calls: the criterion may then count none of these samples.
    """

    schema: FeatureSchema
    labels: Labels
    given: Examples
    validation: Examples | None = None
    part: bool = False


def prepare(
    settings: FitSettings,
    data: FitData,
    *,
    seed: int,
    state: TrainingState | None = None,
    observers: Sequence[Observer] = (),
    interrupts: Interrupts | None = None,
) -> Fit:
    """Build the model or continue `state`, split and move the samples, and probe the module on them.

    A new training follows from `seed`. Seeds the shared generators: to be called inside ``_global_state.isolated``.
    """
    if state is None:
        state = build_state(settings, data, seed)
    else:
        _continue(state, settings)
    state.continued = settings.warm_start
    fitted, validation, kept = _weighed_split(settings, data, state)
    weighing = _with_weight(fitted)
    where = (state.model.device, state.model.dtype)
    training, validation = weighing.on(*where), validation and validation.on(*where)
    sizes = batch_sizes(len(training), settings.batch_size)
    to_choose = threads_to_choose(settings.n_threads, state.model.device)
    found = probe(state.model, training, sizes[0], count=to_choose, new=state.epoch == 0)
    fit = Fit(
        settings=settings,
        state=state,
        loss=found.loss,
        training=_weighing_in(training, found.loss.dtype),
        fitted=training if weighing is fitted else fitted.on(*where),
        validation=validation and _weighing_in(validation, found.loss.dtype),
        kept=kept,
        first_epoch=state.epoch + 1,
        n_steps=len(sizes),
        elements_per_sample=found.elements_per_sample,
        eval_layers=found.eval_layers,
        first=found.first,
        observers=observers,
        interrupts=interrupts or Interrupts(),
    )
    _refuse_uncounted(fit, data.part)
    operations = step_operations(state.model.module, found.row_operations, sizes[0]) if to_choose else 0
    n_threads = resolve_threads(settings.n_threads, operations, state.model.device)
    state.model = replace(state.model, n_threads=n_threads)
    _set_deciders(fit)
    if state.rows:  # an interrupt in the first epoch of a fit that continues brings back where it began
        state.keep_epoch()
    return fit


def build_state(settings: FitSettings, data: FitData, seed: int) -> TrainingState:
    """Build model and optimizer from the constructor's parameters; every draw follows from the seed."""
    device = resolve_device(settings.device)
    torch_seed, numpy_seed, python_seed, _ = epoch_seeds(seed, 0)
    seed_generators((torch_seed, numpy_seed, python_seed), device)
    model = build_model(settings, data.schema, data.labels, device, data.given.rows)
    return TrainingState(model, settings, build_optimizer(settings, settings.lr, model), seed, settings.lr)


def _continue(state: TrainingState, settings: FitSettings) -> None:
    """Take over what may change between fits; name what may not."""
    ignored = settings.ignored_changes(state.built_from)
    if ignored:
        warn(
            "Training continues with the module, criterion, optimizer and callbacks that were built at first: the "
            f"changes of {', '.join(ignored)} have no effect. To train with them, fit a clone of the estimator."
        )
    # A fit that did not announce to be continued, or parts of the module that were replaced since.
    if state.optimizer is None or not state.continued or _moves_others(state):
        state.optimizer = build_optimizer(state.built_from, settings.lr, state.model)
    elif settings.lr != state.lr:
        for group in state.optimizer.param_groups:
            if group["lr"] == state.lr:  # groups with a rate of their own keep it
                group["lr"] = settings.lr
    state.lr = settings.lr


def _moves_others(state: TrainingState) -> bool:
    """Whether the optimizer moves parameters that module and criterion do not have any more."""
    own = {id(p) for part in (state.model.module, state.model.criterion) for p in part.parameters()}
    return any(id(p) not in own for group in state.optimizer.param_groups for p in group["params"])


_Sides = tuple[Examples, Examples | None, npt.NDArray[np.int64] | None]


def _weighed_split(settings: FitSettings, data: FitData, state: TrainingState) -> _Sides:
    """Return the samples of `_split`, with the weights by which they count in the loss."""
    summed = getattr(state.model.criterion, "reduction", None) == "sum"
    fitted, validation, kept = _split(settings, _weighed(data, summed), state.seed)
    if not summed:
        return _relative(fitted), validation and _relative(validation), kept
    for side in (fitted, validation):
        _refuse_overflow(side, state.model.dtype)
    return fitted, validation, kept


def _refuse_overflow(examples: Examples | None, dtype: torch.dtype) -> None:
    """Raise if weights, which count as they are, are infinite in the dtype of the loss."""
    if examples is None or examples.weights is None:
        return
    largest = float(examples.weights.max())
    if largest > torch.finfo(dtype).max:
        raise ValueError(
            f"Weights up to {largest:.3g} are infinite in {str(dtype).removeprefix('torch.')}. With reduction='sum' "
            "they count as they are: divide sample_weight or class_weight by the largest, or use reduction='mean'."
        )


def _weighed(data: FitData, summed: bool) -> FitData:
    """Return the data with weights on both sides, or on none if they say nothing: the bits are those without then.

    A mean depends on the ratios of the weights only, a sum on the weights themselves.
    """
    given, validation = data.given, data.validation
    if given.weights is None:
        return data if validation is None else replace(data, validation=validation.weighing(None))
    if validation is not None and validation.weights is None:
        validation = validation.weighing(torch.ones(len(validation), dtype=torch.float64))
    sides = [side.weights for side in (given, validation) if side is not None]
    if all(bool((weights == (1 if summed else weights[0])).all()) for weights in sides if weights is not None):
        given, validation = given.weighing(None), validation and validation.weighing(None)
    return replace(data, given=given, validation=validation)


def _relative(examples: Examples) -> Examples:
    """Return the samples with weights in the range of float32."""
    if examples.weights is None:
        return examples
    return examples.weighing(torch.from_numpy(relative_weights(examples.weights.numpy())))


def _split(settings: FitSettings, data: FitData, seed: int) -> _Sides:
    """Return the fitted samples, those to validate on, and which of the given samples are the fitted ones."""
    given, validation = data.given, data.validation
    if validation is not None:
        return given, validation, None
    if settings.validation_fraction is None:
        if settings.early_stopping:
            raise ValueError(
                "early_stopping=True needs a validation set: set validation_fraction (0.1, say) or pass X_val and "
                "y_val."
            )
        return given, None, None
    kept, out = stratified_holdout(given.targets.numpy(), settings.validation_fraction, split_seed(seed))
    return given.take(kept), given.take(out), kept


def _with_weight(fitted: Examples) -> Examples:
    """Return the samples that are trained on."""
    weighing = fitted.with_weight()
    if len(weighing) == 0:
        raise ValueError(
            "All samples to train on have the weight 0, from sample_weight and class_weight: those with a positive "
            "weight were held out by validation_fraction. Pass more of them, or X_val and y_val."
        )
    return weighing


def _weighing_in(examples: Examples, dtype: torch.dtype) -> Examples:
    """Return the samples with weights of the dtype in which the loss is computed."""
    return examples if examples.weights is None else examples.weighing(examples.weights.to(dtype))


def _refuse_uncounted(fit: Fit, part: bool) -> None:
    """Raise if the criterion counts no sample to train on, and no more follow; say so if none to validate on counts."""
    loss, training, validation = fit.loss, fit.training, fit.validation
    criterion = type(loss.criterion).__name__
    if not part and not loss.counts_any(training.targets, training.weights):
        raise ValueError(
            f"{criterion} counts none of the {len(training)} samples to train on: all are of classes that have the "
            "weight 0 in criterion__weight, or of the class criterion__ignore_index. Its loss would be 0 / 0."
        )
    if validation is None or loss.counts_any(validation.targets, validation.weights):
        return
    plateau = fit.settings.lr_scheduler == "plateau" or (
        isinstance(fit.settings.lr_scheduler, type)
        and issubclass(fit.settings.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    )
    what = (
        f"valid_loss has no value: each of the {len(validation)} samples to validate on has the weight 0, from "
        f"sample_weight, class_weight or the class weights of {criterion}, or is ignored by it."
    )
    if (fit.settings.early_stopping or plateau) and fit.monitor == "valid_loss":
        raise ValueError(f"{what} Nothing says which epoch is best: validate on other samples, or monitor valid_acc.")
    warn(f"{what} It is NaN in history_. Validate on other samples.")


def _set_deciders(fit: Fit) -> None:
    """Set up what follows the monitored column: the schedule and early stopping."""
    settings, state = fit.settings, fit.state
    if settings.lr_scheduler is None and not settings.nested and not settings.early_stopping:
        return
    maximise = maximised(fit.monitor)
    facts = ScheduleFacts(settings.lr, settings.max_epochs, fit.n_steps, maximise)
    state.schedule = build_schedule(settings.lr_scheduler, settings.part("lr_scheduler"), state.optimizer, facts)
    if settings.early_stopping:
        state.stopping = EarlyStopping(maximise, settings.n_iter_no_change, settings.tol)
    if state.stopping is not None or (state.schedule is not None and state.schedule.wants_metric):
        monitored = fit.validation is not None or fit.monitor != settings.monitor
        try:
            check_monitor(settings.monitor, settings.train_accuracy, monitored, fit.model.labels.classes)
        except ValueError:
            state.end_fit()  # the schedule has changed the learning rate already
            raise
