"""What a checkout's motion model makes of sounds; also a script for other checkouts than this one.

    python benchmarks/lips/motion_of.py SOUNDS.npz MOTION.npz [--weights NAME] [--cuts JSON]

Imports only what every state of the tree has had since systems were registered by name, so that
this file, run by path with PYTHONPATH at another checkout, measures that one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import load_motion
from pipelines.motion.model import MotionModel
from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.pipeline import HOP_SAMPLES

Samples = NDArray[np.float32]
Motion = NDArray[np.float32]

_TOGETHER = 32  # sounds in a batch: per sound a third of the time of one alone


def motions(
    model: MotionModel,
    sounds: Mapping[str, Samples],
    cuts: Mapping[str, int] | None = None,
    identity: IdentityFeatures | None = None,
) -> dict[str, Motion]:
    """Motion float32 [frames, MOTION_DIM] of each sound [frames * 640] at 16 kHz, heard alone in a
    fresh stream of the model's own seed 0.

    cuts: by name, the first frame that is shown after the speaker was cut short: what the model had
    heard but not shown is cleared, and it hears silence from then on.
    identity: of the face that is moved, whose style the model may have.
    """
    found: dict[str, Motion] = {}
    for names in _batches(sounds):
        at = [(cuts or {}).get(name) for name in names]
        moved = _together(model, [sounds[name] for name in names], at, identity)
        found |= dict(zip(names, moved, strict=True))
        print(f"{len(found)} of {len(sounds)} sounds moved", file=sys.stderr, flush=True)
    return {name: found[name] for name in sounds}


def _batches(sounds: Mapping[str, Samples]) -> Iterator[list[str]]:
    """Names of sounds of like length, so that little is padded."""
    names = sorted(sounds, key=lambda name: len(sounds[name]))
    for start in range(0, len(names), _TOGETHER):
        yield names[start : start + _TOGETHER]


@torch.inference_mode()
def _together(
    model: MotionModel,
    sounds: Sequence[Samples],
    cuts: Sequence[int | None],
    identity: IdentityFeatures | None,
) -> list[Motion]:
    features = model.features()
    delay = (features.look_ahead + model.look_ahead) // HOP_SAMPLES
    count, frames = len(sounds), max(len(x) for x in sounds) // HOP_SAMPLES
    heard = np.zeros((count, frames + delay, HOP_SAMPLES), np.float32)
    for row, sound in zip(heard, sounds, strict=True):
        row.reshape(-1)[: len(sound)] = sound
    cut_hops = torch.tensor([-1 if cut is None else cut + delay for cut in cuts])
    for row, hop in zip(heard, cut_hops.tolist(), strict=True):
        row[hop if hop >= 0 else len(row) :] = 0.0
    voices = [VoiceActivity() for _ in sounds]
    seeds = torch.zeros(count, dtype=torch.int64)
    listening, state = features.init_state(count), model.init_state(count, seeds=seeds)
    if identity is not None:
        for slot in range(count):
            model.set_identity(state, slot, identity)
    controls = control_row().repeat(count, 1)
    active = torch.ones(count, dtype=torch.bool)
    rows = []
    for n in range(frames + delay):
        for voice, row in zip(voices, heard, strict=True):
            voice(row[n])
        speech = torch.tensor([voice.speech for voice in voices])
        cut = cut_hops == n
        if cut.any():
            listening.clear(cut)
            state.clear(cut)
        hop = features.step(torch.from_numpy(heard[:, n]), listening, active)
        rows.append(model.step(hop, speech, controls, state, active).numpy().copy())
    motion = np.stack(rows, 1)
    ends = [delay + len(sound) // HOP_SAMPLES for sound in sounds]
    return [row[delay:end] for row, end in zip(motion, ends, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="motion of the sounds in a file")
    parser.add_argument("sounds", type=Path)
    parser.add_argument("motion", type=Path)
    parser.add_argument("--weights", default=PORTRAIT_WEIGHTS)
    parser.add_argument("--cuts", type=json.loads, help="first frame after the cut, by name")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with np.load(args.sounds) as held:
        sounds = {name: held[name] for name in held}
        moved = motions(load_motion(args.weights), sounds, args.cuts)
    np.savez(args.motion, **{name: one.astype(np.float16) for name, one in moved.items()})


if __name__ == "__main__":
    main()
