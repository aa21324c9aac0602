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


def test_rows_are_named_from_the_top_in_short():
    _, axes = new_axes(3, 2)
    name_rows(axes, ["first", "$x$" * 10])
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == ["first", "$x$" * 7 + "$x\N{HORIZONTAL ELLIPSIS}"]
    assert not labels[1].get_parse_math()
    bottom, top = axes.get_ylim()
    assert top < 0 < 1 < bottom


def test_a_legend_shows_dollar_signs():
    _, axes = new_axes(3, 2)
    axes.plot([0], [0], label=r"$\no$")
    add_legend(axes, loc="upper left")
    (text,) = axes.get_legend().get_texts()
    assert (text.get_text(), text.get_parse_math(), axes.get_legend().get_frame_on()) == (r"$\no$", False, False)
