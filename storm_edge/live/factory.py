"""Makes sessions and what is in them: the only place that makes engines, detectors, verifiers and trackers.

`open_session` is the front door. A network bundle decides how objects are searched for, and whether a network scores
their tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakValueDictionary

from storm_edge.choices import Backend, TrackerKind
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.frame import Frame
from storm_edge.kernels.streams import LaneStreams, lane_streams, on_stream, synchronise
from storm_edge.live.batched_group import BatchedGroup
from storm_edge.live.config import StormConfig
from storm_edge.live.engine_recovery import EngineRecovery, LaneHealth, ReopenableNetworks
from storm_edge.live.instance_places import Float64, InstancePlaces
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.lanes.recovery import RecoveryLane
from storm_edge.live.lanes.verification import VerificationLane
from storm_edge.live.object_session import ObjectParts, ObjectSession
from storm_edge.live.object_tracker import ObjectTracker, StepwiseTrack
from storm_edge.live.recovery import RecoveryStages, RecoveryTask
from storm_edge.live.schedules import default_config
from storm_edge.live.session import Session
from storm_edge.live.shape_belief import ShapeBelief, ShapeCheckedTrack
from storm_edge.live.side_belief import SideCheckedTrack
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import load_template_embedding
from storm_edge.pipeline.side.check import SideCheck
from storm_edge.pipeline.side.settling import Settling
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from storm_edge.pipeline.verify.verifier import Verifier, open_verifier


def with_chunks(config: StormConfig, *, beside: bool) -> StormConfig:
    """The same configuration with all registrations in chunks of the size asked for.

    Args:
        config: Its ``session.register_chunk``, if it has one, is the size.
        beside: Whether they run on a lane beside the frames.
    """
    session = config.session
    chunk = session.register_chunk or (session.register_chunk_beside if beside else None)
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
    """What tracks objects together, as configured; arguments and errors as `make_object_sessions`."""
    schedule = config.track.batched
    if not config.track.stepwise.asks_network:
        schedule = replace(schedule, network_iterations=0)
    return BatchedGroup(networks, config=schedule, fallback=config.track.stepwise, device=device, options=options)


@dataclass(frozen=True, kw_only=True)
class SharedParts:
    """What the objects of one session have in common."""

    options: EngineOptions | None = None
    """Where and how engines run."""
    lane: BackgroundLane | None = None
    """Does searches and verifications beside the frames; None does the former in between and the latter at once."""
    group: BatchedGroup | None = None
    """Tracks the objects together; None tracks each by itself."""
    places: InstancePlaces | None = None
    """Where the instances of this object's model are; None where it is the only one."""
    engine_recovery: EngineRecovery = field(default_factory=EngineRecovery)
    """Opens engines anew that failed; the default has none to open, and tries again once."""


def make_object_session(
    item: ObjectOnDevice,
    networks: NetworkBundle | None,
    *,
    config: StormConfig | None = None,
    shared: SharedParts | None = None,
    detector: Detector | None = None,
    verifier: Verifier | None = None,
) -> ObjectSession:
    """One object from its parts; `make_object_sessions` makes those, too.

    Args:
        item: The object; its device is used.
        networks: The network bundle; None tracks by geometry alone.
        config: Schedules and thresholds; those of `schedules.default_config` when None.
        shared: What it has in common with others; nothing when None.
        detector: Searches the whole image; see `ObjectParts`.
        verifier: Scores tracks beside geometry; None leaves that to geometry.
    """
    config, shared = config or default_config(networks), shared or SharedParts()
    registrar = Registrar(item, networks, config=config.register, geometry=config.refine, options=shared.options)
    network = None
    if networks is not None and config.track.stepwise.asks_network:
        network = PoseRefiner(item, networks, batch=2, options=shared.options)

    tracker = _make_tracker(item, network, config, shared)
    if config.side.enabled:
        tracker = SideCheckedTrack(tracker, SideCheck(item, config.side), Settling(item, config.side), config.side)
    belief = None
    if item.bundle.is_colourless:
        belief = ShapeBelief(item, config)
        tracker = ShapeCheckedTrack(tracker, belief)
    verification = VerificationLane(verifier, shared.lane, item.device.alias)
    name = item.bundle.object_id
    places = shared.places or InstancePlaces(config.session.kept_frames, item.bundle.mesh_lod)

    def taken(frame: Frame) -> Sequence[Float64]:
        return places.others(name, frame.index)

    if detector is not None:
        detector.taken = taken
    stages = RecoveryStages(
        registrar=registrar,
        tracker=tracker,
        detector=detector,
        verify=verification.verify,
        taken=taken,
        belief=belief,
    )
    parts = ObjectParts(
        item=item,
        registrar=registrar,
        network=network,
        detector=detector,
        group=shared.group,
        places=places,
        tracker=tracker,
        recovery_task=RecoveryTask(item, stages, config),
        recovery_lane=RecoveryLane(shared.lane),
        verification=verification,
        engine_recovery=replace(shared.engine_recovery, group=shared.group),
    )
    return ObjectSession(parts, config)


def _make_tracker(
    item: ObjectOnDevice, network: PoseRefiner | None, config: StormConfig, shared: SharedParts
) -> ObjectTracker:
    """A tracker of its own, or a place in the batched group of several objects."""

    def make_tracker() -> StepwiseTracker:
        return StepwiseTracker(item, network, config=config.track.stepwise)

    if shared.group is not None:
        return shared.group.join(item, network, make_tracker())
    return StepwiseTrack(make_tracker(), make_tracker())


class ObjectFactory:
    """Makes the objects of one session, which share a segmenter, a lane and what tracks them together.

    Args:
        networks: The network bundle; None runs on geometry and colours alone.
        config: Schedules and thresholds; those of `schedules.default_config` when None.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        lane: Searches for objects beside the frames; None searches in between.
        sam2: Whether SAM2 sharpens the masks of a search.

    Raises:
        EngineError: A network of the bundle breaks its contract, or it lacks SAM2.
        BackendError: The device is not available.
    """

    def __init__(
        self,
        networks: NetworkBundle | None,
        *,
        config: StormConfig | None = None,
        device: str = "cpu",
        lane: BackgroundLane | None = None,
        sam2: bool = False,
    ) -> None:
        config = config or default_config(networks)
        self._networks, self._device, self._lane = networks, device, lane
        self._stream = streams_of(device, networks).track
        # Threads that wait actively between calls would take the core that searches and other objects need.
        self._options = EngineOptions(device=device, spinning=False, stream=self._stream)
        self._health = LaneHealth()
        # Engines that fail are opened anew: those of the searches, which all objects share, and those of each object.
        self._search_networks = None if networks is None else ReopenableNetworks.around(networks)
        self._group: BatchedGroup | None = None
        # By the model file's fingerprint; those of a model are let go of with its last object.
        self._places: WeakValueDictionary[str, InstancePlaces] = WeakValueDictionary()
        with on_stream(self._stream):
            self._segmenter = make_segmenter(
                self._search_networks, config=config.segment, sam2=sam2, device=device, options=self._options
            )
            if (config.session.tracker or TrackerKind.on(device)) is TrackerKind.BATCHED:
                self._group = make_batched_group(networks, config, device=device, options=self._options)
        self._config = with_chunks(config, beside=lane is not None)

    def make(self, bundle: ObjectBundle, path: Path | None = None) -> ObjectSession:
        """One more object.

        Args:
            bundle: The object.
            path: Where it came from, a folder or a model file: what the segmenter keeps of it is read there, and made
                anew without.

        Raises:
            EngineError: A network of the bundle breaks its contract.
            ObjectBundleError: What is kept of the object was made by other networks.
        """
        with on_stream(self._stream):
            made = self._make(bundle, path)
        if self._stream is not None:
            synchronise(self._device)
        return made

    def _make(self, bundle: ObjectBundle, path: Path | None) -> ObjectSession:
        item = ObjectOnDevice(bundle, self._device, as_upstream=self._config.as_upstream)
        own = None if self._networks is None else ReopenableNetworks.around(self._networks)
        detector = verifier = None
        if self._segmenter is not None:
            embedding = None if path is None else load_template_embedding(path, self._segmenter, bundle)
            detector = Detector(
                item,
                self._segmenter,
                networks=own,
                config=self._config.detect,
                side=self._config.side,
                geometry=self._config.refine,
                embedding=embedding,
                options=self._options,
            )
        if own is not None:
            verifier = open_verifier(item, own, config=self._config.verify, options=self._options)
        recovery = EngineRecovery(health=self._health, own=own, shared=self._search_networks)
        shared = SharedParts(
            options=self._options,
            lane=self._lane,
            group=self._group,
            places=self._places.setdefault(
                bundle.source.sha256, InstancePlaces(self._config.session.kept_frames, bundle.mesh_lod)
            ),
            engine_recovery=recovery,
        )
        return make_object_session(
            item, own, config=self._config, shared=shared, detector=detector, verifier=verifier
        )


def make_object_sessions(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    *,
    config: StormConfig | None = None,
    device: str = "cpu",
    lane: BackgroundLane | None = None,
    sam2: bool = False,
    paths: Sequence[Path | None] | None = None,
) -> list[ObjectSession]:
    """The objects of a session; arguments and errors as `ObjectFactory` and `ObjectFactory.make`."""
    factory = ObjectFactory(networks, config=config, device=device, lane=lane, sam2=sam2)
    return [factory.make(bundle, path) for bundle, path in zip(bundles, paths or [None] * len(bundles), strict=True)]


def open_session(
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    *,
    config: StormConfig | None = None,
    device: str = "cpu",
    background: bool = False,
    sam2: bool = False,
    watchdog: Watchdog | None = None,
) -> Session:
    """A session that finds and tracks objects; close it, or use it in a with statement.

    Args:
        bundles: The objects.
        networks: The network bundle; None runs on geometry and colours alone.
        config: Schedules and thresholds; those of `schedules.default_config` when None.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        background: Whether lost objects are searched for on a thread beside the frames; or else in between.
        sam2: Whether SAM2 sharpens the masks of a search.
        watchdog: Is told when a frame is worked on.

    Raises:
        EngineError: A network of the bundle breaks its contract, or it lacks SAM2.
        BackendError: The device is not available.
    """
    config = config or default_config(networks)
    streams = streams_of(device, networks)
    lane = BackgroundLane(config.lanes, stream=streams.background, gives_way=False) if background else None
    factory = ObjectFactory(networks, config=config, device=device, lane=lane, sam2=sam2)
    objects = [factory.make(bundle) for bundle in bundles]
    if lane is not None:
        lane.open()
    return Session(
        objects,
        config=config,
        device=device,
        lane=lane,
        watchdog=watchdog,
        stream=streams.track,
        make_object=factory.make,
    )
