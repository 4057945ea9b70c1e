"""Where the loops of all slots are, and what was heard for the frame that each shows next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.audio.mel_windows import (
    BANDS,
    SILENCE,
    WINDOW_FRAMES,
    MelWindows,
    MelWindowState,
)
from pipelines.motion.space import MOTION_DIM
from pipelines.streaming import SlotState, Stateless, masked_fill, masked_write
from pipelines.swaptalk.faces import Faces
from pipelines.swaptalk.loop import PAUSE


@dataclass
class LoopState(SlotState):
    """position: int64 [B], where the template's loop is. quiet: int64 [B], frames since somebody
    spoke. ear: of what hears the sound, if anything does. heard: [B, tokens, ...] up to the frame
    that is next, 0 at rest and in silence. codes: int64 [B, ...] of the frame drawn last, -1 before
    the first."""

    position: Tensor
    quiet: Tensor
    ear: SlotState
    heard: Tensor
    codes: Tensor

    def reset(self, slots: Tensor) -> None:
        super().reset(slots)
        masked_fill(self.codes, -1, slots)


def fresh_loops(faces: Faces, batch: int, device: torch.device) -> LoopState:
    """Of `batch` slots that showed nothing yet."""
    one = (MOTION_DIM,) if faces.ear is None else (BANDS, WINDOW_FRAMES)
    return LoopState(
        position=torch.zeros(batch, dtype=torch.int64, device=device),
        quiet=torch.zeros(batch, dtype=torch.int64, device=device),
        ear=Stateless() if faces.ear is None else faces.ear.init_state(batch, device),
        heard=torch.zeros(batch, faces.tokens, *one, device=device),
        codes=torch.full((batch, *faces.cells), -1, dtype=torch.int64, device=device),
    )


def hear(
    ear: MelWindows | None, motion: Tensor, hops: Tensor, state: LoopState, active: Tensor
) -> None:
    """Take a frame of motion [B, D], or what an ear makes of hops [B, 640], in the place of the
    oldest that was heard; silence is 0."""
    if ear is None:
        new = motion[:, None]
    else:
        assert isinstance(state.ear, MelWindowState)
        new = ear.step(hops, state.ear, active) - SILENCE
    masked_write(state.heard, torch.cat([state.heard[:, 1:], new], 1), active)


def go_on(after: Tensor, rows: Tensor, speech: Tensor, state: LoopState, active: Tensor) -> None:
    """Move loops to their next position: after int64 [loops, 2, positions], rows int64 [B], whose
    loop each slot plays, speech bool [B]."""
    masked_write(state.quiet, (state.quiet + 1).masked_fill(speech, 0), active)
    following = after[rows, (state.quiet >= PAUSE).long(), state.position]
    masked_write(state.position, following, active)
