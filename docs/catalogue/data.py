"""Family D: data and labels."""

from __future__ import annotations

from catalogue.page import LOOP, TABLE, Page


def _fit(rows: str, labels: str = "y") -> str:
    """Fit, print the accuracy and the codes."""
    return f"""\
clf = TorchClassifier(**settings).fit({rows}, {labels})
print(f"{{clf.score({rows}, {labels}):.2f}}")
print(diagnose(clf, {rows}, {labels}).codes)
"""


PAGES = [
    Page(
        "D1",
        "Labels that are not class indices",
        "IndexError, a CUDA assert after which the process is unusable, or a loss near 0 on other devices.",
        "Class indices run from 0 to n_classes - 1; the labels start at 1, have gaps, or use -1 for unknown.",
        "Encode the labels: `numpy.unique(y, return_inverse=True)[1]`. `TorchClassifier` takes any labels.",
        LOOP,
        """\
y = y + 1  # 1, 2, 3
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
print("labels to", y.max().item(), "and columns 0 to", model(X).shape[1] - 1)
print(diagnose(model, X, y, criterion=criterion).codes)
""",
        """\
y = y.unique(return_inverse=True)[1]
print("labels to", y.max().item(), "and columns 0 to", model(X).shape[1] - 1)
print(diagnose(model, X, y, criterion=criterion).codes)
""",
    ),
    Page(
        "D2",
        "X and y in different order",
        "An accuracy at chance level.",
        "X was shuffled or sorted, and y was not; pandas aligns by index, arrays do not.",
        "Align before `fit`: `y = y.loc[X.index]`.",
        TABLE + 'import pandas as pd\n\nX, y = pd.DataFrame(X, columns=list("abcd")), pd.Series(y)\n',
        """\
shuffled = X.sample(frac=1, random_state=0)
clf = TorchClassifier(**settings).fit(shuffled, y)
print(f"{clf.score(shuffled, y):.1f}")
print(diagnose(clf, shuffled, y).codes[:1])
""",
        """\
aligned = y.loc[shuffled.index]
clf = TorchClassifier(**settings).fit(shuffled, aligned)
print(f"{clf.score(shuffled, aligned):.1f}")
print(diagnose(clf, shuffled, aligned).codes)
""",
    ),
    Page(
        "D3",
        "Samples sorted by label, and no shuffling",
        "A low accuracy that goes up and down as the batches change from class to class.",
        "Most batches hold one class, and training on them unlearns the others.",
        "`DataLoader(..., shuffle=True)` for training.",
        LOOP
        + """

from torch.utils.data import DataLoader, TensorDataset

order = y.argsort()
X, y = X[order], y[order]
""",
        """\
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y, 10, torch.optim.SGD(model.parameters(), lr=1.0))
print(accuracy(model, X, y))
loader = DataLoader(TensorDataset(X, y), batch_size=24)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
        """\
mixed = torch.randperm(240)
model = nn.Linear(4, 3)
optimizer = train(model, criterion, X[mixed], y[mixed], 10, torch.optim.SGD(model.parameters(), lr=1.0))
print(accuracy(model, X, y))
loader = DataLoader(TensorDataset(X, y), batch_size=24, shuffle=True)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
    ),
    Page(
        "D4",
        "Unscaled features",
        "The accuracy stays low, or every prediction is the same.",
        "With an income of 52,000 and an age of 39, the income dominates the first layer and the loss.",
        "Put a `StandardScaler` before the module.",
        TABLE,
        """\
unscaled = X * [1, 1, 1, 30_000]
"""
        + _fit("unscaled"),
        """\
from sklearn.preprocessing import StandardScaler

scaled = StandardScaler().fit_transform(unscaled)
"""
        + _fit("scaled"),
    ),
    Page(
        "D5",
        "NaN in inputs or weights",
        "The accuracy is the share of class 0.",
        "A sample with NaN gets NaN scores, and their argmax is 0. An infinite logit has NaN as its probability.",
        "Impute or drop such samples. `TorchClassifier` raises an error for them, in `fit` and in `predict`.",
        LOOP,
        """\
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
gaps = X.clone()
gaps[:, 0] = torch.where(gaps[:, 0] > 0, torch.nan, gaps[:, 0])
print(accuracy(model, gaps, y))
print(diagnose(model, gaps, y, criterion=criterion).codes)
""",
        """\
print(accuracy(model, X, y))
print(diagnose(model, X, y, criterion=criterion).codes)
""",
    ),
    Page(
        "D6",
        "Equal samples with different labels",
        "The accuracy stays below 1, however long you train.",
        "A module gives equal samples the same prediction, which is correct for one of their labels at most.",
        "Look for a column that was lost or rounded, and for wrong labels. If the labels are noisy, no model can "
        "reach a higher accuracy.",
        TABLE,
        """\
signs = np.sign(X)  # 16 different samples
"""
        + _fit("signs"),
        _fit("X"),
    ),
    Page(
        "D7",
        "Only the majority is predicted",
        "An accuracy of 0.93, and a useless model.",
        "One class is so frequent that always predicting it gives a high accuracy.",
        "Look at the accuracy of each class; `class_weight='balanced'` gives rare classes more weight.",
        TABLE + 'y = np.where(X[:, 0] + rng.standard_normal(240) > 2.3, "ill", "well")\n',
        """\
clf = TorchClassifier(**(settings | {"lr": 1e-3})).fit(X, y)
print(f"{clf.score(X, y):.2f}, of the ill {clf.per_class_accuracy(X, y).loc['ill', 'accuracy']:.2f}")
print(diagnose(clf, X, y).codes)
""",
        """\
clf = TorchClassifier(**settings, class_weight="balanced").fit(X, y)
print(f"{clf.score(X, y):.2f}, of the ill {clf.per_class_accuracy(X, y).loc['ill', 'accuracy']:.2f}")
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "D8",
        "A class without training samples",
        "`predict_proba` lacks a column in one fold; samples of that class are always predicted wrongly.",
        "The training set of the fold, or the chunk, has no sample of the class.",
        "Use `StratifiedKFold`; train on samples of every class.",
        TABLE,
        """\
known = y != "fox"
clf = TorchClassifier(**settings).fit(X[known], y[known])
print(f"{(clf.predict(X) == y).mean():.2f}")
print(diagnose(clf, X, y).codes)
""",
        _fit("X"),
    ),
    Page(
        "D9",
        "Predictions in shuffled order",
        "A test accuracy at chance level, with a high training accuracy.",
        "The loader shuffles, and the predictions are compared with a y that was not.",
        "`shuffle=False` to predict, or take the labels from the loader too.",
        LOOP + "\n\nfrom torch.utils.data import DataLoader, TensorDataset\n",
        """\
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
loader = DataLoader(TensorDataset(X), batch_size=24, shuffle=True)
predicted = torch.cat([model(xb).argmax(dim=1) for (xb,) in loader])
print(f"{(predicted == y).float().mean().item():.1f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
        """\
loader = DataLoader(TensorDataset(X), batch_size=24)
predicted = torch.cat([model(xb).argmax(dim=1) for (xb,) in loader])
print(f"{(predicted == y).float().mean().item():.1f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
    ),
    Page(
        "D10",
        "Duplicates of training samples in the validation set",
        "The validation accuracy is too high.",
        "Samples occur several times, and a random split puts copies of one sample into both sets.",
        "Drop the duplicates, or split by group and pass `X_val` and `y_val`.",
        TABLE,
        """\
X2, y2 = np.tile(X, (2, 1)), np.tile(y, 2)
clf = TorchClassifier(**settings, validation_fraction=0.25)
print(f"{1 - len(np.unique(X2, axis=0)) / len(X2):.0%} of the samples are duplicates")
print(diagnose(clf, X2, y2).codes)
""",
        """\
print(f"{1 - len(np.unique(X, axis=0)) / len(X):.0%} of the samples are duplicates")
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "D11",
        "Soft targets",
        "An accuracy that differs slightly from that of `predict`, or an error about shapes.",
        "With mixup and label smoothing targets are not classes, so that a prediction is neither correct nor wrong.",
        "Train on soft targets, and compute the accuracy with their argmax.",
        LOOP,
        """\
soft = 0.8 * nn.functional.one_hot(y, 3) + 0.2 / 3
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, soft)
print(f"{(model(X).softmax(dim=1) == soft).float().mean().item():.2f}")
print(diagnose(model, X, soft, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
print(accuracy(model, X, soft.argmax(dim=1)))
print(diagnose(model, X, soft.argmax(dim=1), criterion=criterion, optimizer=optimizer).codes)
""",
    ),
]
