"""The closed choices that a user makes by name, on the command line, in a profile or in Python.

They stand here, and not beside what they choose, so that the command line can offer them without loading numpy, Warp
or a network. Nothing is imported here.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

ENGINE_FOLDER = Path("engines/built")
"""Folder of all built engines, where none is named; no bundle's own, since an export replaces that as a whole."""


class LengthUnit(str, Enum):
    """Unit of length in a model file."""

    MM = "mm"
    """Millimetres."""
    M = "m"
    """Metres."""


class Init(str, Enum):
    """Where the first pose comes from."""

    AUTO = "auto"
    """Nowhere: the loop finds the object by its model."""
    MASK = "mask"
    """Registration with the object's mask of the first frame that has one."""
    GT = "gt"
    """The label of the first frame that has one."""


class TrackerKind(str, Enum):
    """How objects are followed from frame to frame."""

    BATCHED = "batched"
    """All objects in one step without the host in between, as one CUDA graph where that can be."""
    STEPWISE = "stepwise"
    """Each object by itself, with as much work as it asks for."""

    @classmethod
    def on(cls, device: str) -> TrackerKind:
        """The cheaper one there: what a GPU waits for costs nothing on a CPU."""
        return cls.STEPWISE if device == "cpu" else cls.BATCHED


class Schedule(str, Enum):
    """How much networks and geometry each do for a pose; what a schedule sets is in `storm_edge.live.schedules`."""

    GEOMETRY = "geometry"
    """Geometry registers and follows; neither RefineNet nor ScoreNet is asked."""
    GEOMETRY_FIRST = "geometry-first"
    """The same, and RefineNet is asked about frames that geometry is not sure of."""
    HYBRID = "hybrid"
    """RefineNet moves hypotheses and poses in every frame, geometry finishes them, both it and ScoreNet rank them."""
    FOUNDATIONPOSE = "foundationpose"
    """FoundationPose's own, with the numbers of STORM's evaluation: five iterations of RefineNet for all hypotheses
    and in every frame; ScoreNet decides."""
    FOUNDATIONPOSE_PRUNED = "foundationpose-pruned"
    """The same with fewer hypotheses after the first iteration, and two iterations in a frame, as its demo has."""
    PARITY = "parity"
    """Foundationpose with upstream's model, places, points, views and decisions as well, so that figures compare."""


class TrackRules(str, Enum):
    """By whose rules a tracked pose is believed and an object is found again."""

    OURS = "ours"
    """The live loop: scores of two kinds with hysteresis, local searches, searches of the image."""
    STORM = "storm"
    """STORM's evaluation: a mask in the first image, TOM's probability of 0.9, one miss and it is registered anew."""


class Framing(str, Enum):
    """How an image that is not square is brought to the square that STORM's segmenter sees."""

    LETTERBOX = "letterbox"
    """All of it, the rest of the square in the mean colour. Sees everything; smaller than what SOM was trained on."""
    CENTRE = "centre"
    """The largest square in the middle, as SOM was trained; what lies beside it is not searched."""
    UPSTREAM = "upstream"
    """That square, resized in upstream's two steps, and upstream's way back: the mask of the middle stretched over
    the whole image. Misplaces masks in images that are not square; for parity only."""


class AddSFrom(str, Enum):
    """Whose points look for their nearest ones in ADD-S."""

    TRUTH = "truth"
    """The model at the true pose, as PoseCNN and FoundationPose compute it."""
    PREDICTION = "prediction"
    """The model at the predicted pose, as STORM's evaluation computes it."""


class AucRule(str, Enum):
    """How the area under the curve of accuracy over error is taken."""

    EXACT = "exact"
    """Exactly, from 0 to 0.1 m."""
    FOUNDATIONPOSE = "foundationpose"
    """From 0 to 0.1 m, sampled every millimetre."""
    STORM = "storm"
    """From 0 to a tenth of the diameter, sampled at a hundred places."""


class MissingPoses(str, Enum):
    """What a label without a pose counts."""

    COUNT = "count"
    """As a miss, with an infinite error."""
    LEAVE_OUT = "leave-out"
    """Nothing, as in evaluations that go through predictions alone."""


class BenchMode(str, Enum):
    """What `storm-edge bench` times."""

    TRACK = "track"
    """Following the object from frame to frame."""
    REGISTER = "register"
    """The pose from a mask, in every frame anew."""
    LOCATE = "locate"
    """Search of the whole image and registration, in every frame anew."""
    RECOVER = "recover"
    """The whole loop over a recording in which the object is lost and found again."""
    TRACK_WHILE_LOCATING = "track-while-locating"
    """Following the object alone, and while a lane searches for it all the time."""

    @property
    def tracks(self) -> bool:
        """Whether the object is followed from frame to frame."""
        return self not in (BenchMode.REGISTER, BenchMode.LOCATE)


class Precision(str, Enum):
    """What a graph computes in; the value is its folder in the bundle."""

    FP32 = "fp32"
    """Single precision, as exported."""
    FP16 = "fp16"
    """Half precision."""
    INT8 = "int8"
    """INT8 for ONNX Runtime on a CPU."""
    INT8_FP16 = "int8-fp16"
    """INT8 for TensorRT, the rest in half precision."""

    @property
    def folder(self) -> str:
        """Where its bundle is, relative to the exported one."""
        return "." if self is Precision.FP32 else self.value

    @property
    def builds_engines(self) -> bool:
        """Whether TensorRT engines are built of it."""
        return self is not Precision.INT8


class Network(str, Enum):
    """The networks that can be trained."""

    REFINE = "refine"
    """From a rendered and an observed crop to the correction of the pose."""
    SCORE = "score"
    """Which of several hypotheses is the best."""
    SOM = "som"
    """The segmenter: which pixels show the object, told by views of it."""
    TOM = "tom"
    """The verifier: whether two crops show the same object."""


class Backend(str, Enum):
    """Runtimes that open a network."""

    ONNXRUNTIME = "onnxruntime"
    """The ONNX file, on a CPU or by CUDA."""
    TENSORRT = "tensorrt"
    """The engine that `storm-edge build` made of it, on a GPU."""
    TENSORRT_RTX = "tensorrt_rtx"
    """The same by TensorRT-RTX."""
    TORCH = "torch"
    """The ONNX file operator by operator in PyTorch, for development machines with neither."""

    @property
    def runs_engines(self) -> bool:
        """Whether it runs built engines, not ONNX files."""
        return self in (Backend.TENSORRT, Backend.TENSORRT_RTX)
