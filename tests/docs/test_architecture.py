"""docs/architecture.md draws the layout as it is, and the pages name files that exist."""

import re

import pytest

from tests.docs.test_links import PAGES, ROOT
from tests.docs.test_readme import files_of_the_pages
from tests.test_layout import DOMAINS, ROOMS

PAGE = (ROOT / "docs" / "architecture.md").read_text()
MADE_BY_A_READER = {name for name, _ in files_of_the_pages()}


def names_in(cell):
    return re.findall(r"`(\w+)`", cell)


def test_the_table_says_who_may_import_whom():
    table = re.search(r"\| room \| may import \|\n.*?\n\n", PAGE, re.DOTALL)[0]
    rows = [line.strip("| ").split("|") for line in table.strip().split("\n")[2:]]
    assert {room: set(names_in(imported)) for rooms, imported in rows for room in names_in(rooms)} == ROOMS


def test_the_drawing_has_every_room():
    drawing = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1]
    assert set(ROOMS) <= set(re.findall(r"\w+", drawing))


def test_every_domain_has_its_row():
    table = re.search(r"\| \| data \| model .*?\n\n", PAGE, re.DOTALL)[0]
    assert {line.split("|")[1].strip() for line in table.strip().split("\n")[2:]} == DOMAINS


# CHANGELOG and the log of experiments name what was there before.
PAGES_OF_TODAY = [page for page in PAGES if page.name not in ("CHANGELOG.md", "experiments.md")]


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=lambda page: page.name)
def test_every_path_and_every_dotted_name_that_a_page_mentions_exists(page):
    text = page.read_text()
    paths = set(re.findall(r"\b(?:src|scripts|conf|tests|notebooks)/[\w./]*\w", text))
    missing = {path for path in paths if "DOMAIN" not in path and not (ROOT / path).exists()}
    assert missing - MADE_BY_A_READER == set()
    dotted = {name.rsplit(".", 1)[0] for name in re.findall(r"\bsrc\.[\w.]+\.[A-Z]\w+", text)}
    modules = {ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in dotted}
    missing = {str(path.relative_to(ROOT)) for path in modules if not path.exists()}
    assert missing - MADE_BY_A_READER == set()
