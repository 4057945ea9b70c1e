"""Motion models side by side: the same sentences, drawn and read in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.lips.figures import Gaps
from benchmarks.lips.measure import figures
from benchmarks.lips.reader import LipReader
from benchmarks.lips.sounds import Clip
from benchmarks.motion.models import Choice, cost_ms, make, move
from pipelines.identity import IdentityFeatures
from pipelines.portrait.bake import bake
from pipelines.portrait.render import draw_i420

Row = dict[str, Any]
_HEAD = f"{'model':30s}{'r':>6s}{'lag':>6s}{'closures':>10s}{'false':>7s}{'still':>7s}{'ms':>7s}"


class Mirror:
    """Draws motion on one portrait and reads its lips."""

    def __init__(self, identity: IdentityFeatures, size: int) -> None:
        self.baked = bake(identity, size)
        self.planes = torch.empty(1, size * 3 // 2, size, dtype=torch.uint8)

    def gaps(self, motion: Tensor) -> Gaps:
        """motion [frames, MOTION_DIM] -> gap per frame; a lost face holds the last."""
        read: list[float] = []
        with LipReader() as reader:
            for frame in motion:
                draw_i420(self.baked, frame, self.planes)
                gap, _ = reader.read(self.planes[0].numpy())
                read.append(gap if gap == gap or not read else read[-1])
        return np.array(read)


def measure(
    choices: Sequence[Choice], runs: Path, voices: dict[str, list[Clip]], mirror: Mirror
) -> list[Row]:
    """A row of figures per model, over the clips of all voices; prints each as it is known."""
    clips = [clip for part in voices.values() for clip in part]
    rows = []
    tqdm.write(_HEAD)
    for choice in tqdm(choices, leave=False):
        model = make(choice, runs)
        motion = move(model, [clip.samples for clip in clips])
        row = _row(choice, [mirror.gaps(one) for one in motion], voices)
        row["ms_per_frame"] = round(cost_ms(model, clips[0].samples), 2)
        rows.append(row)
        tqdm.write(line(row))
    return rows


def _row(choice: Choice, gaps: Sequence[Gaps], voices: dict[str, list[Clip]]) -> Row:
    clips = [clip for part in voices.values() for clip in part]
    readings = list(zip(gaps, clips, strict=True))
    by_voice, at = {}, 0
    for voice, part in voices.items():
        by_voice[voice] = figures(readings[at : at + len(part)])["r"]
        at += len(part)
    return {
        "model": choice.name,
        "kind": choice.kind,
        "network": choice.network,
        "look_ahead_frames": None if choice.kind == "whole" else choice.ahead,
        "passes": choice.passes,
        **figures(readings),
        "r_by_voice": by_voice,
    }


def line(row: Row) -> str:
    """One row as text."""
    still = "-" if row["stillness"] is None else f"{row['stillness']:.3f}"
    return (
        f"{row['model']:30s}{row['r']:6.3f}{row['lag_frames']:6.1f}{row['closures']:10.0%}"
        f"{row['false_closures']:7.1%}{still:>7s}{row['ms_per_frame']:7.2f}"
    )
