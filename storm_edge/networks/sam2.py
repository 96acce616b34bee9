"""SAM2 as it is used here: one image, one box with one point in it, four masks to choose from.

The network is that of the ``sam2`` package (an optional install), its weights the user's. What is ours are its two
parts in the form they are exported in (reference-networks 4):

- `Sam2ImageEncoder`, once per image: constants in place of resized position embeddings, 1x1 convolutions that follow
  each other multiplied out;
- `Sam2MaskDecoder`, once per prompt: three fixed prompt slots, all four masks as they come. Which one counts is
  decided outside, by `storm_edge.pipeline.segment.sharpen`.

Memory and video are left out. 2.0 and 2.1 differ only there, so one form serves both.
"""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.errors import BackendError, mismatch
from storm_edge.networks.channel_norm import ChannelNorm
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.published import Published, read_published

SIZE_PX = 1024
"""Side of the images [px]; both sides are resized to it, whatever the aspect."""
PROMPTS = 3
"""Corner of the box with the least x and y, corner with the most, a point on the object."""
MASKS = 4
"""Masks per prompt: the one for an unambiguous prompt, then three of growing extent."""


@dataclass(frozen=True, kw_only=True)
class Sam2Variant:
    """One published network."""

    config: str
    """Its configuration in the ``sam2`` package."""
    source: Published
    """Its weights."""


_ORIGIN = "the checkpoint table of the SAM 2 project page (facebookresearch/sam2)"
VARIANTS = {
    "2.1-tiny": Sam2Variant(
        config="configs/sam2.1/sam2.1_hiera_t.yaml",
        source=Published(file="sam2.1_hiera_tiny.pt", origin=_ORIGIN),
    ),
    "2.1-small": Sam2Variant(
        config="configs/sam2.1/sam2.1_hiera_s.yaml",
        source=Published(file="sam2.1_hiera_small.pt", origin=_ORIGIN),
    ),
    "2.0-tiny": Sam2Variant(
        config="configs/sam2/sam2_hiera_t.yaml", source=Published(file="sam2_hiera_tiny.pt", origin=_ORIGIN)
    ),
    "2.0-small": Sam2Variant(
        config="configs/sam2/sam2_hiera_s.yaml", source=Published(file="sam2_hiera_small.pt", origin=_ORIGIN)
    ),
}
"""Networks by name; upstream STORM uses ``2.0-tiny``."""


def build_sam2(variant: str, *, size_px: int = SIZE_PX) -> nn.Module:
    """The network of the ``sam2`` package with random weights, in eval mode, on the CPU.

    Args:
        variant: One of `VARIANTS`.
        size_px: Side of its images, a multiple of 32 [px].

    Raises:
        BackendError: The package is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its configuration library says about itself
        try:
            package = importlib.import_module("sam2.build_sam")
        except ImportError as error:
            remedy = "install storm-edge[sam2], or leave SAM2 out"
            raise BackendError(mismatch("SAM2", error, "the sam2 package", remedy)) from error
        net: nn.Module = package.build_sam2(
            VARIANTS[variant].config,
            None,
            device="cpu",
            apply_postprocessing=False,
            hydra_overrides_extra=[f"++model.image_size={size_px}"],
        )
    return net


def load_sam2(path: Path, variant: str = "2.1-tiny") -> nn.Module:
    """The network of an official checkpoint, in eval mode.

    Args:
        path: ``sam2.1_hiera_tiny.pt``, or the file of another variant.
        variant: One of `VARIANTS`.

    Raises:
        BackendError: The ``sam2`` package is not installed.
        CheckpointError: No such file, or an entry is missing, unknown or of another shape.
    """
    weights = read_published(path, VARIANTS[variant].source)
    net = build_sam2(variant)
    load_strictly(net, weights, path)
    return net.eval()


def _chained(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """``second(first(x))`` of two 1x1 convolutions as one, multiplied out in float64."""
    assert first.bias is not None
    assert second.bias is not None
    inner, outer = first.weight.flatten(1).double(), second.weight.flatten(1).double()
    merged = nn.Conv2d(first.in_channels, second.out_channels, 1)
    assert merged.bias is not None
    with torch.no_grad():
        merged.weight.copy_((outer @ inner)[..., None, None])
        merged.bias.copy_(outer @ first.bias.double() + second.bias.double())
    return merged


class Sam2ImageEncoder(nn.Module):
    """Image to features at three scales.

    Args:
        net: Of `load_sam2`.
    """

    positions: Tensor

    def __init__(self, net: Any) -> None:
        super().__init__()
        trunk, neck, decoder = net.image_encoder.trunk, net.image_encoder.neck, net.sam_mask_decoder
        self.patch_embed, self.blocks, self.stage_ends = trunk.patch_embed, trunk.blocks, list(trunk.stage_ends)
        side = net.image_size // 4
        self.register_buffer("positions", trunk._get_pos_embed((side, side)).detach())
        # The neck's convolutions come coarsest first.
        coarsest, coarse, middle, fine = (level.conv for level in neck.convs)
        self.fine, self.middle = _chained(fine, decoder.conv_s0), _chained(middle, decoder.conv_s1)
        self.coarsest, self.coarse = coarsest, nn.Conv2d(coarse.in_channels, coarse.out_channels, 1)
        assert self.coarse.bias is not None
        with torch.no_grad():  # a single image has no memory, which upstream says by adding this vector
            self.coarse.weight.copy_(coarse.weight)
            self.coarse.bias.copy_(coarse.bias + net.no_mem_embed[0, 0])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of an image ``(1, 3, 1024, 1024)``, normalised with the mean and deviation of ImageNet.

        Returns:
            ``image_embed (1, 256, 64, 64)``, ``high_res_0 (1, 32, 256, 256)``, ``high_res_1 (1, 64, 128, 128)``.
        """
        x = self.patch_embed(image) + self.positions
        stages: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                stages.append(x.permute(0, 3, 1, 2))
        top_down = F.interpolate(self.coarsest(stages[3]), scale_factor=2.0, mode="nearest")
        return self.coarse(stages[2]) + top_down, self.fine(stages[0]), self.middle(stages[1])


class Sam2MaskDecoder(nn.Module):
    """A box and a point in it to four masks.

    Args:
        net: Of `load_sam2`.
    """

    frequencies: Tensor
    labels: Tensor
    padding: Tensor
    no_mask: Tensor
    grid: Tensor

    def __init__(self, net: Any) -> None:
        super().__init__()
        prompts = net.sam_prompt_encoder
        self.size_px = int(net.image_size)
        self.decoder = copy.deepcopy(net.sam_mask_decoder)
        norm = self.decoder.output_upscaling[1]
        self.decoder.output_upscaling[1] = ChannelNorm(len(norm.weight), norm.eps)
        self.decoder.output_upscaling[1].load_state_dict(norm.state_dict())
        kinds = [prompts.point_embeddings[kind].weight for kind in (2, 3, 1)]  # as the three prompts are ordered
        self.register_buffer("frequencies", prompts.pe_layer.positional_encoding_gaussian_matrix.detach())
        self.register_buffer("labels", torch.cat(kinds).detach()[None])
        self.register_buffer("padding", prompts.not_a_point_embed.weight.detach()[None])
        self.register_buffer("no_mask", prompts.no_mask_embed.weight.detach().reshape(1, -1, 1, 1))
        self.register_buffer("grid", prompts.get_dense_pe().detach())

    def forward(
        self, image_embed: Tensor, high_res_0: Tensor, high_res_1: Tensor, prompts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks for one prompt.

        Args:
            image_embed: Of `Sam2ImageEncoder`, as are the next two.
            high_res_0: Finest scale.
            high_res_1: Middle scale.
            prompts: Box corners, least and most, and a point [px of the 1024 px image], shape ``(1, 3, 2)``.

        Returns:
            Logits ``masks (1, 4, 256, 256)``, their expected ``iou (1, 4)``, and the logit ``present (1, 1)`` of the
            object being there at all.
        """
        place = (prompts + 0.5) * (2.0 / self.size_px) - 1.0
        angle = (place @ self.frequencies) * (2 * math.pi)
        points = torch.cat([angle.sin(), angle.cos()], dim=-1) + self.labels
        masks, iou, _, present = self.decoder.predict_masks(
            image_embeddings=image_embed,
            image_pe=self.grid,
            sparse_prompt_embeddings=torch.cat([points, self.padding], dim=1),
            dense_prompt_embeddings=self.no_mask,
            repeat_image=False,
            high_res_features=[high_res_0, high_res_1],
        )
        return masks, iou, present
