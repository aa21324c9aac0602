"""Images, for shared code."""

from src.domains.registry import Domain

DOMAIN = Domain(
    title="Images",
    model="an image classifier",
    package="src.models.images",
    spec_key="image_size",
    scores=("accuracy", "loss"),
    asked_by="input",
    suffixes="src.datamodules.images.files.SUFFIXES",
    check="src.predict.images.check",
    predict="src.predict.images.predict",
    served="src.serving.images.graph.ServedImages",
)
