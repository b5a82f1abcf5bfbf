"""The one door for data: what comes in is checked, remembered and turned into tensors here."""

from sktorch_acc.data.batches import batch_sizes, row_blocks
from sktorch_acc.data.door import Door
from sktorch_acc.data.labels import Labels, check_labels, check_weights, class_factors, row_weights
from sktorch_acc.data.rows import DenseRows, Rows, SparseRows
from sktorch_acc.data.split import stratified_holdout

__all__ = [
    "DenseRows",
    "Door",
    "Labels",
    "Rows",
    "SparseRows",
    "batch_sizes",
    "check_labels",
    "check_weights",
    "class_factors",
    "row_blocks",
    "row_weights",
    "stratified_holdout",
]
