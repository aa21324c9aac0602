import ast
import sys

import pytest

from src.core.signatures import accepts, signature_of, signature_of_function


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules of a package `sample` from source text."""
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**modules):
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(source)

    yield write
    sys.modules.pop("sample", None)


def names(target):
    return list(signature_of(target).annotations)


def test_a_function_has_its_arguments(package):
    package(a="def f(x, /, y: int, *, z: float = 1.0): ...")
    signature = signature_of("sample.a.f")
    assert list(signature.annotations) == ["x", "y", "z"]
    assert signature.required == {"x", "y"}


def test_a_class_has_the_arguments_of_its_init_without_self(package):
    package(a="class C:\n    def __init__(self, x: int): ...")
    assert names("sample.a.C") == ["x"]


def test_a_static_constructor_is_found_by_its_dotted_name(package):
    package(a="class C:\n    def make(path: str): ...")
    assert names("sample.a.C.make") == ["path"]


def test_a_re_export_is_followed(package):
    package(a="from sample.b import f", b="from .c import g as f", c="def g(deep): ...")
    assert names("sample.a.f") == ["deep"]


def test_a_star_import_is_followed(package):
    package(a="from .b import *", b="def f(starred): ...")
    assert names("sample.a.f") == ["starred"]


def test_a_class_without_init_has_that_of_its_base(package):
    package(a="from sample.b import Base\nclass C(Base): ...", b="class Base:\n    def __init__(self, base): ...")
    assert names("sample.a.C") == ["base"]


def test_kwargs_of_a_subclass_are_the_arguments_of_its_base(package):
    base = "class Base:\n    def __init__(self, *, x: int, y: int = 0): ...\n"
    package(a=base + "class C(Base):\n    def __init__(self, *, z: str, **kwargs): super().__init__(**kwargs)")
    signature = signature_of("sample.a.C")
    assert set(signature.annotations) == {"x", "y", "z"}
    assert signature.required == {"x", "z"}
    assert not signature.takes_any_key


def test_what_a_subclass_fixes_for_its_base_is_not_required(package):
    base = "class Base:\n    def __init__(self, x): ...\n"
    package(a=base + "class C(Base):\n    def __init__(self, x=3, **kwargs): super().__init__(x=x, **kwargs)")
    assert signature_of("sample.a.C").required == set()


@pytest.mark.parametrize(
    ("body", "required", "known"),
    [
        ("super().__init__(root=folder, **kwargs)", {"folder"}, {"folder", "label"}),
        ("super().__init__(folder, **kwargs)", {"folder"}, {"folder", "label"}),
        ("super(C, self).__init__(folder, 'x', **kwargs)", {"folder"}, {"folder"}),
        ("Base.__init__(self, root=folder, **kwargs)", {"folder"}, {"folder", "label"}),
        ("Base.__init__(self, folder, **kwargs)", {"folder"}, {"folder", "label"}),
        (
            "kwargs.setdefault('label', folder)\n        super().__init__(folder, **kwargs)",
            {"folder"},
            {"folder", "label"},
        ),
        ("super().__init__(**kwargs)", {"folder", "root"}, {"folder", "root", "label"}),
    ],
)
def test_what_a_subclass_passes_to_its_base_itself_is_not_asked_for(package, body, required, known):
    base = "class Base:\n    def __init__(self, root, label=''): ...\n"
    package(a=f"{base}class C(Base):\n    def __init__(self, folder, **kwargs):\n        {body}")
    signature = signature_of("sample.a.C")
    assert signature.required == required
    assert set(signature.annotations) == known
    assert not signature.takes_any_key


@pytest.mark.parametrize(
    "body",
    [
        "super().__init__(root=folder)\n        self.more = kwargs",  # kept, as by W&B's logger
        "kwargs['root'] = folder\n        super().__init__(**kwargs)",
        "label = kwargs.pop('other')\n        super().__init__(**kwargs)",
        "super().__init__(**{'root': folder, **kwargs})",
        "super().__init__('a', **kwargs) if folder else super().__init__(**kwargs)",
    ],
)
def test_kwargs_that_do_more_than_go_to_the_base_take_any_key(package, body):
    base = "class Base:\n    def __init__(self, root, label=''): ...\n"
    package(a=f"{base}class C(Base):\n    def __init__(self, folder, **kwargs):\n        {body}")
    signature = signature_of("sample.a.C")
    assert signature.required == {"folder"}
    assert signature.takes_any_key


def test_of_overloads_the_last_init_counts(package):
    init = "    def __init__(self, {}): ...\n"
    package(a="class C:\n" + "    @overload\n" + init.format("x") + init.format("y"))
    assert names("sample.a.C") == ["y"]


def test_the_init_that_a_decorator_writes_is_not_taken_for_that_of_the_base(package):
    package(a="class Base:\n    def __init__(self, x): ...\n@dataclass\nclass C(Base):\n    y: int")
    assert signature_of("sample.a.C") is None


def test_kwargs_without_a_base_take_any_key(package):
    package(a="def f(**anything): ...")
    assert signature_of("sample.a.f").takes_any_key


def test_a_base_named_through_its_module_is_found():
    assert "max_epochs" in names("src.training.trainer.Trainer")  # its base is pl.Trainer


@pytest.mark.parametrize("target", ["torch.optim.AdamW", "pytorch_lightning.callbacks.ModelCheckpoint"])
def test_what_a_library_re_exports_is_found(target):
    assert len(names(target)) > 4


def test_what_is_no_python_source_has_no_signature():
    assert signature_of("math.sqrt") is None


def test_a_missing_module_is_an_error():
    with pytest.raises(ValueError, match="there is no module nowhere; is it installed"):
        signature_of("nowhere.f")


def test_a_missing_name_of_ours_is_an_error_that_lists_the_others():
    with pytest.raises(ValueError, match=r"cnn_small.py has no Big, it has CNNSmall"):
        signature_of("src.models.images.cnn_small.Big")


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("int", 3, True),
        ("int", 3.0, False),
        ("int", True, False),
        ("float", 3, True),
        ("float", "3", False),
        ("bool", True, True),
        ("bool", 1, False),
        ("str | None", None, True),
        ("str | None", 3, False),
        ("Optional[int]", None, True),
        ("Union[int, str]", "a", True),
        ("Union[int, str]", 0.5, False),
        ("Literal['a', 'b']", "b", True),
        ("Literal['a', 'b']", "c", False),
        ("list[int]", [1, 2], True),
        ("list[int]", [1, 2.5], False),
        ("tuple[float, float]", [0.9, 0.99], True),
        ("tuple[float, float]", [0.9], False),
        ("tuple[int, ...]", [1, 2, 3], True),
        ("dict[str, int]", {"a": 1}, True),
        ("dict[str, int]", 3, False),
        ("'int'", 2.5, False),
        ("Path", "runs", True),
        ("Callable[..., nn.Module]", 3, True),  # not a plain type: left to the code
    ],
)
def test_a_plain_value_is_held_against_its_annotation(annotation, value, fits):
    assert accepts(ast.parse(annotation, mode="eval").body, value) is fits


def test_a_signature_can_be_written_as_text():
    signature = signature_of_function("def program(*, seed: int, name: str = 'x'): ...")
    assert signature.required == {"seed"}
