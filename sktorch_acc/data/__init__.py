"""Input data: validation of X and y, weights, splits, and conversion to tensors."""

from sktorch_acc.data.batches import aligned_split, batch_sizes, row_blocks
from sktorch_acc.data.examples import Examples
from sktorch_acc.data.labels import Labels, class_factors, row_weights
from sktorch_acc.data.rows import DenseRows, Rows, SparseRows
from sktorch_acc.data.schema import FeatureSchema
from sktorch_acc.data.split import stratified_holdout
from sktorch_acc.labels import check_labels, check_weights

__all__ = [
    "DenseRows",
    "Examples",
    "FeatureSchema",
    "Labels",
    "Rows",
    "SparseRows",
    "aligned_split",
    "batch_sizes",
    "check_labels",
    "check_weights",
    "class_factors",
    "row_blocks",
    "row_weights",
    "stratified_holdout",
]
