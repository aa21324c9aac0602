"""Changes a file or a nested value at random places: what an attacker, a bad disk or a slip could do."""

import copy
import random
from typing import Any

TOKENS = (b"\0", b"\xff\xfe", b'"', b"\n", b"\r", b",", b"=cmd|' /C calc'!A0", b"${oc.env:HOME}", b"../", b"-1", b"nan")
VALUES = (
    None, True, -1, 0, 3, 10**6, 10**9, 10**30, -1e308, float("nan"), "", "text", "\0", "../../precious", "/etc/passwd",
    "=1+1", "${oc.env:HOME}", "$_$", [], {}, [[]], [0] * 50, {"a": []}, "x" * 5000,
)  # fmt: skip


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """The content after one to four changes: flipped, cut, repeated, removed, overwritten or inserted bytes."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(content) + 1) if content else 0
        length = draw.choice((1, 2, 8, 100, len(content) // 2))
        kind = draw.randrange(6)
        if kind == 0:
            flipped = bytes(byte ^ 1 << draw.randrange(8) for byte in content[place : place + 1])
            content = content[:place] + flipped + content[place + 1 :]
        elif kind == 1:
            content = content[:place]
        elif kind == 2:
            content = content[:place] + content[place : place + length] * draw.choice((2, 50)) + content[place:]
        elif kind == 3:
            content = content[:place] + content[place + length :]
        elif kind == 4:
            content = content[:place] + draw.randbytes(length) + content[place + length :]
        else:
            content = content[:place] + draw.choice(TOKENS) + content[place:]
    return content


def mutated_value(value: Any, draw: random.Random, harmful: dict[str, Any]) -> Any:
    """A copy of nested dicts and lists in which one place has another value, kind or name, or is gone.

    Args:
        value: what to change.
        draw: chooses.
        harmful: a part of a config that would run code if it were built.
    """
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return draw.choice(VALUES)
    holder, key = draw.choice(places)
    kind = draw.randrange(6)
    if kind == 0 and isinstance(holder, dict):
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice(("", "x", "_target_", "_args_", 3, "checkpoint_path"))] = holder.pop(key)
    elif kind == 2:
        holder[key] = copy.deepcopy(harmful)
    elif kind == 3:
        holder[key] = f"${{oc.create:{{_target_: {harmful['_target_']}, _args_: {harmful['_args_']}}}}}"
    elif kind == 4:
        holder[key] = copy.deepcopy(draw.choice(places)[0])
    else:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
    return value


def _places(node: Any) -> Any:
    """Each container with each of its keys; of a long list some."""
    keys = list(node) if isinstance(node, dict) else range(min(len(node), 5)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])
