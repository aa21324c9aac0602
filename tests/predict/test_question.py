import os
from dataclasses import replace

import pytest

from src.core.domains import Domain, domains
from src.core.errors import ConfigError
from src.predict import question
from src.predict.question import check_question, domain_asked

ENDINGS = (".wav", ".flac")
checked = []


def check(config):
    """What a fourth domain, of sounds, asks of a question."""
    checked.append(config["input"])


@pytest.fixture
def sounds(monkeypatch):
    """A fourth domain beside the others."""
    domain = replace(domains()[0], name="sounds", suffixes=f"{__name__}.ENDINGS", check=f"{__name__}.check")
    known = (*domains(), domain)
    monkeypatch.setattr(question, "domains", lambda: known)
    monkeypatch.setattr(
        type(domain), "load", staticmethod(lambda name: globals().get(name.split(".")[-1]) or load(name))
    )
    checked.clear()
    return domain


load = Domain.load


def asked(**keys):
    return {"input": None, "prompt": None, "output": "a.csv", "batch_size": 1, "length": 1, **keys}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (asked(prompt="To be"), "text"),
        (asked(input="a.PNG"), "images"),
        (asked(input="photos/*.jpg"), "images"),
        (asked(input="new.csv.gz"), "tables"),
    ],
)
def test_the_key_or_the_ending_tells_the_domain(config, name):
    assert domain_asked(config).name == name


@pytest.mark.parametrize("source", ["photos", "a.ckpt"])
def test_other_names_leave_it_to_the_checkpoint(source):
    assert domain_asked(asked(input=source)) is None


@pytest.mark.parametrize("keys", [{}, {"input": "a.png", "prompt": "x"}])
def test_one_question_is_asked_at_a_time(keys):
    with pytest.raises(ConfigError, match=r"give one of input=\.\.\., prompt=\.\.\.; python predict.py --help"):
        check_question(asked(**keys))


def test_of_three_keys_one_is_given(sounds, monkeypatch):
    named = replace(sounds, asked_by="sound", suffixes=None)
    known = (*domains(), named)
    monkeypatch.setattr(question, "domains", lambda: known)
    check_question(asked(input="a.png", sound=None))
    with pytest.raises(ConfigError, match=r"give one of input=\.\.\., prompt=\.\.\., sound=\.\.\.;"):
        check_question(asked(sound="a", prompt="x"))


def test_a_fourth_domain_needs_no_edit_of_shared_code(sounds, tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "a.wav").touch()
    sources = ["new.flac", str(tmp_path), f"{tmp_path}/*/*/a.*", f"{tmp_path}/**/a.*"]
    for source in sources:
        check_question(asked(input=source))
    assert checked == sources


def test_a_folder_is_of_the_first_file_with_a_known_ending(sounds, tmp_path):
    for name in ("a.txt", "b.wav", "c.png"):
        (tmp_path / name).touch()
    check_question(asked(input=str(tmp_path)))
    assert checked == [str(tmp_path)]


def test_a_file_of_unknown_ending_is_left_to_the_checkpoint(tmp_path):
    (tmp_path / "photo").touch()
    check_question(asked(input=str(tmp_path / "photo"), batch_size=0))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "input=nowhere is not a file or a folder, and as a pattern matches no file"),
        ("*.jpx", r"input=\*.jpx is not a file or a folder, and as a pattern matches no file"),
        (".", r"input=. holds no file that can be predicted \(.jpg, .*.csv.*.feather\)"),
        ("a.txt*", r"input=a.txt\* holds no file that can be predicted"),
    ],
)
def test_what_holds_no_question_is_refused(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt1").touch()
    with pytest.raises(ConfigError, match=message):
        check_question(asked(input=source))


@pytest.mark.parametrize("other", ["new.csv", "./folder/../new.csv", "soft.csv", "hard.csv", "linked/new.csv"])
def test_the_input_is_not_written_over_by_any_of_its_names(other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("a\n1\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "soft.csv").symlink_to("new.csv")
    os.link("new.csv", "hard.csv")
    (tmp_path / "linked").symlink_to(".")
    for source, output in (("new.csv", other), (other, "new.csv")):
        with pytest.raises(ConfigError, match=r"would write over the input .*: name another file"):
            check_question(asked(input=source, output=output))


@pytest.mark.parametrize("source", [".", "deep/*.png", "**/a.*"])
def test_no_file_of_a_folder_or_a_pattern_is_written_over(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.png").touch()
    with pytest.raises(ConfigError, match=r"output=deep/a\.png would write over the input .*a\.png"):
        check_question(asked(input=source, output="deep/a.png", max_pixels=1, flip_tta=False, crop_tta=0))


def test_an_older_output_in_a_folder_of_images_is_replaced(tmp_path):
    for name in ("photo.png", "pred.csv"):
        (tmp_path / name).touch()
    keys = {"max_pixels": 1, "flip_tta": False, "crop_tta": 0}
    check_question(asked(input=str(tmp_path), output=str(tmp_path / "pred.csv"), **keys))
