"""Puts loops together: a network bundle decides how objects are searched for and who votes on their tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from storm_edge.choices import TrackerKind
from storm_edge.engines.backend import Backend
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.kernels.streams import LaneStreams, lane_streams, on_stream, settle
from storm_edge.live.batched_group import BatchedGroup
from storm_edge.live.config import StormConfig
from storm_edge.live.executor import ObjectSession
from storm_edge.live.faults import EngineRecovery, LaneHealth, ReopenableNetworks
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.session import Session
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import load_template_embedding
from storm_edge.pipeline.verify.verifier import open_verifier


def with_chunks(config: StormConfig, *, beside: bool) -> StormConfig:
    """The same configuration with all registrations in chunks of the size asked for.

    Args:
        config: Its ``loop.register_chunk``, if it has one, is the size.
        beside: Whether they run on a lane beside the frames.
    """
    loop = config.loop
    chunk = loop.register_chunk or (loop.register_chunk_beside if beside else None)
    if chunk is None:
        return config
    detect = replace(
        config.detect,
        fast=replace(config.detect.fast, chunk=chunk),
        refined=replace(config.detect.refined, chunk=chunk),
    )
    return replace(config, register=replace(config.register, chunk=chunk), detect=detect)


def streams_of(device: str, networks: NetworkBundle | None) -> LaneStreams:
    """The streams of the lanes: one for all where networks run in ONNX Runtime, whose sessions know a single one.

    Raises:
        BackendError: The device is not available.
    """
    return lane_streams(device, shared=networks is not None and networks.backend is Backend.ONNXRUNTIME)


def make_segmenter(
    networks: NetworkBundle | None,
    *,
    config: SegmentConfig | None = None,
    sam2: bool = False,
    device: str = "cpu",
    options: EngineOptions | None = None,
) -> Segmenter | None:
    """The segmenter of a bundle; None where it has none. Without any bundle colours and depth alone segment.

    Args:
        networks: The bundle, or None.
        config: How candidates are made.
        sam2: Whether SAM2 sharpens their masks.
        device: Warp device name.
        options: Where and how the engines run.

    Raises:
        EngineError: SAM2 is to sharpen masks and the bundle does not have it.
    """
    config = config or SegmentConfig()
    if sam2:
        config = replace(config, sharpen=replace(config.sharpen, enabled=True))
    if networks is None:
        return Segmenter(None, config=replace(config, source=Source.COLOUR), device=device)
    if "som_head" not in networks.networks and not sam2:
        return None
    return Segmenter(networks, config=config, device=device, options=options)


def make_batched_group(
    networks: NetworkBundle | None, config: StormConfig, *, device: str, options: EngineOptions | None = None
) -> BatchedGroup:
    """What follows objects together, as a loop is configured; arguments and errors as `make_object_sessions`."""
    schedule = config.track.batched
    if config.track.stepwise.ask_network == "never":
        schedule = replace(schedule, network_iterations=0)
    return BatchedGroup(networks, config=schedule, fallback=config.track.stepwise, device=device, options=options)


def open_session(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    *,
    config: StormConfig | None = None,
    device: str = "cpu",
) -> Session:
    """A session that finds and tracks these objects, without a background thread.

    Args:
        bundles: The objects.
        networks: The network bundle; None runs on geometry and colours alone.
        config: Schedules and thresholds.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.

    Raises:
        StormEdgeError: As `make_object_sessions`.
    """
    objects = make_object_sessions(bundles, networks, config=config, device=device)
    return Session(objects, config=config, device=device, stream=streams_of(device, networks).track)


def make_object_sessions(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    *,
    config: StormConfig | None = None,
    device: str = "cpu",
    lane: BackgroundLane | None = None,
    sam2: bool = False,
    paths: Sequence[Path | None] | None = None,
    health: LaneHealth | None = None,
    group: BatchedGroup | None = None,
) -> list[ObjectSession]:
    """A loop per object, with one segmenter for all of them.

    Args:
        bundles: The objects.
        networks: The network bundle; None runs on geometry and colours alone.
        config: Schedules and thresholds.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        lane: Looks for objects beside the frames; None looks for them in between.
        sam2: Whether SAM2 sharpens the masks of a search.
        paths: Where the objects came from, a folder or a model file each; what the segmenter keeps of an object is
            read there, and made anew for those without.
        health: Of the lanes, where objects are added to a loop that runs; its own if None.
        group: Of that loop, if its objects are followed together; a new one if None, where the configuration or the
            device asks for one.

    Raises:
        EngineError: A network of the bundle breaks its contract, or it lacks SAM2.
        ObjectBundleError: What is kept of an object was made by other networks.
        BackendError: The device is not available.
    """
    stream = streams_of(device, networks).track
    with on_stream(stream):
        # Threads that wait actively between calls would take the core that searches and other objects need.
        options = EngineOptions(device=device, spinning=False, stream=stream)
        loops = _make_loops(bundles, networks, config or StormConfig(), lane, sam2, paths, health, group, options)
    if stream is not None:
        settle(device)
    return loops


def _make_loops(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    config: StormConfig,
    lane: BackgroundLane | None,
    sam2: bool,
    paths: Sequence[Path | None] | None,
    health: LaneHealth | None,
    group: BatchedGroup | None,
    options: EngineOptions,
) -> list[ObjectSession]:
    device = options.device
    # Engines that fail are opened anew: those of the searches, which all objects share, and those of each object.
    shared = None if networks is None else ReopenableNetworks.around(networks)
    health = health or LaneHealth()
    segmenter = make_segmenter(shared, config=config.segment, sam2=sam2, device=device, options=options)
    if group is None and (config.loop.tracker or TrackerKind.on(device)) is TrackerKind.BATCHED:
        group = make_batched_group(networks, config, device=device, options=options)
    config = with_chunks(config, beside=lane is not None)
    loops = []
    for bundle, path in zip(bundles, paths or [None] * len(bundles), strict=True):
        item = ObjectOnDevice(bundle, device)
        detector = verifier = None
        own = None if networks is None else ReopenableNetworks.around(networks)
        if segmenter is not None:
            embedding = None if path is None else load_template_embedding(path, segmenter, bundle)
            detector = Detector(
                item, segmenter, networks=own, config=config.detect, embedding=embedding, options=options
            )
        if own is not None:
            verifier = open_verifier(item, own, config=config.verify, options=options)
        loops.append(
            ObjectSession(
                item,
                own,
                config=config,
                options=options,
                detector=detector,
                verifier=verifier,
                lane=lane,
                engine_recovery=EngineRecovery(health=health, own=own, shared=shared),
                group=group,
            )
        )
    return loops
