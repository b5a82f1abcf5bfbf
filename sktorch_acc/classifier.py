"""`TorchClassifier`: its parameters; `fit` is prepare, train, publish; prediction."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _clone_parametrized, _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktorch_acc._global_state import fit_seed, isolated, without_inference_mode
from sktorch_acc._params import PREFIXES, is_nested, nearest
from sktorch_acc._pickling import pickled_versions, warn_of_other_versions
from sktorch_acc.data import Examples, FeatureSchema, Labels, check_labels, check_weights, class_factors, row_weights
from sktorch_acc.engine.cloning import Cloned
from sktorch_acc.engine.device import resolve_device
from sktorch_acc.engine.history import history_frame
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.observer import Observer, tell
from sktorch_acc.engine.prepare import FitData, prepare
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.state import Fit, TrainingState
from sktorch_acc.engine.train import train
from sktorch_acc.exceptions import NonFiniteLossError, warn
from sktorch_acc.labels import same_labels
from sktorch_acc.metrics._table import table_of_estimator
from sktorch_acc.observers.epoch_table import EpochTable
from sktorch_acc.observers.fit_checks import FitChecks, ModuleChecks
from sktorch_acc.observers.sklearn_tasks import CallbackSupportMixin, SklearnTasks, has_callbacks
from sktorch_acc.outputs import Conversion, only_binary

if TYPE_CHECKING:
    from sktorch_acc.observers.skorch_net import SkorchNet

__all__ = ["TorchClassifier"]


_MAKING_A_NET = threading.Lock()


class TorchClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Train a ``torch.nn.Module`` as a scikit-learn classifier.

    Parameters
    ----------
    module : nn.Module class, factory or instance, default=None
        What to train. A class or factory is called at each `fit` with the parameters ``module__<name>``
        and, for constructor arguments of these names that were not set so, sizes from the data:
        ``n_features``, ``in_features``, ``input_dim``, ``input_size``, ``n_inputs`` (columns of
        two-dimensional X); ``in_channels`` (axis 1 of four-dimensional X); ``n_classes``,
        ``num_classes`` (number of labels); ``out_features``, ``output_dim``, ``output_size``,
        ``n_outputs`` (number of labels, or 1 for BCELoss and BCEWithLogitsLoss). An instance keeps its
        weights and is deep-copied, as are layers, tensors and arrays among the arguments of a class or a
        ``functools.partial``. None: a plain MLP with one hidden layer of 64 units.
    criterion : nn.Module class, factory or instance, default=torch.nn.CrossEntropyLoss
        The loss. It says what the module must return: logits for CrossEntropyLoss and
        BCEWithLogitsLoss (one column, two classes), log-probabilities for NLLLoss, probabilities for
        BCELoss. Parameters: ``criterion__<name>``.
    output : {"logits", "log_probabilities", "probabilities"} or None, default=None
        What the module returns, for a criterion of your own.
    optimizer : torch optimizer class, default=torch.optim.AdamW
        Parameters: ``optimizer__<name>``. Fused kernels are used where there are some.
    lr : float, default=1e-3
        Learning rate.
    max_epochs : int, default=100
        Number of passes over the training samples.
    batch_size : int, default=128
        Number of samples in an optimizer step; a last batch of one sample is merged into the one before it.
    validation_fraction : float or None, default=None
        Fraction of the samples to hold out, stratified, for the `valid_*` columns of `history_`. None: train on
        all samples.
    early_stopping : bool, default=False
        Stop when `monitor` no longer improves, and restore the weights of the best epoch. Needs
        `validation_fraction`, or `X_val` and `y_val` in `fit`.
    n_iter_no_change : int, default=10
        Epochs without improvement after which to stop.
    tol : float, default=1e-4
        What counts as an improvement.
    monitor : str, default="valid_loss"
        Column of `history_` to follow; with ``loss`` in its name minimised, with ``acc`` maximised.
    lr_scheduler : class, {"cosine", "onecycle", "plateau"} or None, default=None
        Learning-rate scheduler of torch, stepped after each epoch (OneCycleLR, CyclicLR and
        CosineAnnealingWarmRestarts: after each step). Parameters: ``lr_scheduler__<name>``; the three
        names fill theirs from `max_epochs`, `lr` and `monitor`.
    class_weight : dict, "balanced" or None, default=None
        Weight of each label in the loss; multiplied by `sample_weight`.
    train_accuracy : {"exact", "running"} or None, default="exact"
        What to record each epoch, overall and per class. ``"exact"``: what `score` on the fitted samples would
        return at that moment (one more forward pass), and the running accuracy. ``"running"``: the fraction of
        samples that were predicted correctly when their batch was trained on, while the weights changed. None:
        nothing.
    callbacks : list of skorch callbacks or None, default=None
        Classes, instances (deep-copied) or ``(name, callback)`` pairs. Parameters:
        ``callbacks__<name>__<parameter>``. Callbacks of scikit-learn go to `set_callbacks`.
    device : str or torch.device, default="auto"
        Where to compute; ``"auto"`` is the accelerator if there is one, else the CPU. Resolved in `fit`.
    n_threads : int or "auto", default="auto"
        Intra-op threads of torch, in `fit` and in `predict`; never more than
        ``torch.get_num_threads()``. ``"auto"``: 1 for small steps, on which more threads lose time.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, order of the samples and dropout. None: different at each `fit`.
    warm_start : bool, default=False
        Whether `fit` on a fitted estimator continues the training: epochs, optimizer and random numbers as if it
        had not stopped. A learning-rate schedule starts again.
    verbose : int, default=0
        1 prints a line per epoch.
    diagnose : {"warn", "raise", "off"}, default="warn"
        What `fit` does when one of its checks finds something: an AccuracyWarning with its catalogue code, an
        error, or nothing. Before epoch 1: of a new module, outputs that are random in evaluation mode (E11);
        features of very different scales (D4). After epoch 1: of a new module, layers that an earlier fit has
        trained and this one trains further (E10). After the last: E11 again, or samples that influence each
        other (B4), if weights that were zero hid that; the accuracy has reached the upper bound set by identical
        samples with different labels (D6); and, from 5 epochs and 50 steps on, only the majority class is
        predicted (D7), nothing was learned (F1), the statistics of batch norm lag behind (E5). All other checks are in
        :func:`sktorch_acc.diagnose`.
    **nested
        Parameters under ``module__``, ``criterion__``, ``optimizer__``, ``lr_scheduler__`` and ``callbacks__``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; the order of columns everywhere.
    class_count_ : ndarray of shape (n_classes,), int64
        Number of fitted samples of each class.
    n_features_in_ : int
        Size of axis 1 of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if they are all strings.
    module_ : nn.Module
        The trained module, in evaluation mode.
    net_ : skorch net
        The model as skorch's callbacks see it; its targets are class indices. Made when it is first used.
    callbacks_ : list of (str, callback)
        The copies of the callbacks that were used.
    device_ : torch.device
        Device of the module.
    n_iter_ : int
        Number of epochs so far.
    best_epoch_ : int
        Epoch of the weights of `module_`; without early stopping the last one.
    history_ : DataFrame
        One row per epoch (index ``epoch``, from 1). Columns, as far as recorded: ``train_loss`` (mean of
        the batch losses in training mode, weighted by what the criterion divides each by; the sum if it
        sums; NaN after a `partial_fit` of samples that it does not count), ``train_acc``,
        ``train_acc_running``, ``valid_loss`` (the criterion on all validation samples; NaN if it counts
        none of them), ``valid_acc``, ``lr`` (at the epoch's start), ``seconds``; then
        ``train_acc[<label>]``, ``train_acc_running[<label>]`` and ``valid_acc[<label>]`` for every label.
    loss_curve_ : list of float
        The ``train_loss`` column.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Multilayer perceptron of scikit-learn.

    Notes
    -----
    `fit` changes no global state: the random generators of torch, numpy and Python, the default dtype, the
    number of threads and the gradient mode are afterwards as before, also when it fails.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sktorch_acc import TorchClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchClassifier(lr=0.01, max_epochs=30, random_state=0)
    >>> bool(cross_val_score(clf, X, y).mean() > 0.9)
    True
    """

    classes_: npt.NDArray[Any]
    class_count_: npt.NDArray[np.int64]
    n_features_in_: int
    feature_names_in_: npt.NDArray[np.object_]
    n_iter_: int
    best_epoch_: int
    _state: TrainingState

    _doc_link_module = "sktorch_acc"
    _doc_link_template = "https://sktorch-acc.readthedocs.io/en/stable/api.html#{estimator_module}.{estimator_name}"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "module": [callable, None],
        "criterion": [callable],
        "output": [StrOptions({"logits", "log_probabilities", "probabilities"}), None],
        "optimizer": [callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "early_stopping": ["boolean"],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "monitor": [str],
        "lr_scheduler": [StrOptions({"cosine", "onecycle", "plateau"}), callable, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "train_accuracy": [StrOptions({"exact", "running"}), None],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "n_threads": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "diagnose": [StrOptions({"off", "warn", "raise"})],
    }

    def __init__(
        self,
        module: Any = None,
        *,
        criterion: Any = nn.CrossEntropyLoss,
        output: Literal["logits", "log_probabilities", "probabilities"] | None = None,
        optimizer: Any = torch.optim.AdamW,
        lr: float = 1e-3,
        max_epochs: int = 100,
        batch_size: int = 128,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        monitor: str = "valid_loss",
        lr_scheduler: Literal["cosine", "onecycle", "plateau"] | Callable[..., Any] | None = None,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        train_accuracy: Literal["exact", "running"] | None = "exact",
        callbacks: Any = None,
        device: Any = "auto",
        n_threads: int | Literal["auto"] = "auto",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        diagnose: Literal["warn", "raise", "off"] = "warn",
        **nested: Any,
    ) -> None:
        self.module = module
        self.criterion = criterion
        self.output = output
        self.optimizer = optimizer
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.monitor = monitor
        self.lr_scheduler = lr_scheduler
        self.class_weight = class_weight
        self.train_accuracy = train_accuracy
        self.callbacks = callbacks
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.diagnose = diagnose
        for name in nested:
            self._refuse_unknown(name, TypeError)
        self._nested = nested

    # ------------------------------------------------------------ parameters

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return list(_param_names(cls))  # type: ignore[arg-type]  # mypy looks at the instances' __hash__

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters, nested ones too.

        Parameters
        ----------
        deep : bool, default=True
            As in scikit-learn.

        Returns
        -------
        params : dict
            Parameter names mapped to their values.
        """
        return {**super().get_params(deep), **self._nested}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones too.

        Parameters
        ----------
        **params : dict
            New values by name.

        Returns
        -------
        self : TorchClassifier
            This estimator.

        Raises
        ------
        ValueError
            If a name is not a parameter.
        """
        plain = set(super()._get_param_names())
        for name in params:
            if name not in plain:
                self._refuse_unknown(name, ValueError)
        self._nested = {**self._nested, **{n: v for n, v in params.items() if n not in plain}}
        super().set_params(**{n: v for n, v in params.items() if n in plain})
        return self

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy with copies of the parameters, as of scikit-learn; what they share stays shared."""
        memo: dict[int, Any] = {}
        stand_in = object.__new__(type(self))
        state = {**self.__dict__, "_nested": {name: Cloned.of(v, memo) for name, v in self._nested.items()}}
        state |= {name: Cloned.of(getattr(self, name), memo) for name in self._get_param_names()}
        stand_in.__dict__.update(state)
        return _clone_parametrized(stand_in)  # type: ignore[no-any-return]

    def _refuse_unknown(self, name: str, error: type[Exception]) -> None:
        """Raise for a name that is neither a parameter nor nested under a known prefix.

        ``nested`` itself is accepted here and refused in `fit`: scikit-learn's checks set every name of the
        signature.
        """
        if is_nested(name) or name == "nested":
            return
        valid = [*super()._get_param_names(), *(f"{prefix}__<name>" for prefix in PREFIXES)]
        raise error(f"{type(self).__name__} has no parameter {name!r}. {nearest(name, valid)}")

    def _validate_params(self) -> None:
        """Check the parameters that are not the defaults, which are most of them."""
        params, constraints = super().get_params(deep=False), self._parameter_constraints
        if constraints is TorchClassifier._parameter_constraints:
            params = {name: value for name, value in params.items() if not _is_known_valid(name, value)}
        validate_parameter_constraints(constraints, params, caller_name=type(self).__name__)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = not only_binary(self.criterion)
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return "_state" in self.__dict__

    # ------------------------------------------------------------ training

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Train the module.

        Parameters
        ----------
        X : array-like, sparse matrix or torch.Tensor of shape (n_samples, n_features) or (n_samples, ...)
            Features. Floating, integer or bool; finite. Integer torch tensors reach the module as int64.
        y : array-like of shape (n_samples,)
            Labels of any kind: strings, integers, bools, categories.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weight of each sample in the loss, ``sum(w * l) / sum(w)`` per batch. Samples of weight 0 are not
            trained on.
        X_val, y_val : as X and y, default=None
            Samples to validate on, instead of `validation_fraction`.

        Returns
        -------
        self : TorchClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data, the labels or the parameters are not valid; the message says what to do.
        ModuleOutputError
            If the module's output cannot mean what the criterion assumes, before epoch 1 or at the end, depends on
            the other samples of the batch, or changes its shape.
        NonFiniteLossError
            If the loss becomes NaN or infinite.
        SktorchAccError
            With ``diagnose="raise"``, instead of an AccuracyWarning.
        KeyboardInterrupt
            On Ctrl-C; the estimator is then fitted with the last complete epoch, if there is one.
        """
        state = self._state if self.warm_start and self.__sklearn_is_fitted__() else None
        read = functools.partial(self._read, state, X, y, sample_weight, valid=(X_val, y_val))
        return self._fit(self._settings(), read, state, functools.partial(self._observers, X, y, sample_weight))

    def _observers(self, X: Any, y: Any, sample_weight: Any) -> list[Observer]:
        """Return the observers of a `fit`, less the one of skorch's callbacks."""
        observers: list[Observer] = []
        if self.verbose:
            observers.append(EpochTable())
        if has_callbacks(self):
            observers.append(SklearnTasks(self, X, y, sample_weight, self._fitted_attributes))
        if self.diagnose != "off":
            observers.append(FitChecks(self.diagnose, getattr(self, "feature_names_in_", None)))
        return observers

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch on the given samples.

        Nothing is held out. Consecutive calls continue optimizer and random numbers; after a `fit` without
        `warm_start` a new optimizer is built. A learning-rate schedule starts again at each call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels of this and later calls; required at the first call.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weight of each sample in the loss.

        Returns
        -------
        self : TorchClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `early_stopping` is set, or `classes` is missing at the first call or different later, and
            as in `fit`.
        """
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it trains one epoch a call.")
        state = self._state if self.__sklearn_is_fitted__() else None
        if state is None and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        settings = replace(self._settings(), max_epochs=1, validation_fraction=None, warm_start=True)
        read = functools.partial(self._read, state, X, y, sample_weight, classes=classes, part=True)
        return self._fit(settings, read, state, lambda: [EpochTable()] if self.verbose else [])

    def _settings(self) -> FitSettings:
        if "nested" in self._nested:
            raise TypeError("TorchClassifier has no parameter 'nested': pass module__<name>=... instead.")
        return FitSettings.of(super().get_params(deep=False), self._nested)

    def _read(
        self,
        state: TrainingState | None,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        classes: Any = None,
        valid: tuple[Any, Any] = (None, None),
        part: bool = False,
    ) -> FitData:
        """Check X, y and weights; learn schema and labels, or compare with those of an earlier fit."""
        y = check_labels(y, self)
        weights = check_weights(sample_weight, len(y))
        schema, checked = FeatureSchema.learn(self, X) if state is None else self._known(state, X)
        check_consistent_length(checked, y)
        labels, indices = self._encode(y, state, classes)
        in_training = row_weights(labels, indices, weights, self.class_weight)
        with without_inference_mode():  # tensors that are made in it cannot be trained on
            given = Examples.of(schema.rows(checked), indices, len(labels.classes), in_training)
            validation = self._validation_examples(schema, labels, *valid)
            if validation is not None and self.class_weight is not None:
                factors = torch.from_numpy(class_factors(labels, indices, weights, self.class_weight))
                validation = validation.weighing(factors[validation.targets])
        return FitData(schema, labels, given, validation, part)

    def _known(self, state: TrainingState, X: Any) -> tuple[FeatureSchema, Any]:
        schema = state.model.schema
        return schema, schema.check(self, X)

    def _encode(
        self, y: npt.NDArray[Any], state: TrainingState | None, classes: Any
    ) -> tuple[Labels, npt.NDArray[np.int64]]:
        """Return labels and class indices; every label must be known where the labels are given."""
        if state is None and classes is None:
            return Labels.learn(y)
        labels = state.model.labels if state else Labels.learn(check_labels(classes, self))[0]
        if state is not None and classes is not None:
            given = Labels.learn(check_labels(classes, self))[0].classes
            if not same_labels(given, labels.classes):
                raise ValueError(
                    f"classes={given.tolist()} is not the same as on the last call: {labels.classes.tolist()}."
                )
        return labels, _indices_of(labels, y)

    def _validation_examples(self, schema: FeatureSchema, labels: Labels, X_val: Any, y_val: Any) -> Examples | None:
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val go together: pass both, or none.")
        if self.validation_fraction is not None:
            raise ValueError(
                "Both validation_fraction and X_val, y_val are given: set validation_fraction=None to validate on "
                "the rows you pass."
            )
        y_val = check_labels(y_val, self)
        try:
            checked = schema.check(self, X_val)
        except ValueError as err:
            raise ValueError(f"X_val: {err}") from err
        check_consistent_length(checked, y_val)
        return Examples.of(schema.rows(checked), _indices_of(labels, y_val, "y_val: "), len(labels.classes))

    def _fit(
        self,
        settings: FitSettings,
        read: Callable[[], FitData],
        state: TrainingState | None,
        observers: Callable[[], list[Observer]],
    ) -> Self:
        """Read the data, prepare, train, publish: the one place where the estimator changes.

        Signals are delayed from the first change on, except while the data are read, a new module is built and the
        epochs run. After a failure the estimator is unfitted. A fit that continues keeps the complete epochs, unless
        the loss is not finite.
        """
        with Interrupts().watching() as interrupts:
            try:
                if state is None:
                    self._forget()
                with interrupts.interruptible():
                    data = read()
                device = resolve_device(self.device) if state is None else state.model.device
                seed = fit_seed(self.random_state) if state is None else state.seed
                skorch = self._skorch_observer(settings if state is None else state.built_from)
                hearers = [] if skorch is None else [skorch]
                hearers += observers()
                if state is None and self.diagnose != "off":
                    hearers.append(ModuleChecks(self.diagnose))
                with isolated(device):
                    with interrupts.interruptible() if state is None else nullcontext():
                        fit = prepare(settings, data, seed=seed, state=state, observers=hearers, interrupts=interrupts)
                    self._train(fit, skorch, continued=state is not None)
            except BaseException:
                if not self.__sklearn_is_fitted__():
                    self._forget()  # what scikit-learn has set while the data were read
                raise
        return self

    def _train(self, fit: Fit, skorch: Any, *, continued: bool) -> None:
        """Run the epochs and publish what came of them."""
        try:
            train([fit])
        except BaseException as err:
            interrupted = isinstance(err, KeyboardInterrupt) or fit.interrupts.pending
            if not (interrupted or continued) or isinstance(err, NonFiniteLossError):
                self._forget()
            elif fit.rows:
                self._publish(fit, skorch)
            raise
        self._publish(fit, skorch)
        tell(fit, "published")

    def _skorch_observer(self, settings: FitSettings) -> Any:
        """Return the observer that runs skorch's callbacks; without callbacks None, and skorch is not imported."""
        if not settings.callbacks:
            return None
        from sktorch_acc.observers.skorch_net import SkorchObserver

        return SkorchObserver(self.__dict__.get("_net"))

    def _publish(self, fit: Fit, skorch: Any) -> None:
        """Set the fitted attributes."""
        self.__dict__.pop("history_", None)
        self.__dict__.update(self._fitted_attributes(fit), _net=skorch and skorch.net)

    def _fitted_attributes(self, fit: Fit) -> dict[str, Any]:
        """Return the fitted attributes after the epochs recorded so far."""
        state = fit.state
        return {
            "_state": state,
            "classes_": state.model.labels.classes,
            "class_count_": fit.fitted.support,
            "n_iter_": state.epoch,
            "best_epoch_": state.best_epoch,
        }

    def _forget(self) -> None:
        """Delete the fitted attributes."""
        for name in [name for name in self.__dict__ if name.endswith("_") and not name.startswith("_")]:
            del self.__dict__[name]
        for name in ("_state", "_net"):
            self.__dict__.pop(name, None)

    # ------------------------------------------------------------ prediction

    def _predict(self, X: Any, what: Conversion) -> npt.NDArray[Any]:
        check_is_fitted(self)
        model = self._state.model
        convert = functools.partial(model.spec.converted, what)
        return model.predict(model.schema.check(self, X), convert, type(self).__name__)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels, in the dtype of `classes_`.

        Raises
        ------
        ValueError
            If the module returns NaN, or values that are no probabilities, for a sample; the message says for how
            many. The same holds for the other methods below.
        """
        indices = self._predict(X, "classes")
        return self._state.model.labels.decode(indices)

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float32 or float64
            In [0, 1], rows sum to 1; columns in the order of `classes_`.
        """
        return self._predict(X, "probabilities")

    def predict_log_proba(self, X: Any) -> npt.NDArray[Any]:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), float32 or float64
            At most 0; where possible computed without taking the logarithm of a rounded probability.
        """
        return self._predict(X, "log_probabilities")

    def decision_function(self, X: Any) -> npt.NDArray[Any]:
        """Return decision values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.

        Returns
        -------
        values : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Logits; log-probabilities for NLLLoss; the log of the mean probability for ensembles. For two
            classes their difference, positive for ``classes_[1]``.
        """
        return self._predict(X, "decision")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the given samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.
        y : array-like of shape (n_samples,)
            True labels. Labels not seen in `fit` count as wrong, with one AccuracyWarning.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weight of each sample.

        Returns
        -------
        accuracy : float
            In [0, 1]; equals ``accuracy_score(y, predict(X))`` to the last bit.
        """
        predicted = self._predict(X, "classes")
        y = check_labels(y, self)
        check_consistent_length(predicted, y)
        weights = check_weights(sample_weight, len(y))
        labels = self._state.model.labels
        indices = labels.encode(y)
        unseen = labels.unseen(y, indices, ", counted as wrong")
        if unseen:
            warn(unseen)
        return float(np.average(indices == predicted, weights=weights))

    def per_class_accuracy(self, X: Any, y: Any) -> pd.DataFrame:
        """Tabulate how many samples of each class are predicted correctly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Features, as in `fit`.
        y : array-like of shape (n_samples,)
            True labels. A label not seen in `fit` gets a row with accuracy 0.

        Returns
        -------
        table : DataFrame of shape (n_classes + 1, 8)
            As of :func:`sktorch_acc.metrics.per_class_accuracy_table`.
        """
        check_is_fitted(self)
        return table_of_estimator(self, X, check_labels(y, self))

    # ------------------------------------------------------------ fitted attributes

    @property
    def module_(self) -> nn.Module:
        """The trained module, in evaluation mode."""
        return self._fitted("module_").model.module

    @property
    def net_(self) -> SkorchNet:
        """The model as a skorch net, for skorch's callbacks; its targets are class indices."""
        state = self._fitted("net_")
        with _MAKING_A_NET:
            net: SkorchNet | None = self.__dict__.get("_net")
            if net is None:
                from sktorch_acc.observers.skorch_net import net_of

                net = self.__dict__["_net"] = net_of(state)
        return net

    @property
    def callbacks_(self) -> list[tuple[str, Any]]:
        """The copies of the callbacks that were used, by name."""
        return list(self.net_.callbacks_) if self._fitted("callbacks_").built_from.callbacks else []

    @property
    def device_(self) -> torch.device:
        """Device of the module."""
        return self._fitted("device_").model.device

    @functools.cached_property
    def history_(self) -> pd.DataFrame:
        """Record of the epochs; the table is made when it is first read."""
        state = self._fitted("history_")
        return history_frame(state.rows, state.model.labels.classes)

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss of each epoch."""
        return [row.values["train_loss"] for row in self._fitted("loss_curve_").rows]

    def _fitted(self, name: str) -> TrainingState:
        state = self.__dict__.get("_state")
        if state is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}: it is not fitted yet.")
        return state  # type: ignore[no-any-return]

    # ------------------------------------------------------------ pickle

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_versions": pickled_versions()}
        if "_state" in state and not state["_state"].built_from.callbacks:
            state["_net"] = None  # a view that is made again when it is used
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        warn_of_other_versions(type(self).__name__, state.pop("_versions", {}))
        super().__setstate__(state)


_DEFAULTS = inspect.signature(TorchClassifier.__init__).parameters


def _is_known_valid(name: str, value: Any) -> bool:
    """Whether a value is the default, or a number that was checked before: the folds of a search have the same."""
    if value is _DEFAULTS[name].default:
        return True
    return type(value) in (int, float) and _is_valid_number(name, value, type(value).__name__)


@functools.lru_cache(maxsize=256)
def _is_valid_number(name: str, value: float, kind: str) -> bool:  # `kind`, because 1 equals 1.0
    try:
        validate_parameter_constraints(TorchClassifier._parameter_constraints, {name: value}, "TorchClassifier")
    except ValueError:  # which is raised again, with the name of the class
        return False
    return True


def _indices_of(labels: Labels, y: npt.NDArray[Any], prefix: str = "") -> npt.NDArray[np.int64]:
    """Return class indices; raise ValueError for labels that were not seen in `fit`."""
    indices = labels.encode(y)
    unseen = labels.unseen(y, indices)
    if unseen:
        raise ValueError(f"{prefix}{unseen}")
    return indices


@functools.lru_cache(maxsize=16)
def _param_names(cls: Any) -> tuple[str, ...]:
    """Return the names of a class's parameters: scikit-learn reads its signature anew each time, twice a fit."""
    return tuple(super(TorchClassifier, cls)._get_param_names())
