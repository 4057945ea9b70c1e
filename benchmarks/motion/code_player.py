"""Motion generators of codes played in any windows: what they hear once, then drawn in each way."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.lips.sounds import Samples
from benchmarks.motion.hops import activity
from pipelines.anitalker.config import Playing
from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.published_codes import PublishedCodes, listener
from pipelines.audio.mel import MelConfig
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import Level, ddim_levels, flow_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.pipeline import HOP_SAMPLES


class _Recorder(StreamingSampler):
    """Keeps what it is given, a frame at a time, and draws nothing."""

    def __init__(self, model: MotionGenerator) -> None:
        super().__init__(model, Window(context=0), ())
        self.rows: list[Tensor] = []
        self.told: list[Tensor] = []

    def step(
        self,
        audio: Tensor,
        state: StreamState,
        active: Tensor,
        identity: Tensor | None = None,
        given: Given | None = None,
    ) -> Tensor:
        self.rows.append(audio.clone())
        if given is not None:
            self.told.append(given.pose[:, -1:].clone())
        return torch.zeros_like(state.rest)[:, None]


class _Player(StreamingSampler):
    """A sampler whose noise is scaled."""

    scale = 1.0

    def noise(self, state: StreamState) -> Tensor:
        return super().noise(state) * self.scale


@dataclass(frozen=True)
class CodePlayer:
    """One generator, one face, one sound."""

    generator: MotionGenerator
    noise: float  # scale
    silence: Tensor  # a row
    rows: Tensor  # [1, ..., rows per frame * T, F]
    told: Tensor | None  # [1, T, G]: head and eyes, where the generator is given them
    own: Tensor  # [1, D], the face's code
    start: Tensor | None  # [1, latent] of the face

    @staticmethod
    def of(
        generator: MotionGenerator, face: IdentityFeatures, samples: Samples, noise: float = 1.0
    ) -> CodePlayer:
        """Let a generator hear a sound hop by hop, as in a live stream."""
        motion: PublishedCodes | GeneratedCodes
        if generator.config.given_dim:
            motion = GeneratedCodes(MelConfig(), generator, window=Window(context=0))
        else:
            motion = PublishedCodes(generator, listener(generator), Playing(context=0, ahead=0))
        motion.sampler = recorder = _Recorder(generator)
        features, on = motion.features(), torch.ones(1, dtype=torch.bool)
        lag = features.look_ahead // HOP_SAMPLES
        whole = np.zeros(((len(samples) // HOP_SAMPLES) + lag) * HOP_SAMPLES, np.float32)
        whole[: len(whole) - lag * HOP_SAMPLES] = samples[: len(whole) - lag * HOP_SAMPLES]
        heard, state, controls = (
            features.init_state(1),
            motion.init_state(1),
            control_row(),
        )
        hops = torch.from_numpy(whole).view(-1, 1, HOP_SAMPLES)
        for hop, speech in zip(hops, activity(whole), strict=True):
            motion.step(
                features.step(hop, heard, on), torch.tensor([speech]), controls[None], state, on
            )
        told = torch.cat(recorder.told[lag:], 1) if recorder.told else None
        return CodePlayer(
            generator=generator,
            noise=noise,
            silence=motion.silence,
            rows=torch.cat(recorder.rows[lag:], -2),
            told=told,
            own=face.tensors["code"][None],
            start=face.tensors["start"][None] if generator.config.identity_dim else None,
        )

    @property
    def frames(self) -> int:
        """Of the sound."""
        return self.rows.shape[-2] // self.generator.config.rows_per_frame

    def levels(self, steps: int) -> tuple[Level, ...]:
        """Noise levels of so many steps."""
        if self.generator.config.objective == "epsilon":
            return ddim_levels(steps)
        return flow_levels([1.0 - n / steps for n in range(steps)])

    def play(self, window: Window, steps: int) -> tuple[Tensor, float]:
        """Codes [T, D] of all frames, and milliseconds per frame."""
        config = self.generator.config
        changes = config.given_dim > 0  # ours draw changes from the face's code, and know no past
        hidden = config.motion_dim if changes else 0
        player = _Player(self.generator, window, self.levels(steps), hidden)
        player.scale = self.noise
        rest = torch.zeros_like(self.own) if changes else self.own
        state = player.init_state(self.silence, rest, torch.zeros(1, dtype=torch.int64))
        each = config.rows_per_frame
        after = self.rows[..., -1:, :].repeat_interleave(each * window.ahead, -2)
        parts = torch.cat([self.rows, after], -2).split(each * window.new, -2)
        told, active = self._told(window), torch.ones(1, dtype=torch.bool)
        begin = time.perf_counter()
        drawn = [
            player.step(part, state, active, self.start, given)[0]
            for part, given in zip(parts, told, strict=True)
        ]
        took = 1e3 * (time.perf_counter() - begin) / self.frames
        codes = torch.cat(drawn)[window.ahead :]
        return (self.own + codes * self.generator.unit if changes else codes), took

    def _told(self, window: Window) -> list[Given | None]:
        """What each window is told, the newest frame last."""
        count = (self.frames + window.ahead) // window.new
        if self.told is None:
            return [None] * count
        before = torch.zeros_like(self.told[:, :1]).repeat(1, window.frames - window.new, 1)
        after = self.told[:, -1:].repeat(1, window.ahead, 1)
        every = torch.cat([before, self.told, after], 1)
        starts = range(0, count * window.new, window.new)
        return [Given(every[:, n : n + window.frames]) for n in starts]
