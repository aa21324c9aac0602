"""The runs that are killed: small ones, which together have all that a training may have to remember."""

import random
from pathlib import Path

DIGITS = "experiment=digits callbacks=default model.net.widths=[5] datamodule.batch_size=100 trainer.max_epochs=40"
DIGITS += " datamodule.augmentation.flip=true datamodule.augmentation.crop_padding=1 datamodule.augmentation.mixup=0.5"
WORDS = "experiment=shakespeare datamodule=text_files datamodule.folder=words datamodule.batch_size=5"
WORDS += " datamodule.bptt=11 trainer.max_epochs=12 model.net.embedding_size=8 model.net.hidden_size=12"
TABLE = "experiment=table datamodule.train_files=rows.csv datamodule.target=late datamodule.task=binary"
TABLE += " model/net=entity_mlp datamodule.batch_size=50 model.net.widths=[9,7] trainer.max_epochs=60"
DIABETES = "experiment=table datamodule=diabetes model/net=entity_mlp model.net.widths=[9,7] trainer.max_epochs=60"
FINDER = "callbacks.lr_finder.num_steps=20 callbacks.lr_finder.min_lr=1e-3 callbacks.lr_finder.max_lr=1"
STOPPER = "+callbacks.stopper._target_=pytorch_lightning.callbacks.EarlyStopping"
STOPPER += " +callbacks.stopper.monitor=val/loss +callbacks.stopper.min_delta=9 +callbacks.stopper.patience=25"
PLATEAU = "model/scheduler=constant model.scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"
PLATEAU += " +model.scheduler.patience=0 +model.scheduler.threshold=0.5"
DDP = "trainer=ddp_cpu trainer.devices="
FSDP = "trainer=fsdp trainer.accelerator=cpu trainer.devices=2"

CASES = {
    "digits": f"{DIGITS} trainer.accumulate_grad_batches=4 trainer.val_check_interval=6",
    "table": f"{TABLE} model.net.numerical=piecewise_linear model.net.num_members=2",
    "words": f"{WORDS} callbacks=[text,nt_asgd] datamodule.vary_bptt=true model/optimizer=sgd model/scheduler=constant"
    " callbacks.nt_asgd.patience=1 trainer.val_check_interval=20 model.lr=3",
    "digits_ema": f"{DIGITS} callbacks=[images,ema] trainer.check_val_every_n_epoch=2 trainer.precision=auto",
    "digits_fine": f"{DIGITS} callbacks=[freeze,lr_finder,progressive_resizing] callbacks.freezing.epochs=4"
    f" callbacks.lr_finder.epochs=[0,4] callbacks.progressive_resizing.sizes=[[0,6],[20,null]] {FINDER}",
    "diabetes": f"{DIABETES} logger=[csv,wandb] callbacks=[ema,lr_finder] {FINDER}",
    "words_finders": f"{WORDS} callbacks=[text,bptt_finder,lr_finder] callbacks.bptt_finder.ladder=[4,8,16]"
    f" callbacks.bptt_finder.min_speed=0 callbacks.bptt_finder.steps=2 trainer.accumulate_grad_batches=2 {FINDER}",
    "digits_stop": f"{DIGITS} {STOPPER}",
    "words_qrnn": f"{WORDS} model/net=qrnn callbacks=[text,ema] datamodule.documents=true"
    " datamodule.document_start='^' logger=[csv,wandb]",
    "table_plateau": f"{TABLE} {PLATEAU} {STOPPER} trainer.val_check_interval=0.5",
    "digits_2_ranks": f"{DIGITS} trainer.accumulate_grad_batches=4 trainer.val_check_interval=3 {DDP}2",
    "table_3_ranks": f"{TABLE} {DDP}3",
    "words_3_ranks": f"{WORDS} callbacks=[text,nt_asgd] callbacks.nt_asgd.patience=1 model/optimizer=sgd"
    f" model/scheduler=constant model.lr=3 {DDP}3",
    "digits_4_ranks": f"{DIGITS} callbacks=[images,ema] {DDP}4",
    "table_4_ranks": f"{TABLE} {PLATEAU} {DDP}4",
    "digits_fsdp": f"{DIGITS} trainer.accumulate_grad_batches=4 trainer.val_check_interval=3 {FSDP}",
}


def write_data(folder: Path) -> None:
    """Write a text and a table, so small that an epoch takes a fraction of a second."""
    draw = random.Random(0)
    words = [f"w{draw.randrange(30) * draw.randrange(30)}" for _ in range(3_000)]
    (folder / "words").mkdir(parents=True)
    lines = (" ".join(words[start : start + 12]) for start in range(0, len(words), 12))
    (folder / "words" / "words.txt").write_text("\n".join(lines))
    rows = [(draw.choice("abcde"), draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(800)]
    table = [f"{city},{wind:.3f},{rain:.3f},{'no' if wind + rain < 0 else 'yes'}" for city, wind, rain in rows]
    (folder / "rows.csv").write_text("\n".join(["city,wind,rain,late", *table]))
