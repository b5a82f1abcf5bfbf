"""A loop is monitored while it runs: each error is reported with its code, and the loop does the same as before."""

import ast
import copy
import gc
import io
import pickle
import random
import warnings
import weakref
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyCounter, audit_loop
from tests.mistakes.common import X, Y, mlp
from tests.mistakes.loops import CLEAN, MISTAKES, batches, count, parts, step
from tests.mistakes.loops.metrics import Forwards, Metric
from tests.modules import DropNorm

SCRIPTS = Path(__file__).parent / "scripts"
CE = nn.CrossEntropyLoss()


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_loop_is_reported_with_its_code_and_no_other(case):
    code, loop = MISTAKES[case]
    diagnosis = loop().diagnosis
    assert diagnosis.codes == [code], diagnosis
    assert f"[{code}]" in str(diagnosis)


@pytest.mark.parametrize("case", CLEAN)
def test_nothing_is_found_in_a_clean_loop(case):
    diagnosis = CLEAN[case]().diagnosis
    assert diagnosis.findings == (), diagnosis
    assert str(diagnosis).endswith("nothing found.")


# ------------------------------------------------------------------ training scripts


def audited(script):
    """Run a script with its loop, and all that follows, under audit; return its global names."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text())
    trains = lambda node: isinstance(node, ast.For) and ("step()" in ast.unparse(node) or "train(" in ast.unparse(node))  # noqa: E731
    start = [trains(node) for node in tree.body].index(True)
    block = ast.parse("with audit_loop(model, optimizer, criterion=criterion) as audit:\n    pass").body[0]
    block.body = [*tree.body[start:], *ast.parse("audit.epoch(float(str(reported).strip(' %')))").body]
    tree.body = [*tree.body[:start], block]
    names = {"__name__": "__main__", "audit_loop": audit_loop}
    with torch.random.fork_rng(devices=[]):
        exec(compile(ast.fix_missing_locations(tree), script, "exec"), names)
    return names


# What `audit_loop` can find in the scripts; the rest is for `explain_accuracy` and `diagnose`.
IN_SCRIPTS = {
    "mistake_mean_of_batches": [],
    "mistake_optimizer_of_another_model": ["ACC-F2"],
}


@pytest.mark.parametrize("script", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_only_the_error_of_a_script_is_reported(script):
    assert audited(script)["audit"].diagnosis.codes == IN_SCRIPTS.get(script, [])


# ------------------------------------------------------------------ nothing is changed


class Remembers(nn.Module):
    """Everything that a forward pass can change: running statistics, a counter, generators."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.layers(x + random.random() * 1e-3 + float(np.random.rand()) * 1e-3)  # noqa: NPY002


def bits(value):
    """All bits in tensors, containers and numbers."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return [(key, bits(item)) for key, item in value.items()]
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else repr(value)


class StopError(Exception):
    pass


def train(audit, optimizer, raises=None, accumulate=1, closure=False, metric=None):
    """Run a loop with everything in it; return what must be the same with and without an audit."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    model, criterion = Remembers(), nn.CrossEntropyLoss()
    optimizer = optimizer(model.parameters())
    metric = AccuracyCounter(3) if metric is None else metric
    accuracies, losses = [], []

    def backward(x, y):
        loss = criterion(model(x), y)
        loss.backward()
        return loss

    caught = None
    try:
        with audit(model, optimizer, criterion=criterion, metric=metric) as monitor:
            for _ in range(2):
                model.train()
                metric.reset()
                for i, (x, y) in enumerate(batches(48)):
                    if closure:
                        optimizer.step(lambda x=x, y=y: (optimizer.zero_grad(), backward(x, y))[1])
                        continue
                    losses.append(backward(x, y).item())
                    if i == 3 and raises is not None:
                        raise raises
                    if (i + 1) % accumulate == 0:
                        optimizer.step()
                        optimizer.zero_grad(set_to_none=i % 2 == 0)
                model.eval()
                with torch.inference_mode():
                    for x, y in batches(48):
                        metric.update(model(x), y)
                accuracies.append(float(metric.compute()))
                if monitor is not None:
                    monitor.epoch(accuracies[-1])
    except (StopError, KeyboardInterrupt, GeneratorExit) as err:
        caught = err
    assert caught is raises
    assert_no_hook_is_left(model, optimizer, criterion, metric)
    return {
        "weights": bits(model.state_dict()),
        "gradients": [None if p.grad is None else bits(p.grad) for p in model.parameters()],
        "optimizer": bits(optimizer.state_dict()),
        "modes": [layer.training for layer in model.modules()],
        "accuracies": (accuracies, losses),
        "metric": bits(vars(metric)),
        "torch": bits(torch.get_rng_state()),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
    }


def assert_no_hook_is_left(model, optimizer, criterion, metric):
    for module in (*model.modules(), criterion):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    for p in model.parameters():
        assert not p._backward_hooks
        assert not p._post_accumulate_grad_hooks
    assert not {"update", "compute", "reset", "forward"} & vars(metric).keys()


def unaudited(*_, **__):
    return nullcontext()


class Draws(Metric):
    """A metric of a random part of the samples, whose reset draws too."""

    def reset(self):
        super().reset()
        self.offset = random.random()

    def update(self, outputs, targets):
        drawn = torch.randperm(len(outputs))[: np.random.randint(1, len(outputs))]  # noqa: NPY002
        self.correct += ((outputs if outputs.ndim == 1 else outputs.argmax(dim=1))[drawn] == targets[drawn]).sum()
        self.samples += len(drawn)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "fused AdamW": lambda p: torch.optim.AdamW(p, lr=0.02, fused=True),
    "foreach RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, foreach=True),
}
HOW = {
    "a plain loop": {},
    "accumulation": {"accumulate": 2},
    "a metric of another library": {"metric": Forwards},
    "a metric that draws": {"metric": Draws},
    "an error": {"raises": StopError()},
    "Ctrl-C": {"raises": KeyboardInterrupt()},
    "a generator that is closed": {"raises": GeneratorExit()},
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loop_is_bit_identical_with_and_without_an_audit(optimizer, how):
    make = lambda: {k: v() if isinstance(v, type) else v for k, v in HOW[how].items()}  # noqa: E731
    audited_state = train(audit_loop, OPTIMIZERS[optimizer], **make())
    assert audited_state == train(unaudited, OPTIMIZERS[optimizer], **make())


def test_a_closure_is_bit_identical_with_and_without_an_audit():
    lbfgs = lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3)  # noqa: E731
    assert train(audit_loop, lbfgs, closure=True) == train(unaudited, lbfgs, closure=True)


def test_the_copy_of_the_metric_changes_no_generator():
    def updated(audit):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model, optimizer = parts()
        metric = Draws()
        with audit(model, optimizer, metric=metric) as monitor:
            for i in range(6):
                metric.update(torch.tensor([0.2, 0.7, 0.3, 2.0 * (i % 2)]), torch.tensor([1, 0, 1, 0]))
        tried = None if monitor is None else sum(monitor._metric._tried.values())
        return tried, (bits(torch.get_rng_state()), str(np.random.get_state()), random.getstate())  # noqa: NPY002

    tried, generators = updated(audit_loop)
    assert tried == 6
    assert generators == updated(unaudited)[1]


def test_two_audits_of_one_loop_agree_and_change_nothing():
    audits = []

    def twice(*args, **kwargs):
        stack = ExitStack()
        audits[:] = [stack.enter_context(audit_loop(*args, **kwargs)) for _ in range(2)]
        stack.epoch = lambda accuracy: [audit.epoch(accuracy) for audit in audits]
        stack.__class__ = type("Both", (ExitStack,), {"__enter__": lambda self: self})
        return stack

    audited_state = train(twice, OPTIMIZERS["Adam"])
    assert audited_state == train(unaudited, OPTIMIZERS["Adam"])
    assert audits[0].diagnosis == audits[1].diagnosis


def test_the_inner_audit_may_end_last():
    metric = Metric()
    model, optimizer = parts()
    first, second = (audit_loop(model, optimizer, metric=metric) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    metric.update(model(X), Y)
    assert second._metric._seen == 240
    second.__exit__(None, None, None)
    assert vars(metric).keys() == {"correct", "samples"}
    metric.reset()
    metric.update(model(X), Y)
    assert metric.samples == 240


def test_copies_made_in_the_loop_are_not_monitored():
    model, optimizer = parts(DropNorm(6, 3))
    metric = AccuracyCounter(3)
    with audit_loop(model, optimizer, criterion=CE, metric=metric) as audit:
        for x, y in batches():
            step(model, optimizer, x, y)
            metric.update(model(x), y)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        buffer.seek(0)
        copies.append(torch.load(buffer, weights_only=False))
        metrics = [copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))]
        optimizers = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
        for other in copies:
            other.eval()
            assert torch.equal(other(X), copy.deepcopy(model).eval()(X))
            step(other, torch.optim.SGD(other.parameters(), lr=0.1), X, Y)
        for other in metrics:
            assert other.compute() == metric.compute()
            other.reset()
            other.update(torch.eye(3), torch.arange(3))
            assert other.compute() == 1.0
        assert metric.support.sum() == 240
        passes = audit._monitor.graphs.made
        assert all(not other._optimizer_step_post_hooks for other in optimizers)
    assert passes == 2 * len(batches())


def tensors_of(rows):
    """Number of tensors with so many rows that are alive."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) and thing.shape[:1] == (rows,) for thing in gc.get_objects())


def test_an_audit_keeps_neither_model_nor_data():
    model, optimizer = parts()
    criterion, metric = nn.CrossEntropyLoss(), AccuracyCounter(3)
    assert tensors_of(37) == 0
    with audit_loop(model, optimizer, criterion=criterion, metric=metric) as audit:
        for _ in range(9):
            x, y = X[:37].clone(), Y[:37].clone()
            z = step(model, optimizer, x, y, criterion)[0]
            metric.update(z, y)
            del x, y, z
        assert tensors_of(37) == 2  # the last batch and its targets
        audit.epoch(0.5)
    held = [weakref.ref(thing) for thing in (model, *model.parameters(), optimizer, criterion, metric)]
    del model, optimizer, criterion, metric
    assert tensors_of(37) == 0
    assert [ref for ref in held if ref() is not None] == []
    assert audit.diagnosis.codes == []


# ------------------------------------------------------------------ compilation


def compiled_loop(audit, how):
    """A loop with a part that is compiled without graph breaks."""
    model, optimizer = parts(DropNorm(6, 3))
    criterion = nn.CrossEntropyLoss()
    whole = {"fullgraph": True, "backend": "eager"}
    called = torch.compile(model, **whole) if how == "module" else model
    loss_of = lambda x, y: criterion(called(x), y)  # noqa: E731
    loss_of = torch.compile(loss_of, **whole) if how == "function" else loss_of
    torch.manual_seed(0)
    with audit(called if how == "module" else model, optimizer, criterion=criterion) as monitor:
        for _ in range(2):
            for x, y in batches()[:-1]:
                optimizer.zero_grad()
                loss_of(x, y).backward()
                optimizer.step()
            count(called)
    return monitor, bits(model.state_dict())


@pytest.mark.parametrize(("how", "codes"), [("function", []), ("module", ["ACC-E4"])])
def test_compiled_parts_of_a_loop_are_the_same_without_the_audit(how, codes):
    compiled_loop(unaudited, how)  # the first time in a process changes torch's generator
    torch.compiler.reset()
    audit, weights = compiled_loop(audit_loop, how)
    torch.compiler.reset()
    assert weights == compiled_loop(unaudited, how)[1]
    assert audit.diagnosis.codes == codes  # compiled code is not monitored
    assert audit.diagnosis.subject.endswith("1 epoch, 14 steps")


def test_a_monitored_module_cannot_be_scripted_and_the_error_says_so():
    model, optimizer = parts()
    with audit_loop(model, optimizer), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(AttributeError, match="before or after the block"):
            torch.jit.script(model)
        exported = torch.export.export(model, (X,))
        assert torch.equal(exported.module()(X), model(X))
        traced = torch.jit.trace(model, X)
        assert torch.equal(traced(X), model(X))


# ------------------------------------------------------------------ unusual modules, and errors


class Returns(nn.Module):
    """Returns a function of its logits."""

    def __init__(self, makes):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.makes = nn.Linear(6, 3), makes

    def forward(self, x, **_):
        return self.makes(self.layer(x))


@pytest.mark.parametrize(
    ("makes", "logits"),
    [
        (lambda z: (z, None, [z.detach()]), lambda out: out[0]),
        (lambda z: {"loss": None, "logits": z}, lambda out: out["logits"]),
        (lambda z: [{"a": (z,)}], lambda out: out[0]["a"][0]),
        (lambda z: z.T, lambda out: out.T),
        (lambda z: "text", lambda out: torch.zeros(32, 3, requires_grad=True)),
    ],
)
def test_modules_that_return_other_things_than_tensors_are_monitored(makes, logits):
    torch.manual_seed(0)
    model = Returns(makes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches()[:-1]:
            CE(logits(model(x=x) if "a" in str(makes) else model(x)), y).backward()
            optimizer.step()
    lost = makes(torch.zeros(2, 3)) == "text"
    assert audit.diagnosis.codes == (["ACC-F2"] if lost else ["ACC-F6"])


def test_targets_of_any_size_are_monitored():
    model, optimizer = parts()
    ignoring = nn.CrossEntropyLoss(ignore_index=-(2**40))
    with audit_loop(model, optimizer, criterion=ignoring) as audit:
        for x, y in batches():
            step(model, optimizer, x, torch.where(y == 2, -(2**40), y), ignoring)
        audit.epoch(count(model))
    assert audit.diagnosis.codes == []


def test_a_metric_that_raises_is_restored():
    class Refuses(Metric):
        def update(self, outputs, targets):
            raise StopError

    model, optimizer = parts()
    metric = Refuses()
    with pytest.raises(StopError), audit_loop(model, optimizer, metric=metric):
        metric.update(model(X), Y)
    assert vars(metric).keys() == {"correct", "samples"}


def test_a_method_of_the_instance_is_restored():
    metric, model = Metric(), mlp()
    own = metric.update
    metric.update = own
    with audit_loop(model, torch.optim.SGD(model.parameters(), lr=0.1), metric=metric):
        assert metric.update is not own
        metric.update(model(X), Y)
    assert metric.update is own
    assert metric.samples == 240


def test_a_loop_runs_to_its_end_if_the_audit_fails():
    class Broken(dict):
        def values(self):
            raise StopError("no values")

    model = Returns(lambda z: Broken(logits=z))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.layer.weight.detach().clone()
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            CE(model(x)["logits"], y).backward()
            optimizer.step()
            audit.epoch()
    assert not torch.equal(before, model.layer.weight)
    with pytest.raises(RuntimeError, match="The audit failed") as caught:
        _ = audit.diagnosis
    assert isinstance(caught.value.__cause__, StopError)


def test_what_was_seen_before_an_error_is_reported():
    model, optimizer = parts()
    audit = audit_loop(model, optimizer, criterion=CE)

    def loop():
        with audit:
            for x, y in batches():
                CE(model(x), y).backward()
                optimizer.step()
                assert audit.diagnosis.subject.startswith("Sequential in a loop of 1 epoch")
            raise StopError

    with pytest.raises(StopError):
        loop()
    assert audit.diagnosis.codes == ["ACC-F6"]
    assert audit.diagnosis.subject == "Sequential in a loop of 1 epoch, 8 steps"


def test_an_evaluation_after_the_loop_is_not_an_epoch():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            step(model, optimizer, x, y)
        audit.epoch(count(model))
        count(model)
    assert audit.diagnosis.subject == "Sequential in a loop of 1 epoch, 8 steps"


def test_several_findings_are_reported_together_errors_first():
    model, optimizer = parts(DropNorm(6, 3))
    metric = AccuracyCounter(3)
    kept = []
    with audit_loop(model, optimizer, criterion=CE, metric=metric) as audit:
        for _ in range(3):
            for x, y in batches():
                z = model(x)
                CE(z, y).backward()
                optimizer.step()
                metric.update(z, y)
                kept.append(z)
            count(model)
            audit.epoch(metric.compute())
    diagnosis = audit.diagnosis
    assert diagnosis.codes[0] == "ACC-F6"
    assert sorted(diagnosis.codes[1:]) == ["ACC-A6", "ACC-E4", "ACC-E9"]
    assert str(diagnosis).startswith("Diagnosis of DropNorm in a loop of 3 epochs, 24 steps: 4 findings.")
    assert diagnosis.to_frame()["code"].tolist() == diagnosis.codes
    assert all(finding.advice for finding in diagnosis.findings)
    messages = {finding.code: finding.message for finding in diagnosis.findings}
    assert "Gradients are being accumulated; call zero_grad(): in 23 of 24 steps" in messages["ACC-F6"]
    assert "The metric has seen 720 samples but the epoch has 240: it is not reset" in messages["ACC-A6"]
    assert "Module still in eval mode at the start of epoch 2: 16 steps were" in messages["ACC-E4"]
    assert "'BatchNorm1d', 'Dropout'" in messages["ACC-E4"]


# ------------------------------------------------------------------ arguments


def in_a_block(epoch):
    model, optimizer = parts()
    with audit_loop(model, optimizer) as audit:
        epoch(audit)
    return audit


class WithoutInit(torch.optim.Optimizer):
    def __init__(self):
        self.param_groups = []


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out
        return torch.jit.script(nn.Linear(2, 2))


@pytest.mark.parametrize("accuracy", [None, 0, 1, 0.5, 54.3, torch.tensor(0.5), np.float32(0.5), np.array(0.5)])
def test_accuracies_of_every_type_are_accepted(accuracy):
    assert in_a_block(lambda audit: audit.epoch(accuracy)).diagnosis.codes == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: audit_loop("model", None), TypeError, "nn.Module that the loop calls, but got a str"),
        (lambda: audit_loop(mlp(), "adam"), TypeError, r"torch.optim.Optimizer, such as .* but got str"),
        (lambda: audit_loop(mlp(), torch.optim.Adam), TypeError, "but got Adam"),
        (lambda: audit_loop(nn.LazyLinear(3), parts()[1]), ValueError, "lazy layers"),
        (lambda: audit_loop(mlp(), WithoutInit()), TypeError, r"WithoutInit did not call super\(\).__init__"),
        (lambda: audit_loop(*parts(), criterion=nn.CrossEntropyLoss), TypeError, "but got CrossEntropyLoss"),
        (lambda: audit_loop(scripted(), parts()[1]), TypeError, "takes no hooks"),
        (lambda: audit_loop(*parts(), criterion="ce"), TypeError, "criterion must be a loss"),
        (lambda: audit_loop(*parts(), metric=AccuracyCounter), TypeError, "AccuracyCounter: a class, not an object"),
        (lambda: audit_loop(*parts(), metric=count), TypeError, "function: without update, compute, reset"),
        (lambda: audit_loop(*parts()).epoch(0.5), RuntimeError, "inside the block"),
        (lambda: in_a_block(lambda audit: None).epoch(0.5), RuntimeError, "inside the block"),
        (lambda: audit_loop(*parts()).diagnosis, RuntimeError, "Nothing was monitored yet"),
        (lambda: in_a_block(lambda audit: None).__enter__(), RuntimeError, "used before"),
        (lambda: in_a_block(lambda audit: audit.__enter__()), RuntimeError, "used before"),
        (lambda: in_a_block(lambda audit: audit.epoch("0.5")), TypeError, "0-d tensor or None, but got a str"),
        (lambda: in_a_block(lambda audit: audit.epoch(True)), TypeError, "but got a bool"),
        (lambda: in_a_block(lambda audit: audit.epoch(X)), TypeError, r"Tensor of shape \(240, 6\)"),
        (lambda: in_a_block(lambda audit: audit.epoch(float("nan"))), ValueError, "finite number"),
        (lambda: in_a_block(lambda audit: audit.epoch(torch.tensor(float("inf")))), ValueError, "finite number"),
        (lambda: in_a_block(lambda audit: audit.epoch(-0.1)), ValueError, "at least 0"),
    ],
)
def test_what_cannot_be_monitored_raises(call, error, message):
    with pytest.raises(error, match=message):
        call()
