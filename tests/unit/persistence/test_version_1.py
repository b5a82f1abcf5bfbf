"""Manifests of format 1, entry by entry, as those of format 2."""

import pytest

from sktorch_acc import ModelFileError
from sktorch_acc.persistence.version_1 import upgraded


def manifest(**changes):
    """As much of a manifest of format 1 as the conversion reads."""
    return {
        "door": {"row_shape": [2]},
        "meaning": {"kind": "logits"},
        "parameters": {},
        "training": {"seed": 1, "n_iter": 2, "best_epoch": 2},
        "history": {"epochs": [1, 2], "columns": ["train_loss", "lr"], "values": [[0.5, 0.25], [0.1, 0.1]]},
        "record": [record(1), record(2)],
        "optimizer": None,
        "frozen": ["a"],
        **changes,
    }


def record(epoch, **changes):
    return {"epoch": epoch, "batches": [{"train_loss": 0.5, "train_batch_size": 20}], "train_batch_count": 4, **changes}


def test_entries_have_the_names_of_today():
    now = upgraded(manifest())
    assert now["schema"] == {"row_shape": [2]}
    assert now["output"] == {"kind": "logits"}
    assert now["frozen"] == ["a"]
    assert now["extensions"] == {}
    assert not {"door", "meaning", "history", "record"} & set(now)


def test_the_number_of_epochs_follows_from_the_epochs():
    assert upgraded(manifest())["training"] == {"seed": 1, "best_epoch": 2}


def test_the_columns_of_the_history_are_the_values_of_the_epochs():
    epochs = upgraded(manifest())["epochs"]
    assert epochs["numbers"] == [1, 2]
    assert epochs["values"] == {"train_loss": [0.5, 0.25], "lr": [0.1, 0.1]}
    assert epochs["measures"] == []


def test_sizes_come_from_the_record_of_skorch():
    history = {"epochs": [1, 2], "columns": ["train_loss", "valid_loss"], "values": [[0.5, 0.4], ["nan", 0.3]]}
    batches = [{"train_batch_size": 16}, {"train_batch_size": 4}, {"valid_batch_size": 5}]
    records = [record(1), record(2, batches=batches, train_batch_count=2, valid_batch_count=1)]
    sizes = upgraded(manifest(history=history, record=records))["epochs"]["sizes"]
    assert sizes == {"train": [[20, 4], [20, 2]], "valid": [None, [5, 1]]}


def test_epochs_without_a_record_have_no_sizes():
    assert upgraded(manifest(record=[]))["epochs"]["sizes"] == {"train": [None, None]}


def test_what_callbacks_recorded_is_kept_only_where_there_were_some():
    assert upgraded(manifest())["callback_record"] is None
    with_callbacks = manifest(parameters={"callbacks": [{"$name": "x:Y"}]})
    assert upgraded(with_callbacks)["callback_record"] == with_callbacks["record"]


def test_our_callbacks_have_the_names_of_today():
    names = ["sktorch_acc.engine.recording:TrainAccuracy", "sktorch_acc.engine.recording:PerClassAccuracy", "x:Y"]
    callbacks = [{"$tuple": ["a", {"$name": names[0]}]}, {"$name": names[1]}, {"$name": names[2]}]
    now = upgraded(manifest(parameters={"callbacks": callbacks, "lr": 0.1}))["parameters"]
    assert now == {
        "callbacks": [
            {"$tuple": ["a", {"$name": "sktorch_acc.callbacks:TrainAccuracy"}]},
            {"$name": "sktorch_acc.callbacks:PerClassAccuracy"},
            {"$name": "x:Y"},
        ],
        "lr": 0.1,
    }


def test_an_optimizer_in_the_middle_of_a_schedule_gets_its_learning_rate_back():
    groups = [{"lr": 0.01, "initial_lr": 0.1, "unscheduled_lr": 0.1, "eps": 1e-8}, {"lr": 0.3, "eps": 1e-8}]
    optimizer = {"state": {}, "param_groups": groups}
    now = upgraded(manifest(optimizer=optimizer))["optimizer"]
    assert now == {"state": {}, "param_groups": [{"lr": 0.1, "eps": 1e-8}, {"lr": 0.3, "eps": 1e-8}]}
    assert groups[0]["lr"] == 0.01


@pytest.mark.parametrize("optimizer", [{}, {"param_groups": 1}, {"param_groups": [1]}, []])
def test_what_is_no_optimizer_is_left_to_those_who_refuse_it(optimizer):
    assert upgraded(manifest(optimizer=optimizer))["optimizer"] == optimizer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": {"epochs": [1, 2], "columns": ["lr"], "values": []}}, "must hold 2 values for each"),
        ({"history": {"epochs": [1, 2], "columns": ["lr"], "values": [[0.1]]}}, "must hold 2 values for each"),
        ({"history": {"epochs": [1, 2], "columns": ["lr"], "values": [1]}}, "must hold 2 values for each"),
        ({"record": [{"epoch": 1}]}, "a list of objects with their batches"),
        ({"record": [1]}, "a list of objects with their batches"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ModelFileError, match=message):
        upgraded(manifest(**changes))


@pytest.mark.parametrize("odd", [{"train_batch_count": True}, {"train_batch_count": "4"}, {"batches": [1]}])
def test_odd_records_are_not_believed(odd):
    sizes = upgraded(manifest(record=[record(1, **odd), record(2)]))["epochs"]["sizes"]["train"]
    assert sizes[0] in (None, [0, 4])
    assert sizes[1] == [20, 4]
