"""Tables, for shared code."""

from src.domains.registry import Domain

DOMAIN = Domain(
    title="Tables",
    model="a model of tables",
    package="src.models.tables",
    spec_key="processing",
    scores=("auroc", "accuracy", "rmse", "loss"),
    asked_by="input",
    suffixes="src.datamodules.tables.files.SUFFIXES",
    check="src.predict.tables.check",
    predict="src.predict.tables.predict",
    served="src.serving.tables.graph.ServedTable",
)
