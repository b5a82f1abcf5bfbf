"""Family E: mode, timing, state."""

from __future__ import annotations

from catalogue.page import LOOP, TABLE, Page

PAGES = [
    Page(
        "E1",
        "Scored in training mode",
        "The score changes on every call, and is too low.",
        "`model.eval()` was forgotten: dropout drops units, batch norm uses the batch.",
        "`model.eval()` before scoring, `model.train()` before the next epoch.",
        LOOP,
        """\
model, criterion = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.8), nn.Linear(64, 3)), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
model.train()
print(len({accuracy(model, X, y) for _ in range(9)}) > 1)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
model.eval()
print(len({accuracy(model, X, y) for _ in range(9)}) > 1)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
    Page(
        "E2",
        "A running figure over a moving model",
        "The training accuracy lags behind the validation accuracy, and `score` gives more.",
        "Each batch was counted with the weights of its moment; the figure is no model's.",
        "`train_accuracy='exact'`, the default, or `score(X, y)`.",
        TABLE,
        """\
clf = TorchClassifier(**(settings | {"max_epochs": 1}), train_accuracy="running").fit(X, y)
print(f"{clf.history_['train_acc_running'].iloc[-1]:.1f} for {clf.score(X, y):.1f}")
print(diagnose(clf, X, y).codes)
""",
        """\
clf = TorchClassifier(**(settings | {"max_epochs": 1})).fit(X, y)
print(f"{clf.history_['train_acc'].iloc[-1]:.1f} for {clf.score(X, y):.1f}")
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "E5",
        "Batch norm whose statistics lag behind",
        "0.99 in training, 0.3 in evaluation, on the same rows.",
        "Evaluation uses running statistics, which follow the data slowly: too few steps, tiny batches, a "
        "small momentum.",
        "More steps, larger batches, or a larger momentum.",
        TABLE
        + """

def net(momentum):
    norm = nn.BatchNorm1d(16, momentum=momentum)
    return nn.Sequential(nn.Linear(4, 16), norm, nn.ReLU(), nn.Linear(16, 3))
""",
        """\
clf = TorchClassifier(net(1e-5), **settings).fit(X + 10, y)
print(f"{clf.score(X + 10, y):.1f}")
print(diagnose(clf, X + 10, y).codes)
""",
        """\
clf = TorchClassifier(net(0.1), **(settings | {"max_epochs": 40})).fit(X + 10, y)
print(f"{clf.score(X + 10, y):.1f}")
print(diagnose(clf, X + 10, y).codes)
""",
    ),
    Page(
        "E6",
        "The last epoch quoted, an earlier one held",
        "The final figure does not match `score`.",
        "Early stopping went back to the weights of the best epoch.",
        "Quote `history_.loc[best_epoch_]`.",
        TABLE,
        """\
guesses = rng.permutation(y[:60])
clf = TorchClassifier(**(settings | {"max_epochs": 99}), early_stopping=True)
clf.fit(X, y, X_val=X[:60], y_val=guesses)
print(clf.history_["train_acc"].iloc[-1] == clf.score(X, y))
print(diagnose(clf, X, y).codes)
""",
        """\
print(clf.history_.loc[clf.best_epoch_, "train_acc"] == clf.score(X, y))
clf = TorchClassifier(**settings).fit(X, y)
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "E7",
        "A hold-out inside fit",
        "`train_acc` is not `score(X, y)` on the same X and y.",
        "A part of the rows was held out for validation; the two figures are about different rows.",
        "Pass `X_val` and `y_val`, so that X is what is trained on.",
        TABLE,
        """\
clf = TorchClassifier(**settings, validation_fraction=0.25).fit(X, y)
print(clf.class_count_.sum(), "of", len(X), "rows")
print(diagnose(clf, X, y).codes)
""",
        """\
clf = TorchClassifier(**settings).fit(X[:180], y[:180], X_val=X[180:], y_val=y[180:])
print(clf.class_count_.sum(), "of", len(X[:180]), "rows")
print(diagnose(clf, X[:180], y[:180]).codes)
""",
    ),
]
