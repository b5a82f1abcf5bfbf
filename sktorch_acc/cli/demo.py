"""``sktorch-acc demo``: a PyTorch module in a scikit-learn pipeline, with the accuracy of each class."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor, nn

from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.datasets import load_occupations, make_job_types
from sktorch_acc.model_selection import PerClassCrossValidation, cross_val_per_class_accuracy
from sktorch_acc.plots import AccuracyCurveDisplay, PerClassAccuracyDisplay

_FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


class OccupationNet(nn.Module):
    """A small network; n_features and n_classes are set from the data."""

    def __init__(self, n_features: int, n_classes: int, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Return one logit per class; the softmax is in the loss."""
        logits: Tensor = self.layers(X)
        return logits


def make_pipeline_for(**parameters: Any) -> Pipeline:
    """Return scaling and one-hot encoding, then the module as a scikit-learn classifier."""
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")),
    )
    return make_pipeline(
        columns,
        TorchClassifier(OccupationNet, lr=3e-3, max_epochs=20, batch_size=64, random_state=0, **parameters),
    )


def run_demo() -> None:
    """Print the demo."""
    X, y = load_occupations(return_X_y=True)
    _title("1. A real table: the occupations of 534 workers in 1985")
    print(X.head(3).to_string(index=False))
    print(f"... {len(X)} rows; to predict: {', '.join(y.cat.categories)}")
    _title("2. A PyTorch module")
    print(inspect.getsource(OccupationNet))
    _title("3. Training in a scikit-learn pipeline; train_acc is exact for every epoch and class")
    pipeline = make_pipeline_for(verbose=1).fit(X, y)
    clf = pipeline[-1]
    recorded = clf.history_.loc[clf.best_epoch_, "train_acc"]
    print(f"\nscore on the rows it was fitted on: {pipeline.score(X, y)!r}; recorded: {float(recorded)!r}")
    _title("4. cross_val_score: the accuracy on rows that were not used for training")
    scores = cross_val_score(make_pipeline_for(), X, y, cv=_FOLDS)
    print("accuracy of each fold:", "  ".join(f"{score:.3f}" for score in scores))
    print(f"mean: {scores.mean():.3f}   (always answering {y.mode()[0]!r}: {y.value_counts(normalize=True).max():.3f})")
    _title("5. The accuracy of every class")
    result = _print_classes(X, y, ["support", "correct", "wrong", "accuracy", "low", "high", "most_confused_with"])
    overall, worst = result.table.iloc[-1], result.table.iloc[int(result.table["accuracy"][:-1].argmin())]
    print(
        f"\nOverall {overall['accuracy']:.0%} of the predictions are correct, but of {worst.name!r} only "
        f"{worst['correct']} of {worst['support']}."
    )
    show_job_types()
    _draw(clf, result)


def show_job_types() -> None:
    """Print correct and wrong counts, overall and of every class, for the synthetic employees."""
    _title("6. The job types of 200 synthetic employees, from sex, age, city and income")
    X, y = make_job_types(random_state=0)
    _print_classes(X, y, ["support", "correct", "wrong", "accuracy", "most_confused_with"])
    print("\nThe best possible model has an accuracy of 81% on new rows; on 200 rows it varies by about 5 points.")


def _print_classes(X: Any, y: Any, columns: list[str]) -> PerClassCrossValidation:
    """Cross-validate, print these columns of the table, and return the result."""
    result = cross_val_per_class_accuracy(make_pipeline_for(), X, y, cv=_FOLDS)
    print(result.table[columns].to_string(float_format=lambda value: f"{value:.3f}"))
    return result


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _draw(clf: TorchClassifier, result: PerClassCrossValidation) -> None:
    """Write the two plots of the demo, if matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        print("\nFor plots: pip install 'sktorch-acc[plot]'")
        return
    import matplotlib

    matplotlib.use("Agg")
    curves = AccuracyCurveDisplay.from_estimator(clf, per_class=True)
    curves.figure_.savefig("demo-accuracy-curves.png", dpi=120, bbox_inches="tight")
    bars = PerClassAccuracyDisplay.from_cross_validation(result)
    bars.figure_.savefig("demo-per-class-accuracy.png", dpi=120, bbox_inches="tight")
    print("\nPlots: demo-accuracy-curves.png, demo-per-class-accuracy.png")
