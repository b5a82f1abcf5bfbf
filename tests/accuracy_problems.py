"""Random classification problems, and the values that the wrong loops compute on them."""

import numpy as np
import torch

from tests.wrong_loops import LOOPS, true_accuracy


def draw_problem(rng):
    """Draw scores with an accuracy of about 30% to 98%, targets, and a batch size."""
    one_column = rng.random() < 0.25
    n_classes = 2 if one_column else int(rng.integers(2, 21))
    n_samples = int(np.exp(rng.uniform(np.log(20), np.log(5001))))
    batch_size = int(np.exp(rng.uniform(0, np.log(257))))
    if not one_column and rng.random() < 0.1:  # As many samples in a batch as classes, a special case.
        batch_size = n_classes
    shares = rng.dirichlet(np.full(n_classes, 1.0)) if rng.random() < 0.5 else np.full(n_classes, 1 / n_classes)
    targets = rng.choice(n_classes, n_samples, p=shares)
    signal = rng.uniform(0.5, 4.0)
    if one_column:
        scores = (rng.normal(size=n_samples) + signal * (targets - 0.5))[:, None]
    else:
        scores = rng.normal(size=(n_samples, n_classes)) + rng.normal(size=n_classes) * 0.3
        scores[np.arange(n_samples), targets] += signal
    return torch.from_numpy(scores).float(), torch.from_numpy(targets), batch_size


def loop_values(outputs, targets, batch_size):
    """Return the accuracy, and {name: (code, value)} of the loops whose value differs from it."""
    accuracy = true_accuracy(outputs, targets, batch_size)
    found = {}
    for name, (code, loop) in LOOPS.items():
        value = loop(outputs, targets, batch_size)
        if value is not None and abs(value - accuracy) > 1e-6 * max(accuracy, 1e-3):
            found[name] = (code, value)
    return accuracy, found


def is_unique(code, text, accuracy_text, texts):
    """Whether neither the correct loop nor a loop of another code prints this text; `texts`: (code, text)."""
    return text != accuracy_text and all(other == code for other, shown in texts if shown == text)
