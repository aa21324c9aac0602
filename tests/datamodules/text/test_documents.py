import pytest

import src.datamodules.text.documents as documents
from src.datamodules.text.documents import NO_MATCH, check_pattern, cut_at_documents
from src.datamodules.text.source import TextFile, TextSource
from tests.support.programs import composed

# Two articles, and lines that only look like titles of others.
WIKITEXT = [" \n", " = Big Boy = \n", " \n", " Wins , T \n", " = Ties = \n"]
WIKITEXT += [" \n", " = Du Fu = \n", " \n", " A poet . \n", " \n", " = A source = \n", " It is said . \n"]


def cut(texts, pattern):
    """The documents, each in one piece."""
    found = []
    for text, begins in cut_at_documents(texts, pattern):
        if begins:
            found.append("")
        found[-1] += text
    return found


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("name", ["wikitext2", "wikitext103"])
def test_an_article_is_found_by_its_title_however_the_text_comes_in_pieces(name, lines):
    pieces = ["".join(WIKITEXT[start : start + lines]) for start in range(0, 12, lines)]
    pattern = composed(f"datamodule={name}").datamodule.document_start
    found = cut([(piece, start == 0) for start, piece in enumerate(pieces)], pattern)
    assert found == ["".join(WIKITEXT[:5]), "".join(WIKITEXT[5:])]


def test_pieces_that_end_within_a_line_are_put_together_again():
    text = "".join(WIKITEXT)
    found = cut([(text[start : start + 4], start == 0) for start in range(0, len(text), 4)], "^ = .* = $")
    assert found == [
        " \n",
        "".join(WIKITEXT[1:4]),
        "".join(WIKITEXT[4:6]),
        "".join(WIKITEXT[6:10]),
        "".join(WIKITEXT[10:]),
    ]


def test_each_line_may_be_a_document():
    assert cut([("a\n\nb\n", True), ("c\n", False)], "^") == ["a\n", "\n", "b\n", "c\n"]


def test_each_file_is_a_document_and_so_is_the_first_piece():
    texts = [("act 2\n", False), ("act 3\n", False), ("act 1\n", True), ("act 2\n", False)]
    assert cut(texts, NO_MATCH) == ["act 2\nact 3\n", "act 1\nact 2\n"]


def test_a_match_does_not_reach_into_the_next_file():
    assert cut([("a\n", True), ("b\n", True)], "a\nb") == ["a\n", "b\n"]


def test_no_document_is_empty():
    parts = list(cut_at_documents([("a\n", True), ("", True), ("b\n", False)], "^"))
    assert parts == [("a\n", True), ("b\n", True)]


def test_text_without_line_ends_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr(documents, "MAX_LINE", 10)
    parts = [text for text, _ in cut_at_documents([("abcd", False)] * 20, "x")]
    assert max(map(len, parts)) <= 14
    assert "".join(parts) == "abcd" * 20


def test_a_part_of_a_text_begins_with_a_document_and_knows_where_the_next_files_begin(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(f"{name} 1\n{name} 2\n")
    source = TextSource([TextFile(tmp_path / name) for name in "abc"], start=0.1)
    assert cut(((piece.text, piece.offset == 0) for piece in source.pieces()), NO_MATCH) == [
        "a 2\n",
        "b 1\nb 2\n",
        "c 1\nc 2\n",
    ]


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(ValueError, match=r"document_start must be a regular expression, got '\*\*\*': nothing to rep"):
        check_pattern("***")
