"""Words and their vectors by the transformers library, which is an extra: a stand-in with its calls takes its place.

Real models (CLIP, BERT, T5, BLIP with random weights, transformers 5.24) were tried by hand; the library is not among
what tests install.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from storm_edge.errors import BackendError, ConfigError
from storm_edge.networks.language import PROMPT, captioner, text_encoder

PICTURE = np.full((8, 8, 3), 100, dtype=np.uint8)


class Encoder:
    def __init__(self, pooled: bool) -> None:
        self._pooled = pooled

    def eval(self) -> Encoder:
        return self

    def get_encoder(self) -> Encoder:
        return Encoder(pooled=False)

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        states = input_ids[..., None].float().repeat(1, 1, 4)
        return SimpleNamespace(last_hidden_state=states, pooler_output=states[:, 0] if self._pooled else None)


class Speaker:
    """A captioner; with a template it is asked in words, which come back before the answer."""

    def __init__(self, template: str | None, answer: str) -> None:
        self.chat_template, self._answer = template, answer
        self.asked = ""

    def eval(self) -> Speaker:
        return self

    def to(self, device: str) -> Speaker:
        return self

    def apply_chat_template(self, messages: list[Any], *, add_generation_prompt: bool, tokenize: bool) -> str:
        return str(messages[-1]["content"][-1]["text"])

    def __call__(self, *, images: Any, return_tensors: str, text: str = "") -> Any:
        self.asked = text
        return Inputs(input_ids=torch.zeros(1, 3 if text else 1, dtype=torch.long))

    def generate(self, input_ids: torch.Tensor, *, max_new_tokens: int, do_sample: bool) -> torch.Tensor:
        begin = input_ids if self.chat_template else input_ids[:, :0]
        return torch.cat([begin, torch.ones(1, 2, dtype=torch.long)], dim=1)

    def batch_decode(self, tokens: torch.Tensor, *, skip_special_tokens: bool) -> list[str]:
        assert tokens.tolist() == [[1, 1]]
        return [self._answer]


class Inputs(dict[str, torch.Tensor]):
    def to(self, device: str) -> Inputs:
        return self


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found: Any = ModuleType("transformers")

    def named(**kinds: Any) -> Any:
        def from_pretrained(model: str) -> Any:
            if model not in kinds:
                raise OSError(f"{model} is nowhere\nand much more that nobody reads")
            return kinds[model]

        return SimpleNamespace(from_pretrained=from_pretrained)

    tokens = {"input_ids": torch.tensor([[1, 3]]), "attention_mask": torch.ones(1, 2)}
    found.AutoConfig = named(
        clip=SimpleNamespace(model_type="clip"),
        bert=SimpleNamespace(model_type="bert"),
        t5=SimpleNamespace(model_type="t5", is_encoder_decoder=True),
    )
    found.CLIPTextModel = named(clip=Encoder(pooled=True))
    found.AutoModel = named(bert=Encoder(pooled=False), t5=Encoder(pooled=True))
    found.AutoTokenizer = named(**dict.fromkeys(("clip", "bert", "t5"), lambda texts, **given: tokens))
    asked, silent = Speaker("{{ }}", " red  metal\ncan "), Speaker(None, "")
    found.AutoProcessor = found.AutoModelForImageTextToText = named(
        asked=asked, plain=Speaker(None, "a can"), silent=silent
    )
    found.asked = asked
    monkeypatch.setitem(sys.modules, "transformers", found)
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(("model", "value"), [("clip", 1.0), ("bert", 2.0), ("t5", 2.0)])
def test_text_becomes_the_pooled_output_or_the_mean_of_its_tokens(
    library: ModuleType, model: str, value: float
) -> None:
    vector = text_encoder(model)("a can")
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, np.full(4, value))


def test_captioners_are_asked_in_words_where_they_can_be(library: ModuleType) -> None:
    assert captioner("asked")(PICTURE) == "red metal can"
    assert library.asked.asked == PROMPT  # type: ignore[attr-defined]
    assert captioner("plain")(PICTURE) == "a can"


def test_what_the_library_refuses_is_one_line(library: ModuleType) -> None:
    with pytest.raises(ConfigError, match="nowhere is nowhere, expected a text encoder") as caught:
        text_encoder("nowhere")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no words"):
        captioner("silent")(PICTURE)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"pip install 'storm-edge\[language\]'"):
        text_encoder("clip")
