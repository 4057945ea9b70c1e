"""Motion models by name, from trained networks that lie side by side, and clips through them.

    signal       no weights: energies and spectral shape (the baseline)
    regression   the network of the same size that predicts motion from sound alone, streaming
    whole        diffusion with all frames of a sentence in one window
    stream       diffusion in a sliding window, some frames of look-ahead and some passes per hop

Networks lie in a folder of runs, as {regression,velocity,epsilon,distil}/model.safetensors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.baseline.signal_motion import SignalMotion
from benchmarks.lips.sounds import Samples
from pipelines.audio.mel import LogMel, MelConfig
from pipelines.audio.vad import VoiceActivity
from pipelines.diffusion.config import Objective
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import Level, ddim_levels, flow_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import WINDOW, DiffusionMotion, load_generator
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES
from pipelines.streaming import masked_write

Kind = Literal["signal", "regression", "whole", "stream"]
Model = SignalMotion | DiffusionMotion

STEPS = (1, 2, 4, 8)
_FLOW_TIMES: dict[int, tuple[float, ...]] = {  # denser where the motion takes shape
    1: (1.0,),
    2: (1.0, 0.5),
    4: (1.0, 0.6, 0.3, 0.1),
    8: (1.0, 0.85, 0.7, 0.5, 0.3, 0.15, 0.07, 0.03),
}
_WARM_TIMES: dict[int, tuple[float, ...]] = {1: (0.4,), 2: (0.5, 0.2)}
_OBJECTIVES: dict[str, Objective] = {"epsilon": "epsilon", "regression": "sample"}
_WARM_UP, _TIMED = 20, 80  # hops


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One motion model.

    network: whose weights. passes: of the network per hop (or utterance). warm: whether a window
    starts from the draft of the last one.
    """

    kind: Kind
    network: str = ""
    ahead: int = WINDOW.ahead  # frames
    passes: int = 0
    warm: bool = False

    @property
    def name(self) -> str:
        if self.kind == "signal":
            return "signal"
        passes = f"{self.passes} pass{'es' * (self.passes > 1)}"
        ahead = "whole" if self.kind == "whole" else f"{self.ahead} ahead"
        return f"{self.network}, {ahead}, {passes}" + ", warm" * self.warm

    def weights(self, runs: Path) -> Path | None:
        """The file this model needs."""
        return runs / self.network / "model.safetensors" if self.network else None


COMPARED: tuple[Choice, ...] = (
    Choice(kind="signal"),
    Choice(kind="regression", network="regression", passes=1),
    Choice(kind="whole", network="velocity", passes=8),
    *(Choice(kind="stream", network="velocity", passes=n) for n in reversed(STEPS)),
    *(Choice(kind="stream", network="velocity", passes=n, warm=True) for n in (2, 1)),
    *(Choice(kind="stream", network="epsilon", passes=n) for n in (8, 4, 2)),
    Choice(kind="stream", network="distil", passes=1),
)


def swept(look_aheads: Sequence[int], steps: Sequence[int]) -> tuple[Choice, ...]:
    """Every network at each look-ahead, diffusion of velocities also at each number of steps."""
    lines: list[tuple[Kind, str, int]] = [("stream", "velocity", n) for n in steps]
    lines += [("stream", "epsilon", max(steps)), ("stream", "distil", 1)]
    lines += [("regression", "regression", 1)]
    return tuple(
        Choice(kind=kind, network=network, ahead=ahead, passes=passes)
        for kind, network, passes in lines
        for ahead in look_aheads
    )


def available(choices: Sequence[Choice], runs: Path) -> tuple[list[Choice], list[Path]]:
    """The choices that can be made, and the files that the others lack."""
    can, lack = [], []
    for choice in choices:
        path = choice.weights(runs)
        if path is None or path.is_file():
            can.append(choice)
        elif path not in lack:
            lack.append(path)
    return can, lack


def levels(network: str, passes: int) -> tuple[Level, ...]:
    """Noise levels of so many passes, as that network was told of them in training."""
    if network != "epsilon":
        return flow_levels(_FLOW_TIMES[passes])
    # One step is the noisier of the published sampler's two; times are those of the objective.
    noisy = ddim_levels(max(passes, 2))[:passes]
    told = [replace(level, time=(level.time + 1.0) / 1_000.0) for level in noisy]
    return (*told, Level(1.0, 0.0, 0.0))


def make(choice: Choice, runs: Path) -> Model:
    """Build the model of a choice.

    Raises:
        ValueError: its weights are of another network.
        FileNotFoundError: or not there.
    """
    path = choice.weights(runs)
    if path is None:
        return SignalMotion(MelConfig())
    network = load_generator(path)
    objective = _OBJECTIVES.get(choice.network, "velocity")
    network.config = replace(network.config, objective=objective)
    window = replace(WINDOW, ahead=choice.ahead)
    if choice.kind == "regression":
        model = DiffusionMotion(MelConfig(), network, window=window)
        model.sampler = RegressionSampler(network, window, model.sampler.levels)
        return model
    walked = levels(choice.network, choice.passes)
    if choice.kind == "whole":
        return WholeMotion(MelConfig(), network, window=window, levels=walked)
    if choice.warm:
        walked = flow_levels(_WARM_TIMES[choice.passes])
    return DiffusionMotion(MelConfig(), network, window=window, levels=walked, warm=choice.warm)


class RegressionSampler(StreamingSampler):
    """The window as the plain network predicts it: from sound alone, without noise or past."""

    def step(
        self,
        audio: Tensor,
        state: StreamState,
        active: Tensor,
        identity: Tensor | None = None,
        given: Given | None = None,
    ) -> Tensor:
        heard = torch.cat([state.audio[..., audio.shape[-2] :, :], audio], -2)
        out = predicted(self.model, heard)
        masked_write(state.audio, heard, active)
        masked_write(state.frame, state.frame + self.window.new, active)
        begin = self.window.context
        return out[:, begin : begin + self.window.new]


def predicted(network: MotionGenerator, heard: Tensor) -> Tensor:
    """Motion codes [B, T, D] of sound rows [B, 4 T, F], by a network trained to regress."""
    speech = network.hear(heard)
    none = speech.new_zeros(*speech.shape[:2], network.config.motion_dim)
    condition = network.condition(speech, none[:, 0])
    motion: Tensor = network(none, none.new_ones(1, 1), condition)
    return motion.clamp(-1.0, 1.0)


class _Played(StreamingSampler):
    """Motion codes that are there already, a frame per step."""

    def play(self, codes: Tensor) -> None:
        self.codes = codes

    def step(
        self,
        audio: Tensor,
        state: StreamState,
        active: Tensor,
        identity: Tensor | None = None,
        given: Given | None = None,
    ) -> Tensor:
        frame = int(state.frame[0])
        masked_write(state.frame, state.frame + 1, active)
        return self.codes[:, frame : frame + 1]


class WholeMotion(DiffusionMotion):
    """All frames in one window. Speech level and behaviour are still heard hop by hop."""

    def __init__(
        self, mel: MelConfig, model: MotionGenerator, window: Window, levels: Sequence[Level]
    ) -> None:
        super().__init__(mel, model, window=Window(context=0, new=1, ahead=0), levels=levels)
        self.played = _Played(model, self.sampler.window, levels)
        self.sampler = self.played

    def forward(self, features: Tensor, speech: Tensor, controls: Tensor) -> Tensor:
        batch, hops = speech.shape
        state = self.init_state(batch)
        active = torch.ones(batch, dtype=torch.bool)
        rows = [
            self.hearing.step(x, flag, state.voice, active)
            for x, flag in zip(
                features.reshape(batch, hops, -1, features.shape[2]).unbind(1),
                speech.unbind(1),
                strict=True,
            )
        ]
        whole = Window(context=0, new=hops)
        sampler = StreamingSampler(self.played.model, whole, self.played.levels)
        fresh = sampler.init_state(self.silence, state.stream.rest, torch.arange(batch) + self.seed)
        self.played.play(sampler.step(torch.cat(rows, 1), fresh, active))
        return super().forward(features, speech, controls)


def move(model: Model, clips: Sequence[Samples]) -> list[Tensor]:
    """Motion [frames, MOTION_DIM] of each clip, frames without the model's delay."""
    if isinstance(model, WholeMotion):  # padding would be part of the utterance
        return [_move(model, [clip])[0] for clip in clips]
    return _move(model, clips)


@torch.inference_mode()
def _move(model: Model, clips: Sequence[Samples]) -> list[Tensor]:
    mel = LogMel(model.mel)
    delay = (mel.look_ahead + model.look_ahead) // HOP_SAMPLES
    frames = [len(clip) // HOP_SAMPLES for clip in clips]
    samples = np.zeros((len(clips), (max(frames) + delay) * HOP_SAMPLES), np.float32)
    for row, clip in zip(samples, clips, strict=True):
        row[: len(clip)] = clip
    heard = torch.from_numpy(samples)
    speech = torch.from_numpy(np.array([activity(row) for row in samples]))
    controls = control_row().expand(len(clips), -1)
    motion: Tensor = model(mel(heard), speech, controls)
    return [m[delay : delay + n] for m, n in zip(motion, frames, strict=True)]


def activity(samples: Samples) -> list[bool]:
    """Voice activity as a live session has it, at the end of each hop."""
    vad, flags = VoiceActivity(), []
    for hop in samples.reshape(-1, HOP_SAMPLES):
        vad(hop)
        flags.append(vad.speech)
    return flags


@torch.inference_mode()
def cost_ms(model: MotionModel, samples: Samples) -> float:
    """Time per frame for one session, features included: the median hop's, or the whole's share."""
    if isinstance(model, WholeMotion):
        begin = time.perf_counter()
        (motion,) = _move(model, [samples])
        return (time.perf_counter() - begin) * 1_000.0 / len(motion)
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
