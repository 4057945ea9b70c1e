"""Two sessions that hear the same: their lips should agree, their heads should not."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lips.figures import correlation
from benchmarks.lips.reader import LipReader
from benchmarks.motion.sounds import talk
from pipelines.audio.vad import VoiceActivity
from pipelines.avatar import AvatarPipeline
from pipelines.identity import IdentityFeatures
from pipelines.motion.model import MotionModel
from pipelines.motion.space import MOTION_INDEX
from pipelines.presets import HOP_SAMPLES

_LIPS_S = 30.0  # drawn and read; slow head motion needs longer to be told apart
_ANGLES = {"yaw": "headYaw", "pitch": "headPitch", "roll": "headRoll"}


def diversity(
    identity: IdentityFeatures,
    size: int,
    voices: list[str],
    head_s: float,
    motion: MotionModel | None = None,
) -> dict[str, float]:
    """Pearson r between seeds 0 and 1: of the gap read from pixels, of the head's angles."""
    pipeline = AvatarPipeline(slots=2, size=size, motion=motion)
    for slot in (0, 1):
        pipeline.set_identity(slot, identity)
        pipeline.reset(slot, seed=slot)
    delay = pipeline.look_ahead // HOP_SAMPLES
    clip, vad, on = talk(head_s, voices), VoiceActivity(), torch.tensor([True, True])
    gaps: list[list[float]] = []
    heads = []
    with LipReader() as first, LipReader() as second:
        hops = clip.samples.reshape(-1, HOP_SAMPLES)
        for n, hop in enumerate(tqdm(hops, desc="two seeds", leave=False)):
            vad(hop)
            seen = on if delay <= n < delay + _LIPS_S * 25 else ~on
            heard = torch.from_numpy(hop)[None].expand(2, -1)
            result = pipeline.step(heard, torch.tensor([vad.speech] * 2), on, seen)
            if result.frames:
                pair = zip((first, second), (0, 1), strict=True)
                gaps.append([reader.read(result.frames[s].numpy())[0] for reader, s in pair])
            if n >= delay:
                heads.append(result.motion[:, [MOTION_INDEX[i] for i in _ANGLES.values()]].numpy())
    read, angles = np.array(gaps), np.array(heads, np.float64)
    read = read[~np.isnan(read).any(1)]
    found = {"lips": correlation(read[:, 0], read[:, 1])}
    for i, name in enumerate(_ANGLES):
        found[name] = correlation(angles[:, 0, i], angles[:, 1, i])
    return {name: round(r, 3) for name, r in found.items()}
