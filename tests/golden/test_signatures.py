"""A change of arguments leaves older checkpoints and runs usable only with a migration: none is forgotten."""

import json

from scripts.make_golden.cases import GOLDEN
from scripts.make_golden.signatures import migrated, signatures, unexplained
from src.core.formats import MIGRATIONS

WAY_OUT = """
Checkpoints and config.yaml of older runs lack or have these arguments. Add to MIGRATIONS in src/core/formats.py:
    Migration(added={{"{name}": {{"argument": VALUE_THAT_DOES_WHAT_WAS_DONE_BEFORE}}}})
    Migration(removed={{"{name}": {{"argument": VALUE_THAT_DOES_WHAT_IS_DONE_SINCE}}}})
    Migration(arguments={{"{name}": {{"before": "since"}}}})
    Migration(renamed={{"src.before.Name": "src.since.Name"}})
CONTRIBUTING.md, "Change a signature", says more."""


def test_every_change_of_a_signature_has_a_migration():
    for folder in sorted(GOLDEN.glob("format_*")):
        recorded = json.loads((folder / "signatures.json").read_text())
        due = MIGRATIONS[int(folder.name.removeprefix("format_")) - 1 :]
        changes = unexplained(migrated(recorded, due), signatures(), signatures(required=True))
        name = changes[0].split(" ")[0] if changes else ""
        assert not changes, f"since {folder.name}: {'; '.join(changes)}{WAY_OUT.format(name=name)}"
