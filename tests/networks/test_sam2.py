"""The two parts of SAM2 against the ``sam2`` package they are taken from, at 256 px instead of 1024."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_edge.errors import BackendError, CheckpointError
from storm_edge.networks import sam2
from storm_edge.networks.sam2 import Sam2ImageEncoder, Sam2MaskDecoder, build_sam2, load_sam2

SIZE_PX = 256
TOLERANCE = 1e-5  # worst seen 1.3e-6 of features up to 6, x86-64 CPU


def build(variant: str) -> Any:
    """The package's network with weights under which every part shows; skips where the package is absent."""
    try:
        net = build_sam2(variant, size_px=SIZE_PX)
    except BackendError:
        pytest.skip("the sam2 package is not installed")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.02 * torch.randn(value.shape, generator=generator))
    return net


@pytest.mark.parametrize(
    ("variant", "entries", "parameters"), [("2.1-tiny", 471, 38_962_498), ("2.0-tiny", 468, 38_945_986)]
)
def test_parts_equal_the_network(variant: str, entries: int, parameters: int) -> None:
    net = build(variant)
    assert len(net.state_dict()) == entries
    assert sum(p.numel() for p in net.parameters()) == parameters
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, SIZE_PX, SIZE_PX, generator=generator)
    prompts = torch.tensor([[[30.0, 40.0], [120.0, 200.0], [77.5, 100.2]]])
    with torch.no_grad():
        fine, middle, coarse = net.forward_image(image)["backbone_fpn"]
        coarse = coarse + net.no_mem_embed[0, 0, :, None, None]
        found = Sam2ImageEncoder(net)(image)
        for ours, theirs in zip(found, (coarse, fine, middle), strict=True):
            torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)

        labels = torch.tensor([[2, 3, 1]])
        sparse, dense = net.sam_prompt_encoder(points=(prompts, labels), boxes=None, masks=None)
        grid = net.sam_prompt_encoder.get_dense_pe()
        masks, iou, _, present = net.sam_mask_decoder.predict_masks(
            coarse, grid, sparse, dense, repeat_image=False, high_res_features=[fine, middle]
        )
        answer = Sam2MaskDecoder(net)(*found, prompts)
        assert answer[0].shape == (1, 4, SIZE_PX // 4, SIZE_PX // 4)
        for ours, theirs in zip(answer, (masks, iou, present), strict=True):
            torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_loads_what_was_saved_in_the_official_layout(tmp_path: Path) -> None:
    net = build("2.1-tiny")
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": net.state_dict()}, path)
    loaded = load_sam2(path).state_dict()
    assert all(torch.equal(v, loaded[k]) for k, v in net.state_dict().items())
    with pytest.raises(CheckpointError, match=r"3 unknown .*no_obj_embed_spatial.*entries of SAM2Base"):
        load_sam2(path, "2.0-tiny")


def test_missing_file_says_which_and_where(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected sam2\.1_hiera_tiny\.pt; see .*facebookresearch/sam2"):
        load_sam2(tmp_path / "none.pt")


def test_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sam2.build_sam", None)
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(BackendError, match=r"SAM2: got .*expected the sam2 package; install storm-edge\[sam2\]"):
        load_sam2(path)
    assert sam2.VARIANTS["2.0-tiny"].source.file == "sam2_hiera_tiny.pt"  # the one upstream STORM uses
