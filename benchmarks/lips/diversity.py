"""Two sessions that hear the same: their lips should agree, their heads should not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from benchmarks.lips.figures import correlation
from benchmarks.lips.reader import LipReader
from benchmarks.motion.sounds import talk
from pipelines.clip import play
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_INDEX
from pipelines.pipeline import FPS, Pipeline, Size

_LIPS = range(30 * FPS)  # drawn and read; slow head motion needs longer to be told apart
_ANGLES = {"yaw": "headYaw", "pitch": "headPitch", "roll": "headRoll"}
_AT = [MOTION_INDEX[name] for name in _ANGLES.values()]


def diversity(
    make: Callable[[], Pipeline],
    identity: IdentityFeatures,
    size: Size,
    voices: list[str],
    head_s: float,
) -> dict[str, float]:
    """Pearson r between seeds 0 and 1: of the gap read from pixels, of the head's angles."""
    clip, streams = talk(head_s, voices), []
    for seed in (0, 1):
        pipeline = make()
        pipeline.set_identity(0, identity, size)
        streams.append(play(pipeline, clip.samples, size, seed=seed, draw=_LIPS))
    gaps, heads = [], []
    with LipReader() as first, LipReader() as second:
        pairs = tqdm(zip(*streams, strict=True), desc="two seeds", total=clip.frames, leave=False)
        for pair in pairs:
            if pair[0].picture is not None:
                readers = zip((first, second), pair, strict=True)
                gaps.append([reader.read(shown.picture)[0] for reader, shown in readers])
            heads.append([shown.motion[_AT] for shown in pair])
    read, angles = np.array(gaps), np.array(heads, np.float64)
    read = read[~np.isnan(read).any(1)]
    found = {"lips": correlation(read[:, 0], read[:, 1])}
    for i, name in enumerate(_ANGLES):
        found[name] = correlation(angles[:, 0, i], angles[:, 1, i])
    return {name: round(r, 3) for name, r in found.items()}
