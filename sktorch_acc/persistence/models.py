"""Save a fitted `TorchClassifier`, load it, and read the contents of a file without loading the model."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.engine.device import resolve_device
from sktorch_acc.engine.history import history_frame
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.persistence.epochs import epochs_from_json
from sktorch_acc.persistence.labels import labels_from_json
from sktorch_acc.persistence.loading import rebuild
from sktorch_acc.persistence.manifest import check_weights, manifest_from_bytes
from sktorch_acc.persistence.saving import contents
from sktorch_acc.storage.archive import Source, read_entries, write_entries
from sktorch_acc.storage.tensors import unpack


def save_model(clf: TorchClassifier, path: Source, *, with_optimizer: bool = False) -> None:
    """Save a fitted classifier in one file without pickle.

    Parameters
    ----------
    clf : TorchClassifier
        Fitted classifier. For a pipeline see "Save, load, ship" in the user guide.
    path : str, path-like or binary file
        Where to save. An existing file is replaced atomically: after a crash it is the old model or the new one.
        A temporary file (``.<name>.<random>.tmp``) that a crash leaves in the same folder is deleted by the next save
        to this path.
    with_optimizer : bool, default=False
        Whether to store the state of the optimizer, so that `partial_fit`, and `fit` with ``warm_start=True``,
        continue as without saving. The state of AdamW is twice as large as the weights.

    Raises
    ------
    ModelFileError
        If a part of the estimator cannot be stored (a lambda as `module`, a criterion object, a callback with a
        state, parameters changed since `fit`), or if `module_` was edited after `fit`. The message names the part and
        says what to do.
    NotFittedError
        If `clf` is not fitted.
    OSError
        If the file cannot be written.
    TypeError
        If `clf` is not a TorchClassifier.

    See Also
    --------
    load_model : Load a saved model.
    inspect_model : Return the contents of a file.

    Notes
    -----
    The file is a zip archive of ``manifest.json`` (parameters, labels with their dtype, feature names, values of the
    epochs, versions, SHA-256 of the weights) and ``weights.safetensors`` (parameters and buffers, counts of the
    epochs, outputs for at most 8 rows that are made from the shape and dtype of X and a fixed seed). Attributes of the
    module that are neither parameters nor buffers are not stored: if its outputs depend on them, an error says so. The
    module is built again and run on the CPU, to see that `load_model` will give the same outputs. After a `fit` without
    ``warm_start`` the next `partial_fit` starts with a new optimizer in any case: `with_optimizer` is of use after
    `partial_fit` and with ``warm_start=True``.

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
            "pipeline[:-1] with skops and pipeline[-1] with save_model: see 'Save, load, ship' in the user guide."
        )
    check_is_fitted(clf)
    write_entries(path, contents(clf, with_optimizer))


def load_model(path: Source, module: Any = None, *, allow: Iterable[Any] = (), device: Any = "auto") -> TorchClassifier:
    """Load a classifier that `save_model` saved, without importing or running what the file names.

    Parameters
    ----------
    path : str, path-like or binary file
        The file.
    module : nn.Module class, factory or instance, default=None
        The module that was trained; it becomes the parameter `module` of the loaded estimator. A class or factory
        is called with the ``module__`` parameters and the sizes in the file. An instance is deep-copied; no value
        of the file is passed to its constructor. None: the bundled MLP, or a class in `allow`.
    allow : iterable of classes and functions, default=()
        Other classes and functions that the file may name: a criterion, an optimizer, an activation given as a
        parameter. Layers, losses, optimizers and schedules of torch are always allowed.
    device : str or torch.device, default="auto"
        Device of the module; ``"auto"`` is the accelerator if there is one, else the CPU. The parameter `device` of
        the estimator is the saved one.

    Returns
    -------
    clf : TorchClassifier
        Fitted classifier, which can be trained further. On the same device its predictions equal those of the
        saved one to the last bit.

    Raises
    ------
    ModelFileError
        If the file is damaged or not a model file, if its entries contradict each other, if it names a class
        that was not passed, or if `module` gives other outputs than the one that was saved.
    OSError
        If the file cannot be read.
    TypeError
        If `allow` holds something other than classes and functions.
    ValueError
        If `device` is not available.

    Warns
    -----
    AccuracyWarning
        If the outputs of the module differ from those saved by more than rounding, and by at most 1% of the largest.

    See Also
    --------
    save_model : Save a model.
    inspect_model : Return the contents of a file; no class is needed.

    Notes
    -----
    Files of format 1 and 2 can be loaded. Checksums, names, shapes and dtypes are verified before a tensor is used. The
    module is then run on the CPU on the made-up rows whose outputs are in the file. Numbers in the file are passed to
    the constructor of a class: for a file from an untrusted source, pass an instance. A `clone` of the loaded estimator
    trains the `module` that was passed.

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
    """Return the contents of a model file. The model is not loaded, and its classes are not needed.

    Parameters
    ----------
    path : str, path-like or binary file
        The file.

    Returns
    -------
    facts : dict
        ``format_version`` (int), ``versions`` (dict: versions of the libraries that wrote the file), ``module``
        (dict: its kind, and the name of the class or factory that `load_model` needs, None for the bundled MLP),
        ``parameters`` (dict, as stored: ``{"$name": ...}`` is a class or function), ``needs`` (list of the names
        that must be in `allow`), ``classes`` (ndarray of shape (n_classes,)), ``n_features`` (int),
        ``feature_names`` (list or None), ``row_shape`` (tuple: shape of one sample), ``device`` and ``dtype`` (str,
        of the training), ``n_iter`` and ``best_epoch`` (int), ``history`` (DataFrame), ``optimizer`` (bool: whether
        its state is stored), ``tensors`` (dict: dtype and shape by name) and ``sha256`` (str, of the weights).

    Raises
    ------
    ModelFileError
        If the file is damaged or not a model file; the checksums are verified.
    OSError
        If the file cannot be read.

    See Also
    --------
    load_model : Load a saved model.

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
        "format_version": manifest.format_version,
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


def _read(path: Source) -> tuple[SimpleNamespace, bytes]:
    """Return the manifest and the weights of a file, with verified checksums."""
    try:
        data, weights = read_entries(path)
    except MemoryError as err:
        raise ModelFileError("The file is larger than the memory of this machine.") from err
    manifest = manifest_from_bytes(data)
    check_weights(manifest, weights)
    return manifest, weights


def _foreign_names(value: Any) -> set[str]:
    """Return the names in stored parameters that must be allowed."""
    if type(value) is list:
        return set().union(*map(_foreign_names, value))
    if type(value) is dict:
        name = value.get("$name")
        if type(name) is str:
            return {name} if ":" in name else set()
        return set().union(*map(_foreign_names, value.values()))
    return set()
