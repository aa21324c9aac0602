"""The arguments of everything that conf names and this project defines, as golden files record them."""

import re
from collections.abc import Iterable

from src.core.check import TRAIN
from src.core.errors import CONF
from src.core.formats import Migration
from src.core.migrations import TRAIN as KEYS_OF_TRAIN
from src.core.signatures import signature_of

Arguments = dict[str, list[str]]


def signatures(*, required: bool = False) -> Arguments:
    """Every class or function of ours that a file of conf names, also in a comment, with its arguments.

    Args:
        required: whether to list only those without a default.
    """
    found = {name for path in CONF.rglob("*.yaml") for name in re.findall(r"\bsrc(?:\.\w+)+", path.read_text())}
    known = {KEYS_OF_TRAIN: TRAIN.signature, **{name: signature_of(name) for name in sorted(found)}}
    return {name: sorted(of.required if required else of.annotations) if of else [] for name, of in known.items()}


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


def unexplained(recorded: Arguments, now: Arguments, required: Arguments) -> list[str]:
    """Why configs with the recorded arguments, migrated, do not fit.

    A new argument with a default is none of the reasons: without it, a class does what it did. What conf sets has no
    default in code.

    Args:
        recorded: from `migrated`.
        now: all arguments.
        required: those without a default.
    """
    found = []
    for name, before in recorded.items():
        if name not in now:
            found.append(f"{name} is gone")
            continue
        found += [f"{name} has a new argument {argument}" for argument in required[name] if argument not in before]
        found += [f"{name} has no argument {argument} any more" for argument in before if argument not in now[name]]
    return found
