"""Codes drawn by a published motion generator (AniTalker's stage 2), played as a stream.

sound -> MFCC or HuBERT -> StreamingSampler, upon the photo's code and start -> code of one frame
                 IdleMotion's head, where the generator takes a pose and is to be given one
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.anitalker.config import Playing
from pipelines.audio.hubert import HubertStream, load_hubert
from pipelines.audio.mel import MelConfig
from pipelines.audio.mfcc import Mfcc
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import ddim_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.identity import IdentityFeatures
from pipelines.motion.hearing import LISTENS
from pipelines.motion.idle import IDLE, LISTENING, SPEAKING, IdleMotion, IdleState
from pipelines.motion.model import Features, MotionModel
from pipelines.motion.space import MOTION_INDEX
from pipelines.motion.voice import HANGOVER
from pipelines.pipeline import HOP_SAMPLES
from pipelines.streaming import SlotState, masked_write

_ANGLES = tuple(MOTION_INDEX[name] for name in ("headYaw", "headPitch", "headRoll"))
_DEGREES = 90.0  # of a pose of 1
_STILL = 1e-5  # root mean square of a hop that counts as digital silence
_HISS = 3e-4  # root mean square of the noise that takes its place: -70 dB below full scale
_FRAMING = (0.5, 0.5)  # of the published program: nose tip in widths, brows to chin in heights


class Audible(nn.Module):
    """Features of sound in which digital silence, far from anything a generator has heard (a log
    energy of -36), is a faint noise, the same in each hop."""

    def __init__(self, inner: Features) -> None:
        super().__init__()
        self.inner = inner
        noise = torch.randn(HOP_SAMPLES, generator=torch.Generator().manual_seed(0))
        self.noise: Tensor
        self.register_buffer("noise", noise * _HISS, persistent=False)

    @property
    def look_ahead(self) -> int:
        return self.inner.look_ahead

    def init_state(self, batch: int, device: torch.device | str | None = None) -> Any:
        return self.inner.init_state(batch, device)

    def step(self, samples: Tensor, state: Any, active: Tensor) -> Tensor:
        still = samples.square().mean(1, keepdim=True) < _STILL**2
        return self.inner.step(torch.where(still, self.noise, samples), state, active)

    @torch.no_grad()
    def silence(self) -> Tensor:
        """One row of what a long silence gives, [..., F]."""
        state, active = self.init_state(1), torch.ones(1, dtype=torch.bool)
        for _ in range(2 + self.look_ahead // HOP_SAMPLES):
            rows = self.step(torch.zeros(1, HOP_SAMPLES), state, active)
        return rows[0, ..., -1, :]


def listener(generator: MotionGenerator, hubert: str = "") -> Audible:
    """The features that a generator hears by. `hubert` is the folder of the speech model.

    Raises:
        ValueError: it hears by HuBERT, and no folder is given.
        ImportError, CheckpointError, OSError: of `load_hubert`.
    """
    if generator.config.features == "mfcc":
        return Audible(Mfcc())
    if not hubert:
        raise ValueError(
            "this motion generator hears by HuBERT: fetch TencentGameMate/chinese-hubert-large and "
            "name its folder, --set playing.hubert=FOLDER"
        )
    return Audible(HubertStream(load_hubert(Path(hubert).expanduser())))


@dataclass
class CodeState(SlotState):
    stream: StreamState
    life: IdleState
    start: Tensor  # [B, identity_dim] of the face's photo
    pose: Tensor  # [B, frames of the window, 3] given so far
    code: Tensor  # [B, D] shown last
    quiet: Tensor  # [B] hops since a voice was heard

    def reset(self, slots: Tensor) -> None:
        self.stream.reset(slots)
        self.life.reset(slots)
        masked_write(self.pose, torch.zeros_like(self.pose), slots)
        masked_write(self.code, self.stream.rest, slots)
        masked_write(self.quiet, torch.full_like(self.quiet, LISTENS + 1.0), slots)

    def clear(self, slots: Tensor) -> None:
        self.stream.clear(slots)
        masked_write(self.quiet, self.quiet.clamp_min(HANGOVER + 1.0), slots)


class PublishedCodes(MotionModel):
    """Motion codes [B, D] in [-1, 1], one per hop, `playing.ahead` frames later than the features.

    Of the controls, `expression` scales how far a code goes from that of the photo; `head_motion`
    acts where the generator is given its pose.
    """

    def __init__(
        self, generator: MotionGenerator, features: Audible, playing: Playing, seed: int = 0
    ) -> None:
        super().__init__(MelConfig(), seed)
        window = Window(context=playing.context, ahead=playing.ahead)
        self.playing = playing
        self.heard = features
        self.sampler = StreamingSampler(generator, window, ddim_levels(playing.steps))
        self.life = IdleMotion() if playing.pose and generator.config.pose else None
        self.silence: Tensor
        self.register_buffer("silence", features.silence(), persistent=False)

    def features(self) -> Features:
        return self.heard

    @property
    def delay(self) -> int:
        return self.playing.ahead + self._lag

    @property
    def look_ahead(self) -> int:
        return self.playing.ahead * HOP_SAMPLES

    @property
    def _lag(self) -> int:
        """Hops by which features come after their sound."""
        return self.heard.look_ahead // HOP_SAMPLES

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> CodeState:
        seeds = self._seeds(batch, device, seeds)
        config, frames = self.sampler.model.config, self.sampler.window.frames
        rest = torch.zeros(batch, config.motion_dim, device=device)
        stream = self.sampler.init_state(self.silence.to(device), rest, seeds)
        first = stream.first - self._lag  # the first features are of what came before the stream
        return CodeState(
            stream=replace(stream, first=first, frame=first.clone()),
            life=IdleMotion().to(device).init_state(seeds),
            start=torch.zeros(batch, config.identity_dim, device=device),
            pose=torch.zeros(batch, frames, 3, device=device),
            code=rest.clone(),
            quiet=torch.full((batch,), LISTENS + 1.0, device=device),
        )

    def set_seed(self, state: CodeState, slots: Tensor, seeds: Tensor) -> None:
        state.stream.set_seed(slots, seeds)
        state.life.set_seed(slots, seeds)

    def set_identity(self, state: CodeState, slot: int, identity: IdentityFeatures) -> None:
        """The code it rests at; a stream that has shown nothing yet begins there."""
        stream, code = state.stream, identity.tensors["code"].to(state.code)
        state.start[slot] = identity.tensors["start"].to(state.start)
        stream.rest[slot] = code
        if bool(stream.frame[slot] == stream.first[slot]):
            for held in (state.code, stream.motion, stream.draft):
                held[slot] = code

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: CodeState,
        active: Tensor,
    ) -> Tensor:
        unheard = (features == 0.0).all(-1, keepdim=True)  # rows from before the stream
        rows = torch.where(unheard, self.silence[..., None, :], features)
        quiet = torch.where(speech, 0.0, state.quiet + 1.0)
        masked_write(state.quiet, quiet, active)
        given = self._given(controls, state, active)
        drawn = self.sampler.step(rows, state.stream, active, state.start, given)[:, 0]
        rest = state.stream.rest
        code = rest + controls[:, :1] * (drawn - rest)
        code = torch.lerp(code, state.code, self.playing.smoothing)
        masked_write(state.code, code, active)
        return code

    def _given(self, controls: Tensor, state: CodeState, active: Tensor) -> Given | None:
        """Our own head's pose for the window's frames, the newest last."""
        if self.life is None:
            return None
        still = torch.zeros_like(state.quiet)
        moved = self.life.step(_behaviour(state.quiet), still, controls, state.life, active)
        pose = torch.cat([state.pose[:, 1:], moved[:, None, _ANGLES] / _DEGREES], 1)
        masked_write(state.pose, pose, active)
        if not self.sampler.model.config.framing:
            return Given(pose)
        location, scale = (torch.full_like(pose[..., :1], value) for value in _FRAMING)
        return Given(pose, location, scale)

    def behaviour(self, state: CodeState) -> Tensor:
        return _behaviour(state.quiet).to(torch.int8)


def _behaviour(quiet: Tensor) -> Tensor:
    silent = torch.where(quiet <= LISTENS, LISTENING, IDLE)
    return torch.where(quiet <= HANGOVER, SPEAKING, silent)
