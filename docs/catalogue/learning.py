"""Family F: not learning."""

from __future__ import annotations

from catalogue.page import AUDITED, LOOP, TABLE, Page


def _fit(more: str) -> str:
    return f"""\
changed = {more}
clf = TorchClassifier(**(settings | changed)).fit(X, y)
print(f"{{clf.score(X, y):.1f}}, loss from {{clf.loss_curve_[0]:.1g}} to {{clf.loss_curve_[-1]:.1g}}")
print(diagnose(clf, X, y).codes)
"""


PAGES = [
    Page(
        "F1",
        "Nothing was learnt",
        "The accuracy stays at the share of the largest class.",
        "Many: labels that do not belong to the samples, a module that is too small, a bad learning rate.",
        "Run `diagnose`, and `overfit_check` to find out whether there is a bug; then tune.",
        TABLE,
        """\
y = rng.permutation(y)  # labels that do not depend on the features
clf = TorchClassifier(nn.Linear(4, 3), **(settings | {"lr": 1e-4})).fit(X, y)
print(f"{clf.score(X, y):.1f}")
print(diagnose(clf, X, y).codes)
""",
        """\
y = np.array(["cat", "dog", "fox"])[X[:, :3].argmax(axis=1)]
clf = TorchClassifier(nn.Linear(4, 3), **settings).fit(X, y)
print(f"{clf.score(X, y):.1f}")
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "F2",
        "Weights that do not change",
        "The loss and the accuracy stay as they were before training.",
        "The optimizer has other parameters, the layers are in a plain list, all parameters are frozen, or the "
        "output is detached.",
        "Build the optimizer after the module; use `nn.ModuleList`.",
        LOOP,
        """\
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
model = nn.Linear(4, 3)  # built again, after the optimizer
before = accuracy(model, X, y)
train(model, criterion, X, y, optimizer=optimizer)
print(accuracy(model, X, y) == before)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
train(model, criterion, X, y, optimizer=optimizer)
print(accuracy(model, X, y) == before)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
    Page(
        "F3",
        "A loss that explodes",
        "The loss grows, in the end to NaN.",
        "The learning rate is too high, or the features are not scaled. A loss of your own may divide 0 by 0 in a "
        "batch of ignored samples.",
        "Use a tenth of the learning rate, and a `StandardScaler`. `fit` raises an error with this code at NaN, and "
        "names the labels if they are the cause.",
        TABLE,
        _fit('{"optimizer": torch.optim.SGD, "lr": 50.0, "max_epochs": 4, "batch_size": 240}'),
        _fit('{"optimizer": torch.optim.SGD, "lr": 0.1, "max_epochs": 40}'),
    ),
    Page(
        "F4",
        "A loss that hardly changes",
        "The loss changes in the fifth decimal.",
        "The learning rate is too low.",
        "Try 1e-3 with Adam, or ten times as much as now.",
        TABLE,
        _fit('{"optimizer": torch.optim.SGD, "lr": 1e-8}'),
        _fit('{"optimizer": torch.optim.SGD, "lr": 0.1, "max_epochs": 40}'),
    ),
    Page(
        "F5",
        "Dead units",
        "Every sample gets the same output; the loss is ln(n_classes).",
        "ReLU units that are 0 for every sample get no gradient and stay 0, as with biases far below 0 or after a step "
        "that was too large.",
        "Look at the initial weights, lower the learning rate, or use `LeakyReLU`. "
        "Equal samples, and a last layer that was initialized with zeros and not trained yet, are not reported.",
        LOOP,
        """\
model, criterion = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)), nn.CrossEntropyLoss()
nn.init.constant_(model[0].bias, -100.0)
optimizer = train(model, criterion, X, y)
print(len(model(X).unique(dim=0)), "different outputs")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
optimizer = train(model, criterion, X, y)
print(len(model(X).unique(dim=0)), "different outputs")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
    Page(
        "F6",
        "Gradients that are never cleared",
        "Training is unstable, or gets worse with every epoch; a smaller learning rate seems to help.",
        "`backward()` adds to the existing gradients. Without `zero_grad()` each step uses the sum over all batches "
        "so far.",
        "Call `optimizer.zero_grad()` once for each step, before `backward()`.",
        AUDITED,
        """\
model, optimizer = new()
with audit_loop(model, optimizer, criterion=criterion) as audit:
    for epoch in range(3):
        for xb, yb in batches:
            criterion(model(xb), yb).backward()
            optimizer.step()
        audit.epoch(accuracy(model))
print(f"{accuracy(model):.1f}")
print(audit.diagnosis.codes)
""",
        """\
model, optimizer = new()
with audit_loop(model, optimizer, criterion=criterion) as audit:
    for epoch in range(3):
        for xb, yb in batches:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        audit.epoch(accuracy(model))
print(f"{accuracy(model):.1f}")
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "F7",
        "A batch that cannot be overfitted",
        "No tuning improves the accuracy.",
        "A correct module can overfit 32 samples. If it cannot, there is an error; here, a mean over the batch.",
        "Run `overfit_check` before tuning.",
        LOOP.replace("import diagnose", "import overfit_check"),
        """\
class Net(nn.Module):
    def __init__(self, averages):
        super().__init__()
        self.layer, self.averages = nn.Linear(4, 3), averages

    def forward(self, x):
        z = self.layer(x)
        return z.mean(dim=0).expand(len(x), 3) if self.averages else z


found = overfit_check(Net(averages=True), X, y)
print(found.findings[0].message.split(":")[0])
print(found.codes)
""",
        """\
print(overfit_check(Net(averages=False), X, y).codes)
""",
    ),
]
