"""Template embeddings in object bundles: stored at onboarding, and read back when the object is searched for.

An embedding is bound to the network that made it. It is never made anew behind the user's back where that takes long,
and never taken from another network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.objects.bundle import ObjectBundle, is_bundle
from storm_edge.objects.bundle_files import StoredEmbedding, read_stored_embedding, stored_embeddings
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.maps import COLOURS_ONLY
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding, short

Float32 = NDArray[np.float32]


def make_template_embedding(
    segmenter: Segmenter, bundle: ObjectBundle, *, name: str, context: Float32 | None = None
) -> StoredEmbedding:
    """Encode an object, to be stored with it.

    Args:
        segmenter: With a network.
        bundle: The object.
        name: Of the network bundle.
        context: What a text encoder makes of the object's description ``(length,)``; for segmenters that take one.

    Raises:
        ConfigError: The network takes no context, or another.
        MeshError: The model shows nothing from any side.
    """
    embedding = segmenter.encode_object(ObjectOnDevice(bundle), context=context)
    return StoredEmbedding(bundle=name, network=segmenter.fingerprint, data=embedding.to_bytes())


def load_template_embedding(path: Path, segmenter: Segmenter, bundle: ObjectBundle) -> TemplateEmbedding | None:
    """What was stored of an object for this segmenter.

    Args:
        path: Where ``bundle`` came from: its folder, or a model file that was onboarded on the spot.
        segmenter: That will search for it.
        bundle: The object.

    Returns:
        None where nothing is stored and the object can be encoded on the spot: with colours alone, from a model file,
        or with a network that needs a moment only.

    Raises:
        ObjectBundleError: What is stored is of other networks, edited, or of another model; or nothing is, and the
            network takes long.
    """
    if segmenter.fingerprint == COLOURS_ONLY or not is_bundle(path):
        return None
    stored = read_stored_embedding(path, segmenter.fingerprint)
    if stored is not None:
        embedding = TemplateEmbedding.from_bytes(stored.data, what=f"{path}: template embedding for {stored.bundle}")
        segmenter.check(embedding, bundle)
        return embedding
    others = stored_embeddings(path)
    if not others and segmenter.encodes_quickly:
        return None
    got = ", ".join(f"{name} ({short(network)})" for network, name in others.items())
    what = f"{path}: views of {bundle.object_id} for a network"
    remedy = "onboard the object again with --bundle and this network bundle"
    raise ObjectBundleError(
        mismatch(what, f"those for {got}" if got else "none", short(segmenter.fingerprint), remedy)
    )
