"""Random classification problems, and the figures that the wrong loops print on them."""

import numpy as np
import torch

from tests.wrong_loops import LOOPS, true_accuracy


def draw_problem(rng):
    """Scores that are right in about 30% to 98% of the rows, targets, and a batch size."""
    one_column = rng.random() < 0.25
    n_classes = 2 if one_column else int(rng.integers(2, 21))
    n_rows = int(np.exp(rng.uniform(np.log(20), np.log(5001))))
    batch_size = int(np.exp(rng.uniform(0, np.log(257))))
    if not one_column and rng.random() < 0.1:  # As many rows in a batch as classes: a case of its own.
        batch_size = n_classes
    shares = rng.dirichlet(np.full(n_classes, 1.0)) if rng.random() < 0.5 else np.full(n_classes, 1 / n_classes)
    targets = rng.choice(n_classes, n_rows, p=shares)
    signal = rng.uniform(0.5, 4.0)
    if one_column:
        scores = (rng.normal(size=n_rows) + signal * (targets - 0.5))[:, None]
    else:
        scores = rng.normal(size=(n_rows, n_classes)) + rng.normal(size=n_classes) * 0.3
        scores[np.arange(n_rows), targets] += signal
    return torch.from_numpy(scores).float(), torch.from_numpy(targets), batch_size


def figures_of(outputs, targets, batch_size):
    """Figures of the loops that run on this problem and differ from the truth: name -> (code, figure)."""
    truth = true_accuracy(outputs, targets, batch_size)
    found = {}
    for name, (code, loop) in LOOPS.items():
        figure = loop(outputs, targets, batch_size)
        if figure is not None and abs(figure - truth) > 1e-6 * max(truth, 1e-3):
            found[name] = (code, figure)
    return truth, found


def is_unique(code, text, truth_text, texts):
    """Whether neither the right loop nor a loop of another code prints this text; `texts`: (code, text)."""
    return text != truth_text and all(other == code for other, shown in texts if shown == text)
