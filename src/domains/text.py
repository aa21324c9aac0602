"""Text, for shared code."""

from src.domains.registry import Domain

DOMAIN = Domain(
    title="Text",
    model="a language model",
    package="src.models.text",
    spec_key="vocabulary",
    scores=("perplexity", "loss"),
    asked_by="prompt",
    suffixes=None,
    check="src.predict.text.check",
    predict="src.predict.text.predict",
    served="src.serving.text.graph.ServedText",
)
