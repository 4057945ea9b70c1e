"""The network that moves the face of `portrait`: causal, cached, one frame of work per hop.

    rows [B, 4 T, F] -> front -> blocks (attention over the last `reach` frames, convolution)
                     -> heard [B, T, D] -> lips (style) -> shapes of mouth and eye rims
                                        -> shutting -> whether the lips meet
                                        -> flow (noise, its own past) -> forces on brows and head

A frame sees itself and what came before; that it is shown `AHEAD` frames later is what gives the
lips their look-ahead. Every layer keeps what it needs of earlier frames in a cache of fixed size,
so a stream costs the work of its new frames only and equals the whole utterance to rounding.

Lips follow from sound and style alone. Brows and head are drawn: a frame's forces are a sample of a
small flow (Lipman et al. 2022) conditioned on what is heard and, by a recurrent cell, on what was
drawn before, a diffusion head per step as in Li et al. 2024 (arXiv 2406.11838).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.motion.latent import DRIVEN, SHAPES
from pipelines.motion.style import STYLE_DIM
from pipelines.streaming import SlotState, masked_write

AHEAD = 2  # frames heard beyond the one that is shown: 80 ms
FLOW_STEPS = 4
_FORCES = DRIVEN.stop - DRIVEN.start
_TIME_FEATURES = 4


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes. Widths in features, lengths in frames."""

    inputs: int = 86  # of a row of sound features
    rows: int = 4  # per frame
    front: int = 96
    dim: int = 128
    blocks: int = 5
    heads: int = 4
    reach: int = 24  # frames of the past that attention sees
    kernel: int = 5  # of the depthwise convolutions
    mouth: int = 96  # hidden width of the lips' read-out
    memory: int = 64  # of what was drawn
    flow: int = 128
    dropout: float = 0.1


@dataclass
class NetworkState(SlotState):
    """What the layers keep of earlier frames; zero and unseen at the start."""

    rows: Tensor  # [B, 2, inputs]
    keys: Tensor  # [B, blocks, reach, dim]
    values: Tensor  # [B, blocks, reach, dim]
    tails: Tensor  # [B, blocks, kernel - 1, dim]
    seen: Tensor  # [B] int64: frames heard, at most `reach`
    memory: Tensor  # [B, memory]
    forces: Tensor  # [B, forces]: drawn last


class Block(nn.Module):
    """Attention, convolution, feed-forward; each on a normed copy that is added back."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads, self.reach, self.kernel = config.heads, config.reach, config.kernel
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.distance = nn.Parameter(torch.zeros(config.heads, config.reach + 1))
        self.mix = nn.Linear(dim, dim)
        self.norm_conv = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.taps = nn.Parameter(torch.randn(dim, config.kernel) / math.sqrt(config.kernel))
        self.norm_taps = nn.LayerNorm(dim)
        self.narrow = nn.Linear(dim, dim)
        self.norm_forward = nn.LayerNorm(dim)
        self.grow = nn.Linear(dim, 2 * dim)
        self.shrink = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, tail: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x [B, T, D] with the caches of one block, and what is added to its scores [B, heads, T,
        reach + T] -> the same, later."""
        batch, frames, dim = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).chunk(3, -1)
        keys, values = torch.cat([keys, k], 1), torch.cat([values, v], 1)
        q, k, v = (y.view(batch, y.shape[1], self.heads, -1).transpose(1, 2)
                   for y in (q, keys, values))  # fmt: skip
        score = q @ k.transpose(2, 3) * (1.0 / math.sqrt(dim // self.heads)) + bias
        seen = (score.softmax(-1) @ v).transpose(1, 2).reshape(batch, frames, dim)
        x = x + self.dropout(self.mix(seen))
        y = torch.cat([tail, F.glu(self.widen(self.norm_conv(x)), -1)], 1)
        near = (y.unfold(1, self.kernel, 1) * self.taps).sum(-1)
        x = x + self.dropout(self.narrow(F.silu(self.norm_taps(near))))
        y_forward = F.silu(self.grow(self.norm_forward(x)))
        x = x + self.dropout(self.shrink(y_forward))
        return x, keys[:, frames:], values[:, frames:], y[:, frames:]


class MotionNetwork(nn.Module):
    """Sound to latents of `pipelines.motion.latent`, whole utterances or a frame at a time."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        dim = config.dim
        self.front = nn.Linear(3 * config.inputs, config.front)
        self.gather = nn.Linear(config.rows * config.front, dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(dim)
        self.mouth = nn.Linear(dim, config.mouth)
        self.style = nn.Linear(STYLE_DIM, 2 * config.mouth)
        self.shapes = nn.Linear(config.mouth, SHAPES.stop)
        self.shut = nn.Linear(dim, 1)
        self.recall = nn.GRU(dim + _FORCES, config.memory, batch_first=True)
        self.flow_in = nn.Linear(_FORCES + _TIME_FEATURES + dim + config.memory, config.flow)
        self.flow_mid = nn.Linear(config.flow, config.flow)
        self.flow_out = nn.Linear(config.flow, _FORCES)
        nn.init.zeros_(self.style.weight)
        nn.init.zeros_(self.style.bias)
        times = 1.0 - torch.arange(FLOW_STEPS, dtype=torch.float32)[:, None] / FLOW_STEPS
        self.turns: Tensor
        self.register_buffer("turns", _turns(times), persistent=False)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> NetworkState:
        """Slots that have heard nothing."""
        c = self.config
        cache = torch.zeros(batch, c.blocks, c.reach, c.dim, device=device)
        return NetworkState(
            rows=torch.zeros(batch, 2, c.inputs, device=device),
            keys=cache,
            values=cache.clone(),
            tails=torch.zeros(batch, c.blocks, c.kernel - 1, c.dim, device=device),
            seen=torch.zeros(batch, dtype=torch.int64, device=device),
            memory=torch.zeros(batch, c.memory, device=device),
            forces=torch.zeros(batch, _FORCES, device=device),
        )

    def hear(self, rows: Tensor, state: NetworkState, active: Tensor) -> Tensor:
        """rows [B, 4 T, inputs], active bool [B] -> heard [B, T, dim]; the state goes on."""
        held = torch.cat([state.rows, rows], 1)
        count = rows.shape[1]
        near = torch.cat([held[:, i : i + count] for i in range(3)], 2)
        x = F.silu(self.front(near)).reshape(rows.shape[0], count // self.config.rows, -1)
        x = self.gather(x)
        bias = self._bias(state.seen, x.shape[1])
        kept = []
        for i, block in enumerate(self.blocks):
            caches = state.keys[:, i], state.values[:, i], state.tails[:, i]
            x, *cache = block(x, *caches, bias[:, i])
            kept.append(cache)
        keys, values, tails = (torch.stack(each, 1) for each in zip(*kept, strict=True))
        masked_write(state.rows, held[:, count:], active)
        masked_write(state.keys, keys, active)
        masked_write(state.values, values, active)
        masked_write(state.tails, tails, active)
        seen = (state.seen + x.shape[1]).clamp_max(self.config.reach)
        masked_write(state.seen, seen, active)
        heard: Tensor = self.norm(x)
        return heard

    def _bias(self, seen: Tensor, frames: int) -> Tensor:
        """What is added to the scores of all blocks, [B, blocks, heads, T, reach + T]: by how far
        a key lies before a frame, and by whether that sees it."""
        reach = self.config.reach
        place = torch.arange(reach + frames, device=seen.device)
        distance = place[reach:, None] - place
        by_distance = torch.stack([block.get_parameter("distance") for block in self.blocks])
        nearness = by_distance[:, :, distance.clamp(0, reach)]
        return nearness + _visible(place, distance, seen, reach)[:, None, None]

    def lips(self, heard: Tensor, style: Tensor) -> Tensor:
        """heard [B, T, dim], style [B, STYLE_DIM] -> shapes [B, T, 11], latents of `SHAPES`."""
        scale, shift = self.style(style)[:, None].chunk(2, -1)
        x = F.silu(self.mouth(heard) * (1.0 + scale) + shift)
        # A latent of a shape rests at -1, the end of its range.
        shapes: Tensor = self.shapes(x)
        return shapes

    def shutting(self, heard: Tensor) -> Tensor:
        """How likely the lips meet: heard [..., dim] -> log odds [...]."""
        odds: Tensor = self.shut(heard)
        return odds[..., 0]

    def memories(self, heard: Tensor, before: Tensor) -> Tensor:
        """What was drawn before each frame: heard [B, T, dim], the forces before [B, T, 9] ->
        [B, T, memory]."""
        memories: Tensor = self.recall(torch.cat([heard, before], 2))[0]
        return memories

    def remember(self, heard: Tensor, forces: Tensor, memory: Tensor) -> Tensor:
        """One frame of `memories`: heard [B, dim], the forces before it [B, 9], memory [B, M]."""
        of, x = self.recall.get_parameter, torch.cat([heard, forces], 1)
        parts = [2 * memory.shape[1], memory.shape[1]]
        into = torch.split(F.linear(x, of("weight_ih_l0"), of("bias_ih_l0")), parts, 1)
        on = torch.split(F.linear(memory, of("weight_hh_l0"), of("bias_hh_l0")), parts, 1)
        reset, keep = (into[0] + on[0]).sigmoid().chunk(2, 1)
        return torch.lerp((into[1] + reset * on[1]).tanh(), memory, keep)

    def velocity(self, noisy: Tensor, time: Tensor, heard: Tensor, memory: Tensor) -> Tensor:
        """noise - forces, [..., 9], at a point between them: noisy [..., 9], time [..., 1]."""
        return self._velocity(noisy, _turns(time), heard, memory)

    def _velocity(self, noisy: Tensor, turns: Tensor, heard: Tensor, memory: Tensor) -> Tensor:
        turns = turns.expand(*noisy.shape[:-1], -1)
        x = F.silu(self.flow_in(torch.cat([noisy, turns, heard, memory], -1)))
        x = x + F.silu(self.flow_mid(x))
        out: Tensor = self.flow_out(x)
        return out

    def draw(self, heard: Tensor, noise: Tensor, state: NetworkState, active: Tensor) -> Tensor:
        """The forces of one frame, [B, 9] in -1..1: heard [B, dim], noise [B, 9] unit normal."""
        memory = self.remember(heard, state.forces, state.memory)
        x = noise
        for turns in self.turns:
            x = torch.sub(x, self._velocity(x, turns, heard, memory), alpha=1.0 / FLOW_STEPS)
        forces = x.clamp(-1.0, 1.0)
        masked_write(state.memory, memory, active)
        masked_write(state.forces, forces, active)
        return forces


def _turns(time: Tensor) -> Tensor:
    """A time of the flow [..., 1] as cosines, [..., 4]."""
    rates = range(1, _TIME_FEATURES + 1)
    return torch.cat([torch.cos(time * (math.pi * rate)) for rate in rates], -1)


def _visible(place: Tensor, distance: Tensor, seen: Tensor, reach: int) -> Tensor:
    """0 where a frame sees a key and minus infinity elsewhere, float32 [B, T, reach + T].

    Not what comes later, what lies further back than `reach`, or what was before the stream.
    """
    shown = (place >= reach - seen[:, None])[:, None]
    if len(distance) > 1:  # of a single frame all keys lie within
        shown = shown & (distance >= 0) & (distance <= reach)
    return torch.where(shown, 0.0, -1e9)
