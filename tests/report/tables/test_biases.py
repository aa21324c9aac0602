from types import SimpleNamespace

import torch

from src.report.tables.biases import bias_tables
from src.report.tables.columns import Category, Column

FILMS = ["<missing>", "<unknown>", "Alien", "Big", "Cube"]
COLUMNS = [Column("film", [Category("film", 1, FILMS)], [])]


def test_the_highest_and_the_lowest_biases_are_named_without_the_unknown():
    biases = torch.tensor([9.0, -9.0, 0.5, -2.0, 1.5]).unsqueeze(1)
    net = SimpleNamespace(bias=SimpleNamespace(vectors=lambda place: {1: biases}[place]))
    (table,) = bias_tables(net, COLUMNS)
    assert table.title == "film"
    assert table.rows == [["Cube", 1.5, "Big", -2.0], ["Alien", 0.5, "Alien", 0.5]]


def test_a_net_without_biases_of_categories_has_no_such_table():
    assert bias_tables(torch.nn.Linear(2, 3), COLUMNS) == []
