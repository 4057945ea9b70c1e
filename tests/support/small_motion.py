"""A motion model that is exported in seconds and has what is awkward about the real ones: noise by
counters, a cache, integers in its state, a logarithm that must not see 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.audio.mel import MelConfig
from pipelines.motion.model import MotionModel
from pipelines.motion.space import MOTION_DIM
from pipelines.noise import mix, seed_keys, uniform
from pipelines.streaming import SlotState, masked_write


@dataclass
class Loudness(SlotState):
    lately: Tensor  # [B, 3]: mean power of the last hops, the newest last
    spoken: Tensor  # [B] int64: hops of speech heard


@dataclass
class NoddingState(SlotState):
    loudness: Loudness
    home: Tensor  # [B] int64: the key a reset returns to
    key: Tensor  # [B] int64
    frame: Tensor  # [B] int64

    def reset(self, slots: Tensor) -> None:
        self.loudness.reset(slots)
        masked_write(self.key, self.home, slots)
        masked_write(self.frame, torch.zeros_like(self.frame), slots)

    def clear(self, slots: Tensor) -> None:
        masked_write(self.loudness.lately, torch.zeros_like(self.loudness.lately), slots)


class Nodding(MotionModel):
    """Moves everything at random, by what it heard lately. `noise`: its noise and nothing else."""

    delay = 2

    def __init__(self, seed: int = 0, *, noise: bool = False) -> None:
        super().__init__(MelConfig(), 0)
        torch.manual_seed(seed)
        self.heard = nn.Linear(3, MOTION_DIM)
        self.widely = nn.Linear(MOTION_DIM, MOTION_DIM)
        self.noise = noise
        self.channels: Tensor
        channels = mix(torch.arange(MOTION_DIM) + 0xBEEF)
        self.register_buffer("channels", channels, persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> NoddingState:
        key = seed_keys(self._seeds(batch, device, seeds))
        return NoddingState(
            Loudness(
                torch.zeros(batch, 3, device=device),
                torch.zeros(batch, dtype=torch.int64, device=device),
            ),
            home=key,
            key=key.clone(),
            frame=torch.zeros_like(key),
        )

    def set_seed(self, state: NoddingState, slots: Tensor, seeds: Tensor) -> None:
        masked_write(state.home, seed_keys(seeds), slots)

    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: NoddingState,
        active: Tensor,
    ) -> Tensor:  # fmt: skip
        counters = state.frame[:, None].expand(-1, MOTION_DIM)
        draws = uniform(state.key, self.channels, counters)
        power = features.exp().mean((1, 2))
        lately = torch.cat([state.loudness.lately[:, 1:], power[:, None]], 1)
        masked_write(state.loudness.lately, lately, active)
        masked_write(state.loudness.spoken, state.loudness.spoken + speech, active)
        masked_write(state.frame, state.frame + 1, active)
        if self.noise:
            return draws
        moved = self.widely(torch.tanh(self.heard((lately + 1e-12).log())))
        return moved * draws * controls[:, :1] + (state.loudness.spoken > 9)[:, None]

    def behaviour(self, state: NoddingState) -> Tensor:
        return torch.where(state.loudness.spoken > 9, 2, 0).to(torch.int8)


def write_motion_weights(folder: Path, model: Nodding, name: str = "nodding") -> Path:
    """Write the model's weights; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(model.state_dict(), path, {"kind": "nodding"})
    return path
