"""Family E: when, in which mode and with which weights an accuracy is measured."""

from __future__ import annotations

from catalogue.page import AUDITED, LOOP, TABLE, Page

PAGES = [
    Page(
        "E1",
        "Scored in training mode",
        "The score is too low, and differs from call to call.",
        "`model.eval()` is missing: dropout drops units, batch norm uses the batch.",
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
        "An accuracy counted while the weights change",
        "The training accuracy is below the validation accuracy, and below `score` on the training data.",
        "Each batch was counted with other weights, so that the value is not the accuracy of any one model.",
        "Use `train_accuracy='exact'`, the default, or `score(X, y)`.",
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
        "E3",
        "Accuracy on the batch just fitted",
        "A training accuracy that is too high, above all with small batches, and higher than that of the final model.",
        "Each batch is scored right after the step on that batch.",
        "Score all samples after the epoch.",
        AUDITED
        + """

model, _ = new()
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
batches = list(zip(X.split(2), y.split(2)))
""",
        """\
with audit_loop(model, optimizer, criterion=criterion) as audit:
    for epoch in range(3):
        correct = 0
        for xb, yb in batches:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            with torch.no_grad():
                correct += (model(xb).argmax(dim=1) == yb).sum().item()
        audit.epoch(correct / len(y))
print(f"{correct / len(y):.1f} in batches, {accuracy(model):.1f} afterwards")
print(audit.diagnosis.codes)
""",
        """\
model, _ = new()
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
with audit_loop(model, optimizer, criterion=criterion) as audit:
    for epoch in range(3):
        for xb, yb in batches:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        audit.epoch(accuracy(model))
print(f"{accuracy(model):.1f} afterwards")
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "E4",
        "Still in evaluation mode in the next epoch",
        "Learning changes after the first epoch: dropout is off, and the statistics of batch norm stay the same.",
        "`model.eval()` is called to score, and `model.train()` only once, before the first epoch.",
        "Call `model.train()` at the start of each epoch.",
        AUDITED,
        """\
model, optimizer = new(nn.Dropout(0.5))
modes = []
with audit_loop(model, optimizer, criterion=criterion) as audit:
    model.train()
    for epoch in range(3):
        for xb, yb in batches:
            modes.append(model.training)
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        audit.epoch(accuracy(model))
print(f"{sum(modes)} of {len(modes)} steps with dropout")
print(audit.diagnosis.codes)
""",
        """\
model, optimizer = new(nn.Dropout(0.5))
modes = []
with audit_loop(model, optimizer, criterion=criterion) as audit:
    for epoch in range(3):
        model.train()
        for xb, yb in batches:
            modes.append(model.training)
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        audit.epoch(accuracy(model))
print(f"{sum(modes)} of {len(modes)} steps with dropout")
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "E5",
        "Batch norm whose statistics lag behind",
        "An accuracy of 0.99 in training mode and 0.3 in evaluation mode, on the same samples.",
        "Evaluation mode uses running statistics, which follow the data slowly with few steps, small batches or a "
        "small momentum.",
        "Use more steps, larger batches, or a larger momentum.",
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
        "The accuracy of the last epoch, the weights of an earlier one",
        "The last accuracy of the history is not that of `score`.",
        "Early stopping restored the weights of the best epoch.",
        "Use `history_.loc[best_epoch_]`.",
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
        "A validation split inside fit",
        "`train_acc` is not `score(X, y)` on the same X and y.",
        "A part of the samples was held out for validation: the two accuracies are over different samples.",
        "Pass `X_val` and `y_val`, so that X is the training data.",
        TABLE,
        """\
clf = TorchClassifier(**settings, validation_fraction=0.25).fit(X, y)
print(clf.class_count_.sum(), "of", len(X), "samples")
print(diagnose(clf, X, y).codes)
""",
        """\
clf = TorchClassifier(**settings).fit(X[:180], y[:180], X_val=X[180:], y_val=y[180:])
print(clf.class_count_.sum(), "of", len(X[:180]), "samples")
print(diagnose(clf, X[:180], y[:180]).codes)
""",
    ),
    Page(
        "E9",
        "Outputs or losses kept with their graph",
        "Memory use grows with every batch, up to an out-of-memory error.",
        "A tensor that requires a gradient keeps the graph that computed it. A sum or a list of such tensors keeps "
        "those of all batches.",
        "Add up `loss.item()`, collect `z.detach()`, and evaluate under `torch.no_grad()`.",
        AUDITED,
        """\
model, optimizer = new()
with audit_loop(model, optimizer, criterion=criterion) as audit:
    total = 0.0
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss
print(f"mean loss {total / len(batches):.2f}, with a graph: {total.requires_grad}")
print(audit.diagnosis.codes)
""",
        """\
model, optimizer = new()
with audit_loop(model, optimizer, criterion=criterion) as audit:
    total = 0.0
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item()
print(f"mean loss {total / len(batches):.2f}, a {type(total).__name__}")
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "E10",
        "Layers that an earlier fit has trained",
        "Cross-validation improves each time it is run, and the next fit starts with a high accuracy.",
        "A factory refers to a layer outside of it, and puts the same one into every module that it makes. Each fit "
        "trains it further: the scores are of samples that it has seen, and earlier estimators change. `fit` reports "
        "it after its first epoch, and only what that epoch moved: a frozen layer may be shared.",
        "Pass the layer as `module__<name>`, which is copied for each fit, or copy it in the factory. If it is to stay "
        "as it is, freeze it: `requires_grad_(False)`, and a `train` that leaves batch norm in evaluation mode, as "
        "`fit` calls `train()`.",
        TABLE
        + """
body = nn.Sequential(nn.Linear(4, 32), nn.ReLU())


class Net(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body, self.head = body, nn.Linear(32, 3)

    def forward(self, x):
        return self.head(self.body(x))
""",
        """\
clf = TorchClassifier(lambda: Net(body), **settings)
before = body[0].weight.clone()
clf.fit(X, y)
print(torch.equal(body[0].weight, before))
print(diagnose(TorchClassifier(lambda: Net(body), **settings), X, y).codes)
""",
        """\
body = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
before = body[0].weight.clone()
clf = TorchClassifier(Net, module__body=body, **settings).fit(X, y)
print(torch.equal(body[0].weight, before))
print(diagnose(TorchClassifier(Net, module__body=body, **settings), X, y).codes)
""",
    ),
    Page(
        "E11",
        "Random in evaluation mode",
        "Another accuracy at each call, also after `model.eval()`; `fit` and `diagnose` name the code.",
        "`F.dropout(x, p)` drops in both modes, and so does a layer made inside `forward`, which is always in training "
        "mode. Noise and counters in `forward` do the same. No accuracy of such a module can be reproduced.",
        "`F.dropout(x, p, training=self.training)`, or an `nn.Dropout` made in `__init__`; noise only if "
        "`self.training`. Where the noise is intended, average several predictions, and use `diagnose='off'`.",
        LOOP
        + """

class Net(nn.Module):
    def __init__(self, always):
        super().__init__()
        self.first, self.last, self.always = nn.Linear(4, 64), nn.Linear(64, 3), always

    def forward(self, x):
        dropped = self.always or self.training
        return self.last(nn.functional.dropout(self.first(x).relu(), 0.8, training=dropped))
""",
        """\
model, criterion = Net(always=True), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
print(len({accuracy(model, X, y) for _ in range(9)}) > 1)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
model = Net(always=False)
optimizer = train(model, criterion, X, y)
print(len({accuracy(model, X, y) for _ in range(9)}) > 1)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
]
