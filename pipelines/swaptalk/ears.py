"""What drives the lips: the tokens of a frame, its own and those of its neighbours.

Two ears can be built in:

`mel` hears as Wav2Lip does: windows of 200 ms of mel frames through its audio encoder. That is
the paper's way. It has to learn what sounds look like from talking video with sound, hours of it,
and cannot from the moved portraits that our training draws, which are silent.

`motion` is told by an ear that knows already: the generator of `portrait` turns a stream of sound
into 45 numbers a frame (`pipelines.motion`): lips that follow the phones, heard 80 ms ahead, of
any voice, and close in silence. What is left to learn is what such lips look like in the latent
space, and every drawn or moved face shows that exactly: its motion is known, no sound is needed,
thousands of frames do. Timing, closures and controls of the lips are then those of our other
systems. Only the channels of mouth, jaw and cheeks are read: head, gaze and brows are the
template's, and what the generator wants of them must not reach the mouth. The motion of a frame
says all about its lips, so neighbours after it are not worth the wait; those before it steady what
is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.motion.space import BLENDSHAPES, MOTION_DIM
from pipelines.swaptalk.config import EarConfig
from pipelines.swaptalk.latents import check_rows

MOUTH = BLENDSHAPES.index("eyeBlinkLeft")
"""Channels of motion from the first on that are of mouth, jaw and cheeks."""

MEL_WINDOW = (80, 16)
"""Bands and frames of a mel window: 200 ms."""

_SPREAD = 0.2  # of a channel of motion: brought to 1, for else what is said is lost among biases
_START = 0.02  # spread of embeddings before training


def mouth_of(motion: Tensor) -> Tensor:
    """Motion [..., MOTION_DIM] -> its channels of the mouth, of spread about 1, [..., MOUTH]."""
    return motion[..., :MOUTH] / _SPREAD


class MotionEar(nn.Module):
    """Tokens of the motion that another ear heard."""

    def __init__(self, config: EarConfig) -> None:
        super().__init__()
        self.config = config
        self.read = nn.Sequential(
            nn.Linear(MOUTH, config.width), nn.SiLU(), nn.Linear(config.width, config.width),
            nn.LayerNorm(config.width),
        )  # fmt: skip
        self.order = nn.Parameter(_START * torch.randn(config.tokens, config.width))

    def forward(self, motion: Tensor) -> Tensor:
        """Motion float32 [B, tokens, MOTION_DIM] -> tokens [B, tokens, width].

        Raises:
            ValueError: motion of another shape.
        """
        check_rows("motion", motion, self.config.tokens, MOTION_DIM)
        tokens: Tensor = self.read(mouth_of(motion)) + self.order
        return tokens


class MelEar(nn.Module):
    """Tokens of mel windows."""

    def __init__(self, config: EarConfig, encoder: nn.Module, encoded: int = 512) -> None:
        """encoder: windows [N, 1, 80, 16] -> vectors [N, encoded], as Wav2Lip's."""
        super().__init__()
        self.config, self.encoder = config, encoder
        self.read = nn.Sequential(nn.Linear(encoded, config.width), nn.LayerNorm(config.width))
        self.order = nn.Parameter(_START * torch.randn(config.tokens, config.width))

    def forward(self, windows: Tensor) -> Tensor:
        """Mel windows float32 [B, tokens, 1, 80, 16] -> tokens [B, tokens, width].

        Raises:
            ValueError: another number of windows.
        """
        check_rows("mel windows", windows, self.config.tokens, 1, *MEL_WINDOW)
        heard = self.encoder(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        tokens: Tensor = self.read(heard) + self.order
        return tokens


def build_ear(config: EarConfig, encoder: nn.Module | None = None) -> MotionEar | MelEar:
    """The ear that the configuration names.

    encoder: how `mel` hears, see `MelEar`.

    Raises:
        ValueError: it hears mel, and there is no encoder.
    """
    if config.hears == "motion":
        return MotionEar(config)
    if encoder is None:
        raise ValueError("an ear that hears mel needs an audio encoder")
    return MelEar(config, encoder)
