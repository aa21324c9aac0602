"""Counts rooms, the imports between them, and the sizes of files and functions.

    python -m scripts.import_graph [CHECKOUT ...]

A room is a folder directly below src, a loose file of src, train.py, predict.py, or scripts. An arrow leads from a room
to another one that any of its files imports, also inside functions. Floors are the rooms on the longest path of arrows;
rooms that import one another in a circle count as one. Sizes are those of src and scripts, the fullest folder is that
of src, scripts or tests with the most .py files. Each CHECKOUT gets a column; the default is this one. The last line is
one JSON object.
"""

import ast
import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scripts.shared.arguments import command_line
from scripts.shared.markdown import markdown_table
from src.core.errors import ROOT
from src.core.output import show

PROGRAMS = ("train", "predict")
Arrows = set[tuple[str, str]]


def room_of(module: Sequence[str]) -> str | None:
    """Find the room of a dotted module name, given in parts; None if it is not of this project."""
    if module[0] == "src":
        return module[1] if len(module) > 1 else None
    return module[0] if module[0] in (*PROGRAMS, "scripts") else None


def files_of(checkout: Path, *folders: str) -> list[Path]:
    """List the Python files below the folders of a checkout."""
    return sorted(path for folder in folders for path in (checkout / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[list[str]]:
    """Read the modules and names that a file imports, anywhere in it, each split at its dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([*node.module.split("."), alias.name] for alias in node.names)


def graph(checkout: Path) -> tuple[set[str], Arrows]:
    """Read the rooms of a checkout, and the arrows between them."""
    files = [*files_of(checkout, "src", "scripts"), *(checkout / f"{name}.py" for name in PROGRAMS)]
    modules = {path: path.relative_to(checkout).with_suffix("").parts for path in files if path.is_file()}
    own = {path: room_of(module) for path, module in modules.items() if module != ("src", "__init__")}
    rooms = {room for room in own.values() if room}
    arrows = {(room, other) for path, room in own.items() if room for other in map(room_of, imported(path)) if other}
    return rooms, {(room, other) for room, other in arrows if room != other and other in rooms}


def circles(rooms: Iterable[str], arrows: Arrows) -> list[list[str]]:
    """Group the rooms that reach one another."""
    reach = {room: {room} for room in rooms}
    for _ in reach:
        for room, other in arrows:
            reach[room] |= reach[other]
    groups = {tuple(sorted(other for other in reach[room] if room in reach[other])) for room in reach}
    return sorted(list(group) for group in groups if len(group) > 1)


def floors(rooms: Iterable[str], arrows: Arrows) -> int:
    """Count the rooms on the longest path of arrows; a circle counts as one room."""
    name = {room: room for room in rooms} | {room: circle[0] for circle in circles(rooms, arrows) for room in circle}
    joined = {(name[room], name[other]) for room, other in arrows if name[room] != name[other]}

    @cache
    def height(room: str) -> int:
        return 1 + max((height(other) for start, other in joined if start == room), default=0)

    return max(map(height, name.values()), default=0)


def function_lengths(paths: Iterable[Path]) -> list[int]:
    """Count the lines of each function, its docstring included."""
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return [
        node.end_lineno - node.lineno + 1
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]


def counted(checkout: Path) -> dict[str, Any]:
    """Count what there is to count in a checkout."""
    rooms, arrows = graph(checkout)
    files = files_of(checkout, "src", "scripts")
    lengths = function_lengths(files)
    in_folders = [str(path.parent.relative_to(checkout)) for path in files_of(checkout, "src", "scripts", "tests")]
    fullest = statistics.mode(in_folders)
    return {
        "rooms": len(rooms),
        "floors": floors(rooms, arrows),
        "arrows": len(arrows),
        "circles": len(circles(rooms, arrows)),
        "lines": sum(len(path.read_text().splitlines()) for path in files),
        "median function, lines": statistics.median(lengths),
        "longest function, lines": max(lengths),
        "fullest folder": fullest,
        "files in it": in_folders.count(fullest),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Show a table with a column for each checkout."""
    parser = command_line("import_graph", __doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT", default=[ROOT])
    checkouts = parser.parse_args(arguments).checkouts
    results = [counted(checkout) for checkout in checkouts]
    rows = [[name, *(result[name] for result in results)] for name in results[0]]
    show(markdown_table(["", *map(str, checkouts)], rows, aligned=True))
    show(json.dumps(dict(zip(map(str, checkouts), results, strict=True))))


if __name__ == "__main__":
    main()
