"""Wrong accuracies as loops compute them: the oracle for `explain_accuracy`.

Nothing here uses the package. A loop takes outputs (n, C) or (n, 1), targets (n,) and the batch size, iterates over the
samples in their order, and returns the value that it would print. It returns None if it would fail on these shapes.
LOOPS holds the loops by name, with their codes.
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

LOOPS = {}


def wrong_loop(code):
    """Put a loop into LOOPS."""

    def register(loop):
        LOOPS[loop.__name__] = (code, loop)
        return loop

    return register


def batches(outputs, targets, batch_size):
    """Split as a DataLoader without shuffling does, but faster."""
    return list(zip(outputs.split(batch_size), targets.split(batch_size), strict=True))


def predict(z):
    """Predict the class of the largest column, or of a single column of logits with a threshold of 0."""
    return (z[:, 0] > 0).long() if z.shape[1] == 1 else z.argmax(dim=1)


def true_accuracy(outputs, targets, batch_size):
    """Count the correct predictions and all samples: the loop without an error."""
    correct = total = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z) == y).sum().item()
        total += len(y)
    return correct / total


# ---- A: counting and averaging


@wrong_loop("ACC-A1")
def mean_of_batches(outputs, targets, batch_size):
    acc, loader = 0.0, batches(outputs, targets, batch_size)
    for z, y in loader:
        acc += (predict(z) == y).float().mean().item()
    return acc / len(loader)


@wrong_loop("ACC-A1")
def mean_of_batches_in_a_tensor(outputs, targets, batch_size):
    acc, loader = torch.zeros(()), batches(outputs, targets, batch_size)
    for z, y in loader:
        acc += (predict(z) == y).float().mean()
    return (acc / len(loader)).item()


@wrong_loop("ACC-A2")
def count_over_loader(outputs, targets, batch_size):
    correct, loader = 0, batches(outputs, targets, batch_size)
    for z, y in loader:
        correct += torch.sum(predict(z) == y)
    return (correct / len(loader)).item()


@wrong_loop("ACC-A2")
def batch_accuracies_over_dataset(outputs, targets, batch_size):
    acc = 0.0
    for z, y in batches(outputs, targets, batch_size):
        acc += (predict(z) == y).float().mean().item()
    return acc / len(targets)


@wrong_loop("ACC-A2")
def sum_of_batch_accuracies(outputs, targets, batch_size):
    acc = 0.0
    for z, y in batches(outputs, targets, batch_size):
        acc += (predict(z) == y).float().mean().item()
    return acc


@wrong_loop("ACC-A2")
def count_over_last_batch(outputs, targets, batch_size):
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z) == y).sum().item()
    return correct / len(y)


@wrong_loop("ACC-A3")
def drop_last(outputs, targets, batch_size):
    correct, dataset = 0, TensorDataset(outputs, targets)
    if batch_size > len(dataset):
        return None
    for z, y in DataLoader(dataset, batch_size=batch_size, drop_last=True):
        correct += (predict(z) == y).sum().item()
    return correct / len(dataset)


@wrong_loop("ACC-A3")
def drop_last_everywhere(outputs, targets, batch_size):
    correct = total = 0
    for z, y in batches(outputs, targets, batch_size):
        if len(y) == batch_size:
            correct += (predict(z) == y).sum().item()
            total += len(y)
    return correct / total if total else None


@wrong_loop("ACC-A7")
def bfloat16_counter(outputs, targets, batch_size):
    correct = torch.zeros((), dtype=torch.bfloat16)
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z) == y).sum()
    return correct.item() / len(targets)


@wrong_loop("ACC-A7")
def float16_counter(outputs, targets, batch_size):
    correct = torch.zeros((), dtype=torch.float16)
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z) == y).to(torch.float16).sum()
    return correct.item() / len(targets)


@wrong_loop("ACC-A7")
def bfloat16_mean(outputs, targets, batch_size):
    return (predict(outputs) == targets).bfloat16().mean().item()


@wrong_loop("ACC-A8")
def last_batch_over_dataset(outputs, targets, batch_size):
    for z, y in batches(outputs, targets, batch_size):
        correct = (predict(z) == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-A8")
def last_batch(outputs, targets, batch_size):
    for z, y in batches(outputs, targets, batch_size):
        accuracy = (predict(z) == y).float().mean().item()
    return accuracy


@wrong_loop("ACC-A9")
def integer_division(outputs, targets, batch_size):
    correct = total = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z) == y).sum().item()
        total += len(y)
    return float(correct // total)


@wrong_loop("ACC-A9")
def integer_division_of_batches(outputs, targets, batch_size):
    acc, loader = 0, batches(outputs, targets, batch_size)
    for z, y in loader:
        acc += (predict(z) == y).sum() // len(y)
    return (acc / len(loader)).item()


@wrong_loop("ACC-A10")
def macro(outputs, targets, batch_size):
    pred = predict(outputs)
    recalls = [(pred[targets == k] == k).float().mean() for k in targets.unique()]
    return torch.stack(recalls).mean().item()


@wrong_loop("ACC-A10")
def macro_of_batches(outputs, targets, batch_size):
    acc, loader = 0.0, batches(outputs, targets, batch_size)
    for z, y in loader:
        acc += torch.stack([(predict(z)[y == k] == k).float().mean() for k in y.unique()]).mean().item()
    return acc / len(loader)


@wrong_loop("ACC-A11")
def macro_with_absent_as_zero(outputs, targets, batch_size):
    pred, n_classes = predict(outputs), max(outputs.shape[1], 2)
    if len(targets.unique()) == n_classes:
        return None
    recalls = []
    for k in range(n_classes):
        of_class = targets == k
        recalls.append((pred[of_class] == k).sum().item() / max(of_class.sum().item(), 1))
    return sum(recalls) / n_classes


@wrong_loop("ACC-A11")
def macro_of_batches_with_absent_as_zero(outputs, targets, batch_size):
    acc, loader, n_classes = 0.0, batches(outputs, targets, batch_size), max(outputs.shape[1], 2)
    if len(loader) == 1 or all(len(y.unique()) == n_classes for _, y in loader):
        return None
    for z, y in loader:
        correct = torch.bincount(y[predict(z) == y], minlength=n_classes)
        support = torch.bincount(y, minlength=n_classes)
        acc += (correct / support.clamp(min=1)).mean().item()
    return acc / len(loader)


# ---- B: shapes


@wrong_loop("ACC-B1")
def broadcast_count(outputs, targets, batch_size):
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (predict(z).unsqueeze(1) == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B1")
def broadcast_count_whole(outputs, targets, batch_size):
    return ((predict(outputs)[:, None] == targets).sum() / len(targets)).item()


@wrong_loop("ACC-B2")
def broadcast_mean(outputs, targets, batch_size):
    acc, loader = 0.0, batches(outputs, targets, batch_size)
    for z, y in loader:
        acc += (predict(z).unsqueeze(1) == y).float().mean().item()
    return acc / len(loader)


@wrong_loop("ACC-B2")
def broadcast_mean_whole(outputs, targets, batch_size):
    return (predict(outputs)[:, None] == targets).float().mean().item()


@wrong_loop("ACC-B3")
def one_hot_column(outputs, targets, batch_size):
    if outputs.shape[1] == 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        one_hot = torch.nn.functional.one_hot(y, outputs.shape[1])
        correct += (z.argmax(dim=1, keepdim=True) == one_hot).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B3")
def one_hot_square(outputs, targets, batch_size):
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        if outputs.shape[1] == 1 or len(y) not in (1, outputs.shape[1]):
            return None
        correct += (z.argmax(dim=1) == torch.nn.functional.one_hot(y, outputs.shape[1])).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B3")
def one_hot_elements(outputs, targets, batch_size):
    if outputs.shape[1] == 1:
        return None
    one_hot = torch.nn.functional.one_hot(targets, outputs.shape[1])
    return ((outputs > 0.5) == one_hot).float().mean().item()


@wrong_loop("ACC-B4")
def softmax_over_samples(outputs, targets, batch_size):
    if outputs.shape[1] == 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (torch.softmax(z, dim=0).argmax(dim=1) == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B4")
def argmax_over_samples(outputs, targets, batch_size):
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        if outputs.shape[1] == 1 or len(y) not in (1, outputs.shape[1]):
            return None
        correct += (z.argmax(dim=0) == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B6")
def scores_against_labels(outputs, targets, batch_size):
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (z == y[:, None]).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B7")
def maximum_of_everything(outputs, targets, batch_size):
    if outputs.shape[1] == 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (z.max() == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-B7")
def argmax_of_everything(outputs, targets, batch_size):
    if outputs.shape[1] == 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (z.argmax() == y).sum().item()
    return correct / len(targets)


# ---- C: output and threshold


@wrong_loop("ACC-C5")
def half_on_logits(outputs, targets, batch_size):
    if outputs.shape[1] != 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += ((z[:, 0] > 0.5).long() == y).sum().item()
    return correct / len(targets)


@wrong_loop("ACC-C5")
def rounded_logits(outputs, targets, batch_size):
    if outputs.shape[1] != 1:
        return None
    return (outputs[:, 0].round() == targets).float().mean().item()


@wrong_loop("ACC-C6")
def argmax_of_one_column(outputs, targets, batch_size):
    if outputs.shape[1] != 1:
        return None
    correct = 0
    for z, y in batches(outputs, targets, batch_size):
        correct += (z.argmax(dim=1) == y).sum().item()
    return correct / len(targets)


# ---- H: several processes


@wrong_loop("ACC-H1")
def padded_sampler(outputs, targets, batch_size, processes=4):
    dataset = TensorDataset(outputs, targets)
    correct = total = 0
    for rank in range(processes):
        sampler = torch.utils.data.DistributedSampler(dataset, processes, rank, shuffle=False)
        indices = torch.tensor(list(sampler))
        correct += (predict(outputs[indices]) == targets[indices]).sum().item()
        total += len(indices)
    return correct / total
