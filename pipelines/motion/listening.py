"""A motion network over a whole clip, hop by hop: what it hears, and the lips it would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.audio.vad import VoiceActivity
from pipelines.motion.diffusion import DiffusionMotion
from pipelines.motion.latent import SHAPES
from pipelines.motion.lip_closure import kept_share, parting_weights
from pipelines.motion.style import RECENT, OwnStyle
from pipelines.pipeline import HOP_SAMPLES

Array = NDArray[np.float64]

_CHUNK = 100  # frames


@dataclass(frozen=True)
class Heard:
    """rows: what the network hears for each frame, float64 [T, H]; gate: how much of a voice there
    is, float64 [T], 0 to 1."""

    rows: Array
    gate: Array

    @cached_property
    def recent(self) -> Array:
        """What a read-out weighs, [T, RECENT * H]: each frame's rows after those before it."""
        before = np.pad(self.rows, ((RECENT - 1, 0), (0, 0)))
        return np.concatenate([before[n : n + len(self.rows)] for n in range(RECENT)], 1)

    def __len__(self) -> int:
        return len(self.rows)


@torch.inference_mode()
def listen(
    samples: NDArray[np.float32],
    motion: DiffusionMotion,
    told: Callable[[float], None] = lambda share: None,
) -> Heard:
    """Hear a clip as a stream of its own, float32 [T * 640] at 16 kHz; `told` hears the share."""
    features, active = motion.features(), torch.ones(1, dtype=torch.bool)
    hearing, voice = features.init_state(1), motion.hearing.init_state(1)
    state = motion.network.init_state(1)
    detector = VoiceActivity()
    late = np.pad(samples, (0, motion.delay * HOP_SAMPLES))
    hops = torch.from_numpy(late.reshape(-1, 1, HOP_SAMPLES))
    rows: list[Tensor] = []
    gate: list[float] = []
    for start in range(0, len(hops), _CHUNK):
        told(len(gate) / len(hops))
        found = []
        for hop in hops[start : start + _CHUNK]:
            detector(hop[0].numpy())
            heard = features.step(hop, hearing, active)
            found.append(motion.hearing.step(heard, torch.tensor([detector.speech]), voice, active))
            gate.append(float(voice.gate))
        rows.append(motion.network.hear(torch.cat(found, 1), state, active)[0])
    shown = torch.cat(rows)[motion.delay :].numpy().astype(np.float64)
    return Heard(shown, np.array(gate[motion.delay :]))


class Lips:
    """The parting of the lips that the network would show of what it heard."""

    def __init__(self, motion: DiffusionMotion, heard: Heard) -> None:
        self._heard = heard
        self._network = motion.network
        self._rows = torch.from_numpy(heard.rows.astype(np.float32))[None]
        self._shares = (motion.latent.mixing @ parting_weights())[SHAPES]

    @cached_property
    @torch.inference_mode()
    def meeting(self) -> Array:
        """The log odds that the lips meet in each frame, [T]."""
        return np.asarray(self._network.shutting(self._rows)[0].numpy(), np.float64)

    @staticmethod
    def shut(parting: Array, meeting: Array) -> Array:
        """A parting as it is shown: small ones, and those of lips that meet, are closed; [T]."""
        share = kept_share(torch.from_numpy(parting), torch.from_numpy(meeting))
        return np.asarray(parting * share.numpy())

    @torch.inference_mode()
    def parting(self, style: NDArray[np.floating[Any]]) -> Array:
        """In each frame with these style numbers [STYLE_DIM], before `shut`: [T]."""
        numbers = torch.from_numpy(style.astype(np.float32))[None]
        shapes = self._network.lips(self._rows, numbers)[0].clamp(-1.0, 1.0)
        return np.asarray(((shapes + 1.0) @ self._shares).numpy(), np.float64)

    def slope(self, style: Array, number: int, step: float) -> Array:
        """How the parting grows with one style number, [T]."""
        more, less = style.copy(), style.copy()
        more[number] += step
        less[number] -= step
        return (self.parting(more) - self.parting(less)) / (2.0 * step)

    def shown(self, own: OwnStyle) -> Array:
        """The parting that is shown of somebody with this style, [T]."""
        parting, meeting = self.parting(own.style), self.meeting
        if own.readout is not None:
            parting = np.maximum(parting + self.read(own.readout[0]), 0.0)
            meeting = meeting + self.read(own.readout[1])
        return self.shut(parting, meeting)

    def read(self, row: NDArray[np.floating[Any]]) -> Array:
        """What a row of a read-out adds in each frame, [T]."""
        own = self._heard.recent @ row[:-1] + row[-1]
        return np.asarray(own * self._heard.gate)
