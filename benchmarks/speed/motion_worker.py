"""A process that steps a checkout's motion when told to: see `benchmarks.speed.motion`.

    python benchmarks/speed/motion_worker.py SOUND.npy BACKEND WEIGHTS

Run by path with PYTHONPATH at the checkout to measure. Reads lines `SLOTS HOPS`, answers each with
one line of JSON: milliseconds of CPU per hop, and memory. A stream goes on where its last line
ended. Imports only what every state of the tree has had since systems were registered by name, but
for ONNX Runtime's part.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.audio.vad import VoiceActivity
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import load_motion
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES


def build(backend: str, weights: str) -> MotionModel:
    """The motion model of these weights, by their name.

    Raises:
        ValueError: there is no such back end, or no graph for it.
    """
    model = load_motion(weights)
    if backend == "torch":
        return model
    if backend != "onnxruntime":
        raise ValueError(f"no back end {backend!r}")
    from pipelines.exported.files import load_graph
    from pipelines.weights import find_weights

    graph: MotionModel | None = load_graph(model, find_weights(weights))
    if graph is None:
        raise ValueError("no graph of these weights: make one by `vivavoce export`")
    return graph


class Stream:
    """So many slots of one model, each at its own place of the sound."""

    def __init__(self, model: MotionModel, slots: int, sound: np.ndarray[Any, Any]) -> None:
        self.model, self.slots = model, slots
        self.features = model.features()
        self.hops = torch.from_numpy(sound[: len(sound) // HOP_SAMPLES * HOP_SAMPLES])
        self.hops = self.hops.view(-1, HOP_SAMPLES)
        self.voices = [VoiceActivity() for _ in range(slots)]
        self.listening = self.features.init_state(slots)
        self.state = model.init_state(slots)
        self.active = torch.ones(slots, dtype=torch.bool)
        self.controls = control_row().repeat(slots, 1)
        self.place = 0

    def hop(self) -> float:
        """Hear a hop; milliseconds of this process's CPU for features, motion and idle life."""
        apart = len(self.hops) // self.slots
        at = [(self.place + apart * slot) % len(self.hops) for slot in range(self.slots)]
        heard = self.hops[at]
        for voice, hop in zip(self.voices, heard, strict=True):
            voice(hop.numpy())
        speech = torch.tensor([voice.speech for voice in self.voices])
        self.place += 1
        begin = time.process_time_ns()
        rows = self.features.step(heard, self.listening, self.active)
        self.model.step(rows, speech, self.controls, self.state, self.active)
        return (time.process_time_ns() - begin) / 1e6


def resident_mb() -> float:
    """Memory that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1_024.0


def main() -> None:
    torch.set_num_threads(1)
    sound = np.load(sys.argv[1])
    before = resident_mb()  # with all imports
    model = build(sys.argv[2], sys.argv[3])
    with torch.inference_mode():
        answer(model, sound, before)


def answer(model: MotionModel, sound: np.ndarray[Any, Any], before: float) -> None:
    """Answer the lines that come, until there are no more."""
    streams: dict[int, Stream] = {}
    for line in iter(sys.stdin.readline, ""):
        slots, hops = map(int, line.split())
        if slots not in streams:
            streams[slots] = Stream(model, slots, sound)
        times = [streams[slots].hop() for _ in range(hops)]
        held = resident_mb()
        told = {"cpu_ms": times, "resident_mb": held, "grown_mb": held - before}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
