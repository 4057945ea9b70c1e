"""Motion models hop by hop, as a live session runs them: voice activity, and what a frame costs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.lips.sounds import Samples
from pipelines.audio.mel import LogMel
from pipelines.audio.vad import VoiceActivity
from pipelines.motion.controls import control_row
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES

_WARM_UP, _TIMED = 20, 80  # hops


def activity(samples: Samples) -> list[bool]:
    """Voice activity as a live session has it, at the end of each hop."""
    vad, flags = VoiceActivity(), []
    for hop in samples.reshape(-1, HOP_SAMPLES):
        vad(hop)
        flags.append(vad.speech)
    return flags


@torch.inference_mode()
def cost_ms(model: MotionModel, samples: Samples) -> float:
    """Median time of a hop for one session, features included."""
    mel = LogMel(model.mel)
    heard = mel.init_state(1)
    state: Any = model.init_state(1)
    on, controls = torch.tensor([True]), control_row()[None]
    times = []
    hops = torch.from_numpy(np.resize(samples, (_WARM_UP + _TIMED, 1, HOP_SAMPLES)))
    for hop in hops:
        begin = time.perf_counter()
        model.step(mel.step(hop, heard, on), on, controls, state, on)
        times.append((time.perf_counter() - begin) * 1_000.0)
    return float(np.median(times[_WARM_UP:]))
