"""Images, for shared code."""

from src.core.domains import Domain

DOMAIN = Domain(
    name="images",
    model="an image classifier",
    spec_key="image_size",
    scores=("accuracy", "loss"),
    asked_by="input",
    suffixes="src.datamodules.images.files.SUFFIXES",
    check="src.predict.images.check",
    predict="src.predict.images.predict",
    served="src.serving.images.graph.ServedImages",
)
