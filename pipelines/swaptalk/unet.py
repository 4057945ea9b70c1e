"""The network that works on half maps: two halvings and back, with skips, listening if told to."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.layers import swish


def norm(dim: int) -> nn.GroupNorm:
    """Of `dim` channels in at most 32 groups, of one face at a time.

    At least four channels are in a group: where target and reference are one frame, a channel of
    their difference is constant, and alone it would be rounding brought to spread 1.
    """
    return nn.GroupNorm(math.gcd(dim, dim // 4, 32), dim)


def silent(layer: nn.Conv2d | nn.Linear) -> None:
    """Let a layer begin with nothing to say."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """Two convolutions added to what came in."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(dim_in), norm(dim_out)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(dim_in, dim_out, 3, padding=1), nn.Conv2d(dim_out, dim_out, 3, padding=1)]
        )
        self.past = nn.Identity() if dim_in == dim_out else nn.Conv2d(dim_in, dim_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, h, w] -> [B, out, h, w]."""
        made = x
        for normal, conv in zip(self.norms, self.convs, strict=True):
            made = conv(swish(normal, made))
        added: Tensor = self.past(x) + made
        return added


class Listening(nn.Module):
    """Cells ask tokens; what a cell is opens or shuts itself to the answer, which is added.

    All tokens of a frame say nearly the same, so without that gate all cells would hear the same,
    and only later layers could tell a mouth to move and a shoulder not to.
    """

    def __init__(self, dim: int, token: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm(dim)
        self.ask = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)
        self.key = nn.Linear(token, dim)
        self.value = nn.Linear(token, dim)
        self.answer = nn.Linear(dim, dim)

    def _parted(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> [B, heads, N, dim / heads]."""
        batch, count, dim = x.shape
        return x.view(batch, count, self.heads, dim // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """[B, dim, h, w] and [B, T, token] -> [B, dim, h, w]."""
        cells = self.norm(x).flatten(2).mT
        parts = (self.ask(cells), self.key(tokens), self.value(tokens))
        query, key, value = map(self._parted, parts)
        heard = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        answer: Tensor = self.answer(heard * F.silu(self.gate(cells))).mT.reshape(x.shape)
        return x + answer


class UNet(nn.Module):
    """Maps [B, dim_in, h, w] -> [B, dim_out, h, w]; h and w are multiples of 4.

    With a `token` width each size listens on the way down and up. `begin` is what comes before any
    listening and depends on the map alone.
    """

    def __init__(
        self, dim_in: int, widths: tuple[int, int, int], dim_out: int,
        *, token: int = 0, heads: int = 1, starts_silent: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        first, second, third = widths
        self.enter = nn.Conv2d(dim_in, first, 3, padding=1)
        self.blocks = nn.ModuleList([
            Residual(first, first), Residual(first, second), Residual(second, third),
            Residual(third + second, second), Residual(second + first, first),
        ])  # fmt: skip
        self.halve = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for width in (first, second)
        )
        listening = (first, second, third, second, first) if token else ()
        self.hear = nn.ModuleList(Listening(width, token, heads) for width in listening)
        self.norm = norm(first)
        self.leave = nn.Conv2d(first, dim_out, 3, padding=1)
        if starts_silent:
            silent(self.leave)

    def begin(self, x: Tensor) -> Tensor:
        """[B, dim_in, h, w] -> [B, widths[0], h, w]."""
        begun: Tensor = self.blocks[0](self.enter(x))
        return begun

    def finish(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """What `begin` gave, and tokens [B, T, token] if it listens -> [B, dim_out, h, w]."""
        x = self._hear(0, x, tokens)
        kept = []
        for stage in (1, 2):
            kept.append(x)
            x = self._hear(stage, self.blocks[stage](self.halve[stage - 1](x)), tokens)
        for stage in (3, 4):
            doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.blocks[stage](torch.cat([doubled, kept.pop()], 1))
            x = self._hear(stage, x, tokens)
        left: Tensor = self.leave(swish(self.norm, x))
        return left

    def _hear(self, stage: int, x: Tensor, tokens: Tensor | None) -> Tensor:
        if not len(self.hear):
            return x
        heard: Tensor = self.hear[stage](x, tokens)
        return heard

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        return self.finish(self.begin(x), tokens)
