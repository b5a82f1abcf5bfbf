"""Read the static properties of a DataLoader, without iterating it."""

from __future__ import annotations

from typing import Any, Literal

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from sktorch_acc.checks.counting import LoaderFacts

Order = Literal["as given", "shuffled", "resampled", "unknown"]


def read_loader(loader: Any) -> LoaderFacts | None:
    """Return the properties of a loader; None if the length of its data set is unknown.

    Raises
    ------
    TypeError
        If it is not a DataLoader.
    """
    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader must be a torch.utils.data.DataLoader, but got a {type(loader).__name__}.")
    if isinstance(loader.dataset, IterableDataset):
        return None
    batches: Any = loader.batch_sampler
    if batches is None and isinstance(loader.sampler, BatchSampler):  # whose batches the data set takes whole
        batches = loader.sampler
    sampler = loader.sampler if loader.batch_size is not None else getattr(batches, "sampler", loader.sampler)
    return LoaderFacts(
        n_samples=len(loader.dataset),  # type: ignore[arg-type]
        n_drawn=len(sampler),  # type: ignore[arg-type]
        batch_size=loader.batch_size or getattr(batches, "batch_size", None),
        drop_last=bool(loader.drop_last or getattr(batches, "drop_last", False)),
        order=_order(sampler),
        has_labels=_has_labels(loader.dataset),
    )


def _order(sampler: Any) -> Order:
    if isinstance(sampler, SequentialSampler):
        return "as given"
    if isinstance(sampler, (RandomSampler, WeightedRandomSampler)):
        return "resampled" if sampler.replacement else "shuffled"
    return "shuffled" if isinstance(sampler, SubsetRandomSampler) else "unknown"


def _has_labels(dataset: Dataset[Any]) -> bool:
    """Whether items hold labels; assumed of unknown data sets, as reading an item may be slow."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return not isinstance(dataset, TensorDataset) or len(dataset.tensors) > 1
