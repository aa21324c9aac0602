"""Every file of every group in conf/ starts a training: table by table, not only in the experiments that choose it."""

import importlib.util
import re

import pytest
import torch

from src.core.check import check
from tests.support.make_data import write_image_folder, write_sets, write_wikitext
from tests.support.programs import ROOT, composed, run_here

CONF = ROOT / "conf"
GROUPS = ("callbacks", "datamodule", "logger", "model", "model/net", "model/optimizer", "model/scheduler", "trainer")
FILES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
PARENTS = {f"datamodule={name}" for name in ("image_data", "table_data", "text_data")}  # others build on them

DIGITS = ("experiment=digits", "model.net.widths=[4]", "datamodule.batch_size=8")
DIABETES = ("experiment=diabetes", "model.net.widths=[4]", "datamodule.batch_size=8")
WIKITEXT = (
    *("experiment=wikitext2_small", "model.net.embedding_size=6", "model.net.hidden_size=5"),
    *("datamodule.batch_size=3", "datamodule.eval_batch_size=2", "datamodule.bptt=4", "trainer.precision=32-true"),
)
# Not narrower: torch 2.13 crashes in the backward pass of a width of 4 on CPUs without bf16 (AMD EPYC).
RESNET = ("experiment=digits", "datamodule.batch_size=8", "model.net.width=16")
ALONE = (*DIGITS, "trainer.devices=1", "trainer.strategy=auto")  # tests/training/test_ddp.py starts several processes
OWN = (*DIABETES, "datamodule.train_files=own.csv", "datamodule.target=late", "datamodule.task=binary")
TWO = ("datamodule.categorical=[sex,age]", "datamodule.continuous=[]")
TEXTS = (*WIKITEXT, "datamodule.folder=wikitext-2", "datamodule.train_files=[wiki.train.tokens]")
# The settings that a file needs around it; those of digits for the others.
AROUND = {
    **{f"datamodule={name}": DIABETES for name in ("adult", "diabetes", "flights", "function", "rossmann")},
    **{f"datamodule={name}": WIKITEXT for name in ("wikitext2", "wikitext103", "ptb", "enwik8", "shakespeare")},
    **{f"callbacks={name}": WIKITEXT for name in ("text", "bptt_find", "bptt_finder")},
    **{f"model/net={name}": WIKITEXT for name in ("awd_lstm", "qrnn")},
    **{f"model/net={name}": RESNET for name in ("resnet18", "resnet34", "resnet50")},
    **dict.fromkeys(("callbacks=tables", "model=tabular_model"), DIABETES),
    **{f"model/net=entity_{kind}": DIABETES for kind in ("mlp", "ensemble")},
    "model/net=dot_product": ("experiment=table", "datamodule=diabetes", *TWO, "datamodule.batch_size=8"),
    "datamodule=table": OWN,
    "datamodule=text_files": TEXTS,
    "datamodule=image_folder": (*DIGITS, "datamodule.folder=photos", "datamodule.image_size=8"),
    "model=language_model": WIKITEXT,
    "model/net=fast_net": (*DIGITS, "model.net.widths=[4,4,4]"),
    **{f"model/net=efficientnet_lite{size}": (*DIGITS[:1], "model.net.pretrained=false") for size in (0, 1, 2)},
    "model/net=timm": DIGITS[:1],
    "callbacks=nt_asgd": (*DIGITS, "model/optimizer=sgd", "model/scheduler=constant"),
    "callbacks=progressive_resizing": (*DIGITS, "callbacks.progressive_resizing.sizes=[[0, 6]]"),
    "trainer=ddp": (*ALONE, "trainer.accelerator=cpu"),
    "trainer=ddp_cpu": ALONE,
}
# Experiments choose these: tests/test_experiments.py trains with them.
CHOSEN = {f"callbacks={name}" for name in ("images", "tables", "text")}
CHOSEN |= {f"datamodule={name}" for name in ("adult", "cifar10", "digits", "diabetes", "fashion_mnist", "flights")}
CHOSEN |= {
    f"datamodule={name}" for name in ("function", "image_folder", "rossmann", "shakespeare", "table", "wikitext2")
}
CHOSEN |= {f"model={name}" for name in ("image_classifier", "language_model", "tabular_model")}
CHOSEN |= {f"model/net={name}" for name in ("awd_lstm", "cnn_small", "entity_ensemble", "entity_mlp")}
CHOSEN |= {f"model/net={name}" for name in ("fast_net", "mlp", "qrnn")}
# What this machine may lack.
LACKING = {}
if importlib.util.find_spec("timm") is None:
    LACKING["model/net=timm"] = "needs the package timm: pip install timm"
if not torch.cuda.is_available():
    LACKING["trainer=fsdp"] = "needs a GPU, and torch finds none; trainer=ddp_cpu is for several processes on the CPU"
STARTING = [file for file in FILES if file not in PARENTS and file not in LACKING]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Small files in the form of each set that no package holds."""
    folder = tmp_path_factory.mktemp("conf_data")
    write_sets(folder)
    write_image_folder(folder / "photos", ["a", "b"], size=(8, 8))
    write_wikitext(folder / "wikitext-103")
    (folder / "ptb").mkdir()
    for split in ("train", "valid", "test"):
        text = (folder / "wikitext-2" / f"wiki.{split}.tokens").read_bytes()
        (folder / "ptb" / f"ptb.{split}.txt").write_bytes(text)
    (folder / "enwik8").mkdir()
    (folder / "enwik8" / "enwik8").write_bytes(text * 3)
    (folder / "own.csv").write_text("day,late\n" + "1,no\n2,yes\n3,no\n" * 20)
    return folder


def started(file, run_dir, data_dir, monkeypatch):
    """Check and run the config of a file, for one epoch of two batches, as train.py does."""
    places = [f"run_dir={run_dir}", f"data_dir={data_dir}", f"cache_dir={data_dir}/cache"]
    short = [f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    short += ["trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    bare = [] if file.startswith("callbacks") else ["callbacks=default", "~callbacks.report"]
    config = composed(*AROUND.get(file, DIGITS), *bare, file, *places, *short)
    check(config)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return run_here(config)


@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.long] * (f in CHOSEN)) for f in STARTING])
def test_a_file_starts_a_training(file, tmp_path, data_dir, monkeypatch):
    scores = started(file, tmp_path / "run", data_dir, monkeypatch).scores
    if file == "callbacks=none":  # nothing counts the steps
        assert "test/accuracy" in scores
    else:
        assert scores["train/steps"] == (0 if file.endswith("_find") else 2)


@pytest.mark.parametrize(("file", "words"), LACKING.items())
def test_a_file_says_what_the_machine_lacks(file, words, tmp_path, data_dir, monkeypatch):
    with pytest.raises(Exception, match=re.escape(words)):
        started(file, tmp_path / "run", data_dir, monkeypatch)


@pytest.mark.parametrize("file", sorted(PARENTS))
def test_a_file_that_others_build_on_lacks_what_they_add(file, tmp_path):
    with pytest.raises(Exception, match="datamodule"):
        check(composed(*DIGITS, file, f"run_dir={tmp_path}"))
