"""Modules that are run again: random outputs, samples that influence each other, and what is right."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from sktorch_acc._global_state import drawn_by, isolated
from sktorch_acc.engine import repeated
from sktorch_acc.engine.differences import largest_of
from sktorch_acc.engine.repeated import check_samples, comparable, seen_by, spread

DRAWS = torch.Generator().manual_seed(0)
X = torch.randn(100, 8, generator=DRAWS)


class Around(nn.Module):
    """An MLP with something before and something after it."""

    def __init__(self, before=None, after=None, hidden=16, columns=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, columns))
        self.before, self.after = before, after

    def forward(self, x):
        z = self.layers(x if self.before is None else self.before(x))
        return z if self.after is None else self.after(z)


class CountsCalls(Around):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class OverTheBatch(nn.Module):
    """A layer over sequences that takes the batch for a sequence."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(8, 3)

    def forward(self, x):
        out = self.layer(x, x, x) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(x)
        return self.head(out[0])


def found(module, batch=X, alone=True, **how):
    """What is found when samples of a batch are run again, as the probe does it."""
    module.eval()
    seen = seen_by(module, batch)
    at = (len(seen.outputs) - 1) // 2
    single, drawn = drawn_by(
        lambda: repeated._attempt(module, spread(batch)[at : at + 1]) if alone else None, torch.device("cpu")
    )
    return check_samples(module, seen, [] if single is None else [(at, single)], drawn=drawn, **how)


RANDOM = {
    "F.dropout": lambda: Around(lambda x: fn.dropout(x, 0.5)),
    "a layer made in forward": lambda: Around(lambda x: nn.Dropout(0.5)(x)),
    "noise": lambda: Around(after=lambda z: z + 0.1 * torch.randn_like(z)),
    "a counter": CountsCalls,
    "bfloat16": lambda: Around(lambda x: fn.dropout(x, 0.5), hidden=64).bfloat16(),
}

MIXED = {
    "softmax over the batch": lambda: Around(after=lambda z: z.softmax(0)),
    "the mean of the batch": lambda: Around(lambda x: x - x.mean(0)),
    "a small share of the mean": lambda: Around(lambda x: x - 1e-3 * x.mean(0)),
    "standard scores, NaN for a single sample": lambda: Around(lambda x: (x - x.mean(0)) / x.std(0)),
    "batch norm without running statistics": lambda: nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.Linear(16, 3)
    ),
    "a norm over the batch": lambda: Around(lambda x: fn.normalize(x, dim=0)),
    "sorted": lambda: Around(after=lambda z: z.sort(0).values),
    "the sum of the samples before": lambda: Around(after=lambda z: z.cumsum(0)),
    "the sum of the samples after": lambda: Around(after=lambda z: z.flip(0).cumsum(0).flip(0)),
    "a neighbour": lambda: Around(after=lambda z: z + z.roll(1, 0)),
    "the scale of the batch": lambda: Around(lambda x: x / x.abs().max()),
    "attention over the batch": lambda: OverTheBatch(nn.MultiheadAttention(8, 2)),
    "an LSTM over the batch": lambda: OverTheBatch(nn.LSTM(8, 8)),
    "a seeded mask": lambda: Around(
        after=lambda z: z * torch.rand(z.shape, generator=torch.Generator().manual_seed(0))
    ),
}


@pytest.mark.parametrize("case", RANDOM)
@pytest.mark.parametrize("n", [100, 5, 2])
def test_random_outputs_are_found(case, n):
    module = RANDOM[case]()
    batch = X[:n].to(next(module.parameters()).dtype)
    assert found(module, batch).code == "ACC-E11"


class LayerDrop(Around):
    """A layer that is left out for the whole batch, now and then; with -inf for a class that is impossible."""

    def __init__(self, draw, rate):
        super().__init__()
        self.more, self.draw, self.rate = nn.Linear(3, 3), draw, rate

    def forward(self, x):
        z = super().forward(x)
        z = z + self.more(z).relu() if self.draw() >= self.rate else z
        return z.masked_fill(torch.tensor([False, False, True]), -torch.inf)


class Flipped(Around):
    """The whole batch is flipped, now and then."""

    def forward(self, x):
        return super().forward(x.flip(1) if torch.rand(()) < 0.3 else x)


def rows_dropped(x):
    return x * (torch.rand(len(x), 1) > 0.02)


OWN = np.random.default_rng(0)
SELDOM = {
    "a layer, torch": lambda: LayerDrop(lambda: float(torch.rand(())), 0.3),
    "a layer, Python": lambda: LayerDrop(random.random, 0.3),
    "a layer, numpy": lambda: LayerDrop(np.random.rand, 0.3),
    "a layer, a generator of its own": lambda: LayerDrop(OWN.random, 0.5),
    "a flip": Flipped,
    "samples": lambda: Around(rows_dropped),
    "features": lambda: Around(lambda x: fn.dropout(x, 0.005)),
}


@pytest.mark.parametrize("case", SELDOM)
@pytest.mark.parametrize("how", [{}, {"quick": True}, {"thorough": True}])
def test_what_is_random_now_and_then_is_random_and_no_influence_of_other_samples(case, how):
    codes = []
    with isolated(torch.device("cpu")):
        for seed in range(25):
            torch.manual_seed(seed)
            module = SELDOM[case]()
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            finding = found(module, **how)
            codes.append(finding and finding.code)
    # A generator of its own is not looked at: where the first comparisons are equal by chance, nothing is noticed.
    assert set(codes) <= {"ACC-E11", None}
    assert codes.count("ACC-E11") >= (12 if "own" in case else 25)


def test_random_numbers_without_influence_are_not_reported():
    for draw in (random.random, np.random.rand, lambda: torch.rand(())):
        module, calls = Around(lambda x, draw=draw: x + 0 * float(draw())), []
        module.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        for how in ({}, {"quick": True}, {"thorough": True}):
            assert found(module, **how) is None
        assert len(calls) > 3 * 16


class LateNorm(nn.Module):
    """Makes its first layer at the first call, in training mode, as every new layer is."""

    def __init__(self, make=lambda: nn.BatchNorm1d(8)):
        super().__init__()
        self.head, self.make, self.first = nn.Linear(8, 3), make, None

    def forward(self, x):
        if self.first is None:
            self.first = self.make()
        return self.head(self.first(x))


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm1d(8), lambda: nn.Dropout(0.5)])
@pytest.mark.parametrize("how", [{}, {"quick": True}, {"thorough": True}])
def test_a_layer_made_at_the_first_call_is_put_in_evaluation_mode(make, how):
    assert found(LateNorm(make), **how) is None


@pytest.mark.parametrize("value", [-torch.inf, torch.inf])
def test_infinities_hide_neither_random_outputs_nor_an_influence(value):
    def mask(change):
        return lambda z: change(z).masked_fill(torch.tensor([False, False, True]), value)

    assert found(Around(after=mask(lambda z: fn.dropout(z, 0.5)))).code == "ACC-E11"
    assert found(Around(after=mask(lambda z: z - z.mean(0)))).code == "ACC-B4"
    assert found(Around(after=mask(lambda z: z))) is None
    by_batch = Around(after=lambda z: z.masked_fill(z > z.mean(0), value))
    by_chance = Around(after=lambda z: z.masked_fill(torch.rand_like(z) < 0.2, value))
    of_one_sample = Around(after=lambda z: (z - z.mean(0)).masked_fill(z > z.max(), value))
    assert found(by_batch).code == found(of_one_sample).code == "ACC-B4"
    assert found(by_chance).code == "ACC-E11"


class Capacity(nn.Module):
    """Experts that leave out what is beyond their capacity, a share of the batch."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 4), nn.ModuleList(nn.Linear(8, 3) for _ in range(4))
        nn.init.constant_(self.gate.bias[:1], 0.5)  # one of them is chosen too often

    def forward(self, x):
        chosen, out = self.gate(x).argmax(1), torch.zeros(len(x), 3)
        for k, expert in enumerate(self.experts):
            mine = (chosen == k).nonzero()[: int(1.25 * len(x) / 4) + 1, 0]
            out = out.index_add(0, mine, expert(x[mine]))
        return out


@pytest.mark.parametrize("seed", range(10))
def test_both_ends_of_a_batch_show_what_is_beyond_a_capacity(seed):
    torch.manual_seed(seed)
    assert found(Capacity(), X[:32], thorough=True).code == "ACC-B4"


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"alone": False},
        {"quick": True},
        {"alone": False, "quick": True},
        {"thorough": True},
        {"alone": False, "thorough": True},
    ],
)
@pytest.mark.filterwarnings("ignore:std.. degrees of freedom")
def test_samples_that_influence_each_other_are_found(case, how):
    finding = found(MIXED[case](), **how)
    weak = case == "a small share of the mean"
    assert (finding.code, finding.severity) == ("ACC-B4", "warning" if weak else "error")


@pytest.mark.parametrize("case", ["softmax over the batch", "the mean of the batch", "an LSTM over the batch"])
@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_batches_of_every_size_are_compared(case, n):
    assert found(MIXED[case](), X[:n]).code == "ACC-B4"


def test_equal_samples_at_the_start_do_not_hide_the_others():
    batch = torch.cat([X[:1].expand(60, -1), X[:40]])
    assert found(MIXED["the mean of the batch"](), batch).code == "ACC-B4"


class Initialises(Around):
    """Takes the mean of its first batch for good."""

    mean = None

    def forward(self, x):
        if self.mean is None:
            self.mean = x.mean(0)
            return super().forward(x)
        return super().forward(x - self.mean)


class Rounds(nn.Module):
    """Decides inside: the sign, the largest or the rounded unit."""

    def __init__(self, decide, hidden=256):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.decide = nn.Linear(8, hidden), nn.Linear(hidden, 3), decide

    def forward(self, x):
        return self.last(self.decide(self.first(x)))


class Autocast(Around):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


class Encoder(nn.Module):
    """A transformer over short sequences, some of them padded: in evaluation mode it uses nested tensors."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x):
        x = x.unsqueeze(1) * torch.linspace(0.5, 1.5, 6)[:, None]
        padded = torch.arange(6) > 2 + (x[:, 0, :1] > 0) * 3
        z = self.encoder(x, src_key_padding_mask=padded)
        kept = ~padded[:, : z.shape[1], None]
        return self.head((z * kept).sum(1) / kept.sum(1))


def scaled(by):
    return Around(after=lambda z: z * by, hidden=64)


def wide(dtype=torch.float32, hidden=2048, columns=3):
    module = Around(hidden=hidden, columns=columns)
    with torch.no_grad():
        module.layers[-1].weight.mul_(1e4)
    return module.to(dtype)


RIGHT = {
    "wide, with outputs of thousands": wide,
    "1,000 classes": lambda: wide(hidden=64, columns=1000),
    "float64": lambda: wide(torch.float64),
    "bfloat16": lambda: wide(torch.bfloat16),
    "float16": lambda: Around(hidden=512).half(),
    "autocast inside": lambda: Autocast(hidden=512),
    "sums in float64": lambda: Around(after=lambda z: z.double().cumsum(1).float()),
    "huge": lambda: scaled(1e30),
    "tiny": lambda: scaled(1e-30),
    "not normal": lambda: scaled(1e-41),
    "zero": lambda: scaled(0.0),
    "outputs that cancel": lambda: Around(after=lambda z: (z + 1e4) - 1e4),
    "roundings that are enlarged": lambda: Around(after=lambda z: torch.sin(1e5 * z), hidden=256),
    "infinite": lambda: Around(after=lambda z: z.masked_fill(z > 0, float("inf"))),
    "NaN": lambda: Around(after=lambda z: z.masked_fill(z > 0, float("nan"))),
    "the sign": lambda: Rounds(torch.sign),
    "the largest": lambda: Rounds(lambda h: fn.one_hot(h.argmax(1), h.shape[1]).to(h.dtype)),
    "rounded": lambda: Rounds(lambda h: (h * 1e6).round() / 1e6),
    "rounded modulo": lambda: Rounds(lambda h: (h * 1e5).floor() % 7),
    "the sign in bfloat16": lambda: Rounds(torch.sign).bfloat16(),
    "the first call initialises": Initialises,
    "batch norm": lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3)),
    "layer norm": lambda: nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3)),
    "group norm": lambda: nn.Sequential(nn.Linear(8, 16), nn.GroupNorm(4, 16), nn.Linear(16, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    ),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(8, 16)), nn.Linear(16, 3)),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 16)), nn.Linear(16, 3)),
    "a lazy layer": lambda: nn.Sequential(nn.LazyLinear(16), nn.Linear(16, 3)),
    "a recurrent layer": lambda: nn.Sequential(nn.Unflatten(1, (4, 2)), Last(nn.LSTM(2, 8, 2, batch_first=True))),
    "a transformer": Encoder,
    "written in place": lambda: Around(lambda x: x.mul_(2)),
    "an ensemble": lambda: Around(after=lambda z: torch.stack([z, 2 * z], dim=1)),
}


class Last(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


@pytest.mark.parametrize("case", RIGHT)
@pytest.mark.parametrize("n", [100, 7, 2])
@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nothing_is_found_in_a_right_module(case, n, thorough):
    module = RIGHT[case]()
    dtype = torch.float32 if case == "a lazy layer" else next(module.parameters()).dtype
    assert found(module, X[:n].to(dtype), thorough=thorough) is None


class RoundsByBatch(Around):
    """Rounds otherwise in batches of another size, as kernels do, and decides after that."""

    def __init__(self, decide):
        super().__init__(hidden=64)
        self.decide = decide

    def forward(self, x):
        h = self.layers[1](self.layers[0](x)) * (1 + (len(x) % 3 - 1) * 2.0**-23)
        return self.layers[2](self.decide(h))


@pytest.mark.parametrize("decide", [lambda h: (h * 1e6).floor() % 7, lambda h: torch.sin(1e6 * h)])
def test_roundings_that_a_module_enlarges_are_not_an_influence_of_other_samples(decide):
    module = RoundsByBatch(decide).eval()
    seen = seen_by(module, X)
    differences = repeated._differences(repeated._part(module, seen), seen.outputs)
    assert max(differences) > 100 * 2.0**-23 * largest_of(seen.outputs)
    assert check_samples(module, seen) is None


class CoarseInside(Around):
    """Rounds to bfloat16 inside, otherwise in batches of another size."""

    def forward(self, x):
        return (super().forward(x).bfloat16() * (1 + (len(x) % 3 - 1) * 2.0**-7)).float()


def test_the_coarsest_dtype_inside_counts():
    module = CoarseInside().eval()
    seen = seen_by(module, X)
    differences = repeated._differences(repeated._part(module, seen), seen.outputs)
    assert max(differences) > 1e-3 * largest_of(seen.outputs)
    assert check_samples(module, seen) is None


def test_nan_is_not_compared_and_an_infinity_differs_from_all_but_itself():
    inf, nan = torch.inf, torch.nan
    outputs = torch.tensor([[1.0, -inf, 0.0], [0.0, 1.0, 0.0]])

    def differences(*part):
        return repeated._differences([(0, torch.tensor([part]))], outputs)

    assert differences(nan, -inf, 0.0) == []
    assert differences(1.0, nan, 0.0) == []
    assert differences(1.0, -inf, 0.0) == [0.0]
    assert differences(1.5, -inf, 0.0) == [0.5]
    assert differences(1.0, inf, 0.0) == differences(1.0, 0.0, 0.0) == differences(1.0, -inf, inf) == [inf]
    assert largest_of(outputs * 3) == 3.0
    assert largest_of(torch.full((2, 2), -inf)) == 0.0


class Refuses(Around):
    """Takes batches of some sizes only."""

    def __init__(self, takes, after):
        super().__init__(after=after)
        self.takes = takes

    def forward(self, x):
        if not self.takes(len(x)):
            raise ValueError("not so many samples")
        return super().forward(x)


@pytest.mark.parametrize(
    ("takes", "code"),
    [(lambda n: n > 1, "ACC-B4"), (lambda n: n % 2 == 0, "ACC-B4"), (lambda n: n == 1 or n == 100, "ACC-B4")],
)
def test_sizes_that_the_module_refuses_are_left_out(takes, code):
    assert found(Refuses(takes, lambda z: z.softmax(0))).code == code
    assert found(Refuses(takes, None)) is None


@pytest.mark.parametrize("n", [40, 42, 56, 100])
def test_a_part_has_pairs_of_samples(n):
    assert found(Refuses(lambda size: size % 2 == 0, lambda z: z.softmax(0)), X[:n], alone=False).code == "ACC-B4"


def test_a_module_for_batches_of_one_size_is_not_compared():
    assert found(Refuses(lambda n: n == 100, lambda z: z.softmax(0))) is None


def test_one_sample_has_nothing_to_be_compared_with():
    assert found(Around(lambda x: fn.dropout(x, 0.5)), X[:1], alone=False) is None


def test_a_right_module_takes_one_small_pass_more_or_none():
    module, sizes = Around().eval(), []
    batch = torch.cat([X, X])[:128]
    seen, single = seen_by(module, batch), seen_by(module, spread(batch)[15:16]).outputs
    module.register_forward_hook(lambda _, args, output: sizes.append(len(args[0])))
    assert check_samples(module, seen, [(15, single)]) is None
    assert sizes == [16]
    assert check_samples(module, seen, [(15, single)], quick=True) is None
    assert sizes == [16]
    assert check_samples(module, seen, quick=True) is None
    assert sizes == [16, 16]


def test_weights_are_as_before():
    module = MIXED["the mean of the batch"]()
    before = copy.deepcopy(module.state_dict())
    assert found(module) is not None
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("values", [torch.arange(100.0), torch.arange(33.0), torch.arange(5.0), torch.arange(1.0)])
def test_samples_are_spread_over_the_batch(values):
    chosen = spread(values)
    assert len(chosen) == min(32, len(values))
    assert chosen[0] == 0
    assert (chosen.diff() == max(1, len(values) // 32)).all()


def test_outputs_that_are_all_equal_cannot_be_compared():
    assert not comparable(torch.ones(32, 3))
    assert not comparable(torch.ones(1, 3))
    assert comparable(torch.eye(3))


def test_masks_with_infinity_stay_as_they_are_when_weights_are_rounded():
    mask = torch.tensor([0.0, -torch.inf, 1.0])
    rounded = repeated._rounded(mask, torch.Generator().manual_seed(0))
    assert rounded[:2].tolist() == [0.0, -torch.inf]
    assert abs(float(rounded[2]) - 1) in (2.0**-23, 2.0**-24)
    assert torch.equal(repeated._rounded(torch.arange(3), DRAWS), torch.arange(3))
