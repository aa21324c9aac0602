"""Reads from source text which arguments a `_target_` accepts, which takes milliseconds.

To import torch and Lightning for `inspect.signature` takes seconds. `ast` finds the names and annotations: through
re-exports, base classes and `**kwargs` that go to a base class.
"""

import ast
import importlib.util
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}  # beside the arguments of a target


@dataclass
class Signature:
    """The arguments of a callable: name -> annotation, or None if it has none."""

    annotations: dict[str, ast.expr | None] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    takes_any_key: bool = False


def signature_of(target: str) -> Signature | None:
    """The signature of a dotted name such as `torch.optim.AdamW`; None if the source does not show it.

    Raises:
        ValueError: there is no such module or, in a module of this project, no such name.
    """
    module, names = _split(target)
    found = _find(module, names[0]) if names else None
    if found is None:
        if names and target.startswith("src."):
            near = ", ".join(n.name for n in _tree(module).body if isinstance(n, ast.ClassDef | ast.FunctionDef))
            raise ValueError(f"{target}: {module.name} has no {names[0]}, it has {near}")
        return None
    node, where = found
    for name in names[1:]:
        node = next((n for n in getattr(node, "body", []) if getattr(n, "name", None) == name), None)
    return _signature(node, where) if node is not None else None


def _split(target: str) -> tuple[Path, list[str]]:
    """The file of the longest prefix of `target` that is a module, and the remaining names."""
    first, *rest = target.split(".")
    spec = importlib.util.find_spec(first)
    if spec is None:
        raise ValueError(f"{target}: there is no module {first}; is it installed?")
    if not spec.submodule_search_locations:
        return Path(spec.origin or ""), rest
    folder = Path(next(iter(spec.submodule_search_locations)))
    while rest:
        if (folder / rest[0]).is_dir():
            folder = folder / rest.pop(0)
        elif (folder / f"{rest[0]}.py").is_file():
            return folder / f"{rest[0]}.py", rest[1:]
        else:
            break
    if not (folder / "__init__.py").is_file():
        raise ValueError(f"{target}: there is no {'.'.join(rest[:1])} in {folder.name}/")
    return folder / "__init__.py", rest


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8")) if path.suffix == ".py" else ast.Module([], [])


def _find(path: Path, name: str) -> tuple[ast.stmt, Path] | None:
    """The class or function of this name in a module, through its imports, and the file that defines it."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, path
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name and (found := _follow(path, node, alias.name)):
                    return found
                if alias.name == "*" and (found := _follow(path, node, name)):
                    return found
    return None


def _follow(path: Path, node: ast.ImportFrom, name: str) -> tuple[ast.stmt, Path] | None:
    if node.level:
        folder = path.parents[node.level - 1]
        file = folder.joinpath(*(node.module or "").split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        return _find(file, name) if file.is_file() and file != path else None
    try:
        file, names = _split(f"{node.module}.{name}")
    except ValueError:
        return None
    return _find(file, name) if names and file != path else None


def _signature(node: ast.stmt, path: Path) -> Signature | None:
    if isinstance(node, ast.FunctionDef):
        return _arguments(node)
    assert isinstance(node, ast.ClassDef)
    inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if not inits and node.decorator_list:
        return None  # such as @dataclass, which writes the __init__
    init = inits[-1] if inits else None  # those before it are overloads
    own = _arguments(init, skip_self=True) if init else Signature(takes_any_key=True)
    given = _given_to_base(init) if init else (0, [])
    if not own.takes_any_key or given is None:
        return own
    # **kwargs of a subclass go to its base; a class without __init__ has that of its base.
    inherited = next(filter(None, (_signature_of_base(base, path) for base in node.bases)), None)
    if inherited is None:
        return own if init else None
    names = list(inherited.annotations)
    hidden = {*names[: given[0]], *given[1], *own.annotations}
    return Signature(
        own.annotations | {name: kind for name, kind in inherited.annotations.items() if name not in hidden},
        own.required | (inherited.required - hidden),
        inherited.takes_any_key,
    )


def _given_to_base(init: ast.FunctionDef) -> tuple[int, list[str]] | None:
    """What a subclass gives to its base beside its **kwargs; None if these do not simply go there.

    Returns:
        How many arguments by place, and the names of the others: 1 and ["name"] in
        `super().__init__(folder, name=name, **kwargs)`.
    """
    kwargs = init.args.kwarg.arg if init.args.kwarg else None
    nodes = list(ast.walk(init))
    reads = [n.value for n in nodes if isinstance(n, ast.Attribute) and n.attr in ("get", "setdefault")]
    uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == kwargs and n not in reads]
    calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".__init__")]
    if len(uses) != 1 or len(calls) != 1 or not any(k.arg is None and k.value is uses[0] for k in calls[0].keywords):
        return None
    places = [argument for argument in calls[0].args if not isinstance(argument, ast.Starred)]
    is_bound = ast.unparse(calls[0].func).startswith("super(")  # in Base.__init__(self, ...) self has the first place
    return len(places) - (not is_bound), [k.arg for k in calls[0].keywords if k.arg]


def _signature_of_base(base: ast.expr, path: Path) -> Signature | None:
    if isinstance(base, ast.Name):
        found = _find(path, base.id)
        return _signature(*found) if found else None
    # `pl.Trainer` after `import pytorch_lightning as pl`
    first, _, rest = ast.unparse(base).partition(".")
    imports = (a for n in ast.walk(_tree(path)) if isinstance(n, ast.Import) for a in n.names)
    module = next((a.name for a in imports if (a.asname or a.name) == first), None)
    return signature_of(f"{module}.{rest}") if module and rest else None


def _arguments(node: ast.FunctionDef, skip_self: bool = False) -> Signature:
    args = node.args
    positional = (args.posonlyargs + args.args)[1 if skip_self else 0 :]
    keyword = [a for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None]
    required = positional[: len(positional) - len(args.defaults)] + keyword
    return Signature(
        {a.arg: a.annotation for a in positional + args.kwonlyargs},
        {a.arg for a in required},
        args.kwarg is not None,
    )


def signature_of_function(source: str) -> Signature:
    """The signature of a `def` statement in text."""
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    return _arguments(node)


PLAIN_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "dict": (dict,),
    "None": (type(None),),
    **dict.fromkeys(("str", "Path"), (str,)),
    **dict.fromkeys(("list", "tuple", "Sequence"), (list,)),
}


def accepts(annotation: ast.expr, value: object) -> bool:
    """Whether a plain value from YAML fits an annotation; an annotation that is not a plain type accepts everything."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):
            return accepts(ast.parse(text, mode="eval").body, value)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return accepts(left, value) or accepts(right, value)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return value is None or accepts(inner, value)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=choices)):
            return any(accepts(choice, value) for choice in choices)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            choices = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return any(isinstance(c, ast.Constant) and c.value == value for c in choices)
        case ast.Subscript(value=ast.Name(id="list" | "Sequence"), slice=inner):
            return isinstance(value, list) and all(accepts(inner, item) for item in value)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=kinds)) if kinds:
            if isinstance(kinds[-1], ast.Constant) and kinds[-1].value is Ellipsis:
                return isinstance(value, list) and all(accepts(kinds[0], item) for item in value)
            return isinstance(value, list) and len(value) == len(kinds) and all(map(accepts, kinds, value))
        case ast.Subscript(value=outer):
            return accepts(outer, value)
        case ast.Name(id=name) if name in PLAIN_TYPES:
            # Python counts a bool as an int, but `seed=true` is a mistake
            return isinstance(value, PLAIN_TYPES[name]) and (name == "bool" or not isinstance(value, bool))
    return True
