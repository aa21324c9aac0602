"""Images, for shared code."""

from src.core.domains import Domain

DOMAIN = Domain(
    name="images",
    model="an image model",
    spec_key="image_size",
    scores=("accuracy", "mean_average_precision", "r2", "loss"),
    asked_by="input",
    suffixes="src.datamodules.images.files.SUFFIXES",
    check="src.predict.images.ask.check",
    predict="src.predict.images.ask.predict",
    answered="src.predict.images.table.answered",
    served="src.serving.images.graph.ServedImages",
    shown="src.report.images.batches.sections",
)
