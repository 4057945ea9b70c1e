"""A renderer of twice the pixels begins with what a smaller one has learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from training.flow_warp.grow import grow, take_up

NARROW = RendererConfig(size=16, widths=(8, 12, 12), latent_dim=24)
WIDE = replace(NARROW, size=32, widths=(8, *NARROW.widths), paints=True)


def smooth_pictures(size: int) -> Tensor:
    """Without detail, so that half the size loses nothing."""
    torch.manual_seed(3)
    coarse = torch.rand(4, 3, 4, 4) * 1.6 - 0.8
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)


@pytest.fixture
def trained() -> tuple[FlowWarp, MotionToCode]:
    torch.manual_seed(1)
    model = FlowWarp(NARROW)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.add_(0.1 * torch.randn_like(value))
        for level in model.generator.levels:
            level.flow.weight.mul_(0.05)
    return model.eval(), MotionToCode(NARROW.motion_dim)


@torch.no_grad()
def test_a_grown_renderer_draws_what_the_small_one_draws(
    trained: tuple[FlowWarp, MotionToCode],
) -> None:
    small, its_map = trained
    torch.manual_seed(2)
    model, to_code = FlowWarp(WIDE).eval(), MotionToCode(WIDE.motion_dim)
    grow(model, to_code, small, its_map)
    pictures = smooth_pictures(32)
    halved = F.avg_pool2d(pictures, 2)
    wide, narrow = model.encode(pictures), small.encode(halved)
    for mine, its in zip(wide.maps, narrow.maps, strict=False):  # all but the finest
        assert float((mine - its)[..., 1:-1, 1:-1].abs().mean() / its.abs().mean()) < 0.1
    drawn = F.avg_pool2d(model.generator(wide.maps, wide.start, wide.code + 0.3), 2)
    wanted = small.generator(narrow.maps, narrow.start, narrow.code + 0.3)
    both = torch.stack([drawn[..., 2:-2, 2:-2].flatten(), wanted[..., 2:-2, 2:-2].flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.9
    motion = torch.randn(3, its_map.scale.numel())
    assert torch.equal(to_code(motion), its_map(motion))


def test_weights_are_taken_up_at_the_same_size_and_at_half_of_it(
    tmp_path: Path, trained: tuple[FlowWarp, MotionToCode]
) -> None:
    small, its_map = trained
    parts = {"renderer": small, "to_code": its_map}
    held = {f"{p}.{k}": v for p, m in parts.items() for k, v in m.state_dict().items()}
    path = tmp_path / "model.safetensors"
    save_file(held, path)
    same, to_code = FlowWarp(NARROW), MotionToCode(NARROW.motion_dim)
    take_up(same, to_code, path)
    for name, value in same.state_dict().items():
        assert torch.equal(value, small.state_dict()[name])
    wide = FlowWarp(WIDE)
    take_up(wide, to_code, path)
    assert torch.equal(wide.generator.constant, small.generator.constant)
    other = FlowWarp(replace(WIDE, widths=(8, 16, 12, 12)))
    with pytest.raises(ValueError, match="without its finest level"):
        take_up(other, to_code, path)
