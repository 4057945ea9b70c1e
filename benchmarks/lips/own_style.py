"""A style of one's own: how much more like a person's the lips are once their video was enrolled.

    python -m benchmarks.lips.own_style --recordings DIR [--weights FILE|RUN] [--speaker s1]
        [--seconds 10 30 60 330] [--draws 3]

Of a speaker with real lips, some clips are held out. Clips of the rest, drawn at random until they
last so long, stand for a video: their sound and the curve of the real lips go through the fit of
enrolment. Then the held-out clips are said by the network with that style, hop by hop, and r
with the real lips is taken as `benchmarks.lips.recorded` does, gaps read from the motion. Weights
that were trained without the speaker say what a stranger gains; those that ship have seen s1.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lips.curves import Curves
from benchmarks.lips.figures import Count, closures
from benchmarks.lips.held_out import Said, real_mouths
from benchmarks.lips.instruments import from_motion
from benchmarks.lips.intervals import Interval, over_clips
from benchmarks.lips.motion_of import motions
from benchmarks.lips.recorded import follow_real
from benchmarks.timing import write_result
from benchmarks.weights_by_path import named
from pipelines.identity import IdentityFeatures
from pipelines.motion.diffusion import DiffusionMotion, load_motion
from pipelines.motion.listening import Heard, listen
from pipelines.motion.own_style import NO_STYLE, Fitted, fit_heard
from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.motion.style import OwnStyle
from pipelines.pipeline import FPS

HELD_OUT = 36  # clips
SECONDS = (10.0, 30.0, 60.0, 330.0)


def divided(said: Sequence[Said], speaker: str) -> tuple[list[Said], list[Said]]:
    """Clips of the speaker to learn from, and held-out ones.

    Raises:
        ValueError: there are too few.
    """
    own = [one for one in said if one.speaker == speaker]
    if len(own) <= HELD_OUT:
        raise ValueError(f"{len(own)} clips of {speaker} have real lips; more than {HELD_OUT} must")
    order = np.random.default_rng(0).permutation(len(own))
    return [own[n] for n in order[HELD_OUT:]], [own[n] for n in order[:HELD_OUT]]


def drawn(clips: Sequence[Said], seconds: float, seed: int) -> list[Said]:
    """Clips at random that last so long together, or all of them."""
    order = np.random.default_rng(seed).permutation(len(clips))
    found: list[Said] = []
    for n in order:
        if sum(one.clip.frames for one in found) >= seconds * FPS:
            break
        found.append(clips[n])
    return found


def learnt(clips: Sequence[Said], motion: DiffusionMotion) -> Fitted:
    """What enrolment learns from these clips; each is heard as a stream of its own, as those are
    that r is taken of."""
    gap = np.concatenate([one.real for one in clips if one.real is not None])
    heard = [listen(one.clip.samples, motion) for one in clips]
    rows, gate = (np.concatenate(x) for x in zip(*((h.rows, h.gate) for h in heard), strict=True))
    return fit_heard(gap.astype(np.float32), Heard(rows, gate), motion)


def curves_of(said: Sequence[Said], motion: DiffusionMotion, style: OwnStyle) -> Curves:
    """The gap in every frame of the clips, of a face with this style."""
    identity = IdentityFeatures("0" * 64, style.arrays(), {})
    sounds = {one.name: one.clip.samples for one in said}
    moved = motions(motion, sounds, identity=identity)
    return {name: from_motion(motion) for name, motion in moved.items()}


def told(said: Sequence[Said], curves: Curves) -> dict[str, Any]:
    """r with the real lips, and closures of p, b, m."""
    r: Interval = over_clips([one.r for one in follow_real(said, curves).values()])
    counts = [closures(curves[one.name], one.clip.phones) for one in said]
    return {"r": r.numbers(), "closures": round(sum(counts, Count(0, 0)).share, 3)}


def measure(
    said: Sequence[Said], speaker: str, motion: DiffusionMotion, seconds: Sequence[float],
    draws: int,
) -> dict[str, Any]:  # fmt: skip
    """By seconds of adaptation: figures of held-out clips, a list of one for each draw."""
    learning, held = divided(said, speaker)
    found: dict[str, Any] = {"0": [told(held, curves_of(held, motion, NO_STYLE))]}
    print(line(0.0, found["0"][0]))
    for wanted in seconds:
        rows = []
        for seed in range(draws):
            clips = drawn(learning, wanted, seed)
            fitted = learnt(clips, motion)
            row = told(held, curves_of(held, motion, fitted.style))
            row |= {"learnt": fitted.learnt, "foreseen": [fitted.before, fitted.after]}
            rows.append(row)
            print(line(wanted, row))
            if len(clips) == len(learning):  # another draw would be the same
                break
        found[f"{wanted:.0f}"] = rows
    return found


def line(seconds: float, row: dict[str, Any]) -> str:
    """A row as text."""
    r = row["r"]
    text = f"{seconds:5.0f} s   r {r['mean']:.3f} ({r['low']:.3f} to {r['high']:.3f})"
    text += f"   closures {row['closures']:.0%}"
    if "foreseen" in row:
        before, after = row["foreseen"]
        text += f"   foreseen {before:.2f} -> {after:.2f}" if row["learnt"] else "   not learnt"
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips.own_style", description="r with a person's lips, once enrolled"
    )
    parser.add_argument("--recordings", type=Path, required=True, help="folder of recorded speech")
    parser.add_argument("--weights", type=Path, help="a file, or the folder of a training run")
    parser.add_argument("--speaker", default="s1")
    parser.add_argument("--seconds", type=float, nargs="+", default=list(SECONDS))
    parser.add_argument("--draws", type=int, default=3, help="of clips to learn from")
    parser.add_argument("--name", default="lips_own_style", help="of the results file")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with nullcontext(PORTRAIT_WEIGHTS) if args.weights is None else named(args.weights) as name:
        motion = load_motion(name)
    said = real_mouths(args.recordings)
    rows = measure(said, args.speaker, motion, args.seconds, args.draws)
    about = {"weights": str(args.weights or "shipped"), "speaker": args.speaker}
    print(write_result(args.name, about | {"by_seconds": rows}))


if __name__ == "__main__":
    main()
