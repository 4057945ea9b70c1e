"""What a motion generator is made of, and the named ones.

The first five are AniTalker's published stage 2 (arXiv 2405.03121, section 3.3). `codes` is our own
small one, which hears log-mel rows and diffuses the motion codes of our renderer, with head and
eyes given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Objective = Literal["epsilon", "velocity", "sample"]


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of a `MotionGenerator`. Widths in features, lengths in frames."""

    features: Literal["mfcc", "hubert", "mel"]
    audio_dim: int  # of one row of sound features
    audio_layers: int = 0  # hidden states to mix, 0 for plain rows
    down: tuple[int, ...] = (256, 512)  # widths of the convolutions that halve the row rate
    speech_blocks: int = 0
    pose: bool = False  # yaw, pitch, roll predicted or given
    framing: bool = False  # location and scale of the face too
    given_dim: int = 0  # of head, eyes and the like, never predicted but given for every frame
    adapter_dim: int = 128
    motion_dim: int = 20
    identity_dim: int = 512  # of the reference start code; 0 for none
    side_dim: int = 128  # of each side input of the decoder
    decoder_blocks: int = 2
    heads: int = 2
    kernel: int = 13  # of the depthwise convolutions
    time_features: int = 1  # 1: the bare step number, as published; else cosines of a time
    objective: Objective = "epsilon"
    known_clean: bool = False  # known frames enter without noise, at time 0; else at the step's
    dropout: float = 0.0  # while training

    def __post_init__(self) -> None:
        if self.framing and not self.pose:
            raise ValueError("framing adapters come with the pose adapter")
        for name, width in (("speech", self.speech_dim), ("decoder", self.decoder_dim)):
            if width % (2 * self.heads):
                raise ValueError(f"{name} width {width} does not split over {self.heads} heads")
        if self.known_clean and self.time_features == 1:
            raise ValueError("known_clean needs time_features > 1: a time for each frame")

    @property
    def rows_per_frame(self) -> int:
        """Rows of sound features per video frame."""
        return 1 << len(self.down)

    @property
    def speech_dim(self) -> int:
        return self.down[-1]

    @property
    def decoder_dim(self) -> int:
        """Speech, then the last motion, the identity if there is one, the noisy motion, time."""
        return self.speech_dim + self.side_dim * (4 if self.identity_dim else 3)


def _mfcc(**more: bool) -> GeneratorConfig:
    return GeneratorConfig(features="mfcc", audio_dim=39, **more)  # type: ignore[arg-type]


def _hubert(**more: bool) -> GeneratorConfig:
    return GeneratorConfig(
        features="hubert", audio_dim=1024, audio_layers=25, down=(512,), speech_blocks=4,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


_CODES = GeneratorConfig(
    features="mel",
    audio_dim=86,
    down=(160, 128),
    speech_blocks=3,
    identity_dim=0,
    side_dim=32,
    kernel=7,
    time_features=8,
    given_dim=12,
    objective="sample",
    known_clean=True,
    dropout=0.1,
)

PRESETS: dict[str, GeneratorConfig] = {
    "mfcc_pose_only": _mfcc(pose=True),
    "mfcc_full_control": _mfcc(pose=True, framing=True),
    "hubert_audio_only": _hubert(),
    "hubert_pose_only": _hubert(pose=True),
    "hubert_full_control": _hubert(pose=True, framing=True),
    "codes": _CODES,
}
