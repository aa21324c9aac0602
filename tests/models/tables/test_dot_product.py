import pytest
import torch
from torch.testing import assert_close

from src.models.tables.dot_product import DotProduct

SIZES, RANGE = [5, 4], [[-2.0, 3.0]]


def net(y_range=False):
    torch.manual_seed(0)
    found = DotProduct(SIZES, 0, 1, RANGE, width=3, y_range=y_range)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter)
    return found


def test_the_answer_is_the_product_of_the_vectors_and_the_biases():
    model = net()
    categories = torch.tensor([[4, 3], [0, 2]])
    users, items = model.embedding.vectors(0)[categories[:, 0]], model.embedding.vectors(1)[categories[:, 1]]
    biases = model.bias.vectors(0)[categories[:, 0], 0] + model.bias.vectors(1)[categories[:, 1], 0]
    expected = (users * items).sum(1) + biases + model.mean
    assert_close(model(categories, torch.empty(2, 0)), expected.unsqueeze(1))


def test_a_range_keeps_answers_a_tenth_around_the_training_targets():
    model = net(y_range=True)
    with torch.no_grad():
        model.mean.copy_(torch.tensor([1000.0]))
    assert_close(model(torch.tensor([[2, 2]]), torch.empty(1, 0)).item(), 3.5)  # 3, and a tenth of 5


@pytest.mark.parametrize("sizes", [([5], 0, 1), ([5, 4, 3], 0, 1), (SIZES, 1, 1), (SIZES, 0, 2)])
def test_another_table_than_of_two_categories_and_a_target_is_refused(sizes):
    with pytest.raises(ValueError, match="takes two categorical columns, no continuous one, and one target; got"):
        DotProduct(*sizes, RANGE, width=3, y_range=False)


def test_vectors_have_a_width():
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        DotProduct(SIZES, 0, 1, RANGE, width=0, y_range=False)
