"""The arguments of everything that conf names and this project defines, as golden files record them."""

import re
from collections.abc import Iterable

from src.core.check import TRAIN
from src.core.errors import CONF
from src.core.migrations import TRAIN as KEYS_OF_TRAIN
from src.core.migrations import Migration
from src.core.signatures import Signature, signature_of

Arguments = dict[str, list[str]]


def signatures() -> Arguments:
    """Every class or function of ours that a file of conf names, also in a comment, with its arguments."""
    found = {name for path in CONF.rglob("*.yaml") for name in re.findall(r"\bsrc(?:\.\w+)+", path.read_text())}
    known = {name: _arguments(signature_of(name)) for name in sorted(found)}
    return {KEYS_OF_TRAIN: _arguments(TRAIN.signature), **known}


def _arguments(signature: Signature | None) -> list[str]:
    return sorted(signature.annotations) if signature is not None else []


def migrated(recorded: Arguments, migrations: Iterable[Migration]) -> Arguments:
    """What a config with the recorded arguments has after some migrations."""
    now = dict(recorded)
    for migration in migrations:
        now = {migration.renamed.get(name, name): arguments for name, arguments in now.items()}
        for name in now:
            renamed = migration.arguments.get(name, {})
            kept = {renamed.get(argument, argument) for argument in now[name]} - set(migration.removed.get(name, {}))
            now[name] = sorted(kept | set(migration.added.get(name, {})))
    return now


def unexplained(recorded: Arguments, now: Arguments) -> list[str]:
    """How the arguments now differ from those that migrated configs have; a new class differs from nothing."""
    found = []
    for name, before in recorded.items():
        if name not in now:
            found.append(f"{name} is gone")
            continue
        found += [f"{name} has a new argument {argument}" for argument in now[name] if argument not in before]
        found += [f"{name} has no argument {argument} any more" for argument in before if argument not in now[name]]
    return found
