from functools import partial

import numpy as np
import pytest
from markupsafe import Markup

from src.models.tables.entity_mlp import EntityMLP
from src.report.page import render
from src.report.parts import Plot, Prose, Table
from src.report.tables.view import TableView
from tests.support.small_table import frame_of, model_of, table_of
from tests.support.tiny_table import choices

FEW = {"num_columns": 1, "num_maps": 1}
CHOICES = {"max_rows": 150, "max_shuffled": 40, "num_columns": 5, "num_maps": 3, "num_rows": 4}


def sections_of(data, members=1, **changes):
    model = model_of(data, net=partial(EntityMLP, **choices(num_members=members)))
    return TableView(**(CHOICES | changes)).sections(model, data)


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def sections(request, tmp_path_factory):
    return sections_of(table_of(tmp_path_factory.mktemp("table"), request.param))


def titles(section):
    return [part.title for part in section.parts]


def test_five_questions_are_answered(sections):
    assert [section.title for section in sections] == [
        "Is it worth a net?",
        "Which columns matter",
        "Categories on a map",
        "How far to trust it",
        "The worst rows",
    ]


def test_each_plot_has_a_description(sections):
    plots = [part for section in sections for part in section.parts if isinstance(part, Plot)]
    assert len(plots) > 8
    assert all(len(plot.alt) > 20 for plot in plots)


def test_a_note_says_how_many_rows_were_looked_at(tmp_path):
    found = sections_of(table_of(tmp_path), **FEW)
    assert [found[1].note, found[3].note, found[4].note] == [
        "34 of 200 rows of the test split, evenly spread.",
        "100 of 200 rows of the test split, evenly spread.",
        "100 of 200 rows of the test split, evenly spread.",
    ]
    assert sections_of(table_of(tmp_path), max_rows=200, **FEW)[3].note == "All 200 rows of the test split."


def test_columns_of_two_categories_are_named_and_not_mapped(sections):
    *maps, left_out = sections[2].parts
    assert {part.title for part in maps} == {"town", "day_month", "day_day_of_week"}
    assert isinstance(left_out, Prose)
    assert "open" in left_out.text


def test_the_worst_rows_have_all_columns(sections):
    (table,) = sections[4].parts
    assert isinstance(table, Table)
    assert len(table.rows) == 4
    assert {"town", "open", "size", "id", "day"} < set(table.head)


def test_two_calls_give_one_page(tmp_path):
    data = table_of(tmp_path, frame=frame_of(80))
    first, second = (render("a table", Markup(""), sections_of(data, **FEW)) for _ in range(2))
    assert first == second


def test_an_ensemble_is_shown_too(tmp_path):
    assert len(sections_of(table_of(tmp_path, "multiclass", frame_of(80)), members=2, **FEW)) == 5


def test_a_table_of_numbers_alone_has_no_map(tmp_path):
    found = sections_of(table_of(tmp_path, categorical=[], dates=[]))
    assert "Categories on a map" not in [section.title for section in found]


def test_several_targets_are_shown_one_by_one(tmp_path):
    found = sections_of(table_of(tmp_path, target=["price", "weight"], frame=frame_of(80)), **FEW)
    assert titles(found[3]) == [
        "price: predicted and true",
        "price: residuals",
        "weight: predicted and true",
        "weight: residuals",
    ]


def test_names_that_matplotlib_would_take_for_formulas_are_drawn(tmp_path):
    frame = frame_of(80).rename(columns={"size": r"$\size$", "price": r"$\no$"})
    frame["town"] = np.where(frame["town"] == "Bonn", r"$\Bonn$", frame["town"])
    data = table_of(tmp_path, frame=frame, target=r"$\no$", continuous=[r"$\size$", "id"])
    plots = [part for section in sections_of(data) for part in section.parts if isinstance(part, Plot)]
    assert any(r"$\size$" in plot.title for plot in plots)
    for plot in plots:
        plot.source.draw_without_rendering()


@pytest.mark.parametrize("wrong", [{"max_rows": 0}, {"max_shuffled": 0}, {"num_maps": -1}])
def test_choices_that_show_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        TableView(**(CHOICES | wrong))


def test_columns_that_are_not_shuffled_are_told(tmp_path, monkeypatch):
    data = table_of(tmp_path)
    monkeypatch.setattr("src.report.tables.importance.MAX_CELLS", 1000)
    monkeypatch.setattr("src.report.tables.importance.MIN_COLUMNS", 2)
    plot = sections_of(data, **FEW)[1].parts[0]
    assert isinstance(plot, Plot)
    assert "these columns were shuffled in 12 rows, and 3 others, which by themselves have less to do with" in plot.note
