"""A small convolutional network on images of digits, with early stopping, and its wrong predictions.

Run: ``python examples/images.py [folder for the plot]``
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sktorch_acc import TorchClassifier


class DigitNet(nn.Module):
    """in_channels and n_classes are set from the data."""

    def __init__(self, in_channels, n_classes, width=12):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, n_classes),
        )

    def forward(self, X):
        return self.layers(X)


def main(folder):
    digits = load_digits()
    X = digits.images[:, None] / 16  # (1797, 1, 8, 8): one channel
    X_train, X_test, y_train, y_test = train_test_split(X, digits.target, stratify=digits.target, random_state=0)
    clf = TorchClassifier(
        DigitNet,
        lr=0.01,
        max_epochs=30,
        validation_fraction=0.15,
        early_stopping=True,
        n_iter_no_change=5,
        random_state=0,
        verbose=1,
    ).fit(X_train, y_train)
    predicted = clf.predict(X_test)
    print(f"best epoch {clf.best_epoch_} of {clf.n_iter_}; accuracy on test images {clf.score(X_test, y_test):.3f}")

    wrong = (predicted != y_test).nonzero()[0][:8]
    fig, axes = plt.subplot_mosaic(
        [["curve"] * 4 + list("abcd"), ["curve"] * 4 + list("efgh")], figsize=(12, 4), layout="constrained"
    )
    for column, color in (("train_acc", "#0072b2"), ("valid_acc", "#d55e00")):
        axes["curve"].plot(clf.history_.index, clf.history_[column], color=color, label=column)
    axes["curve"].axvline(clf.best_epoch_, color="gray", linestyle=":", label="best epoch: its weights are restored")
    axes["curve"].set(xlabel="epoch", ylabel="accuracy", title="Digits: training")
    axes["curve"].legend(frameon=False)
    for name in "abcdefgh":
        axes[name].axis("off")
    for name, row in zip("abcdefgh", wrong, strict=False):
        axes[name].imshow(X_test[row, 0], cmap="gray_r")
        axes[name].set_title(f"true {y_test[row]}, predicted {predicted[row]}", fontsize=9)
    fig.savefig(folder / "images.png", dpi=110)
    print("plot:", folder / "images.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
