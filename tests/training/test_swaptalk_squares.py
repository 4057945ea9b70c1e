"""A face's square goes with the head, not with the mouth; latents are those of the square."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.vqgan.config import SMALL
from pipelines.swaptalk.vqgan.crop import face_square
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import metadata_of, read_vqgan
from pipelines.swaptalk.weights import check_encoder, encoder_name
from pipelines.weights import CheckpointError
from training.flow_warp.store import Clip, Face, write_clip
from training.swaptalk.latents import main, read_latents
from training.swaptalk.squares import square_at

FLOW, SIZE = 128, 64
REGIONS = torch.tensor([[0.05, 0.35, 0.2], [-0.25, -0.2, 0.1], [0.27, -0.22, 0.1]])
TURN, GROWN, SHIFT = math.radians(9.0), 1.1, (0.12, -0.08)


def _change() -> Tensor:
    """From places at rest to places in the moved frame, [2, 3]."""
    cos, sin = GROWN * math.cos(TURN), GROWN * math.sin(TURN)
    return torch.tensor([[cos, -sin, SHIFT[0]], [sin, cos, SHIFT[1]]])


def _flow(mouth: float) -> Tensor:
    """Where the pixels of the moved frame were at rest, with the mouth pulled down by `mouth`."""
    line = (torch.arange(FLOW) + 0.5) * (2.0 / FLOW) - 1.0
    seen = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    turn, shift = _change()[:, :2], _change()[:, 2:]
    rest = (torch.linalg.inv(turn) @ (seen.flatten(1) - shift)).view(2, FLOW, FLOW)
    low = rest[1] > 0.25
    rest[1] = torch.where(low, rest[1] - mouth, rest[1])
    rest[:, :4] = float("nan")
    return rest


def _write(path: Path, flow: Tensor | None) -> Face:
    chance = np.random.default_rng(0)
    frames = chance.integers(0, 255, (2, SIZE, SIZE, 3), dtype=np.uint8)
    still = torch.full((2, FLOW, FLOW), float("nan"))
    flows = None if flow is None else torch.stack([still, flow]).half()
    moved = REGIONS.clone()
    moved[0, 1] += 0.1
    regions = torch.stack([REGIONS, moved]).numpy()
    motion = np.zeros((2, MOTION_DIM), np.float32)
    write_clip(path, Clip(frames, regions, motion, "one", flows))
    return Face(path)


@pytest.mark.parametrize("mouth", [0.0, 0.15])
def test_the_square_goes_with_the_head_not_with_the_mouth(tmp_path: Path, mouth: float) -> None:
    face = _write(tmp_path / "face.safetensors", _flow(mouth))
    square, regions = square_at(face, 1)
    rest = face_square(REGIONS[None, :, :2])[0]
    wanted = _change() @ torch.cat([rest, torch.tensor([[0.0, 0.0, 1.0]])])
    assert torch.allclose(square[0], wanted, atol=4e-3)  # flows are kept in half precision
    assert regions[0, 1, 1] < 0.0 < regions[0, 0, 1]  # the halves meet between eyes and mouth


def test_without_flows_the_frame_s_own_mouth_and_eyes_say_where(tmp_path: Path) -> None:
    face = _write(tmp_path / "face.safetensors", None)
    for frame in (0, 1):
        square, _ = square_at(face, frame)
        assert torch.equal(square, face_square(face.regions[frame : frame + 1, :, :2]))


def test_latents_are_those_of_the_square(tmp_path: Path) -> None:
    config = replace(SMALL, size=64, ch=8, codes=6, codes_lower=6, code_dim=4, parts=2)
    torch.manual_seed(0)
    weights = tmp_path / "vqgan.safetensors"
    save_file(Vqgan(config).state_dict(), weights, metadata_of(config))
    face = _write(tmp_path / "store/train/face.safetensors", _flow(0.0))
    _write(tmp_path / "store/held_out/face.safetensors", _flow(0.0))
    out = tmp_path / "latents"
    main(["--data", str(tmp_path / "store"), "--out", str(out), "--vqgan", str(weights)])
    (found,) = read_latents(out / "train")
    assert found.encoder == encoder_name(weights)
    frame = face.frame(1).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    square, regions = square_at(face, 1)
    grid = F.affine_grid(square, [1, 3, 64, 64], align_corners=False)
    cut = F.grid_sample(frame, grid, mode="bicubic", padding_mode="border", align_corners=False)
    wanted = read_vqgan(weights).encode_halves(cut.clamp(-1.0, 1.0))
    assert torch.allclose(found.latents([1]), wanted, atol=2e-2, rtol=2e-3)
    assert torch.equal(found.regions[1:], regions)


def test_what_was_trained_on_another_s_latents_is_refused(tmp_path: Path) -> None:
    one, other, lips = (tmp_path / f"{name}.safetensors" for name in ("one", "other", "lips"))
    for path, value in ((one, 1.0), (other, 2.0)):
        save_file({"encoder.x": torch.tensor([value])}, path)
    save_file({"x": torch.zeros(1)}, lips, {"encoder": encoder_name(one)})
    save_file({"encoder.x": torch.ones(1), "decoder.x": torch.rand(1)}, one)  # decodes better
    check_encoder(lips, one)
    with pytest.raises(CheckpointError, match=r"lips.*trained together"):
        check_encoder(lips, other)
