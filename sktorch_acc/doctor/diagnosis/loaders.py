"""What a DataLoader says of itself: nothing is drawn from it."""

from __future__ import annotations

from typing import Any, Literal

from torch.utils.data import (
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

__all__ = ["read_loader"]

Order = Literal["as given", "shuffled", "resampled", "unknown"]


def read_loader(loader: Any) -> LoaderFacts | None:
    """Return the facts of a loader; None if it does not know its number of rows.

    Raises
    ------
    TypeError
        If it is no DataLoader.
    """
    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader must be a torch.utils.data.DataLoader, but got a {type(loader).__name__}.")
    if isinstance(loader.dataset, IterableDataset):
        return None
    batches: Any = loader.batch_sampler
    sampler = loader.sampler if loader.batch_size is not None else getattr(batches, "sampler", loader.sampler)
    n_rows = len(loader.dataset)  # type: ignore[arg-type]
    return LoaderFacts(
        n_rows=n_rows,
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
    """Whether items hold labels; a data set of a kind of its own is not asked: reading an item may cost."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return not isinstance(dataset, TensorDataset) or len(dataset.tensors) > 1
