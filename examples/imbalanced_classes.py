"""Three classes, one of them rare: the accuracy of each class, with and without class_weight.

Run: ``python examples/imbalanced_classes.py [folder for the plot]``
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc import TorchClassifier

LABELS = np.array(["common", "seldom", "rare"])


def accuracies(y, predicted):
    """Accuracy of each class, overall accuracy, and the mean over the classes."""
    of_class = [(predicted[y == label] == label).mean() for label in LABELS]
    return [*of_class, (predicted == y).mean(), np.mean(of_class)]


def main(folder):
    X, codes = make_classification(
        1500, 8, n_informative=5, n_classes=3, n_clusters_per_class=1, weights=[0.87, 0.1, 0.03],
        class_sep=0.8, flip_y=0.02, random_state=0,
    )  # fmt: skip
    y = LABELS[codes]
    table = pd.DataFrame({"samples": [*(y == LABELS[:, None]).sum(axis=1), len(y), len(y)]})
    table.index = [*LABELS, "overall", "mean of classes"]
    for class_weight in (None, "balanced"):
        clf = TorchClassifier(lr=0.005, max_epochs=20, class_weight=class_weight, random_state=0)
        cv = StratifiedKFold(5, shuffle=True, random_state=0)
        predicted = cross_val_predict(make_pipeline(StandardScaler(), clf), X, y, cv=cv)
        table[f"class_weight={class_weight}"] = accuracies(y, predicted)
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))

    fig, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    table.drop(columns="samples").plot.bar(ax=axes, rot=0, color=["#999999", "#0072b2"], width=0.75)
    for bars in axes.containers:
        axes.bar_label(bars, fmt="{:.0%}", fontsize=8)
    axes.axvline(len(LABELS) - 0.5, color="lightgray")
    axes.set(ylabel="accuracy in cross-validation", ylim=(0, 1.12))
    axes.set_title("Class weights increase the accuracy of the rare class")
    axes.legend(frameon=False, ncols=2, loc="upper center")
    axes.spines[["top", "right"]].set_visible(False)
    fig.savefig(folder / "imbalanced.png", dpi=110)
    print("plot:", folder / "imbalanced.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
