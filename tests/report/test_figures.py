import io

import pytest
from matplotlib.text import Text

from src.report.figures import (
    COLOURS,
    add_legend,
    bar_style,
    line_style,
    marker_style,
    name_rows,
    new_axes,
    new_figure,
)


def test_a_figure_has_its_size_and_can_be_drawn_without_pyplot():
    figure = new_figure(3, 2)
    figure.draw_without_rendering()
    assert figure.canvas.get_width_height() == (300, 200)


def test_new_axes_make_room_for_their_labels_and_have_no_box():
    figure, axes = new_axes(3, 2)
    axes.set_ylabel("a label\nof\nfour\nlines")
    figure.draw_without_rendering()
    assert axes.yaxis.label.get_window_extent().x0 >= 0
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == ["left", "bottom"]


def test_six_lines_differ_in_colour_and_dashes_and_the_seventh_is_the_first_again():
    for style, cue in ((line_style, "linestyle"), (marker_style, "marker"), (bar_style, "hatch")):
        styles = [style(number) for number in range(7)]
        assert [each["color"] for each in styles] == [*COLOURS, COLOURS[0]]
        assert len({each[cue] for each in styles[:6]}) == 6
        assert styles[6] == styles[0]


def drawn(figure):
    """The texts of a figure as they are after drawing."""
    figure.savefig(io.BytesIO(), format="png")
    return {text.get_text().lstrip("\N{ZERO WIDTH SPACE}"): text for text in figure.findobj(Text) if text.get_text()}


def test_rows_are_named_from_the_top_in_short():
    figure, axes = new_axes(3, 2)
    name_rows(axes, ["first", "$x$" * 10])
    assert {"first", "$x$" * 7 + "$x\N{HORIZONTAL ELLIPSIS}"} < set(drawn(figure))
    bottom, top = axes.get_ylim()
    assert top < 0 < 1 < bottom


FORMULAS = ("$_$", r"$0_$10", r"$\frac$", "$^$", r"\frac", "_", "^", "{", "%", "a\nb")


def label(axes, place, name):
    """Write a name at one of the places that matplotlib has for text."""
    axes.plot([0, 1], [1, 2], label=name if place == "legend" else "line")
    if place == "legend":
        add_legend(axes)
    elif place == "text":
        axes.text(0, 1, name)
    elif place == "note":
        axes.annotate(name, (0, 1))
    elif place == "ticks":
        axes.set_xticks([0], [name])
    elif place == "bars":
        axes.bar([name], [1])
    elif place == "figure":
        axes.figure.suptitle(name)
    else:
        axes.set(**{place: name})


@pytest.mark.parametrize("place", ["title", "xlabel", "ylabel", "legend", "text", "note", "ticks", "bars", "figure"])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_is_shown_as_it_is_written(place, name):
    figure, axes = new_axes(3, 2)
    label(axes, place, name)
    assert not drawn(figure)[name].get_parse_math()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_logarithmic_axis_has_plain_numbers_also_when_drawn_again(axis):
    figure, axes = new_axes(3, 2)
    axes.plot([1e-6, 1e6], [1e-6, 1e6])
    axes.set(**{f"{axis}scale": "log"})
    for _ in range(2):
        texts = drawn(figure)
        assert any(text.startswith("1e\N{MINUS SIGN}0") for text in texts)
        assert not any("$" in text for text in texts)


def test_characters_that_no_font_has_are_told_once(capsys):
    figure, axes = new_axes(3, 2)
    axes.set_title("e\N{LATIN SMALL LETTER E WITH ACUTE} \U0001fae8\U0010fffd")
    drawn(figure)
    assert "boxes for" in (told := capsys.readouterr().err)
    assert "\U0010fffd, which no installed font has" in told
    drawn(figure)
    assert not capsys.readouterr().err


def test_a_page_has_its_own_fonts_and_needs_no_note(capsys):
    figure, axes = new_axes(3, 2)
    axes.set_title("\U0010fffc")
    figure.savefig(io.StringIO(), format="svg")
    assert not capsys.readouterr().err
