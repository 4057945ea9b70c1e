"""Diffusion as a stream: windows of context, new and look-ahead frames that slide with the sound.

A window is tied to the past in three ways: it is conditioned on the frame before it, its context
frames are written into it at every step, and every absolute frame number has one noise of its own,
keyed by the session's seed, whichever window the frame lies in. With one window over everything
this is the whole-utterance sampler. A generator that was trained without a past has no such ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import Known, Level, sample, without
from pipelines.noise import mix, seed_keys, uniform
from pipelines.streaming import SlotState, masked_write, shapes_are_fixed


@dataclass(frozen=True, kw_only=True)
class Window:
    """Lengths in frames."""

    context: int
    new: int = 1  # emitted per step
    ahead: int = 0  # heard and drawn, but not yet emitted

    def __post_init__(self) -> None:
        if self.context < 0 or self.new < 1 or self.ahead < 0:
            raise ValueError(f"a window needs context, ahead >= 0 and new >= 1, got {self}")

    @property
    def frames(self) -> int:
        return self.context + self.new + self.ahead


@dataclass
class StreamState(SlotState):
    home: Tensor  # [B] int64: the key a reset returns to
    key: Tensor  # [B] int64: what the noise is keyed by
    frame: Tensor  # [B] int64: number of the next frame to be emitted; negative before the first
    first: Tensor  # [B] int64: what `frame` starts at
    audio: Tensor  # [B, ..., rows of the window, F]
    motion: Tensor  # [B, 1 + context, D]: the frame before the window, then its context
    silence: Tensor  # as `audio`: what a fresh stream has heard
    unseen: Tensor  # [B, rows of the window] bool: sound of the frames ahead
    rest: Tensor  # [B, D]: the motion before the stream

    def reset(self, slots: Tensor) -> None:
        masked_write(self.key, self.home, slots)
        masked_write(self.frame, self.first, slots)
        masked_write(self.audio, self.silence, slots)
        masked_write(self.motion, self.rest[:, None].expand_as(self.motion), slots)

    def clear(self, slots: Tensor) -> None:
        """Forget what was heard beyond the frame emitted last.

        The sound before it stays, so that the generator sees a voice stop in mid-word and closes
        the lips as it learned to; over silence alone it would snap them shut in one frame.
        """
        rows = (self.unseen & slots[:, None]).view(
            len(slots), *([1] * (self.audio.dim() - 3)), -1, 1
        )
        self.audio.copy_(torch.where(rows, self.silence, self.audio))

    def set_seed(self, slots: Tensor, seeds: Tensor) -> None:
        """From the next frame on, key the noise of `slots` (bool [B]) by `seeds` (int64 [B])."""
        keys = seed_keys(seeds.to(self.key.device))
        masked_write(self.home, keys, slots)
        masked_write(self.key, keys, slots)


_FIELDS = fields(StreamState)


class StreamingSampler(nn.Module):
    """Motion codes from sound features, `window.new` frames per step, `window.ahead` late.

    levels: the noise levels walked for every window, noisiest first, `CLEAN` last.
    hidden: of the past, the first channels that are not shown to the network (0 in their place),
    where it was trained so: what sound alone decides need not depend on what was drawn before.
    With all hidden, nothing of a window is known: it is drawn whole, and agrees with the window
    before by their sound. Noise is then that of the place in the window, the same in every window,
    so that it cannot make a face tremble.
    """

    def __init__(
        self,
        model: MotionGenerator,
        window: Window,
        levels: Sequence[Level],
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.hidden = hidden
        self.window = window
        self.levels = tuple(levels)
        size = model.config.motion_dim
        self.offsets: Tensor
        self.channels: Tensor
        offsets = torch.arange(window.frames).repeat_interleave(2 * size) - window.context
        self.register_buffer("offsets", offsets, persistent=False)
        channels = mix(torch.arange(2 * size) + 0xD1FF).repeat(window.frames)
        self.register_buffer("channels", channels, persistent=False)

    @property
    def _whole(self) -> bool:
        """Whether every frame of a window is drawn, as if there were no past."""
        return self.hidden >= self.model.config.motion_dim

    def init_state(self, silence: Tensor, rest: Tensor, seeds: Tensor) -> StreamState:
        """Fresh slots.

        silence: one row of features before the stream, [F] or [layers, F]. rest: [B, D], motion
        before the stream. seeds: int64 [B].
        """
        window, batch = self.window, len(seeds)
        each = self.model.config.rows_per_frame
        rows, seen = window.frames * each, (window.context + window.new) * each
        heard = silence[..., None, :].expand(batch, *silence.shape[:-1], rows, -1)
        key = seed_keys(seeds)
        first = torch.full_like(key, -window.ahead)
        return StreamState(
            home=key,
            key=key.clone(),
            frame=first.clone(),
            first=first,
            audio=heard.clone(),
            motion=rest[:, None].repeat(1, window.context + 1, 1),
            silence=heard.contiguous(),
            unseen=(torch.arange(rows, device=rest.device) >= seen).repeat(batch, 1),
            rest=rest.clone(),
        )

    def noise(self, state: StreamState) -> Tensor:
        """The noise of the window's frames, unit normal [B, frames, D] (Box and Muller 1958)."""
        number = torch.zeros_like(state.frame) if self._whole else state.frame
        counters = number[:, None] + self.offsets
        draws = uniform(state.key, self.channels, counters)
        radius, angle = draws.view(len(draws), self.window.frames, 2, -1).unbind(2)
        return (-2.0 * (1.0 - radius).log()).sqrt() * (angle * (2.0 * math.pi)).cos()

    def step(
        self,
        audio: Tensor,
        state: StreamState,
        active: Tensor,
        identity: Tensor | None = None,
        given: Given | None = None,
    ) -> Tensor:
        """Hear `window.new` frames' worth of sound; emit the frames now due, [B, new, D].

        audio: [B, ..., new * rows_per_frame, F]. Frames with negative numbers, for which the sound
        came before the stream began, are at rest. `given` is for the window's frames.
        """
        if audio.is_cuda or shapes_are_fixed() or bool(active.all()):
            return self._advance(audio, state, active, identity, given)
        # Where shapes may change, slots that rest cost nothing.
        rows = active.nonzero()[:, 0]
        some = StreamState(**{field.name: getattr(state, field.name)[rows] for field in _FIELDS})
        out = audio.new_zeros(len(active), self.window.new, state.rest.shape[1])
        if len(rows):
            picked = None if identity is None else identity[rows]
            chosen = None if given is None else given.select(rows)
            out[rows] = self._advance(audio[rows], some, active[rows], picked, chosen)
        for field in _FIELDS:
            getattr(state, field.name)[rows] = getattr(some, field.name)
        return out

    def _advance(
        self,
        audio: Tensor,
        state: StreamState,
        active: Tensor,
        identity: Tensor | None,
        given: Given | None,
    ) -> Tensor:
        window = self.window
        heard = torch.cat([state.audio[..., audio.shape[-2] :, :], audio], -2)
        last = without(state.motion[:, 0], self.hidden)
        condition = self.model.condition(self.model.hear(heard), last, identity, given)
        out = sample(
            self.model,
            condition,
            self.noise(state),
            self.levels,
            self._known(state),
        )
        end = window.context + window.new
        known = torch.cat([state.motion, out[:, window.context : end]], 1)
        masked_write(state.audio, heard, active)
        masked_write(state.motion, known[:, window.new :], active)
        masked_write(state.frame, state.frame + window.new, active)
        return out[:, window.context : end]

    def _known(self, state: StreamState) -> Known | None:
        """The context, and what lies before the stream."""
        window = self.window
        if self._whole or not (window.context or window.ahead):
            return None
        unborn = state.rest[:, None].expand(-1, window.new + window.ahead, -1)
        place = torch.arange(window.frames, device=state.frame.device)
        number = state.frame[:, None] + place - window.context
        return Known(
            torch.cat([state.motion[:, 1:], unborn], 1),
            (place < window.context) | (number < 0),
            self.hidden,
        )
