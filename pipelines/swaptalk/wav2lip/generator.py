"""Wav2Lip's generator: the lower half of a face drawn anew as a window of sound wants it.

What the face encoder gives depends on the face alone, so a template whose frames come back can keep
it. At the published width that is 290,816 numbers a frame and saves 0.62 of 7.93 GFLOP: the sound
encoder takes 0.19, the decoder 7.13.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.swaptalk.wav2lip.audio_encoder import PUBLISHED_WIDTH, AudioEncoder
from pipelines.swaptalk.wav2lip.blocks import conv, double, residual, spread

CROP = 96
"""Height and width of a crop, pixels."""


class Wav2Lip(nn.Module):
    """Mel windows and faces to faces.

    width: channels of the first convolution over the sound; the others follow from it. Even.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        w, half = width, width // 2
        if width % 2 or width < 2:
            raise ValueError(f"width must be even, got {width}")
        self.audio_encoder = AudioEncoder(w)
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*blocks)
            for blocks in (
                [conv(6, half, 7, 1, 3)],
                [conv(half, w, 3, 2, 1), residual(w), residual(w)],
                [conv(w, 2 * w, 3, 2, 1), *(residual(2 * w) for _ in range(3))],
                [conv(2 * w, 4 * w, 3, 2, 1), residual(4 * w), residual(4 * w)],
                [conv(4 * w, 8 * w, 3, 2, 1), residual(8 * w), residual(8 * w)],
                [conv(8 * w, 16 * w, 3, 2, 1), residual(16 * w)],
                [conv(16 * w, 16 * w, 3), conv(16 * w, 16 * w, 1)],
            )
        )
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*blocks)
            for blocks in (
                [conv(16 * w, 16 * w, 1)],
                [spread(32 * w, 16 * w), residual(16 * w)],
                *(
                    [double(dim_in, dim_out), residual(dim_out), residual(dim_out)]
                    for dim_in, dim_out in (
                        (32 * w, 16 * w), (24 * w, 12 * w), (16 * w, 8 * w), (10 * w, 4 * w),
                        (5 * w, 2 * w),
                    )
                ),
            )
        )  # fmt: skip
        self.output_block = nn.Sequential(
            conv(2 * w + half, w, 3, 1, 1), nn.Conv2d(w, 3, 1), nn.Sigmoid()
        )

    def encode_sound(self, mel: Tensor) -> Tensor:
        """Mel windows [B, 1, 80, 16] -> [B, 16 width]."""
        sound: Tensor = self.audio_encoder(mel)
        return sound

    def encode_face(self, face: Tensor) -> list[Tensor]:
        """Maps of `face_input` [B, 6, 96, 96], of 96, 48, 24, 12, 6, 3 and 1 pixels: each [B, C, H,
        H], C being width times 1/2, 1, 2, 4, 8, 16, 16.

        Raises:
            ValueError: not of that shape.
        """
        if face.dim() != 4 or face.shape[1:] != (6, CROP, CROP):
            raise ValueError(f"expected faces [B, 6, {CROP}, {CROP}], got {list(face.shape)}")
        maps = []
        for block in self.face_encoder_blocks:
            face = block(face)
            maps.append(face)
        return maps

    def decode(self, sound: Tensor, maps: list[Tensor]) -> Tensor:
        """Sound [B, 16 width] and the maps of a face -> pictures [B, 3, 96, 96] in [0, 1]."""
        x = sound[:, :, None, None]
        for block, seen in zip(self.face_decoder_blocks, reversed(maps), strict=True):
            x = torch.cat([block(x), seen], dim=1)
        picture: Tensor = self.output_block(x)
        return picture

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Single frames, mel [B, 1, 80, 16] and face [B, 6, 96, 96] -> [B, 3, 96, 96], or stretches
        of them, [B, T, 1, 80, 16] and [B, 6, T, 96, 96] -> [B, 3, T, 96, 96]."""
        if face.dim() == 4:
            return self.decode(self.encode_sound(mel), self.encode_face(face))
        batch = len(face)
        pictures = self(mel.flatten(0, 1), face.transpose(1, 2).flatten(0, 1))
        stretches: Tensor = pictures.unflatten(0, (batch, -1)).transpose(1, 2)
        return stretches


def face_input(crop: Tensor, reference: Tensor | None = None) -> Tensor:
    """What the generator sees of a face: the crop [B, 3, 96, 96] without its lower half, and whole
    a reference of the same person, in inference the crop itself -> [B, 6, 96, 96]."""
    upper = crop.clone()
    upper[:, :, CROP // 2 :] = 0.0
    return torch.cat([upper, crop if reference is None else reference], dim=1)
