"""What the segmenter keeps of an object: its colours, and what the network made of its views, as arrays and as bytes.

`pipeline.segment.template_cache` stores it in object bundles and reads it back.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.array_file import parse_arrays
from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.kernels.segment_inputs.colour_model import ColourModel
from storm_edge.objects.bundle import ObjectBundle

Float32 = NDArray[np.float32]

_TENSOR = "tensor."
"""Stands before the names of tensors in the bytes."""
_HALF_PRECISION_SIZE = 1 << 18  # fixed: the format of stored embeddings; larger tensors are in half precision


@dataclass(frozen=True, kw_only=True)
class TemplateEmbedding:
    """An object as the segmenter knows it: made once, some 100 ms with our network, or loaded."""

    diameter_m: float
    """The object's diameter."""
    colours: ColourModel
    """Its colours."""
    tensors: dict[str, Float32]
    """Keys and values for the network, and its language context if it takes one; empty without a network."""
    network: str
    """Fingerprint of the network that made keys and values."""
    model: str
    """Fingerprint of the model file."""

    def to_bytes(self) -> bytes:
        """It all as the bytes of an ``.npz``, large tensors in half precision: 12 MiB for STORM's network."""
        stream = io.BytesIO()
        np.savez(
            stream,
            diameter_m=self.diameter_m,
            rgb=self.colours.rgb,
            chroma=self.colours.chroma,
            network=self.network,
            model=self.model,
            **{_TENSOR + name: _stored(tensor) for name, tensor in self.tensors.items()},  # type: ignore[arg-type]
        )
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes, *, what: object) -> TemplateEmbedding:
        """What `to_bytes` made; whether it fits network and object is checked by `check`.

        Args:
            data: The bytes.
            what: Where they came from, for messages.

        Raises:
            ObjectBundleError: They are something else.
        """
        try:
            arrays = parse_arrays(data)
            tensors = {
                n.removeprefix(_TENSOR): a.astype(np.float32) for n, a in arrays.items() if n.startswith(_TENSOR)
            }
            return TemplateEmbedding(
                diameter_m=float(arrays["diameter_m"]),
                colours=ColourModel(rgb=arrays["rgb"], chroma=arrays["chroma"]),
                tensors=tensors,
                network=str(arrays["network"]),
                model=str(arrays["model"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            got = str(error).splitlines()[0]
            raise ObjectBundleError(
                mismatch(what, got, "a template embedding of an object", "onboard the object again")
            ) from error

    def check(self, bundle: ObjectBundle, network: str) -> None:
        """Refuse to be used for another object, or with another network.

        Args:
            bundle: The object it is to be used for.
            network: Fingerprint of the network it is to be used with.

        Raises:
            ObjectBundleError: It does not belong there.
        """
        remedy = "onboard the object again with this network bundle"
        for what, got, expected in (
            ("network", self.network, network),
            ("model", self.model, bundle.source.sha256),
        ):
            if got != expected:
                name = f"template embedding of {bundle.object_id}: {what}"
                raise ObjectBundleError(mismatch(name, short(got), short(expected), remedy))


def short(fingerprint: str) -> str:
    """As much of a fingerprint as a message needs."""
    return fingerprint[:12]


def _stored(tensor: Float32) -> NDArray[np.floating]:
    """In half precision if it is large."""
    return tensor.astype(np.float16) if tensor.size > _HALF_PRECISION_SIZE else tensor
