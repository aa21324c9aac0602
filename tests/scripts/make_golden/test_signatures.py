from scripts.make_golden.signatures import migrated, signatures, unexplained
from src.core.formats import Migration

BEFORE = {"src.a.Net": ["depth", "legacy", "size"], "src.b.Other": ["rate"]}


def test_all_that_conf_names_has_its_arguments_recorded():
    found = signatures()
    assert "widths" in found["src.models.tables.entity_mlp.EntityMLP"]
    assert "lr_ratio" in found["src.models.images.classifier.ImageClassifier"]  # of its base
    assert "share" in found["src.models.text.neural_cache.NeuralCache"]  # which stands in a comment
    assert "monitor" in found["src.callbacks.nt_asgd.NTASGD"]
    assert "run_dir" in found["train"]
    assert not [name for name in found if name.startswith("torch")]


def test_the_arguments_without_a_default_are_known():
    trainer = "src.training.trainer.Trainer"
    assert signatures(required=True)[trainer] == ["precision"]
    assert {"precision", "max_epochs"} <= set(signatures()[trainer])


def test_migrations_say_what_older_arguments_have_become():
    migrations = [
        Migration(renamed={"src.a.Net": "src.c.Net"}, arguments={"src.c.Net": {"size": "width"}}),
        Migration(added={"src.c.Net": {"relu": True}}, removed={"src.c.Net": {"legacy": False}}),
    ]
    assert migrated(BEFORE, migrations) == {"src.c.Net": ["depth", "relu", "width"], "src.b.Other": ["rate"]}


def test_without_a_change_nothing_is_unexplained():
    now = {**BEFORE, "src.new.Net": ["any"]}
    assert unexplained(BEFORE, now, now) == []


def test_a_new_argument_with_a_default_needs_no_migration():
    assert unexplained(BEFORE, {**BEFORE, "src.b.Other": ["rate", "warm"]}, BEFORE) == []


def test_each_change_is_named():
    now = {"src.a.Net": ["depth", "relu", "size"]}
    assert unexplained(BEFORE, now, now) == [
        "src.a.Net has a new argument relu",
        "src.a.Net has no argument legacy any more",
        "src.b.Other is gone",
    ]
