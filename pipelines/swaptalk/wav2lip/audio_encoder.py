"""How Wav2Lip and its expert hear: a window of 200 ms of mel frames to one vector."""

from __future__ import annotations

from torch import Tensor, nn

from pipelines.audio.mel_windows import BANDS, WINDOW_FRAMES
from pipelines.swaptalk.wav2lip.blocks import conv, residual

PUBLISHED_WIDTH = 32
"""Of all published networks: channels of the first convolution over the sound."""


class AudioEncoder(nn.Sequential):
    """Mel windows [B, 1, 80, 16] -> [B, 16 width], none of it negative.

    last_residuals: of the last level, one in the generator and two in the expert.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, last_residuals: int = 1) -> None:
        w = width
        super().__init__(
            conv(1, w, 3, 1, 1), residual(w), residual(w),
            conv(w, 2 * w, 3, (3, 1), 1), residual(2 * w), residual(2 * w),
            conv(2 * w, 4 * w, 3, 3, 1), residual(4 * w), residual(4 * w),
            conv(4 * w, 8 * w, 3, (3, 2), 1), *(residual(8 * w) for _ in range(last_residuals)),
            conv(8 * w, 16 * w, 3), conv(16 * w, 16 * w, 1),
        )  # fmt: skip

    def forward(self, mel: Tensor) -> Tensor:
        check_windows(mel)
        for block in self:
            mel = block(mel)
        return mel.flatten(1)


def check_windows(mel: Tensor) -> None:
    """ValueError where these are not mel windows [B, 1, 80, 16]."""
    if mel.dim() != 4 or mel.shape[1:] != (1, BANDS, WINDOW_FRAMES):
        raise ValueError(
            f"expected mel windows [B, 1, {BANDS}, {WINDOW_FRAMES}], got {list(mel.shape)}"
        )
