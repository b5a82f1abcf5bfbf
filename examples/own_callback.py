"""Your own callback: store the predictions after some epochs, and plot the decision boundaries.

Run: ``python examples/own_callback.py [folder for the plot]``
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import make_moons
from skorch.callbacks import Callback

from sktorch_acc import TorchClassifier


class KeepPredictions(Callback):
    """Predict samples after some epochs; the fitted copy of this callback has the attribute `predictions_`."""

    def __init__(self, X, epochs):
        self.X = X
        self.epochs = epochs

    def on_train_begin(self, net, **kwargs):
        self.predictions_ = {}

    def on_epoch_end(self, net, **kwargs):
        epoch = len(net.history)
        if epoch in self.epochs:
            self.predictions_[epoch] = net.predict_proba(self.X)[:, 1]


def main(folder):
    X, y = make_moons(300, noise=0.25, random_state=0)
    side = np.linspace(-2, 3, 120), np.linspace(-1.6, 2.1, 120)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*side)], axis=1)

    parameters = {"lr": 0.02, "max_epochs": 80, "batch_size": 32, "random_state": 0}
    keep = KeepPredictions(grid, epochs=(1, 5, 20, 80))
    clf = TorchClassifier(callbacks=[("keep", keep)], **parameters).fit(X, y)
    ((_, kept),) = clf.callbacks_  # a copy: the callback that was passed is not changed

    # The callback does not change the training: the fit without it gives the same weights.
    alone = TorchClassifier(**parameters).fit(X, y)
    pairs = zip(clf.module_.parameters(), alone.module_.parameters(), strict=True)
    print("same weights with and without the callback:", all(torch.equal(a, b) for a, b in pairs))

    fig, panels = plt.subplots(1, 4, figsize=(13, 3.6), sharex=True, sharey=True, layout="constrained")
    for axes, (epoch, probability) in zip(panels, kept.predictions_.items(), strict=True):
        axes.contourf(*side, probability.reshape(120, 120), levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.45)
        axes.contour(*side, probability.reshape(120, 120), levels=[0.5], colors="black", linewidths=1)
        axes.scatter(*X.T, c=np.where(y == 1, "#b2182b", "#2166ac"), s=9, edgecolors="white", linewidths=0.3)
        axes.set_title(f"epoch {epoch}: train_acc {clf.history_.loc[epoch, 'train_acc']:.3f}")
    fig.savefig(folder / "own_callback.png", dpi=110)
    print("plot:", folder / "own_callback.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
