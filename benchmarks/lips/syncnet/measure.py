"""A clip's pictures and sound to its LSE-C and LSE-D."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lips.syncnet.distance import LipSync, lip_sync
from benchmarks.lips.syncnet.faces import face_crops
from benchmarks.lips.syncnet.network import COEFFICIENTS, ROWS, SyncNet
from pipelines.audio.mfcc import Mfcc
from pipelines.pipeline import HOP_SAMPLES

_UNHEARD = 5  # frames at the end of a clip that no stretch begins with, one more than it needs
_FULL_SCALE = 2**15


@torch.inference_mode()
def watch(
    network: SyncNet, pictures: Iterable[NDArray[np.uint8]], samples: NDArray[np.float32]
) -> LipSync:
    """How well a clip's lips fit its sound.

    Args:
        pictures: I420 at 25 fps, each [height * 3 / 2, width]; they may be overwritten by the next.
        samples: [S] at 16 kHz in [-1, 1].

    Raises:
        ValueError: fewer than six frames, or no face in any.
    """
    held = [np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), np.uint8) for i420 in pictures]
    count = min(len(held), len(samples) // HOP_SAMPLES) - _UNHEARD
    if count < 1:
        raise ValueError(
            f"{len(held)} frames and {len(samples)} samples are too few; at least "
            f"{_UNHEARD + 1} frames are needed"
        )
    lips = network.embed_lips(torch.from_numpy(face_crops(held)))[:count]
    return lip_sync(lips, network.embed_sound(sound_clips(samples, count)))


def sound_rows(samples: NDArray[np.float32]) -> Tensor:
    """MFCC of sound [S] in [-1, 1] as of int16, [rows, 13]."""
    whole = np.clip(np.round(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    rows: Tensor = Mfcc()(torch.from_numpy(whole.astype(np.float32))[None])
    return rows[0, :, :COEFFICIENTS]


def sound_clips(samples: NDArray[np.float32], count: int) -> Tensor:
    """The rows beside the five frames from each of the first `count` on, [count, 20, 13]."""
    rows = sound_rows(samples)
    step = HOP_SAMPLES // Mfcc().config.step
    return rows.unfold(0, ROWS, step)[:count].transpose(1, 2)


def summary(clips: Sequence[LipSync]) -> dict[str, float]:
    """Means over clips, and the median offset in frames."""
    return {
        "lse_c": round(float(np.mean([clip.lse_c for clip in clips])), 3),
        "lse_d": round(float(np.mean([clip.lse_d for clip in clips])), 3),
        "offset_frames": float(np.median([clip.offset for clip in clips])),
    }
