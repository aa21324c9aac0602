"""Shares of a made-up profile, and of a short training."""

import json

import pytest

from scripts.profile_step import main, shares_of_loop


def test_the_parts_of_the_loop_add_up_to_it():
    seconds = {
        "run_training_epoch": 10.0,
        "[Strategy]SingleDeviceStrategy.training_step": 2.0,
        "[Strategy]SingleDeviceStrategy.backward": 3.0,
        "[LightningModule]ImageClassifier.optimizer_step": 6.0,  # forward and backward included
        "[_TrainingEpochLoop].train_dataloader_next": 0.5,
        "[LightningDataModule]Digits.on_after_batch_transfer": 1.5,
        "[Callback]Other.on_train_batch_end": 9.0,
    }
    assert shares_of_loop(seconds) == pytest.approx(
        {
            "forward and loss": 0.2,
            "backward": 0.3,
            "optimizer and schedule": 0.1,
            "next batch (indexing)": 0.05,
            "augmentation": 0.15,
            "the rest": 0.2,
        }
    )


def test_a_short_training_is_profiled(capsys):
    main(["experiment=digits", "model.net.widths=[3]", "datamodule.batch_size=400", "--quick"])
    shares = json.loads(capsys.readouterr().out.splitlines()[-1])
    net = sum(shares[name] for name in ("forward and loss", "backward", "optimizer and schedule"))
    assert shares.pop("ratio") == pytest.approx(net, abs=2e-4)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("override", "words"),
    [("experiment=nothing", "there is no experiment nothing"), ("model.lr=fast", "model.lr must be float, got 'fast'")],
)
def test_a_mistake_ends_in_words(override, words, capsys):
    with pytest.raises(SystemExit, match="1"):
        main([override])
    assert capsys.readouterr().err.startswith(f"error: {words}")
