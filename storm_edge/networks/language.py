"""Words of an object and what a text encoder makes of them, by models of the ``transformers`` library (an extra).

A model is named by its folder or by its name in the library's hub, which the library then fetches. Any text encoder
and any image captioner will do; upstream trained its segmenter with the pooled output of CLIP ViT-B/32 (512 numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from storm_edge.errors import BackendError, ConfigError, mismatch

PROMPT = (
    "The picture shows one object in front of a plain grey background. Name its kind, colours, material and shape in "
    "a few keywords with blanks between them, no sentence. Leave out what you are not sure of."
)
"""What captioners that are asked in words are asked."""
_LONGEST_ERROR = 200  # characters; the library explains at length


def text_encoder(model: str) -> Callable[[str], NDArray[np.float32]]:
    """The pooled output of a text encoder; the mean of its tokens where it has none.

    Args:
        model: Folder or name of the model; it is read once.

    Returns:
        Takes a text, of which more than the encoder takes is cut off, and returns a vector ``(length,)``.

    Raises:
        BackendError: The library is not installed.
        ConfigError: There is no such model, or it encodes no text.
    """
    transformers = _library()
    with _as_ours(model, "a text encoder"):
        config = transformers.AutoConfig.from_pretrained(model)
        is_clip = config.model_type in ("clip", "clip_text_model")
        kind = transformers.CLIPTextModel if is_clip else transformers.AutoModel
        net, tokenizer = kind.from_pretrained(model).eval(), transformers.AutoTokenizer.from_pretrained(model)
        if getattr(config, "is_encoder_decoder", False):
            net = net.get_encoder()

    def encode(text: str) -> NDArray[np.float32]:
        with _as_ours(model, "a text encoder"), torch.no_grad():
            tokens = tokenizer([text], truncation=True, return_tensors="pt")
            output = net(**{name: tokens[name] for name in ("input_ids", "attention_mask")})
            pooled = getattr(output, "pooler_output", None)
            vector = output.last_hidden_state.mean(1) if pooled is None else pooled
        found: NDArray[np.float32] = vector[0].float().numpy()
        return found

    return encode


def captioner(model: str, *, device: str = "cpu", longest: int = 100) -> Callable[[NDArray[np.uint8]], str]:
    """What a captioner says of a picture, on one line.

    Args:
        model: Folder or name of the model: one that is asked in words (such as Gemma 3), or one that only captions
            (such as BLIP). It is read once.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        longest: Most tokens of an answer.

    Returns:
        Takes a picture RGB ``(H, W, 3)``, and returns words.

    Raises:
        BackendError: The library is not installed.
        ConfigError: There is no such model, it captions no pictures, or it says nothing.
    """
    transformers = _library()
    with _as_ours(model, "an image captioner"):
        processor = transformers.AutoProcessor.from_pretrained(model)
        net = transformers.AutoModelForImageTextToText.from_pretrained(model).eval().to(device)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]

    def say(picture: NDArray[np.uint8]) -> str:
        image = Image.fromarray(picture)
        with _as_ours(model, "an image captioner"), torch.no_grad():
            if getattr(processor, "chat_template", None):
                prompt = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
                inputs = processor(images=image, text=prompt, return_tensors="pt").to(device)
                begin = inputs["input_ids"].shape[1]
            else:
                inputs, begin = processor(images=image, return_tensors="pt").to(device), 0
            tokens = net.generate(**inputs, max_new_tokens=longest, do_sample=False)
            text = processor.batch_decode(tokens[:, begin:], skip_special_tokens=True)[0]
        words = " ".join(str(text).split())
        if not words:
            raise ConfigError(mismatch(f"model {model}", "no words", "a description", "use another captioner"))
        return words

    return say


def _library() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        remedy = "pip install 'storm-edge[language]'"
        got = f"no module '{error.name}'"
        raise BackendError(mismatch("descriptions", got, "the language extra", remedy)) from error
    return transformers


@contextmanager
def _as_ours(model: str, expected: str) -> Iterator[None]:
    """Whatever the library raises of a model, as one line."""
    try:
        yield
    except (ConfigError, BackendError):
        raise
    except torch.OutOfMemoryError as error:
        remedy = "use a smaller model, or --device cpu"
        raise BackendError(mismatch(f"model {model}", "no memory left", "room for it", remedy)) from error
    except Exception as error:  # of models that are not there or of another kind it raises many kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_ERROR]
        remedy = "check the name, or give its folder"
        raise ConfigError(mismatch(f"model {model}", first, expected, remedy)) from error
