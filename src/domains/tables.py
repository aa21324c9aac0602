"""Tables, for shared code."""

from src.core.domains import Domain

DOMAIN = Domain(
    name="tables",
    model="a model of tables",
    spec_key="processing",
    scores=("auroc", "accuracy", "rmse", "loss"),
    asked_by="input",
    suffixes="src.datamodules.tables.files.SUFFIXES",
    check="src.predict.tables.check",
    predict="src.predict.tables.predict",
    answered="src.predict.tables.answered",
    served="src.serving.tables.graph.ServedTable",
    shown="src.report.tables.batches.sections",
)
