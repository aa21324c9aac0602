"""The trainings that golden files record: small ones, which together have every net, optimizer and schedule of conf."""

from src.core.errors import ROOT

GOLDEN = ROOT / "tests" / "golden"
STEPS = 10
SAVED_AT = STEPS - 1  # the checkpoint's step: within the epoch, one step before the end

COMMON = f"trainer.max_epochs=1 trainer.limit_train_batches={STEPS} trainer.limit_val_batches=2"
COMMON += " trainer.limit_test_batches=1 trainer.log_every_n_steps=1 trainer.precision=32-true trainer.accelerator=cpu"
COMMON += " ~callbacks.report logger=csv"
DIGITS = "experiment=digits callbacks=default datamodule.batch_size=20 datamodule.augmentation.flip=true"
DIGITS += " datamodule.augmentation.crop_padding=1"
TABLE = "experiment=table callbacks=default datamodule.train_files=rows.csv datamodule.batch_size=20"
TABLE += " model/net=entity_mlp model.net.widths=[6,5] datamodule.date_parts=[month,day_of_week,elapsed]"
TABLE += " datamodule.clip_numbers=false datamodule.continuous_scaling=standardise model.lr=1e-2"  # as in format 1
WORDS = "experiment=shakespeare callbacks=default datamodule=text_files datamodule.folder=words datamodule.batch_size=4"
WORDS += " datamodule.split=end"
WORDS += " datamodule.bptt=5 datamodule.eval_batch_size=2 model.net.embedding_size=6 model.net.hidden_size=8"
STAGES = "model.net.blocks=[1,1,1,1] model.net.width=2"
SGD = "model/optimizer=sgd model/scheduler=constant"

CASES = {
    "cnn_small": f"{DIGITS} callbacks=ema model.net.widths=[4,7] model.label_smoothing=0.1",
    "mlp": f"{DIGITS} model/net=mlp model.net.widths=[8] model.net.dropout=0.2 {SGD}",
    "fast_net": f"{DIGITS} model/net=fast_net model.net.widths=[3,4,5] model.net.depths=[1,1,1]"
    " model/optimizer=muon model/scheduler=triangle datamodule.augmentation.mixup=0.5",
    "resnet18": f"{DIGITS} model/net=resnet18 {STAGES} model/scheduler=flat_cosine callbacks=freeze",
    "resnet34": f"{DIGITS} model/net=resnet34 {STAGES} model.net.stem=xresnet model.net.antialias=true"
    " model/optimizer=sgd",
    "resnet50": f"{DIGITS} model/net=resnet50 {STAGES} model/optimizer=sgd model/scheduler=cosine_restarts",
    "entity_mlp": f"{TABLE} datamodule.target=late datamodule.task=binary callbacks=lr_finder"
    " callbacks.lr_finder.num_steps=12 callbacks.lr_finder.min_lr=1e-3 callbacks.lr_finder.max_lr=1",
    "entity_mlp_ensemble": f"{TABLE} datamodule.target=city datamodule.task=multiclass"
    " model.net.numerical=piecewise_linear model.net.num_members=2 model.net.embedding_dropout=0.1",
    "entity_mlp_regression": f"{TABLE} datamodule.target=[rain,snow] datamodule.task=regression"
    " model.net.numerical=periodic model.net.y_range=true model.net.unknown_dropout=0.1"
    " datamodule.continuous_scaling=quantile",
    "awd_lstm": f"{WORDS} callbacks=nt_asgd {SGD} model.lr=1 datamodule.vary_bptt=true datamodule.min_freq=1",
    "awd_lstm_cutoffs": f"{WORDS} model.net.tie_weights=false model.net.cutoffs=[10] datamodule.tokenizer=char",
    "qrnn": f"{WORDS} model/net=qrnn callbacks=ema datamodule.documents=true datamodule.document_start='^'"
    " model.net.pooling=ifo model.net.zoneout=0.1",
}


def overrides(case: str) -> list[str]:
    """What the command line of a case says, without its run_dir and cache_dir."""
    given = [*CASES[case].split(), *COMMON.split(), f"data_dir={GOLDEN / 'data'}"]
    # Hydra takes the last choice of a group; twice is an error.
    chosen = {text.split("=", 1)[0]: text for text in given}
    return list(chosen.values())
