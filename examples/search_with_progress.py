"""Tune the parameters of module and optimizer in a pipeline, with scikit-learn's progress bars.

Requires rich: ``pip install sktorch-acc[progress]``.
Run: ``python examples/search_with_progress.py [folder for the plot]``
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktorch_acc import TorchClassifier


class Net(nn.Module):
    def __init__(self, n_features, n_classes, hidden=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_classes))

    def forward(self, X):
        return self.layers(X)


GRID = {"net__module__hidden": [2, 4, 8, 16], "net__lr": [0.0003, 0.001, 0.003, 0.01]}


def main(folder):
    X, y = load_wine(return_X_y=True)
    # diagnose="off": candidates with a low accuracy are expected in a search.
    clf = TorchClassifier(Net, max_epochs=20, batch_size=32, random_state=0, diagnose="off")
    pipeline = Pipeline([("scale", StandardScaler()), ("net", clf)])
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, GRID, cv=cv, error_score="raise")
    # 0: one bar for the whole search. 1: also one for each pipeline, 2: also one for each of its steps.
    search.set_callbacks(ProgressBar(max_propagation_depth=0)).fit(X, y)
    print(f"best: {search.best_params_}, accuracy {search.best_score_:.3f}")
    # The best pipeline with more epochs: the bar of the classifier advances by epoch.
    long = clone(search.best_estimator_).set_params(net__max_epochs=100)
    long.set_callbacks(ProgressBar(max_propagation_depth=1)).fit(X, y)

    hidden, rates = GRID.values()
    scores = search.cv_results_["mean_test_score"].reshape(len(rates), len(hidden))  # the last parameter varies fastest
    fig, axes = plt.subplots(figsize=(6, 4.6), layout="constrained")
    image = axes.imshow(scores, cmap="viridis", vmin=0.3, vmax=1)
    for (row, column), score in [((r, c), scores[r, c]) for r in range(len(rates)) for c in range(len(hidden))]:
        axes.text(column, row, f"{score:.2f}", ha="center", va="center", color="black" if score > 0.75 else "white")
    axes.set_xticks(range(len(hidden)), hidden)
    axes.set_yticks(range(len(rates)), rates)
    axes.set(xlabel="module__hidden", ylabel="lr", title="Wine: accuracy in cross-validation after 20 epochs")
    fig.colorbar(image, ax=axes, label="accuracy")
    fig.savefig(folder / "search.png", dpi=110)
    print("plot:", folder / "search.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
