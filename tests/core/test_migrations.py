"""What a file of an older format becomes. The table of this test stands in for that of the project."""

import pytest

from src.core import migrations
from src.core.migrations import (
    FORMAT_KEY,
    Migration,
    changes_since,
    newest_format,
    renamed_keys,
    update_checkpoint,
    update_config,
    was_added,
)

NET = "src.models.nets.Net"
TABLE = [
    Migration(
        renamed={"src.old.Net": NET, "src.callbacks.batch_picture.BatchPicture": "src.callbacks.batch.FirstBatch"},
        added={NET: {"relu": True}, "train": {"quiet": False}},
        arguments={NET: {"size": "width"}},
    ),
    Migration(
        removed={NET: {"legacy": False}},
        weights={NET: {r"^net\.layers\.": "net.body."}},
        states={"Clock": "Stopwatch"},
        added={NET: {"act": {"_target_": "torch.nn.ReLU"}}},
    ),
]


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setattr(migrations, "MIGRATIONS", TABLE)


def checkpoint(**net):
    return {
        "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": {"model": {"_target_": "src.models.Model", "net": {"_target_": "src.old.Net", **net}}},
    }


def updated(file):
    update_checkpoint(file, "last.ckpt")
    return file


def net_of(file):
    return updated(file)["hyper_parameters"]["model"]["net"]


def test_the_newest_format_counts_the_migrations():
    assert newest_format() == 3


def test_a_renamed_class_is_found_at_its_new_place():
    assert net_of(checkpoint())["_target_"] == NET


def test_an_added_argument_gets_the_value_that_keeps_the_old_behaviour():
    assert net_of(checkpoint())["relu"] is True
    assert net_of(checkpoint(relu=False))["relu"] is False


def test_files_do_not_share_the_value_of_an_added_argument():
    net_of(checkpoint())["act"]["inplace"] = True
    assert net_of(checkpoint())["act"] == {"_target_": "torch.nn.ReLU"}


def test_a_renamed_argument_keeps_its_value():
    net = net_of(checkpoint(size=5))
    assert net["width"] == 5
    assert "size" not in net


def test_a_removed_argument_goes_if_its_value_is_what_is_done_since():
    assert "legacy" not in net_of(checkpoint(legacy=False))
    message = (
        f"last.ckpt was made with model.net.legacy=True, which {NET} does not have any more (it does what False did): "
        "use the fastlight that made it"
    )
    with pytest.raises(ValueError) as refused:
        updated(checkpoint(legacy=True))
    assert str(refused.value) == message


def test_parts_are_found_at_any_depth():
    file = checkpoint()
    file["hyper_parameters"]["model"]["extra"] = [{"deep": {"_target_": "src.old.Net"}}]
    assert updated(file)["hyper_parameters"]["model"]["extra"][0]["deep"]["relu"] is True


def test_weights_are_renamed_wherever_their_names_stand():
    file = checkpoint()
    file |= {
        "state_dict": {"net.layers.0.bias": 1, "loss.layers": 2},
        "current_model_state": {"net.layers.0.bias": 3},
        "resume": {"gradients": [{"net.layers.0.bias": 4}]},
        "optimizer_states": [{"state": {0: 5}, "param_groups": [{"params": ["net.layers.0.bias"]}]}],
    }
    updated(file)
    assert file["state_dict"] == {"net.body.0.bias": 1, "loss.layers": 2}
    assert file["current_model_state"] == {"net.body.0.bias": 3}
    assert file["resume"] == {"gradients": [{"net.body.0.bias": 4}]}
    assert file["optimizer_states"] == [{"state": {0: 5}, "param_groups": [{"params": ["net.body.0.bias"]}]}]


def test_weights_of_other_nets_keep_their_names():
    file = checkpoint() | {"state_dict": {"net.layers.0.bias": 1}}
    file["hyper_parameters"]["model"]["net"]["_target_"] = "src.models.nets.Other"
    assert updated(file)["state_dict"] == {"net.layers.0.bias": 1}


def test_states_follow_their_class():
    file = checkpoint()
    file["callbacks"] = {"BatchPicture{'rows': 4}": 1, "Clock": 2, "Kept": 3}
    file |= {"BatchPicture": 4, "resume": {"loggers": {"BatchPicture": 5}}}
    updated(file)
    assert file["callbacks"] == {"FirstBatch{'rows': 4}": 1, "Stopwatch": 2, "Kept": 3}
    assert file["FirstBatch"] == 4
    assert file["resume"]["loggers"] == {"FirstBatch": 5}


def test_only_the_migrations_since_the_files_format_are_done():
    file = checkpoint(legacy=False) | {FORMAT_KEY: 2}
    net = net_of(file)
    assert net == {"_target_": "src.old.Net", "legacy": False}  # this name is not that of format 2
    assert file[FORMAT_KEY] == 3


def test_a_file_is_updated_once():
    once = updated(checkpoint(size=5))
    assert updated(dict(once)) == once


def test_a_file_from_the_future_says_so():
    with pytest.raises(ValueError) as refused:
        updated(checkpoint() | {FORMAT_KEY: 4})
    expected = "last.ckpt is of format 4, and this fastlight knows formats up to 3: update fastlight"
    assert str(refused.value) == expected


@pytest.mark.parametrize("number", [0, -1, "2", None, True, 1.0])
def test_a_format_that_is_none_is_damage(number):
    with pytest.raises(ValueError, match=r"last.ckpt is damaged: its fastlight_format must be a whole number from 1"):
        updated(checkpoint() | {FORMAT_KEY: number})


@pytest.mark.parametrize("other", [None, [], {}, {"state_dict": {}}, {"net.layers.0.bias": 1}])
def test_files_that_are_not_a_trainings_checkpoint_are_left_alone(other):
    before = repr(other)
    assert repr(updated(other)) == before


@pytest.mark.parametrize("part", [None, 3, "text", ["list"], {3: {4: 5}}])
def test_odd_parts_are_left_to_those_who_read_them(part):
    file = {"pytorch-lightning_version": "2", **dict.fromkeys(("hyper_parameters", "callbacks", "resume"), part)}
    assert updated(file)[FORMAT_KEY] == 3


def test_a_config_is_updated_and_what_was_added_is_told():
    config = {"model": {"_target_": "src.old.Net"}, "callbacks": {"a": {"_target_": "src.old.Net", "relu": False}}}
    added = update_config(config, "config.yaml")
    act = {"_target_": "torch.nn.ReLU"}
    assert added == {"quiet": False, "model.relu": True, "model.act": act, "callbacks.a.act": act}
    assert config == {
        "model": {"_target_": NET, "relu": True, "act": act},
        "callbacks": {"a": {"_target_": NET, "relu": False, "act": act}},
        "quiet": False,
        FORMAT_KEY: 3,
    }


def test_older_names_of_keys_lead_to_those_of_today(monkeypatch):
    later = Migration(renamed={NET: "src.today.Net"}, arguments={"src.today.Net": {"width": "widths"}})
    monkeypatch.setattr(migrations, "MIGRATIONS", [*TABLE, later, Migration(arguments={"train": {"seed": "seeds"}})])
    config = {"model": {"_target_": "src.Model", "net": {"_target_": "src.today.Net", "widths": 5}}, "seeds": 1}
    assert renamed_keys(config) == {
        "model.net.size": "model.net.widths",
        "model.net.width": "model.net.widths",
        "seed": "seeds",
    }


@pytest.mark.parametrize(
    ("key", "value", "is_known"),
    [
        ("model.net.relu", True, True),
        ("model.net.act", {"_target_": "torch.nn.ReLU"}, True),
        ("model.net.relu", False, False),
        ("model.net.relu", {"_target_": "os.mkdir"}, False),
        ("model.net._target_", "os.mkdir", False),
        ("callbacks.last.dirpath", "/elsewhere", False),
    ],
)
def test_only_what_a_migration_adds_is_taken_from_the_note_in_a_runs_folder(key, value, is_known):
    assert was_added(key, value) is is_known


def test_a_model_that_does_otherwise_than_an_older_checkpoint_is_told():
    file = updated(checkpoint())
    act = {"_target_": "torch.nn.ReLU"}
    assert changes_since(file, file["hyper_parameters"]["model"]) == []
    assert changes_since(file, {"net": {"relu": False, "act": act}}) == [
        "the checkpoint is from before model.net.relu, and did what model.net.relu=True does; here it is False"
    ]
    assert len(changes_since(file, None)) == 2
    assert changes_since({}, None) == []
