"""Files that are whole and lie: each lie has its own error, and none runs anything."""

import copy
import functools
import io
import json
import os
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sktorch_acc import ModelFileError, TorchClassifier, inspect_model
from sktorch_acc.modules import MLP
from sktorch_acc.storage.archive import NAMES
from tests.modules import Doubles
from tests.saved import TwoLayers, joined, loaded, parts, saved, small, table, three_classes, two_layers
from tests.saved import wide_layers as wide

Y, X = three_classes(), table()


@pytest.fixture(scope="module")
def plain():
    return parts(saved(small()))


@pytest.fixture(scope="module")
def continued():
    clf = TorchClassifier(random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    return parts(saved(clf, with_optimizer=True))


def changed(whole, path, value):
    """The file with one entry of its manifest replaced; the checksums fit."""
    manifest, weights = copy.deepcopy(whole[0]), whole[1]
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return joined(manifest, weights)


def refused(data, message, **options):
    with pytest.raises(ModelFileError, match=message):
        loaded(data, **options)


# ------------------------------------------------------------ names


@pytest.mark.parametrize(
    "name", ["os:system", "os.system", "posix:system", "builtins:eval", "torch:load", "torch.nn.no"]
)
@pytest.mark.parametrize("where", ["criterion", "optimizer", "lr_scheduler", "module__activation", "random_state"])
def test_a_name_that_was_not_allowed_is_refused_and_not_imported(plain, where, name):
    data = changed(plain, ["parameters", where], {"$name": name})
    refused(data, f"{where} is '{name}', which is not an? .* of torch and was not allowed")


@pytest.mark.parametrize("kind", ["class", "function", "instance", "partial", "object"])
def test_a_module_by_name_must_be_given_by_the_caller(plain, kind):
    data = changed(plain, ["module"], {"kind": kind, "name": "os:system"})
    refused(data, "'os:system', which load_model does not import")
    refused(data, "bundled|cannot be built|not those of", module=TwoLayers, allow=[os.system])


def test_a_module_of_torch_must_be_given_too(plain):
    data = changed(plain, ["module"], {"kind": "class", "name": "torch.nn.Transformer"})
    refused(data, "module=Transformer")


def test_a_file_cannot_bring_its_own_list_of_what_is_allowed(plain):
    refused(changed(plain, ["allow"], ["os:system"]), "Missing or unknown: .'allow'")


def test_an_unknown_module_of_python_is_not_imported(plain, tmp_path, monkeypatch):
    (tmp_path / "never_imported.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    refused(changed(plain, ["parameters", "criterion"], {"$name": "never_imported:Loss"}), "not allowed")
    assert "never_imported" not in sys.modules


def test_what_the_caller_allows_is_found_under_its_name_and_from_a_script_under_its_bare_name():
    data = saved(small(TwoLayers))
    refused(data, "class 'tests.saved:TwoLayers'.*module=TwoLayers")
    assert loaded(data, allow=[TwoLayers]).module is TwoLayers
    whole = parts(data)
    script = changed(whole, ["module", "name"], "__main__:TwoLayers")
    assert loaded(script, allow=[TwoLayers]).module is TwoLayers
    refused(script, "__main__:TwoLayers", allow=[Doubles])


def test_a_factory_is_found_but_more_than_a_name_must_be_given_back():
    assert loaded(saved(small(two_layers)), allow=[two_layers]).module is two_layers
    data = saved(small(wide))
    refused(data, r"module=functools.partial\(TwoLayers, ...\)", allow=[TwoLayers])
    assert loaded(data, functools.partial(TwoLayers, hidden=16)).module_.layers[0].out_features == 16
    data = saved(small(TwoLayers(4, 3), table(dtype=np.float32)))
    refused(data, r"instance 'tests.saved:TwoLayers'.*module=TwoLayers\(...\)", allow=[TwoLayers])


def test_a_module_of_another_size_or_kind_is_refused():
    data = saved(small(TwoLayers, module__hidden=5))
    refused(data, "has shape .8, 4. in the module and .5, 4. in the file", module=TwoLayers(4, 3))
    refused(data, "TwoLayers", module=functools.partial(TwoLayers, n_classes=7))
    refused(data, "cannot be built from the parameters in the file.*module__hidden", module=Doubles)
    refused(saved(small(TwoLayers)), "in the module but not in the file", module=MLPs)
    refused(saved(small()), "holds the bundled MLP", module=TwoLayers)


class MLPs(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.members = nn.ModuleList(MLP(n_features, n_classes) for _ in range(2))


# ------------------------------------------------------------ manifest


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "another", "'format' is 'sktorch-acc model'"),
        (["format_version"], 3, "format_version 3; this version reads 1 to 2. Update"),
        (["format_version"], 0, "save_model does not write this format"),
        (["format_version"], True, "format_version True"),
        (["format_version"], "1", "format_version '1'"),
        (["classes", "values"], [2, 1, 0], "not sorted and distinct"),
        (["classes", "values"], [0, 1, 1], "not sorted and distinct"),
        (["classes", "values"], [0, 1], "outputs are|not those"),
        (["classes", "values"], [0, 1, "2"], "do not hold 3 labels"),
        (["classes", "values"], [0, 1, 2**70], "not labels of dtype"),
        (["classes", "values"], [], "one or more labels of a known dtype, but has 0"),
        (["classes", "dtype"], "O,i4", "known dtype"),
        (["classes", "dtype"], "<U999999999", "known dtype"),
        (["classes", "dtype"], "<M8[0D]", "does not know|labels"),
        (["class_count"], [1, 2], "2 class counts for 3 classes"),
        (["class_count"], [1, 2, -3], "class_count must be counts"),
        (["class_count"], [1, 2, 2**64], "class_count must be counts"),
        (["class_count"], [1, 2, True], "class_count must be counts"),
        (["n_features"], 5, "schema"),
        (["feature_names"], ["a"], "1 feature_names for 4 features"),
        (["feature_names"], [1, 2, 3, 4], "texts or null"),
        (["schema", "row_shape"], [], "schema"),
        (["schema", "row_shape"], [4, 2**40], "bundled MLP"),
        (["schema", "dtype"], "object", "schema"),
        (["schema", "extra"], 1, "Missing or unknown"),
        (["output", "kind"], "probabilities", "outputs are"),
        (["output", "one_column"], True, "outputs are"),
        (["training", "n_threads"], 0, "n_threads below 1"),
        (["training", "dtype"], "complex64", "dtype must be one of"),
        (["training", "lr"], None, "training: lr must be number"),
        (["training", "seed"], -1, "training: seed must be count"),
        (["training", "continued"], True, "no optimizer"),
        (["training", "device"], 1, "device must be text"),
        (["parameters"], [], "parameters must be object"),
        (["parameters", "max_epochs"], -1, "'max_epochs' parameter"),
        (["parameters", "unheard_of"], 1, "no parameter 'unheard_of'"),
        (["parameters", "module__hidden_size"], 1, "no parameter 'hidden_size'"),
        (["parameters", "module__hidden_sizes"], [10**9], "has shape"),
        (["parameters", "module__hidden_sizes"], [10**30], "cannot be built"),
        (["parameters", "module__hidden_sizes"], [64] * 10**5, "do not fit the stored tensors"),
        (["parameters", "module__hidden_sizes"], "64", "cannot be built"),
        (["parameters", "module__hidden_sizes"], 64, "cannot be built"),
        (["parameters", "module__dropout"], {"$float": "nan"}, "in the module but not in the file"),
        (["parameters", "criterion"], {"$name": "torch.nn.Transformer"}, "not a loss of torch"),
        (["parameters", "criterion"], {"$name": "torch.nn.MarginRankingLoss"}, "whose inputs are known"),
        (["parameters", "lr_scheduler"], {"$name": "torch.optim.SGD"}, "not a schedule of torch"),
        (["parameters", "module__activation"], {"$name": "torch.nn.Tanh"}, "no parameter 'activation'"),
        (["parameters", "criterion"], {"$name": 1}, "must name something by a string"),
        (["parameters", "criterion__weight"], {"$tensor": "module.layers.0.bias"}, "does not hold"),
        (["parameters", "criterion__weight"], {"$tensor": "value.0"}, "does not hold"),
        (["parameters", "optimizer"], {"$name": "torch.nn.ReLU"}, "not an optimizer of torch"),
        (["parameters", "optimizer__foo"], 1, "no parameter 'foo'"),
        (["parameters", "lr"], {"$pickle": "x"}, "does not know"),
        (["parameters", "lr"], {"$float": "1.0"}, "A number was expected"),
        (["parameters", "lr"], {"$float": "nan", "x": 1}, "does not know"),
        (["parameters", "class_weight"], {"$dict": [[[], 1]]}, "pairs of a key and a value"),
        (["parameters", "class_weight"], {"$dict": 1}, "must hold a list"),
        (["parameters", "device"], {"$device": "c:\\"}, "not a device of torch"),
        (["parameters", "device"], {"$dtype": "os"}, "not a dtype of torch"),
        (["parameters", "device"], {"$dtype": "_export"}, "not a dtype of torch"),
        (["epochs", "numbers"], [1], "must hold 1 values for 'train_loss'"),
        (["epochs", "numbers"], [1, 3], "consecutive numbers"),
        (["epochs", "numbers"], [0, 1], "consecutive numbers"),
        (["epochs", "values", "lr"], [0.1], "must hold 2 values for 'lr'"),
        (["epochs", "values", "lr"], ["x", 1.0], "A number was expected"),
        (["epochs", "values", "lr"], [None, 1.0], "must have train_loss, lr and seconds"),
        (["epochs", "sizes", "train"], [[40, 1], [40]], "pairs of counts"),
        (["epochs", "sizes", "train"], [[40, 1], [40, True]], "pairs of counts"),
        (["epochs", "sizes", "train"], [[40, 1]], "must hold 2 values for 'train'"),
        (["epochs", "sizes"], {"valid": [[40, 1], [40, 1]]}, "sizes but no loss of 'valid'"),
        (["epochs", "values", "train"], [1.0], "must hold 2 values for 'train'"),
        (["epochs", "measures"], ["valid_acc"], r"no int64 counts of shape \(2, 2, 3\) for the measure 'valid_acc'"),
        (["callback_record"], [{"batches": []}], "callback_record"),
        (["extensions"], {"encoder": {}}, "needs .'encoder'., which this version does not know"),
        (["requests"], {"__class__": {}}, "metadata can be requested for"),
        (["requests"], {"fit": {"no_such_name": True}}, "cannot be built"),
        (["optimizer"], [], "optimizer must be object or null"),
        (["frozen"], [1], "frozen must be texts"),
        (["tensors"], {}, "does not hold the tensors that manifest.json lists"),
        (["module"], {"kind": "evil", "name": "x"}, "must name a class or a factory"),
        (["module"], {"kind": "class", "name": None}, "must name a class or a factory"),
        (["module"], {"kind": "class"}, "Missing or unknown"),
        (["versions"], {"torch": 1}, "strings by name"),
    ],
)
def test_a_lie_in_the_manifest_has_its_own_error(plain, path, value, message):
    refused(changed(plain, path, value), message)


@pytest.mark.parametrize("name", ["classes", "epochs", "weights", "optimizer", "schema"])
def test_a_missing_entry_of_the_manifest_is_named(plain, name):
    manifest = {key: value for key, value in plain[0].items() if key != name}
    whole = json.dumps(manifest).encode()
    refused(joined(whole, plain[1]), f"Missing or unknown: .'{name}'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"format": NaN}', "NaN is not a number of JSON"),
        (b'{"format": -Infinity}', "-Infinity is not a number"),
        (b'{"format": 1e999}', "too large for a float"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"format": 1, "format": 2}', "'format' is a duplicate key"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[" * 500 + b"]" * 500, "nested more than 200 levels"),
        (b"[" + b"[]," * 2**20 + b"[]]", "more than 1048576 lists"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"[]", "must be an object"),
        (b"1", "must be an object"),
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_strict_json_is_refused(plain, text, message):
    refused(joined(text, plain[1]), message)


def test_nan_in_a_manifest_that_is_right_otherwise_is_refused(plain):
    text = json.dumps(plain[0]).replace('"tol": 0.0001', '"tol": NaN')
    refused(joined(text.encode(), plain[1]), "NaN is not a number of JSON")


# ------------------------------------------------------------ weights


def test_weights_that_were_not_saved_with_the_manifest_are_refused(plain):
    other = parts(saved(small(random_state=1)))[1]
    refused(joined(plain[0], other, rehash=False), "not the one that was saved with this manifest")
    with pytest.raises(ModelFileError, match="not the one that was saved"):
        inspect_model(io.BytesIO(joined(plain[0], other, rehash=False)))


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"model.embed.weight": torch.zeros(2, 2)},
        {"module.layers.0.weight": torch.zeros(64, 4)},
    ],
    ids=["empty", "a stranger's", "one of them, in another dtype"],
)
def test_somebody_elses_safetensors_are_refused(plain, tensors):
    refused(joined(plain[0], safetensors.torch.save(tensors)), "does not hold the tensors that manifest.json lists")


def test_a_table_that_fits_the_tensors_but_not_the_module_is_refused(plain):
    tensors = safetensors.torch.load(plain[1])
    for name, value, message in (
        ("module.layers.0.weight", torch.zeros(64, 5), "has shape"),
        ("module.layers.9.weight", torch.zeros(1), "not in the module: .'layers.9.weight'"),
        ("module.unsaved.secret", torch.zeros(1), "a buffer 'secret'"),
        ("module.unsaved.layers.0.weight", torch.zeros(1), "a buffer 'layers.0.weight'"),
        ("module.unsaved.no.such.place", torch.zeros(1), "a buffer 'no.such.place'"),
        ("criterion.weight", torch.zeros(3), "the criterion"),
    ):
        whole = {**tensors, name: value}
        listed = {n: {"dtype": str(t.dtype)[6:], "shape": list(t.shape)} for n, t in whole.items()}
        refused(joined({**plain[0], "tensors": listed}, safetensors.torch.save(whole)), message)


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        (10 * 2**30).to_bytes(8, "little") + b"{}",
        (2**64 - 1).to_bytes(8, "little"),
        b"\x02\0\0\0\0\0\0\0{]",
        b'\x41\0\0\0\0\0\0\0{"module.layers.0.weight":{"dtype":"F64","shape":[9],"data_offsets":[0,1]}}',
    ],
    ids=["none", "a header of 10 GB", "a header of 2**64 bytes", "no JSON", "wrong offsets"],
)
def test_what_is_no_safetensors_is_refused(plain, weights):
    refused(joined(plain[0], weights), "weights.safetensors cannot be read")


def test_a_tensor_that_declares_ten_gigabytes_is_refused(plain):
    header = json.dumps({"x": {"dtype": "F64", "shape": [10**10 // 8], "data_offsets": [0, 10**10]}}).encode()
    refused(joined(plain[0], len(header).to_bytes(8, "little") + header), "weights.safetensors cannot be read")


# ------------------------------------------------------------ optimizer


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["optimizer"], {}),
        (["optimizer", "param_groups"], []),
        (["optimizer", "param_groups"], {}),
        (["optimizer", "param_groups", 0, "params"], [0, 1, 2]),
        (["optimizer", "param_groups", 0], {"params": [0, 1, 2, 3]}),
        (["optimizer", "state"], []),
        (["optimizer", "state"], {"0": {}}),
        (["optimizer", "state"], {"$dict": [[9, {}]]}),
        (["optimizer", "state"], {"$dict": [[0, 1]]}),
        (["optimizer", "state", "$dict", 0, 1, "exp_avg"], {"$tensor": "value.4"}),
    ],
)
def test_a_state_that_does_not_fit_the_optimizer_is_refused(continued, path, value):
    assert loaded(joined(*continued)).n_iter_ == 1
    refused(changed(continued, path, value), "state.*of the optimizer")


@pytest.mark.parametrize(("name", "other"), [("exp_avg", "step"), ("exp_avg_sq", "step"), ("step", "exp_avg")])
def test_a_state_of_another_shape_never_reaches_a_fused_kernel(continued, name, other):
    state = continued[0]["optimizer"]["state"]["$dict"][0][1]
    data = changed(continued, ["optimizer", "state", "$dict", 0, 1, name], state[other])
    refused(data, f"The state '{name}' of the optimizer has shape")


def test_the_two_entries_have_the_names_that_the_documentation_says():
    assert NAMES == ("manifest.json", "weights.safetensors")
