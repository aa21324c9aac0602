from types import SimpleNamespace

import pytest
import torch
from torch import nn

from src.datamodules.text.tokenization import decode, encode
from src.models.text.recurrent_net import LanguageFeatures
from src.predict.text import predict

SPEC = {"vocab_size": 256, "vocabulary": [str(number) for number in range(256)], "tokenizer": {"name": "byte"}}
PROMPT = "Ça été"


class Reciter(nn.Module):
    """Continues any prompt of `PROMPT`'s length with the given bytes, one after another."""

    def __init__(self, content):
        super().__init__()
        self.content = content
        self.decoder = nn.Identity()

    def forward(self, tokens, state=None):
        seen = (state or 0) + len(tokens)
        number = self.content[seen - len(PROMPT.encode())]
        logits = nn.functional.one_hot(torch.tensor([[number]]), 256) * 9.0
        return LanguageFeatures(logits, logits, seen)


@pytest.mark.parametrize(
    "content",
    ["é€😀 ja".encode(), "a€".encode()[:3], b"\xff\xffa\xc3", "\N{REPLACEMENT CHARACTER}!".encode()],
    ids=["whole", "cut within a character", "not UTF-8", "a true replacement character"],
)
def test_what_is_shown_of_bytes_is_the_text_of_all_of_them(content, capsys):
    model = SimpleNamespace(hparams={"spec": SPEC}, net=Reciter(content), device="cpu")
    sampling = {"temperature": 0.0, "top_k": None, "top_p": None, "seed": 0}
    predict([model], prompt=PROMPT, length=len(content), **sampling)
    assert capsys.readouterr().out == decode([*encode(PROMPT, SPEC), *content], SPEC) + "\n"
