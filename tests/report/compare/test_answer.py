"""How sure it is which setting is the best, for invented runs."""

import math
from dataclasses import replace

import pytest
from scipy import stats

from src.report.compare.answer import caveats, chance_lead, listed, mean_and_spread, opening, verdict
from src.report.compare.settings import Setting
from tests.support.made_runs import compared, made, over


def test_one_seed_each_proves_nothing(tmp_path):
    text = verdict(over(tmp_path, {0.1: [0.9], 0.2: [0.5]}))
    assert text.startswith("Not sure: each setting has one seed.")
    assert "lead over the next setting is 0.40," in text


def test_a_lead_beyond_chance_is_sure(tmp_path):
    # Variance 0.0002 each; t(0.975, 2) = 4.303, times sqrt(0.0002 (1/2 + 1/2)) is 0.0608.
    text = verdict(over(tmp_path, {0.1: [0.90, 0.92], 0.2: [0.80, 0.82]}))
    assert text.startswith(
        "Sure, as far as these seeds can tell. Its lead over the next setting is 0.10; chance alone gives up to 0.061 "
    )


def test_a_lead_within_chance_names_the_settings_that_may_be_as_good(tmp_path):
    text = verdict(over(tmp_path, {0.1: [0.90, 0.92], 0.2: [0.86, 0.88], 0.4: [0.1, 0.12]}))
    assert text.startswith("Not sure: number 2 (lr=0.2) may be as good. Its lead over the next setting is 0.040; ")


def test_chance_is_that_of_a_pooled_t_test_corrected_for_the_number_of_settings(tmp_path):
    found = over(tmp_path, {0.1: [0.9, 0.97], 0.2: [0.7, 0.8, 0.84], 0.4: [0.3]})
    variance = ((0.9 - 0.935) ** 2 * 2 + (0.08**2 + 0.02**2 + 0.06**2)) / 3
    expected = stats.t.isf(0.05 / 2 / 2, 3) * math.sqrt(variance * (1 / 2 + 1 / 3))
    assert chance_lead(found.settings[1], found) == pytest.approx(expected)


def test_other_data_and_failed_runs_of_the_best_are_told(tmp_path):
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", None, seed=1)
    made(tmp_path / "c", 0.8, datamodule={"_target_": "src.datamodules.images.cifar10.Cifar10"})
    text = opening(compared(tmp_path))
    assert "The runs use different data" in text
    assert "1 of the best setting&#39;s 2 runs lack a score." in text


def test_one_setting_has_no_rival(tmp_path):
    assert verdict(over(tmp_path, {0.1: [0.9, 0.8]})).startswith("There is only one setting")


@pytest.mark.parametrize(("keys", "named"), [("ab", "number 2 (a=2, b=2) may"), ("abc", "number 2 may")])
def test_a_rival_is_named_by_two_keys_at_most(tmp_path, keys, named):
    found = over(tmp_path, {0.1: [0.90, 0.92], 0.2: [0.86, 0.88]})
    settings = [Setting(dict.fromkeys(keys, rank), setting.runs) for rank, setting in enumerate(found.settings, 1)]
    assert named in verdict(replace(found, settings=settings, keys={key: [] for key in keys}))


def test_a_score_that_no_run_has_is_left_empty(tmp_path):
    setting, _ = over(tmp_path, {0.1: [0.9], 0.2: [0.8]}).settings
    assert (mean_and_spread(setting, "val/accuracy"), mean_and_spread(setting, "val/f1")) == ("0.9000", "")


def test_three_names_are_listed():
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_keys_that_change_together_cannot_be_told_apart(tmp_path):
    for number in (1, 2):
        made(tmp_path / str(number), 0.9, lr=number, trainer={"max_epochs": 10 * number})
    [text] = caveats(compared(tmp_path))
    assert text == "trainer.max_epochs always changes with model.lr: the runs cannot tell which of them matters."


def test_runs_with_another_score_are_counted(tmp_path):
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", 0.8, lr=1)
    made(tmp_path / "c", 2.0, monitor="val/loss", mode="min")
    text = "Only runs scored by val/accuracy are compared; left out: 1 scored by val/loss."
    assert caveats(compared(tmp_path)) == [text]
