"""The reports of the three domains in headless Chromium."""

import base64

import pytest

from tests.support.browser import PHONE, browser, needs_browser
from tests.support.make_data import wikitext_lines
from tests.support.programs import composed, run_here
from tests.support.shapes import write_shapes

pytestmark = [needs_browser, pytest.mark.long]

PLOTS = "[...document.querySelectorAll('main svg, main img')]"


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


def of_table(folder):
    return ["experiment=diabetes", "trainer.max_epochs=1"]


def of_text(folder):
    (folder / "text").mkdir()
    for split, count in {"train": 3000, "valid": 300, "test": 600}.items():
        (folder / "text" / f"{split}.txt").write_text("\n".join(wikitext_lines(count, seed=0)))
    nets = ["model.net.embedding_size=16", "model.net.hidden_size=17", "datamodule.batch_size=4"]
    files = [f"datamodule.{split}_files=[{split}.txt]" for split in ("train", "valid", "test")]
    return ["experiment=wikitext2_small", "datamodule=text_files", "datamodule.folder=text", *files, *nets]


def of_labels(folder):
    write_shapes(folder / "shapes", 200)
    places = ["datamodule.folder=shapes", "datamodule.labels=labels.csv", "datamodule.image_size=24"]
    return ["datamodule=image_folder", *places, "datamodule.batch_size=32", "trainer.max_epochs=2"]


def of_several_labels(folder):
    return [*of_labels(folder), "datamodule.task=multilabel", "datamodule.label_column=labels"]


def of_numbers(folder):
    return [*of_labels(folder), "datamodule.task=regression", "datamodule.label_column=[share,ground]"]


KINDS = {
    "images": "images",
    "table": of_table,
    "text": of_text,
    "several labels": of_several_labels,
    "numbers": of_numbers,
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def page(request, tmp_path_factory):
    if request.param == "images":
        return request.getfixturevalue("digits_run") / "report.html"
    folder = tmp_path_factory.mktemp("report")
    places = [f"run_dir={folder}/run", f"data_dir={folder}", f"cache_dir={folder}/cache", "trainer.log_every_n_steps=1"]
    run_here(composed(*request.param(folder), *places))
    return folder / "run" / "report.html"


@pytest.mark.parametrize("width", [1200, PHONE])
def test_the_console_has_nothing_to_say(chromium, page, width):
    chromium.open(page, width)
    assert chromium.messages() == []


def test_every_plot_has_a_size_and_a_description(chromium, page):
    chromium.open(page)
    sizes = chromium.ask(f"{PLOTS}.map(p => p.getBoundingClientRect()).map(r => [r.width, r.height])")
    descriptions = chromium.ask(f"{PLOTS}.map(p => p.getAttribute('alt') || p.getAttribute('aria-label'))")
    assert len(sizes) > 10
    assert min(min(size) for size in sizes) > 10
    assert all(descriptions)


def test_every_photo_can_be_decoded(chromium, page):
    chromium.open(page)
    assert chromium.ask("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_phone_does_not_scroll_sideways(chromium, page):
    chromium.open(page, PHONE)
    assert chromium.ask("window.innerWidth") == PHONE
    assert chromium.ask("document.documentElement.scrollWidth") == PHONE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_axes_stand_out_from_the_paper(chromium, page, scheme):
    def brightness(element, colour):
        css = f"getComputedStyle(document.querySelector('{element}')).{colour}"
        return sum(map(int, chromium.ask(f"{css}.match(/[0-9]+/g)")[:3])) / 3

    chromium.open(page, scheme=scheme)
    paper = brightness("body", "backgroundColor")
    assert (paper > 200) == (scheme == "light")
    for element, colour in (("h2", "color"), ("p.note", "color"), ("figure svg text", "fill")):
        assert abs(brightness(element, colour) - paper) > 100


def test_it_is_printed(chromium, page):
    chromium.open(page, scheme="dark")
    printed = base64.b64decode(chromium.pdf())
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 50_000  # with its plots
