"""SyncNet: five frames of a face, or 200 ms of sound, to vectors that are near where they fit.

Keys are those of the published file, which is read as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors, read_checkpoint

FRAMES = 5
"""Video frames that are seen at once."""
SIZE = 224
"""Height and width of a crop, pixels."""
ROWS = 20
"""MFCC rows, of 10 ms each, that are heard at once."""
COEFFICIENTS = 13

_AT_ONCE = 8  # clips in one pass of the lips, each of 60 MB and more
_COUNTER = "num_batches_tracked"  # of batches in training; older files have none


def _lip_layers() -> nn.Sequential:
    """[B, 3, T, 224, 224] -> [B, 512, T - 4, 1, 1]: only the first kernel reaches through time."""
    return nn.Sequential(
        nn.Conv3d(3, 96, (FRAMES, 7, 7), (1, 2, 2)), nn.BatchNorm3d(96), nn.ReLU(),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
        nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
        nn.Conv3d(256, 256, (1, 3, 3), 1, (0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        nn.Conv3d(256, 512, (1, 6, 6)), nn.BatchNorm3d(512), nn.ReLU(),
    )  # fmt: skip


def _sound_layers() -> nn.Sequential:
    """[B, 1, 13, 20] -> [B, 512, 1, 1]."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Identity(),  # published as pooling over single numbers
        nn.Conv2d(64, 192, 3, 1, 1), nn.BatchNorm2d(192), nn.ReLU(),
        nn.MaxPool2d(3, (1, 2)),
        nn.Conv2d(192, 384, 3, 1, 1), nn.BatchNorm2d(384), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 512, (5, 4)), nn.BatchNorm2d(512), nn.ReLU(),
    )  # fmt: skip


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1_024))


class SyncNet(nn.Module):
    """Lips and sound to vectors of 1024, whose Euclidean distance counts."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnlip, self.netfclip = _lip_layers(), _head()
        self.netcnnaud, self.netfcaud = _sound_layers(), _head()

    def lip_features(self, frames: Tensor) -> Tensor:
        """The same frames as `embed_lips` -> [T - 4, 512]."""
        if frames.dim() != 4 or frames.shape[1:] != (SIZE, SIZE, 3) or len(frames) < FRAMES:
            raise ValueError(
                f"expected at least {FRAMES} frames [T, {SIZE}, {SIZE}, 3], got "
                f"{list(frames.shape)}"
            )
        clips = len(frames) - FRAMES + 1
        parts = []
        for first in range(0, clips, _AT_ONCE):
            part = frames[first : min(first + _AT_ONCE, clips) + FRAMES - 1]
            seen: Tensor = self.netcnnlip(part.permute(3, 0, 1, 2)[None].float())
            parts.append(seen[0, :, :, 0, 0].T)
        return torch.cat(parts)

    def embed_lips(self, frames: Tensor) -> Tensor:
        """BGR uint8 [T, 224, 224, 3] -> [T - 4, 1024], of the five frames from each on.

        Raises:
            ValueError: not of that shape, or fewer than five.
        """
        embedded: Tensor = self.netfclip(self.lip_features(frames))
        return embedded

    def sound_features(self, rows: Tensor) -> Tensor:
        """The same rows as `embed_sound` -> [B, 512]."""
        if rows.dim() != 3 or rows.shape[1:] != (ROWS, COEFFICIENTS):
            raise ValueError(f"expected rows [B, {ROWS}, {COEFFICIENTS}], got {list(rows.shape)}")
        heard: Tensor = self.netcnnaud(rows.transpose(1, 2)[:, None])
        return heard.flatten(1)

    def embed_sound(self, rows: Tensor) -> Tensor:
        """MFCC rows [B, 20, 13] of int16 sound -> [B, 1024].

        Raises:
            ValueError: not of that shape.
        """
        embedded: Tensor = self.netfcaud(self.sound_features(rows))
        return embedded


def load_syncnet(path: Path) -> SyncNet:
    """The network with published weights, `syncnet_v2.model`, for inference.

    Raises:
        CheckpointError: not a whole, safe file, or not these tensors.
        OSError: the file cannot be read.
    """
    found = {k: v for k, v in read_checkpoint(path).tensors.items() if not k.endswith(_COUNTER)}
    model = SyncNet()
    wanted = {k: v for k, v in model.state_dict().items() if not k.endswith(_COUNTER)}
    check_tensors(found, wanted, f"{path} (SyncNet)")
    model.load_state_dict(found, strict=False)
    return model.eval().requires_grad_(False)
