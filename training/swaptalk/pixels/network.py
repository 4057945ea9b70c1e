"""The pixel module: a lower half drawn in pixels from a reference and a target's upper half."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors
from pipelines.swaptalk.config import SMALL_LIPS, EarConfig, LatentConfig
from pipelines.swaptalk.ears import MotionEar
from pipelines.swaptalk.latents import check_rows, lower, upper
from pipelines.swaptalk.lips import Prepared, Warped
from pipelines.swaptalk.unet import UNet
from pipelines.swaptalk.warp import FaceWarp, moved
from pipelines.weights import CheckpointError, read_metadata

KIND = "swaptalk-pixels"


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """Sizes of `PixelLips`. A frame of the default takes about what latent lips and decoder do."""

    size: int = 256  # of a square in pixels
    patch: int = 4  # pixels along a side of a cell that the U-Net works on
    warp_patch: int = 8  # and of those that say how the reference moves
    ear: EarConfig = SMALL_LIPS.ear
    warp_widths: tuple[int, int, int] = (48, 64, 96)
    widths: tuple[int, int, int] = (48, 96, 128)
    heads: int = 4

    def __post_init__(self) -> None:
        if self.size % (8 * self.warp_patch) or self.warp_patch % self.patch:
            raise ValueError(
                f"squares of {self.size} px do not part into patches of {self.warp_patch} px and "
                f"{self.patch} px within them"
            )
        if self.ear.hears != "motion":
            raise ValueError(f"pixels are drawn from motion, not from {self.ear.hears}")


class PixelLips(nn.Module):
    """Warp and U-Net over patches of pixels. Before training the mouth is the reference's.

    Of the target only the upper half is seen, as Wav2Lip masks the lower one.
    """

    def __init__(self, config: PixelConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PixelConfig()
        cells = config.size // config.warp_patch
        patches = LatentConfig(dim=3 * config.warp_patch**2, rows=cells, columns=cells)
        self.ear = MotionEar(config.ear)
        self.warp = FaceWarp(patches.dim, config.warp_widths)
        inside = 3 * config.patch**2
        self.transform = UNet(
            inside + config.warp_widths[0], config.widths, inside,
            token=config.ear.width, heads=config.heads, starts_silent=True,
        )  # fmt: skip

    def warp_reference(self, target_upper: Tensor, reference: Tensor) -> Warped:
        """Upper halves [B, 3, S / 2, S] and a reference's square for each, [B, 3, S, S], in [-1, 1]
        -> the references' lower halves in the targets' poses, [B, 3, S / 2, S]."""
        size, coarse = self.config.size, self.config.warp_patch
        check_rows("squares", reference, 3, size, size)
        halves = (F.pixel_unshuffle(half, coarse) for half in (target_upper, upper(reference)))
        turn, cells = self.warp(*halves)
        fine = F.interpolate(cells, scale_factor=coarse, mode="bilinear", align_corners=False)
        return Warped(moved(lower(reference), coarse * fine), turn)

    def prepare(self, warped: Warped) -> Prepared:
        """What `speak` needs of a warped lower half."""
        patches = F.pixel_unshuffle(warped.lower, self.config.patch)
        turn = F.interpolate(warped.turn, patches.shape[2:], mode="nearest")
        return Prepared(warped.lower, self.transform.begin(torch.cat([patches, turn], 1)))

    def listen(self, sound: Tensor) -> Tensor:
        """Motion [B, tokens, MOTION_DIM] -> tokens [B, tokens, width]."""
        tokens: Tensor = self.ear(sound)
        return tokens

    def speak(self, prepared: Prepared, tokens: Tensor) -> Tensor:
        """The lower half that says the tokens, about [-1, 1], [B, 3, S / 2, S]."""
        change = self.transform.finish(prepared.begun, tokens)
        return prepared.warped + F.pixel_shuffle(change, self.config.patch)

    def forward(self, target: Tensor, reference: Tensor, sound: Tensor) -> Tensor:
        """Lower halves of squares, [B, 3, S / 2, S], that say what is heard.

        Args:
            target: squares [B, 3, S, S] in [-1, 1], of which the lower half is not looked at.
            reference: another frame's square for each.
            sound: motion [B, tokens, MOTION_DIM].

        Raises:
            ValueError: squares or motion of another shape.
        """
        check_rows("squares", target, 3, self.config.size, self.config.size)
        prepared = self.prepare(self.warp_reference(upper(target), reference))
        return self.speak(prepared, self.listen(sound))


def metadata_of(config: PixelConfig) -> dict[str, str]:
    """What a weights file of a network of `config` says of itself."""
    return {"kind": KIND, "config": json.dumps(asdict(config))}


def load_pixels(path: Path) -> PixelLips:
    """The pixel module of a weights file, for inference.

    Raises:
        ValueError: not a weights file, of another kind, or not the tensors of its configuration.
    """
    network = PixelLips(_config(path))
    tensors = load_file(path)
    check_tensors(tensors, network.state_dict(), str(path))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _config(path: Path) -> PixelConfig:
    about = read_metadata(path)
    if about.get("kind") != KIND:
        raise CheckpointError(f"{path}: {about.get('kind', 'of no kind')}, expected {KIND}")
    try:
        fields: dict[str, Any] = json.loads(about["config"])
        fields |= {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        return PixelConfig(**fields | {"ear": EarConfig(**fields["ear"])})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata hold no configuration: {error}") from error
