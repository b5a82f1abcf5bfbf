"""Input data: validation of X and y, weights, splits, and conversion to tensors."""

from sktorch_acc.data.batches import aligned_split as aligned_split
from sktorch_acc.data.batches import batch_sizes as batch_sizes
from sktorch_acc.data.batches import row_blocks as row_blocks
from sktorch_acc.data.examples import Examples as Examples
from sktorch_acc.data.labels import Labels as Labels
from sktorch_acc.data.labels import class_factors as class_factors
from sktorch_acc.data.labels import relative_weights as relative_weights
from sktorch_acc.data.labels import row_weights as row_weights
from sktorch_acc.data.rows import DenseRows as DenseRows
from sktorch_acc.data.rows import Rows as Rows
from sktorch_acc.data.rows import SparseRows as SparseRows
from sktorch_acc.data.schema import FeatureSchema as FeatureSchema
from sktorch_acc.data.split import stratified_holdout as stratified_holdout
from sktorch_acc.labels import check_labels as check_labels
from sktorch_acc.labels import check_weights as check_weights
