"""Predict the job type of employees with your own module, and compare the accuracy of the jobs.

Run: ``python examples/job_types.py [folder for the plot]``
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.datasets import make_job_types


class JobNet(nn.Module):
    """n_features and n_classes are set from the data; hidden and dropout can be tuned in a search."""

    def __init__(self, n_features, n_classes, hidden=24, dropout=0.2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, X):
        return self.layers(X)


def main(folder):
    X, y = make_job_types(n_samples=400, random_state=0)
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(), make_column_selector(dtype_include="category")),
    )
    clf = TorchClassifier(JobNet, lr=0.003, max_epochs=30, batch_size=32, random_state=0)
    pipeline = make_pipeline(columns, clf)

    # Cross-validation: every employee is predicted by a model that was trained on others.
    predicted = cross_val_predict(pipeline, X, y, cv=StratifiedKFold(5, shuffle=True, random_state=0))
    print(f"correct: {(predicted == y).sum()}, wrong: {(predicted != y).sum()} of {len(y)}")
    for job in y.cat.categories:
        of_job = y == job
        print(f"{job}: {(predicted[of_job] == job).sum()} of {of_job.sum()}")

    # The accuracy on the fitted samples after each epoch.
    history = pipeline.fit(X, y)[-1].history_

    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for job, color in zip(y.cat.categories, ("#0072b2", "#d55e00", "#009e73"), strict=True):
        left.plot(history.index, history[f"train_acc[{job}]"], color=color, label=job)
    left.plot(history.index, history["train_acc"], color="black", linewidth=2.5, label="all")
    left.plot(history.index, history["train_acc_running"], color="gray", linestyle=":", label="all, running")
    left.set(xlabel="epoch", ylabel="accuracy on the fitted samples", title="Training accuracy of each class")
    left.legend(frameon=False)
    ConfusionMatrixDisplay.from_predictions(y, predicted, ax=right, cmap="Blues", colorbar=False)
    right.set_title(f"Cross-validation: accuracy {(predicted == y).mean():.0%} (best possible: 81%)")
    fig.savefig(folder / "job_types.png", dpi=110)
    print("plot:", folder / "job_types.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
