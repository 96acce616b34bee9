"""Puts loops together: a network bundle decides how objects are searched for and who votes on their tracks."""

from __future__ import annotations

from collections.abc import Sequence

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.find import Finder
from storm_edge.perception.segment import SegmentConfig, Segmenter, Source
from storm_edge.perception.verify import Verifier
from storm_edge.runtime.object_loop import LoopConfig, ObjectLoop


def make_segmenter(
    networks: NetworkBundle | None, *, device: str = "cpu", options: OrtOptions | None = None
) -> Segmenter | None:
    """The segmenter of a bundle; None where it has none. Without any bundle colours and depth alone segment."""
    if networks is None:
        return Segmenter(None, config=SegmentConfig(source=Source.COLOUR), device=device)
    if "som_head" not in networks.networks:
        return None
    return Segmenter(networks, device=device, options=options)


def make_loops(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    *,
    config: LoopConfig | None = None,
    device: str = "cpu",
) -> list[ObjectLoop]:
    """A loop per object, with one segmenter for all of them.

    Args:
        bundles: The objects.
        networks: The network bundle; None runs on geometry and colours alone.
        config: Schedules and thresholds.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.

    Raises:
        EngineError: A network of the bundle breaks its contract.
        BackendError: The device is not available.
    """
    options = OrtOptions(device=device)
    segmenter = make_segmenter(networks, device=device, options=options)
    loops = []
    for bundle in bundles:
        finder = verifier = None
        if segmenter is not None:
            finder = Finder(bundle, segmenter, networks=networks, device=device, options=options)
        if networks is not None and "tom_encode" in networks.networks:
            verifier = Verifier(bundle, networks, device=device, options=options)
        loops.append(
            ObjectLoop(
                bundle, networks, config=config, device=device, options=options, finder=finder, verifier=verifier
            )
        )
    return loops
