"""Families B and C: shapes, and outputs that do not fit the loss."""

from __future__ import annotations

from catalogue.page import COUNTS, LOOP, ONE_COLUMN, Page

_RIGHT_LOGITS = """\
model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
print(accuracy(model, X, y))
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
"""


def _returns(change: str, more: str = "") -> str:
    """Return code that checks a module with this last line of forward."""
    return f"""\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return {change}


model = Net()
print(tuple(model(X).shape))
print(diagnose(model, X, y, criterion=nn.CrossEntropyLoss()).codes)
{more}"""


PAGES = [
    Page(
        "B1",
        "Every prediction compared with every label, and summed",
        "An accuracy of 32.3, or 5000 %.",
        "Comparing shapes `(n, 1)` and `(n,)` broadcasts to `(n, n)`.",
        "Use the same shape on both sides: `pred.reshape(-1) == y`.",
        ONE_COLUMN,
        """\
pred = (z > 0).long()
reported = f"{((pred == y).sum() / len(y)).item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{((pred.reshape(-1) == y).sum() / len(y)).item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "B2",
        "Every prediction compared with every label, and averaged",
        "An accuracy at chance level, whatever the model does.",
        "Comparing shapes `(n, 1)` and `(n,)` broadcasts to `(n, n)`; its mean is the agreement by chance of the two "
        "label distributions.",
        "Use the same shape on both sides: `pred.reshape(-1) == y`.",
        ONE_COLUMN,
        """\
pred = (z > 0).long()
reported = f"{(pred == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{(pred.reshape(-1) == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "B3",
        "One-hot targets",
        "An error about shapes, or an accuracy that is too high.",
        "One-hot targets are compared element by element, or broadcast against class indices; most elements are 0 on "
        "both sides.",
        "Compare class indices: `y.argmax(dim=1)`.",
        LOOP,
        """\
one_hot = nn.functional.one_hot(y, 3)
model = nn.Linear(4, 3)
with torch.no_grad():
    guessed = nn.functional.one_hot(model(X).argmax(dim=1), 3)
print(f"{(guessed == one_hot).float().mean().item():.2f}")
print(diagnose(model, X, one_hot, criterion=nn.CrossEntropyLoss()).codes)
""",
        """\
print(accuracy(model, X, one_hot.argmax(dim=1)))
print(diagnose(model, X, one_hot.argmax(dim=1), criterion=nn.CrossEntropyLoss()).codes)
""",
    ),
    Page(
        "B4",
        "argmax or softmax over the batch",
        "Predictions of the wrong length, or values that depend on the other samples of the batch.",
        "Axis 0 is the batch; the classes are on axis 1. A softmax, mean, norm, sort or attention over axis 0, a "
        "recurrent layer without `batch_first=True` and batch norm without running statistics mix the samples, so that "
        "a prediction depends on the others of its batch. `fit` compares samples in batches of two sizes.",
        "Write `dim=1`.",
        LOOP,
        _returns("self.layer(x).T"),
        _RIGHT_LOGITS,
    ),
    Page(
        "B5",
        "The members of an ensemble taken for classes",
        "Predictions of the wrong shape, or of a member instead of a class.",
        "The output has shape (samples, members, classes): axis 1 holds the members.",
        "Average the probabilities of the members, then take the argmax over the classes, as `TorchClassifier` does.",
        COUNTS + "\nz = torch.stack([z, z + 0.1, z - 0.1], dim=1)  # three members that agree\n",
        """\
print(tuple(z.argmax(dim=1).shape), "for", len(y), "samples")
try:
    explain_accuracy(z, y, "0.8710")
except ValueError as err:
    print(err.code)
""",
        """\
mean = z.softmax(dim=-1).mean(dim=1)
print(f"{(mean.argmax(dim=1) == y).sum().item() / len(y):.4f}")
print(explain_accuracy(mean, y, "0.8710").verdict)
""",
    ),
    Page(
        "B6",
        "Scores compared with labels",
        "An accuracy of 0.",
        "Floating scores are almost never equal to a class index. An accuracy of 0 has several causes; the explanation "
        "lists them.",
        "Take the argmax first.",
        COUNTS,
        """\
correct = (z == y[:, None]).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print([candidate.code for candidate in explain_accuracy(z, y, reported).candidates])
""",
        """\
reported = f"{(z.argmax(dim=1) == y).sum().item() / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "B7",
        "max() without a dimension",
        "One prediction for the whole batch.",
        "`torch.max(z)` reduces the batch to one number.",
        "Write `z.argmax(dim=1)`.",
        LOOP,
        _returns("self.layer(x).max()"),
        _RIGHT_LOGITS,
    ),
    Page(
        "B8",
        "A batch of one sample",
        "An error, or a wrong shape, only in the last batch.",
        "`squeeze()` without a dimension drops the batch axis of one sample, on which batch norm cannot be trained.",
        "Pass the dimension, `squeeze(1)`, and choose a batch size without a last batch of one sample.",
        LOOP,
        """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x).squeeze()


model = Net()
print(tuple(model(X[:1]).shape))
print(diagnose(model, X, y, criterion=nn.CrossEntropyLoss()).codes)
""",
        """\
model = nn.Linear(4, 3)
print(tuple(model(X[:1]).shape))
print(diagnose(model, X, y, criterion=nn.CrossEntropyLoss()).codes)
""",
    ),
    Page(
        "C1",
        "Softmax twice",
        "The loss stops far above 0: it cannot go below 0.3133 for 2 classes, 0.5514 for 3, 1.4612 for 10.",
        "The module ends in softmax and `CrossEntropyLoss` applies it again.",
        "Return the logits.",
        LOOP,
        """\
model, criterion = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y, steps=1000)
print(f"loss {criterion(model(X), y).item():.1f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
model = nn.Linear(4, 3)
optimizer = train(model, criterion, X, y, steps=1000)
print(f"loss {criterion(model(X), y).item():.1f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
    Page(
        "C2",
        "NLLLoss without log-probabilities",
        "A negative loss.",
        "`NLLLoss` is the negative value of the true class; on logits it decreases without bound.",
        "Use `CrossEntropyLoss` on logits, or end the module in `LogSoftmax(dim=1)`.",
        LOOP,
        """\
model, criterion = nn.Linear(4, 3), nn.NLLLoss()
optimizer = train(model, criterion, X, y)
print(criterion(model(X), y).item() < 0)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
        """\
model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
optimizer = train(model, criterion, X, y)
print(criterion(model(X), y).item() < 0)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer).codes)
""",
    ),
    Page(
        "C3",
        "A first loss of NaN",
        "NaN from the first epoch on.",
        "The loss takes the logarithm of logits, which may be negative. Logits of -inf for some classes mask these.",
        "Pass what the loss expects: logits to `CrossEntropyLoss`, log-probabilities to `NLLLoss`.",
        LOOP,
        """\
class LogOfOutputs(nn.CrossEntropyLoss):
    def forward(self, outputs, targets):
        return nn.functional.nll_loss(outputs.log(), targets)


model, criterion = nn.Linear(4, 3), LogOfOutputs()
print(criterion(model(X), y).item())
print(diagnose(model, X, y, criterion=criterion).codes)
""",
        """\
criterion = nn.CrossEntropyLoss()
print(criterion(model(X), y).isfinite().item())
print(diagnose(model, X, y, criterion=criterion).codes)
""",
    ),
    Page(
        "C4",
        "BCELoss on logits",
        "RuntimeError: all elements of input should be between 0 and 1.",
        "`BCELoss` takes probabilities. Other losses train on, and the numbers leave [0, 1].",
        "Use `BCEWithLogitsLoss`. `fit` and `predict` raise an error with this code, and count the samples.",
        LOOP,
        """\
y = (y == 0).float()
model = nn.Linear(4, 1)
print(f"smallest output {model(X).min().item():.0f}")
print(diagnose(model, X, y, criterion=nn.BCELoss()).codes)
""",
        """\
print(f"loss {nn.BCEWithLogitsLoss()(model(X)[:, 0], y).item():.0f}")
print(diagnose(model, X, y, criterion=nn.BCEWithLogitsLoss()).codes)
""",
    ),
    Page(
        "C5",
        "Logits compared with 0.5",
        "Too few predictions of class 1.",
        "0.5 on a logit is a probability of 0.622.",
        "Compare logits with 0, or probabilities with 0.5.",
        ONE_COLUMN,
        """\
reported = f"{((z[:, 0] > 0.5).long() == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{((z[:, 0] > 0).long() == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "C6",
        "argmax over a single column",
        "Every prediction is class 0: the accuracy is its share.",
        "The argmax of one number is 0.",
        "Compare the column with 0 (logits) or 0.5 (probabilities).",
        ONE_COLUMN,
        """\
reported = f"{(z.argmax(dim=1) == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{((z[:, 0] > 0).long() == y).float().mean().item():.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "C7",
        "Cross-entropy over one column",
        "The loss is exactly 0 from the first step, and the accuracy the share of class 0.",
        "The softmax of one number is 1, whatever it is.",
        "Two columns for two classes, or `BCEWithLogitsLoss`.",
        LOOP,
        """\
y = (y == 0).long()
model, criterion = nn.Linear(4, 1), nn.CrossEntropyLoss()
print(f"loss {criterion(model(X), torch.zeros(240, dtype=torch.long)).item():.1f}")
print(diagnose(model, X, y, criterion=criterion).codes)
""",
        """\
model = nn.Linear(4, 2)
print(f"loss {criterion(model(X), y).item():.1f}")
print(diagnose(model, X, y, criterion=criterion).codes)
""",
    ),
    Page(
        "C8",
        "A wrong number of outputs",
        "IndexError: Target is out of bounds, a CUDA assert, or classes that never occur.",
        "The last layer does not have one output per class.",
        "Give the last layer as many outputs as there are classes.",
        LOOP,
        """\
model = nn.Linear(4, 2)
print(tuple(model(X).shape), "for", len(y.unique()), "classes")
print(diagnose(model, X, y, criterion=nn.CrossEntropyLoss()).codes)
""",
        """\
model = nn.Linear(4, 3)
print(tuple(model(X).shape), "for", len(y.unique()), "classes")
print(diagnose(model, X, y, criterion=nn.CrossEntropyLoss()).codes)
""",
    ),
    Page(
        "C9",
        "Probabilities that do not sum to 1",
        "`roc_auc_score`, calibration or a log loss raise or are wrong.",
        "A sigmoid per class gives independent values, not a distribution over classes.",
        "Apply softmax over `dim=1`, or return logits with `output='logits'`.",
        LOOP,
        """\
from sktorch_acc import TorchClassifier

module = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
print(f"{module(X).sum(dim=1).max().item():.0f}")
clf = TorchClassifier(module, criterion=nn.MultiMarginLoss, output="probabilities")
print(diagnose(clf, X, y).codes)
""",
        """\
module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
print(f"{module(X).sum(dim=1).max().item():.0f}")
clf = TorchClassifier(module, criterion=nn.MultiMarginLoss, output="probabilities")
print(diagnose(clf, X, y).codes)
""",
    ),
    Page(
        "C10",
        "The logarithm of a softmax",
        "An infinite loss on samples with confident predictions.",
        "The softmax of a confident prediction underflows to 0, and the logarithm of 0 is -inf.",
        "Use `log_softmax`, or logits with `CrossEntropyLoss`.",
        LOOP,
        """\
class Net(nn.Module):
    def __init__(self, stable):
        super().__init__()
        self.layer, self.stable = nn.Linear(4, 3), stable

    def forward(self, x):
        z = 500 * self.layer(x)
        return z.log_softmax(dim=1) if self.stable else z.softmax(dim=1).log()


model = Net(stable=False)
print(model(X).min().item())
print(diagnose(model, X, y, criterion=nn.NLLLoss()).codes)
""",
        """\
model = Net(stable=True)
print(model(X).isfinite().all().item())
print(diagnose(model, X, y, criterion=nn.NLLLoss()).codes)
""",
    ),
]
