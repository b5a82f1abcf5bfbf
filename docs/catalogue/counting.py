"""Family A: counting and averaging; and H1."""

from __future__ import annotations

from catalogue.page import AUDITED, COUNTS, LOOP, Page

PAGES = [
    Page(
        "A1",
        "The mean of the batch accuracies",
        "An accuracy that is slightly wrong, or very wrong if the last batch is very small.",
        "A short last batch has the same weight as a full one.",
        "Count correct predictions and samples over all batches, and divide once.",
        COUNTS,
        """\
acc = 0.0
for scores, targets in batches:
    acc += (scores.argmax(dim=1) == targets).float().mean().item()
reported = f"{acc / len(batches):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).code)
""",
        """\
correct = total = 0
for scores, targets in batches:
    correct += (scores.argmax(dim=1) == targets).sum().item()
    total += len(targets)
reported = f"{correct / total:.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A2",
        "A count of samples divided by a number of batches, or the reverse",
        "An accuracy above 1, such as 54.3, or one that is far too small.",
        "Numerator and denominator count different things: samples and batches.",
        "Divide the correct predictions by the number of samples.",
        COUNTS,
        """\
correct = 0
for scores, targets in batches:
    correct += (scores.argmax(dim=1) == targets).sum().item()
reported = f"{correct / len(batches):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).code)
""",
        """\
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A3",
        "Samples skipped by drop_last, but divided by all samples",
        "A perfect model reaches only 0.96.",
        "`drop_last=True` skips the short last batch; `len(dataset)` still counts its samples.",
        "Use a loader without `drop_last`, or divide by the number of samples that were counted. "
        "On a loader that shuffles, `diagnose` reports it as information: for training it is right.",
        COUNTS,
        """\
correct = 0
for scores, targets in batches[:-1]:  # DataLoader(..., drop_last=True)
    correct += (scores.argmax(dim=1) == targets).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).code)
""",
        """\
correct += (batches[-1][0].argmax(dim=1) == batches[-1][1]).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A4",
        "Samples of a part of the data divided by the whole data set",
        "An accuracy that never exceeds the size of the split, as a share of the data.",
        "A `SubsetRandomSampler` draws a part of the samples; `len(loader.dataset)` counts all of them.",
        "Divide by the number of samples that were counted, or use `random_split`, whose parts have their own length. "
        "A random part is information, as splits are made so on purpose.",
        LOOP,
        """\
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y)
loader = DataLoader(TensorDataset(X, y), batch_size=24, sampler=SubsetRandomSampler(range(180)))
correct = sum((model(xb).argmax(dim=1) == yb).sum().item() for xb, yb in loader)
print(f"{correct / len(loader.dataset):.2f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
        """\
print(f"{correct / len(loader.sampler):.2f}")
whole = DataLoader(TensorDataset(X, y), batch_size=24)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=whole).codes)
""",
    ),
    Page(
        "A5",
        "Accuracy on resampled data",
        "A training accuracy that scoring the data does not reproduce.",
        "A sampler with replacement draws some samples several times and others never; with weights it changes the "
        "class frequencies.",
        "Compute the accuracy over a loader without that sampler. "
        "It is information: for training the sampler is right.",
        LOOP,
        """\
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

y = (X[:, 0] > 1).long()
model, criterion = nn.Linear(4, 2), nn.CrossEntropyLoss()
optimizer = train(model, criterion, X, y, steps=20)
weights = torch.where(y == 1, 6.0, 1.0)
sampler = WeightedRandomSampler(weights, len(y), generator=torch.Generator().manual_seed(0))
loader = DataLoader(TensorDataset(X, y), batch_size=24, sampler=sampler)
correct = sum((model(xb).argmax(dim=1) == yb).sum().item() for xb, yb in loader)
print(f"{correct / len(y):.2f}")
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=loader).codes)
""",
        """\
print(accuracy(model, X, y))
whole = DataLoader(TensorDataset(X, y), batch_size=24)
print(diagnose(model, X, y, criterion=criterion, optimizer=optimizer, loader=whole).codes)
""",
    ),
    Page(
        "A6",
        "A metric that is never reset",
        "A curve that is too smooth, because the first epochs are never forgotten; training and validation look alike.",
        "The counters are not set to 0, so that each value is the accuracy over all epochs so far.",
        "Reset the metric, or set the counters to 0, at the start of each epoch.",
        AUDITED,
        """\
model, _ = new()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
counter = AccuracyCounter(n_classes=3)
with audit_loop(model, optimizer, criterion=criterion, metric=counter) as audit:
    for epoch in range(3):
        for xb, yb in batches:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        with torch.no_grad():
            counter.update(model(X), y)
        audit.epoch(counter.compute())
print(f"{counter.compute():.2f} over {counter.support.sum()} samples; the model has {accuracy(model):.2f}")
print(audit.diagnosis.codes)
""",
        """\
model, _ = new()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
with audit_loop(model, optimizer, criterion=criterion, metric=counter) as audit:
    for epoch in range(3):
        for xb, yb in batches:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        counter.reset()
        with torch.no_grad():
            counter.update(model(X), y)
        audit.epoch(counter.compute())
print(f"{counter.compute():.2f} over {counter.support.sum()} samples; the model has {accuracy(model):.2f}")
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "A7",
        "A counter in low precision",
        "A count that stops at 256 in bfloat16, at 2048 in float16, at 16,777,216 in float32.",
        "Beyond that, adding 1 changes nothing: the next number that the dtype can represent is 2 away.",
        "Count in integers: `.sum().item()` adds to a Python int.",
        COUNTS,
        """\
correct = torch.zeros((), dtype=torch.bfloat16)
for scores, targets in batches:
    correct += (scores.argmax(dim=1) == targets).sum()
reported = f"{correct.item() / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).code)
""",
        """\
correct = 0
for scores, targets in batches:
    correct += (scores.argmax(dim=1) == targets).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A8",
        "Only the last batch was counted",
        "A very small accuracy, or one that jumps from epoch to epoch.",
        "The count is assigned in the loop instead of added up.",
        "Add up: `correct += ...`.",
        COUNTS,
        """\
for scores, targets in batches:
    correct = (scores.argmax(dim=1) == targets).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).code)
""",
        """\
correct = 0
for scores, targets in batches:
    correct += (scores.argmax(dim=1) == targets).sum().item()
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A9",
        "Integer division",
        "Always 0, until every prediction is correct.",
        "`//` rounds down to an integer. (So did `/` between integer tensors before torch 1.5.) An accuracy of 0 "
        "has several causes; the explanation lists them all.",
        "Divide with `/`.",
        COUNTS,
        """\
correct = (z.argmax(dim=1) == y).sum().item()
reported = f"{correct // len(y):.4f}"
print(reported)
print([candidate.code for candidate in explain_accuracy(z, y, reported, batch_size=64).candidates])
""",
        """\
reported = f"{correct / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
    Page(
        "A10",
        "The mean over classes instead of the accuracy",
        "Two libraries disagree, 0.33 and 0.90.",
        "One reports the unweighted mean of the per-class accuracies (balanced, or macro), the other the share of "
        "correct predictions (micro).",
        "State which one you report; both are useful.",
        """\
import torch
from sktorch_acc import explain_accuracy

y = torch.cat([torch.zeros(900), torch.ones(60), torch.full((40,), 2.0)]).long()
predicted = torch.where(torch.arange(1000) < 910, 0, y)
z = 3.0 * torch.nn.functional.one_hot(predicted, 3) - 0.9
""",
        """\
by_class = [(predicted[y == c] == c).float().mean().item() for c in range(3)]
reported = f"{sum(by_class) / 3:.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{(predicted == y).sum().item() / len(y):.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "A11",
        "A class without samples counted as 0",
        "A mean over classes that is far too low; a class with 0 % that does not occur.",
        "The accuracy of a class without samples is undefined; replaced by 0, it lowers the mean.",
        "Leave such classes out of the mean (NaN, not 0).",
        """\
import torch
from sktorch_acc import explain_accuracy

y = torch.arange(600) % 2  # class 2 has no samples
predicted = torch.where(torch.arange(600) < 50, 1 - y, y)
z = 3.0 * torch.nn.functional.one_hot(predicted, 3) - 0.9
""",
        """\
by_class = [((predicted == c) & (y == c)).sum().item() / max(1, (y == c).sum().item()) for c in range(3)]
reported = f"{sum(by_class) / 3:.4f}"
print(reported)
print(explain_accuracy(z, y, reported).code)
""",
        """\
reported = f"{sum(by_class[:2]) / 2:.4f}"
print(reported)
print(explain_accuracy(z, y, reported).verdict)
""",
    ),
    Page(
        "A12",
        "A metric that guesses whether it is given logits",
        "The same samples in other batches have another accuracy.",
        "The metric decides from the values of each batch: if all are in [0, 1] it takes them for probabilities and "
        "uses a threshold of 0.5, else for logits, with a threshold of 0. A batch of small positive logits gets 0.5.",
        "Pass probabilities or classes in every batch.",
        """\
import torch
from torch import nn
from sktorch_acc import audit_loop


class Guesses:
    def __init__(self):
        self.reset()

    def reset(self):
        self.correct = self.samples = 0

    def update(self, z, y):
        probabilities = z if ((z >= 0) & (z <= 1)).all() else z.sigmoid()
        self.correct += ((probabilities > 0.5) == y).sum().item()
        self.samples += len(y)

    def compute(self):
        return self.correct / self.samples


torch.manual_seed(0)
X = torch.randn(240, 4)
y = (X[:, 0] > -0.5).long()
model, metric = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), Guesses()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(20):
    optimizer.zero_grad()
    nn.functional.binary_cross_entropy_with_logits(model(X), y.float()).backward()
    optimizer.step()


def score(size, given):
    metric.reset()
    with torch.no_grad():
        for xb, yb in zip(X.split(size), y.split(size)):
            metric.update(given(model(xb)), yb)
    return f"{metric.compute():.2f} in batches of {size}"
""",
        """\
with audit_loop(model, optimizer, metric=metric) as audit:
    print(score(240, lambda z: z))
    print(score(2, lambda z: z))
print(audit.diagnosis.codes)
""",
        """\
with audit_loop(model, optimizer, metric=metric) as audit:
    print(score(240, torch.sigmoid))
    print(score(2, torch.sigmoid))
print(audit.diagnosis.codes)
""",
    ),
    Page(
        "H1",
        "Samples repeated to fill every process",
        "More samples scored than the data set has.",
        "`DistributedSampler` repeats the first samples so that every process gets the same number, and their results "
        "are counted twice.",
        "Drop the repeated samples after gathering, and count each sample once.",
        COUNTS,
        """\
correct = (z.argmax(dim=1) == y).long()
padded = torch.cat([correct, correct[:24]])  # 1024 samples: 8 processes with 128 each
reported = f"{padded.sum().item() / len(padded):.6f}"
print(reported)
print([c.code for c in explain_accuracy(z, y, reported, batch_size=64).candidates])
""",
        """\
reported = f"{padded[: len(y)].sum().item() / len(y):.6f}"
print(reported)
print(explain_accuracy(z, y, reported, batch_size=64).verdict)
""",
    ),
]
