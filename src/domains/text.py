"""Text, for shared code."""

from src.core.domains import Domain

DOMAIN = Domain(
    name="text",
    model="a language model",
    spec_key="vocabulary",
    scores=("perplexity", "loss"),
    asked_by="prompt",
    suffixes=None,
    check="src.predict.text.check",
    predict="src.predict.text.predict",
    answered=None,
    served="src.serving.text.graph.ServedText",
    shown="src.report.text.batches.sections",
)
