"""Outputs for made-up rows: what is saved and what is loaded must give the same, and nothing right is refused."""

import random
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, ModelFileError, TorchClassifier
from sktorch_acc.persistence import probe
from tests import modules
from tests.saved import Tied, TwoLayers, joined, loaded, parts, saved, small, table, three_classes

FLOAT32 = table(dtype=np.float32)


class Acts(nn.Module):
    """Its activation is chosen by name, and has no weights."""

    def __init__(self, n_features, n_classes, act="relu"):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, 8), nn.Linear(8, n_classes)
        self.act = {"relu": nn.ReLU, "tanh": nn.Tanh}[act]()

    def forward(self, x):
        return self.second(self.act(self.first(x)))


def stored_entry(data):
    return parts(data)[0]["extensions"].get("probe")


def with_output(data, change):
    """The file with other stored outputs."""
    manifest, weights = parts(data)
    tensors = safetensors.torch.load(weights)
    tensors["probe.output"] = change(tensors["probe.output"]).contiguous()
    return joined(manifest, safetensors.torch.save(tensors))


def with_entry(data, **entries):
    manifest, weights = parts(data)
    manifest["extensions"]["probe"] |= entries
    return joined(manifest, weights)


# ------------------------------------------------------------ saving


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"module__act": "tanh"}, "module__act"),
        ({"module__act": "tanh", "criterion__label_smoothing": 0.1}, "criterion__label_smoothing, module__act"),
        ({"criterion__weight": torch.ones(3)}, "criterion__weight"),
    ],
)
def test_arguments_that_were_changed_since_fit_are_refused_and_the_advice_helps(params, names):
    clf = small(Acts, FLOAT32)
    clf.set_params(**params)
    with pytest.raises(ModelFileError, match=f"^{names} changed since fit.*fit again.*or restore"):
        saved(clf)
    saved(clf.fit(FLOAT32, three_classes()))


def test_arguments_that_are_set_to_what_they_were_are_not_refused():
    clf = small(Acts, FLOAT32, module__act="relu", criterion__weight=torch.ones(3))
    clf.set_params(module__act="tanh").set_params(module__act="relu", criterion__weight=torch.ones(3))
    assert np.array_equal(loaded(saved(clf), Acts).predict_proba(FLOAT32), clf.predict_proba(FLOAT32))


@pytest.mark.parametrize(
    "params",
    [{"module__act": "relu"}, {"module__n_features": FLOAT32.shape[1]}, {"module__n_classes": 3}, {"output": "logits"}],
)
def test_arguments_that_are_set_to_what_was_built_are_not_refused(params):
    clf = small(Acts, FLOAT32).set_params(**params)
    assert np.array_equal(loaded(saved(clf), Acts).predict_proba(FLOAT32), clf.predict_proba(FLOAT32))


def replace_activation(module):
    module.act = nn.Tanh()


def add_hook(module):
    module.first.register_forward_hook(lambda layer, args, output: output + 1)


def change_forward(module):
    module.forward = lambda x: 2 * module.second(module.first(x))


@pytest.mark.parametrize("edit", [replace_activation, add_hook, change_forward])
def test_an_edited_module_is_refused(edit):
    clf = small(Acts, FLOAT32)
    edit(clf.module_)
    with pytest.raises(ModelFileError, match=r"do not build module_ again.*module_ was edited after fit"):
        saved(clf)


def test_values_that_are_neither_parameters_nor_buffers_are_refused_with_advice():
    class Scales(Acts):
        factor = 1.0

        def forward(self, x):
            if self.training:
                self.factor += 0.5
            return super().forward(x) * self.factor

    with pytest.raises(ModelFileError, match="register_buffer"):
        saved(small(Scales, FLOAT32))


def test_where_outputs_cannot_be_compared_the_classes_of_the_layers_are():
    clf = small(Random, FLOAT32, diagnose="off")
    assert stored_entry(saved(clf)) is None
    clf.module_.act = nn.Tanh()
    with pytest.raises(ModelFileError, match="its layer 'act' is a Tanh, but they build a ReLU"):
        saved(clf)


def test_a_module_that_cannot_be_built_here_and_now_is_saved():
    class Once(Acts):
        built = 0

        def __init__(self, n_features, n_classes):
            Once.built += 1
            if Once.built > 1:
                raise OSError("the file with the pretrained weights is gone")
            super().__init__(n_features, n_classes)

    data = saved(small(Once, FLOAT32))
    assert stored_entry(data) is not None


# ------------------------------------------------------------ loading


def test_a_module_of_other_behaviour_and_equal_shapes_is_refused():
    data = saved(small(Acts, FLOAT32))

    class Other(Acts):
        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    class Swapped(Acts):
        def forward(self, x):
            return -super().forward(x)

    class Fails(Acts):
        def forward(self, x):
            raise RuntimeError("no")

    for other in (Other, Swapped, Other(4, 3), lambda n_features, n_classes: Other(n_features, n_classes)):
        with pytest.raises(ModelFileError, match=r"not the one that was saved.*differ by.*Pass load_model"):
            loaded(data, other)
    with pytest.raises(ModelFileError, match=r"not the one that was saved.*fails"):
        loaded(data, Fails)
    assert loaded(data, Acts(4, 3)).predict(FLOAT32).shape == (40,)


def test_a_small_difference_is_warned_of_and_rounding_of_another_machine_is_not():
    data = saved(small(Acts, FLOAT32))
    elsewhere = with_entry(data, environment="0" * 16)
    eps = torch.finfo(torch.float32).eps

    def moved(by):
        def change(output):
            output = output.clone()
            output[0, 0] += by * output.abs().max()
            return output

        return change

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(with_output(elsewhere, moved(50 * eps)), Acts)
    for there, by in ((data, 50 * eps), (data, 0.005), (elsewhere, 0.005)):
        with pytest.warns(AccuracyWarning, match="may not be the one that was saved"):
            loaded(with_output(there, moved(by)), Acts)
    for there in (data, elsewhere):
        with pytest.raises(ModelFileError, match="not the one that was saved"):
            loaded(with_output(there, moved(0.03)), Acts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AccuracyWarning, match="may not be"):
            loaded(with_output(data, moved(0.005)), Acts)


def test_a_file_without_outputs_is_loaded():
    clf = small(Acts, FLOAT32)
    manifest, weights = parts(saved(clf))
    again = loaded(joined({**manifest, "extensions": {}}, weights), Acts)
    assert np.array_equal(again.predict_proba(FLOAT32), clf.predict_proba(FLOAT32))


@pytest.mark.parametrize(
    "entries",
    [
        {"rows": 0},
        {"rows": 9},
        {"rows": 2**60},
        {"values": "tokens"},
        {"values": ""},
        {"rows": -1},
        {"values": 1},
        {"x": 1},
    ],
)
def test_an_entry_that_does_not_fit_is_refused(entries):
    with pytest.raises(ModelFileError, match=r"manifest.json: .*probe"):
        loaded(with_entry(saved(small(Acts, FLOAT32)), **entries), Acts)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z.to(torch.int64),
        lambda z: z.abs() / 0,
        lambda z: z.masked_fill(z > z.mean(), torch.nan),
        lambda z: z[:0],
    ],
)
def test_stored_outputs_that_are_none_are_refused(change):
    data = saved(small(Acts, FLOAT32))
    manifest, weights = parts(data)
    tensors = safetensors.torch.load(weights)
    output = change(tensors["probe.output"])
    tensors["probe.output"] = output
    name = str(output.dtype).removeprefix("torch.")
    manifest["tensors"]["probe.output"] = {"dtype": name, "shape": list(output.shape)}
    with pytest.raises(ModelFileError, match=r"probe|not the one"):
        loaded(joined(manifest, safetensors.torch.save(tensors)), Acts)


# ------------------------------------------------------------ what is recorded


class Random(Acts):
    def forward(self, x):
        return super().forward(x) + torch.rand(())


class Drops(Acts):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5)


class Logarithms(Acts):
    """Takes positive values only."""

    def forward(self, x):
        return super().forward((x + 4.0).log() if self.training else x.sqrt())


class Fails(Acts):
    """Takes no value as large as those of the rows."""

    def forward(self, x):
        if float(x.abs().max()) > 0.6:
            raise ValueError("too large")
        return super().forward(x)


class Flags(nn.Module):
    """Embeds two values."""

    def __init__(self, n_classes):
        super().__init__()
        self.table = nn.Embedding(2, n_classes)

    def forward(self, x):
        return self.table(x).sum(dim=1)


class Masked(Acts):
    """One class is impossible where the first feature is large, and one always."""

    def forward(self, x):
        z = super().forward(x)
        impossible = (x[:, :1] > 1) & torch.tensor([False, True, False])
        return z.masked_fill(impossible | torch.tensor([False, False, True]), -torch.inf)


class Shares(Acts):
    """Takes shares only."""

    def forward(self, x):
        if not ((x >= 0) & (x <= 1)).all():
            raise ValueError("no shares")
        return super().forward(x)


class Category(Acts):
    """The first feature is one of three categories."""

    def __init__(self, n_features, n_classes, act="relu"):
        super().__init__(n_features, n_classes, act)
        self.table = nn.Embedding(3, n_classes)

    def forward(self, x):
        return super().forward(x) + self.table(x[:, 0].long())


POSSIBLE = np.where(FLOAT32[:, 0] > 1, 0, three_classes() % 2)
SHARES = (FLOAT32 - FLOAT32.min()) / np.ptp(FLOAT32)
CATEGORY = np.column_stack([np.arange(40) % 3, FLOAT32[:, 1:]]).astype(np.float32)
CASES = {"signed": (Masked, FLOAT32, POSSIBLE), "unit": (Shares, SHARES, None), "u": (Category, CATEGORY, None)}


@pytest.mark.parametrize("case", CASES)
def test_masked_classes_and_small_ranges_are_compared_too(case):
    module, rows, y = CASES[case]
    clf = small(module, rows, max_epochs=1) if y is None else partially_fitted(module, rows, y)
    data = saved(clf)
    assert stored_entry(data)["values"] == ("signed" if case == "signed" else "unit")
    assert np.array_equal(loaded(data, module).predict_proba(rows), clf.predict_proba(rows))

    class Swapped(module):
        def forward(self, x):
            z = super().forward(x)
            return torch.where(z.isinf(), z, -z)

    with pytest.raises(ModelFileError, match="not the one that was saved"):
        loaded(data, Swapped)
    replace_activation(clf.module_)
    with pytest.raises(ModelFileError, match="module_ was edited after fit"):
        saved(clf)


def partially_fitted(module, rows, y):
    return TorchClassifier(module, random_state=0).partial_fit(rows, y, classes=[0, 1, 2])


def test_another_mask_is_another_module():
    data = saved(partially_fitted(Masked, FLOAT32, POSSIBLE))

    class Unmasked(Acts):
        pass

    class Elsewhere(Masked):
        def forward(self, x):
            return super().forward(x).roll(1, 1)

    for other in (Unmasked, Elsewhere):
        with pytest.raises(ModelFileError, match="not the one that was saved"):
            loaded(data, other)


def values_of(clf):
    entry = stored_entry(saved(clf))
    return entry and entry["values"]


def test_rows_are_taken_that_the_module_takes():
    positive = FLOAT32 - FLOAT32.min() + 0.5
    tokens = torch.arange(200).reshape(40, 5) % 20
    assert values_of(small(Acts, FLOAT32)) == "signed"
    assert values_of(small(Logarithms, np.minimum(positive, 3))) == "positive"
    assert values_of(small(modules.Sequences, tokens)) == "tokens"
    assert values_of(small(Flags, tokens % 2, diagnose="off")) == "flags"
    assert values_of(small(Fails, np.clip(FLOAT32, -0.5, 0.5))) is None
    assert values_of(small(Random, FLOAT32, diagnose="off")) is None
    assert values_of(small(Drops, FLOAT32, diagnose="off")) is None


def test_large_samples_have_fewer_rows_and_still_larger_ones_none(monkeypatch):
    assert stored_entry(saved(small(Acts, FLOAT32)))["rows"] == 8
    monkeypatch.setattr(probe, "_MOST_VALUES", 9)
    assert stored_entry(saved(small(Acts, FLOAT32)))["rows"] == 2
    monkeypatch.setattr(probe, "_MOST_VALUES", 3)
    assert stored_entry(saved(small(Acts, FLOAT32))) is None


def test_the_rows_do_not_depend_on_the_data():
    one, other = small(Acts, FLOAT32), small(Acts, 3 * FLOAT32 + 1)
    seen = []
    for clf in (one, other):
        clf.module_.register_forward_pre_hook(lambda layer, args: seen.append(args[0].clone()))
        probe.probe_of(clf._state.model)
    assert len(seen) == 4
    for rows in seen[1:]:
        assert torch.equal(rows, seen[0])
    assert seen[0].dtype == torch.float32
    assert seen[0].shape == (8, 4)
    assert torch.equal(seen[0] * 32, (seen[0] * 32).round())


class Stateful(Acts):
    """Changes a buffer and an attribute in evaluation mode, and draws random numbers."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("other", torch.zeros(()), persistent=False)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        self.other += 1
        np.random.rand()  # noqa: NPY002
        random.random()
        torch.rand(())
        return super().forward(x)


class Uncopied(Stateful):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize("module", [Stateful, Uncopied])
def test_saving_and_loading_leave_module_modes_and_generators_as_they_are(module):
    clf = small(module, FLOAT32)
    clf.module_.first.train()
    state = {name: value.clone() for name, value in clf.module_.state_dict().items()}
    facts = (clf.module_.calls, float(clf.module_.other), [layer.training for layer in clf.module_.modules()])
    generators = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    data = saved(clf)
    assert stored_entry(data) is not None
    again = loaded(data, module)
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert np.array_equal(np.random.get_state()[1], generators[1])  # noqa: NPY002
    assert random.getstate() == generators[2]
    assert (clf.module_.calls, float(clf.module_.other)) == facts[:2]
    assert [layer.training for layer in clf.module_.modules()] == facts[2]
    for name, value in clf.module_.state_dict().items():
        assert torch.equal(value, state[name])
        assert torch.equal(again.module_.state_dict()[name], state[name])
    assert float(again.module_.other) == facts[1]


@pytest.mark.parametrize("module", [None, Acts, Tied, TwoLayers, modules.DropNorm, modules.Doubles, nn.LazyLinear])
def test_what_is_right_is_loaded_without_a_word(module):
    clf = small(module, FLOAT32)
    data = saved(clf)
    assert stored_entry(data) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = loaded(data, module)
        assert np.array_equal(again.predict_proba(FLOAT32), clf.predict_proba(FLOAT32))
        saved(again)
        saved(loaded(saved(again), module))


def test_bfloat16_and_weights_of_another_layout_are_loaded_without_a_word():
    class Wide(Acts):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.bfloat16()

        def forward(self, x):
            return super().forward(x.bfloat16())

    for clf in (small(Wide, FLOAT32), small(Acts, FLOAT32)):
        clf.module_.first.weight.data = clf.module_.first.weight.data.t().contiguous().t()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded(saved(clf), clf.module).predict(FLOAT32)


def test_a_factory_that_hands_out_one_layer_does_not_change_a_model_that_is_loaded_before():
    layer = nn.Linear(4, 8)

    def make(n_features, n_classes):
        return nn.Sequential(layer, nn.ReLU(), nn.Linear(8, n_classes))

    fitted = [small(sequence, FLOAT32, random_state=seed) for seed in (0, 1)]
    models = [loaded(saved(clf), make) for clf in fitted]
    for model, clf in zip(models, fitted, strict=True):
        assert np.array_equal(model.predict_proba(FLOAT32), clf.predict_proba(FLOAT32))


def sequence(n_features, n_classes):
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_classes))
