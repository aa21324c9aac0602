import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.image import imsave

from src.report.figures import BLACK, new_figure
from src.report.page import png_size, render
from src.report.parts import Plot, Prose, Section, Table


def line(points=3):
    figure = new_figure(4, 3)
    figure.add_subplot().plot(np.linspace(0, 1, points) ** 2, label="loss")
    return figure


def png(width=5, height=3):
    file = io.BytesIO()
    imsave(file, np.zeros((height, width, 3)), format="png")
    return file.getvalue()


def page(*parts, **section):
    return render("a run", Markup("<p>0.9</p>"), [Section("What happened", parts, **section)])


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, attribute):
        return [attributes[attribute] for _, attributes in self.found if attribute in attributes]


def test_the_same_content_gives_the_same_bytes():
    assert page(Plot("Loss", line(), "it falls")) == page(Plot("Loss", line(), "it falls"))


def test_every_id_of_a_page_is_there_once_and_every_reference_leads_to_one():
    text = page(Plot("Loss", line(), "a"), Plot("Loss again", line(), "b"))
    ids = Tags(text).all("id")
    references = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
    assert len(references) > 10
    assert len(ids) == len(set(ids))
    assert {one or other for one, other in references} <= set(ids)


def test_a_figure_has_the_ink_and_the_paper_of_the_page():
    figure = line()
    figure.axes[0].text(0, 0, "on a dark cell", color=BLACK)
    figure.axes[0].axvspan(0, 1, color="white")
    svg = page(Plot("Loss", figure, "it falls")).partition("<svg")[2].partition("</svg>")[0]
    assert "currentColor" in svg
    assert "var(--paper)" in svg
    assert "#010101" in svg
    assert "#000000" not in svg
    assert "#ffffff" not in svg


def test_the_text_of_a_figure_is_text():
    figure = line()
    figure.axes[0].set_xlabel("step")
    assert re.search(r"<text [^>]*>step</text>", page(Plot("Loss", figure, "it falls")))


def test_very_many_points_are_drawn_as_pixels():
    dots = np.random.default_rng(0).random((2, 20_000))
    figure = new_figure(4, 3)
    figure.add_subplot().plot(*dots, ".")
    figure.axes[0].scatter(*dots)
    assert len(page(Plot("Dots", figure, "all over"))) < 300_000


def test_a_plot_has_its_description_and_its_size():
    tags = dict(Tags(page(Plot("A", line(), 'loss "falls"'), Plot("B", png(), "all black"))).found)
    assert (tags["svg"]["role"], tags["svg"]["aria-label"]) == ("img", 'loss "falls"')
    assert (tags["svg"]["width"], tags["svg"]["height"]) == ("384", "288")  # of 96 pixels an inch
    assert (tags["img"]["alt"], tags["img"]["width"], tags["img"]["height"]) == ("all black", "5", "3")


def test_bytes_that_are_no_png_are_refused():
    assert png_size(png(7, 2)) == (7, 2)
    with pytest.raises(ValueError, match="images must be figures or PNGs, got bytes that begin with b'GIF89a'"):
        png_size(b"GIF89a")


def test_text_is_escaped_and_markup_is_not():
    text = page(Prose("a < b"), Table("<i>", ["<th>"], [["<td>", Markup("<b>bold</b>")]]), note="<p>")
    for escaped in ("a &lt; b", "&lt;i&gt;", "&lt;th&gt;", "&lt;td&gt;", "&lt;p&gt;", "<b>bold</b>"):
        assert escaped in text


def test_empty_lines_divide_paragraphs():
    assert "<p>one\nstill one</p>\n<p>two</p>" in page(Prose("one\nstill one\n\ntwo"))


def test_headings_come_in_order():
    text = page(Prose("text", title="A"), Table("B", ["x"], [[1]]), Plot("C", line(), "it falls"))
    assert [tag for tag, _ in Tags(text).found if tag in ("h1", "h2", "h3")] == ["h1", "h2", "h3", "h3", "h3"]


def test_the_table_of_contents_leads_to_each_section():
    text = render("a run", Markup(""), [Section("One", []), Section("Two", [])])
    assert re.findall(r'<a href="#(\w+)">(\w+)</a>', text) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'<section id="(\w+)">', text) == ["s1", "s2"]


def test_a_page_asks_nothing_of_the_network():
    tags = Tags(page(Plot("A", line(), "a"), Plot("B", png(), "b")))
    assert [tag for tag, _ in tags.found if tag == "script"] == []
    addresses = [*tags.all("src"), *tags.all("href"), *tags.all("xlink:href")]
    assert [address[:20] for address in addresses if not address.startswith(("data:", "#"))] == []
