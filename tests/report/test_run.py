import json

import pytest
import torch

from src.core.migrations import FORMAT_KEY, newest_format
from src.report.parts import Prose, Section
from src.report.run import report_page, sections_of
from tests.support.tiny import TinyImages, built

CONFIG = "# Repeat: python train.py --config-name=config\nscoring:\n  monitor: val/accuracy\n"
CONFIG += f"{FORMAT_KEY}: {newest_format()}\n"


def written(folder, config=CONFIG, environment=None, **metrics):
    """The report of a folder with these metrics, / as __."""
    (folder / "config.yaml").write_text(config)
    (folder / "metrics.json").write_text(json.dumps({name.replace("__", "/"): v for name, v in metrics.items()}))
    (folder / "environment.json").write_text(json.dumps(environment or {}))
    return report_page(folder, [])


class View:
    """Tells what it was given; fails if it is to."""

    def __init__(self, error=None):
        self.error = error

    def sections(self, model, datamodule):
        if self.error:
            raise self.error
        torch.rand(3)
        mode = f"{model.training} {torch.is_grad_enabled()} {torch.is_inference_mode_enabled()}"
        return [Section("Mode", [Prose(mode)])]


def test_it_opens_with_the_tested_score_that_chose_the_checkpoint(tmp_path):
    text = written(tmp_path, val__accuracy=0.75, test__loss=0.25, test__accuracy=0.5, val__loss=1.0)
    assert '<p class="answer">0.5000</p>\n<p class="of">Accuracy, test</p>' in text
    places = [text.index(f"<dt>{name}</dt>") for name in ("Accuracy, validation", "Loss, test", "Loss, validation")]
    assert places == sorted(places)


@pytest.mark.parametrize(("score", "title"), [("auroc", "AUROC"), ("rmse", "RMSE"), ("perplexity", "Perplexity")])
def test_a_score_that_people_know_stands_for_a_loss(tmp_path, score, title):
    config = CONFIG.replace("val/accuracy", "val/loss")
    text = written(tmp_path, config, test__loss=0.25, test__accuracy=0.5, **{f"test__{score}": 0.75})
    assert f'<p class="answer">0.7500</p>\n<p class="of">{title}, test</p>' in text


def test_a_score_that_is_no_number_says_so(tmp_path):
    assert '<p class="answer">not a number</p>' in written(tmp_path, test__accuracy=None)


def test_time_machine_and_commit_are_told(tmp_path):
    environment = {"hardware": "Zen 4, 2 cores", "commit": "65ffd38", "software": None}
    text = written(tmp_path, environment=environment, time__fit_s=192.4, train__steps=1234, train__epochs=5)
    for name, value in (("Time", "3 min 12 s"), ("Length", "1,234 steps, 5 epochs"), ("Hardware", "Zen 4, 2 cores")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "65ffd38" in text
    assert "Software" not in text


def test_the_command_is_the_one_that_started_the_run_if_it_is_known(tmp_path):
    assert f"<code>python train.py --config-path={tmp_path} --config-name=config run_dir=NEW" in written(tmp_path)
    (tmp_path / "overrides.json").write_text('["a=[b, c]"]')
    assert "<code>python train.py &#39;a=[b, c]&#39;</code>" in written(tmp_path)
    assert "--config-name=config" in written(tmp_path, CONFIG.replace(FORMAT_KEY, "other"))  # of an older format


def test_a_run_that_has_not_ended_says_so(tmp_path):
    assert "has not finished" in written(tmp_path, val__accuracy=0.5)
    assert "has not finished" not in written(tmp_path, val__accuracy=0.5, time__fit_s=3.0)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_a_view_sees_an_evaluated_model_with_gradients_and_draws_no_number_of_the_run(without_gradients):
    model = built().train()
    before = torch.get_rng_state()
    with without_gradients():
        [section] = sections_of(View(), lambda: (model, TinyImages()))
    assert section.parts[0].text == "False True False"
    assert torch.equal(torch.get_rng_state(), before)


def test_a_view_that_fails_is_a_warning_and_a_section_that_says_why(capsys):
    [section] = sections_of(View(KeyError("class\nnames")), lambda: (built(), TinyImages()))
    assert section.parts[0].text == r"View failed: KeyError: 'class\nnames'"
    assert capsys.readouterr().err.startswith("warning: the report lacks what View shows of the model (KeyError")


def test_the_images_of_the_folder_are_shown_under_their_names(tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + bytes(8) + (7).to_bytes(4, "big") + (5).to_bytes(4, "big")
    for name in ("lr_finder", "my_own", "confusion_matrix"):
        (tmp_path / f"{name}.png").write_bytes(png)
    text = written(tmp_path)
    assert text.count('width="7" height="5"') == 3
    for title in ("Learning rate search", "My own", "Confusion matrix"):
        assert f"<h3>{title}</h3>" in text
    assert "<h3>Confusion matrix</h3>" not in report_page(tmp_path, [Section("A view", [])])  # which draws its own


def test_the_config_is_folded_in(tmp_path):
    assert "<details><summary>config.yaml</summary><pre># Repeat: python" in written(tmp_path)
