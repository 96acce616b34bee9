"""Export recipes: where a network comes from, what is made of it, and what it must still be able to do.

A recipe is a YAML file in ``export/``, one per network and tier; `read_recipe` turns it into values once. Unknown
keys are refused with the nearest known one. Paths are relative to the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from storm_edge.engines.manifest import Layout, Tier
from storm_edge.files import sha256
from storm_edge.strict_model import StrictModel
from storm_edge.yaml_file import read_yaml

GRAPHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "refine": (("refine",),),
    "score": (("score_features", "score_attention"), ("score",)),
    "som": (("som_reference", "som_query", "som_head"),),
    "tom": (("tom_encode", "tom_compare"),),
    "similarity": (("similarity",),),
    "sam2": (("sam2_encoder", "sam2_decoder"),),
}
"""Graphs of each network; ScoreNet comes in two parts, or in one as NVIDIA publishes it."""


class Source(StrictModel):
    """Where the weights are: exactly one of these."""

    bundle: str | None = None
    """Bundle whose ONNX files are taken as they are, by name or folder."""
    checkpoint: Path | None = None
    """Checkpoint of ``storm-edge train``, or the official one of the full tier."""
    onnx: dict[str, Path] | None = None
    """ONNX files as others publish them, by graph."""
    layout: Layout = "nchw"
    """How published files lay out images."""
    tensors: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By graph: the published file's name of a tensor, by ours."""

    @model_validator(mode="after")
    def _one(self) -> Source:
        if sum(x is not None for x in (self.bundle, self.checkpoint, self.onnx)) != 1:
            raise ValueError("exactly one of bundle, checkpoint and onnx")
        return self


class Fp16Plan(StrictModel):
    """What stays in FP32 when the rest becomes FP16."""

    fp32_ops: tuple[str, ...] = ("LayerNormalization", "Softmax")
    """Operations, wherever they are."""
    fp32_head: bool = False
    """Whether what lies before the first layer with weights stays: arithmetic on raw inputs."""
    fp32_tail: bool = False
    """Whether what lies behind the last layer with weights stays: fits, solves, scores."""
    fp32_nodes: tuple[str, ...] = ()
    """Nodes by name, ``*`` and ``?`` allowed."""


class Int8Plan(StrictModel):
    """What may be quantised; the sweep and the gates decide what is."""

    ops: tuple[str, ...] = ("Conv",)
    """Operations with weights that are candidates."""
    keep_nodes: tuple[str, ...] = ()
    """Nodes that are never quantised, by name, ``*`` and ``?`` allowed."""
    ranges: Literal["minmax", "entropy", "percentile"] = "minmax"
    """How activation ranges are read from the calibration set."""
    rows: int = Field(default=64, ge=1)
    """Rows of the calibration set that are used."""
    sweep: bool = True
    """Whether every candidate is tried alone first; without, all of them go back together when the gate fails."""


class TensorGate(StrictModel):
    """How near the outputs of a reduced graph must be to those in FP32."""

    cosine: float = Field(default=0.999, ge=-1.0, le=1.0)
    """Least cosine of every output over the whole test batch."""
    max_error: float = Field(default=1.0, gt=0.0)
    """Largest difference relative to the largest output."""


class Gates(StrictModel):
    """Gates of one precision; figures that a recipe leaves out do not decide."""

    tensors: TensorGate = TensorGate()
    """On the outputs of each graph."""
    pose_mm: float | None = Field(default=None, gt=0.0)
    """Median change of RefineNet's translation [mm] for an object of 0.1 m."""
    pose_deg: float | None = Field(default=None, gt=0.0)
    """Median change of its rotation [deg]."""
    success_points: float | None = Field(default=None, ge=0.0)
    """Loss of registration success on held-out images [points of 100]."""
    add_s_points: float | None = Field(default=None, ge=0.0)
    """Loss of the AUC of ADD-S there [points of 100]."""
    tracking_points: float | None = Field(default=None, ge=0.0)
    """Loss of the AUC of ADD-S over held-out recordings that are tracked [points of 100]."""
    ranking: float | None = Field(default=None, ge=0.0, le=1.0)
    """Least share of hypothesis sets of which ScoreNet chooses the same winner, or one as good."""
    iou_points: float | None = Field(default=None, ge=0.0)
    """Loss of the segmenter's IoU [points of 100]."""
    auroc_points: float | None = Field(default=None, ge=0.0)
    """Loss of the verifier's AUROC [points of 100]."""


class Graph(StrictModel):
    """One ONNX file of a network."""

    profiles: dict[str, tuple[int, int, int]] = Field(default_factory=dict)
    """Batch sizes by use, least, usual and most; none where nothing varies."""
    fp16: Fp16Plan = Fp16Plan()
    """What stays in FP32."""
    int8: Int8Plan | None = None
    """What may be quantised; nothing if not given, and then INT8 bundles hold it in FP32 and FP16."""

    @field_validator("profiles")
    @classmethod
    def _ordered(cls, profiles: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
        for name, sizes in profiles.items():
            if not 1 <= sizes[0] <= sizes[1] <= sizes[2]:
                raise ValueError(f"profile {name} must be 1 <= least <= usual <= most, got {list(sizes)}")
        return profiles


class Recipe(StrictModel):
    """One network of one tier."""

    network: Literal["refine", "score", "som", "tom", "similarity", "sam2"]
    """Which network."""
    tier: Tier
    """Whose network."""
    source: Source
    """Where its weights are."""
    size_px: int | None = Field(default=None, ge=16, le=1024)
    """Side of the crops [px]; those of a bundle must agree."""
    preset: Literal["default", "parity"] | None = None
    """How its crops are made; those of a bundle must agree."""
    variant: Literal["2.0-tiny", "2.0-small", "2.1-tiny", "2.1-small"] | None = None
    """Which SAM2; 2.1-tiny if not given."""
    context: int | None = Field(default=None, ge=1)
    """Length of the language context that SOM takes; none leaves it out, of a network trained with one, too."""
    opset: Literal[18] = 18
    """Of the FP32 graph; published files keep theirs."""
    graphs: dict[str, Graph]
    """Its graphs."""
    gates: dict[Literal["fp16", "int8"], Gates] = Field(default_factory=dict)
    """What each reduced precision must still be able to do."""

    @model_validator(mode="after")
    def _known_graphs(self) -> Recipe:
        if not any(self.graphs.keys() == set(names) for names in GRAPHS[self.network]):
            raise ValueError(f"graphs {sorted(self.graphs)} are not those of {self.network}: {GRAPHS[self.network]}")
        if self.source.onnx is not None and self.source.onnx.keys() != self.graphs.keys():
            raise ValueError(f"source.onnx names {sorted(self.source.onnx)}, graphs {sorted(self.graphs)}")
        for option, network in (("variant", "sam2"), ("context", "som")):
            if getattr(self, option) is not None and self.network != network:
                raise ValueError(f"{option} is of {network} alone, not of {self.network}")
        return self

    @property
    def sha256(self) -> str:
        """Fingerprint of what the recipe asks for; where the weights lay is told by the hashes of the graphs."""
        unset = {name: True for name in ("variant", "context") if getattr(self, name) is None}
        exclude: dict[str, Any] = {"source": {"bundle", "checkpoint", "onnx"}, **unset}
        return sha256(self.model_dump_json(exclude=exclude).encode())


def read_recipe(path: Path) -> Recipe:
    """A recipe, its paths made absolute.

    Raises:
        ConfigError: No such file, not YAML, a key that is not known, or a value that is not allowed.
    """
    recipe = read_yaml(path, Recipe, what="a recipe")
    return recipe.model_copy(update={"source": _placed(recipe.source, path.parent)})


def _placed(source: Source, folder: Path) -> Source:
    """The source with its paths absolute; a bundle's name stays a name."""
    onnx = None if source.onnx is None else {graph: (folder / path).resolve() for graph, path in source.onnx.items()}
    checkpoint = None if source.checkpoint is None else (folder / source.checkpoint).resolve()
    bundle = source.bundle
    if bundle is not None and (folder / bundle).is_dir():
        bundle = str((folder / bundle).resolve())
    return source.model_copy(update={"onnx": onnx, "checkpoint": checkpoint, "bundle": bundle})
