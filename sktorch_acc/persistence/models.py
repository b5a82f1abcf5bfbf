"""The public three: save a fitted `TorchClassifier`, load it, and look into a file without loading it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.engine.device import resolve_device
from sktorch_acc.engine.history import history_frame
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.persistence.epochs import epochs_from_json
from sktorch_acc.persistence.labels import labels_from_json
from sktorch_acc.persistence.loading import rebuild
from sktorch_acc.persistence.manifest import VERSION, Manifest
from sktorch_acc.persistence.saving import contents
from sktorch_acc.storage.archive import Source, read_entries, write_entries
from sktorch_acc.storage.tensors import unpack

__all__ = ["inspect_model", "load_model", "save_model"]


def save_model(clf: TorchClassifier, path: Source, *, with_optimizer: bool = False) -> None:
    """Save a fitted classifier in one file without pickle.

    Parameters
    ----------
    clf : TorchClassifier
        Fitted. A pipeline is saved with skops, see "Save, load, ship" in the documentation.
    path : str, path-like or binary file
        Where to. A path is replaced atomically: after a crash it holds the old model or the new one. A file
        that was left half-written beside it (``.<name>.<random>.tmp``) can be deleted.
    with_optimizer : bool, default=False
        Whether to store the state of the optimizer too, with which `partial_fit` and ``fit`` under
        ``warm_start=True`` continue as if the model had not been saved. AdamW's is twice as large as the weights.

    Raises
    ------
    ModelFileError
        If something of the estimator cannot be stored (a lambda as `module`, a criterion object, a callback
        with a state, parameters changed since `fit`): the message names it and says what to do.
    NotFittedError
        If `clf` is not fitted.
    TypeError
        If `clf` is no TorchClassifier.

    See Also
    --------
    load_model : Load it.
    inspect_model : Say what a file holds.

    Notes
    -----
    The file is a zip of ``manifest.json`` (parameters, labels with their dtype, names of features, history,
    versions, SHA-256 of the weights) and ``weights.safetensors``. What the module keeps outside its parameters
    and buffers is not stored. After a `fit` without ``warm_start`` the next `partial_fit` starts with a new
    optimizer, loaded or not: `with_optimizer` matters after `partial_fit` and under ``warm_start``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from sktorch_acc import TorchClassifier, load_model, save_model
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> clf = TorchClassifier(max_epochs=2, random_state=0).fit(X / 40, X[:, 0] > 20)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(clf, pathlib.Path(folder) / "model.sktorch")
    ...     loaded = load_model(pathlib.Path(folder) / "model.sktorch")
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    if not isinstance(clf, TorchClassifier):
        raise TypeError(
            f"save_model stores a fitted TorchClassifier, but got a {type(clf).__name__}. For a pipeline save "
            "pipeline[:-1] with skops and pipeline[-1] with save_model: see 'Save, load, ship' in the documentation."
        )
    check_is_fitted(clf)
    write_entries(path, contents(clf, with_optimizer))


def load_model(path: Source, module: Any = None, *, allow: Iterable[Any] = (), device: Any = "auto") -> TorchClassifier:
    """Load a classifier that `save_model` saved, without running anything that the file names.

    Parameters
    ----------
    path : str, path-like or binary file
        The file.
    module : nn.Module class, factory or instance, default=None
        What the model was trained with; it becomes the loaded estimator's `module`. A class or factory is called
        with the ``module__`` parameters of the file and sizes from the data; an instance is deep-copied, and no
        argument of the file reaches its constructor. None: the bundled MLP, or a class in `allow`.
    allow : iterable of classes and functions, default=()
        Your own, for which names in the file may stand: a criterion, an optimizer, an activation given as a
        parameter. Torch's layers, losses, optimizers and schedules need no permission.
    device : str or torch.device, default="auto"
        Where the module goes. The parameter `device` stays what it was when the model was saved.

    Returns
    -------
    clf : TorchClassifier
        Fitted: on the same device it predicts the same bits as the one that was saved, and it can be trained on.

    Raises
    ------
    ModelFileError
        If the file is damaged, is no model file, contradicts itself or needs a class that was not given.
    OSError
        If the file cannot be read.
    ValueError
        If there is no such device.

    See Also
    --------
    save_model : Save a model.
    inspect_model : Say what a file holds, without its classes.

    Notes
    -----
    Before a tensor is used, its checksum, name, shape and dtype are verified. Numbers in the file do reach
    the constructor of a class that you pass: for a file from somebody you do not trust, pass an instance.
    `clone` of a loaded estimator trains the `module` that was passed.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import torch
    >>> from sktorch_acc import TorchClassifier, load_model, save_model
    >>> X = np.arange(40.0, dtype=np.float32).reshape(20, 2)
    >>> clf = TorchClassifier(torch.nn.Linear, max_epochs=2, random_state=0).fit(X / 40, X[:, 0] > 20)
    >>> file = io.BytesIO()
    >>> save_model(clf, file)
    >>> loaded = load_model(file, module=torch.nn.Linear)
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    manifest, weights = _read(path)
    return rebuild(manifest, unpack(weights, manifest.tensors), module, allow, resolve_device(device))


def inspect_model(path: Source) -> dict[str, Any]:
    """Say what a model file holds, without loading it and without its classes.

    Parameters
    ----------
    path : str, path-like or binary file
        The file.

    Returns
    -------
    facts : dict
        ``format_version`` (int), ``versions`` (of the libraries that wrote it), ``module`` (its kind, and the name
        of the class or factory that `load_model` needs; None for the bundled one), ``parameters`` (as stored:
        ``{"$name": ...}`` is a class or function), ``needs`` (names that must be in `allow`), ``classes`` (ndarray),
        ``n_features``, ``feature_names`` (list or None), ``row_shape``, ``device`` and ``dtype`` (of training),
        ``n_iter``, ``best_epoch``, ``history`` (DataFrame), ``optimizer`` (bool: whether its state is there),
        ``tensors`` (dtype and shape by name) and ``sha256`` (of the weights).

    Raises
    ------
    ModelFileError
        If the file is damaged or is no model file; its checksums are verified.
    OSError
        If the file cannot be read.

    See Also
    --------
    load_model : Load it.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from sktorch_acc import TorchClassifier, inspect_model, save_model
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> file = io.BytesIO()
    >>> save_model(TorchClassifier(max_epochs=2).fit(X / 40, X[:, 0] > 20), file)
    >>> inspect_model(file)["classes"]
    array([False,  True])
    """
    manifest, weights = _read(path)
    classes = labels_from_json(**manifest.classes)
    rows = epochs_from_json(manifest.epochs, unpack(weights, manifest.tensors), len(classes))
    return {
        "format_version": VERSION,
        "versions": manifest.versions,
        "module": manifest.module,
        "parameters": manifest.parameters,
        "needs": sorted(_foreign_names(manifest.parameters)),
        "classes": classes,
        "n_features": manifest.n_features,
        "feature_names": manifest.feature_names,
        "row_shape": tuple(manifest.schema["row_shape"]),
        "device": manifest.training["device"],
        "dtype": manifest.training["dtype"],
        "n_iter": rows[-1].epoch if rows else 0,
        "best_epoch": manifest.training["best_epoch"],
        "history": history_frame(rows, classes),
        "optimizer": manifest.optimizer is not None,
        "tensors": manifest.tensors,
        "sha256": manifest.weights["sha256"],
    }


def _read(path: Source) -> tuple[Manifest, bytes]:
    """Return the manifest of a file and its weights, whose checksums are verified."""
    try:
        data, weights = read_entries(path)
    except MemoryError as err:
        raise ModelFileError("The file is larger than the memory of this machine.") from err
    manifest = Manifest.from_bytes(data)
    manifest.check_weights(weights)
    return manifest, weights


def _foreign_names(value: Any) -> set[str]:
    """Return the names in stored parameters that are not torch's."""
    if type(value) is list:
        return set().union(*map(_foreign_names, value))
    if type(value) is dict:
        name = value.get("$name")
        if type(name) is str:
            return {name} if ":" in name else set()
        return set().union(*map(_foreign_names, value.values()))
    return set()
