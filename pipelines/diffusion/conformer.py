"""A conformer in the flavour of ESPnet 202301: post-norm, macaron, relative positions.

Conformer: Gulati et al. 2020 (arXiv 2005.08100). Relative attention: Dai et al. 2019 (arXiv
1901.02860, section 3.3). Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LAYER_NORM_EPS = 1e-12


class Conformer(nn.Module):
    """`blocks` blocks over [B, T, dim] float32; every frame sees every other."""

    def __init__(self, dim: int, blocks: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.scale = math.sqrt(dim)
        self.encoders = nn.ModuleList(Block(dim, heads, kernel, dropout) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        for block in self.encoders:
            x = block(x)
        return x


class Block(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward; a norm after each."""

    def __init__(self, dim: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.feed_forward_macaron = FeedForward(dim, dropout)
        self.self_attn = RelativeAttention(dim, heads, dropout)
        self.conv_module = ConvModule(dim, kernel)
        self.feed_forward = FeedForward(dim, dropout)
        self.norm_ff_macaron = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.norm_mha = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.norm_conv = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.norm_ff = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.norm_final = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_ff_macaron(x + 0.5 * self.dropout(self.feed_forward_macaron(x)))
        x = self.norm_mha(x + self.dropout(self.self_attn(x)))
        x = self.norm_conv(x + self.dropout(self.conv_module(x)))
        x = self.norm_ff(x + 0.5 * self.dropout(self.feed_forward(x)))
        normed: Tensor = self.norm_final(x)
        return normed


class FeedForward(nn.Module):
    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.w_1 = nn.Linear(dim, dim)
        self.w_2 = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w_2(self.dropout(F.silu(self.w_1(x))))
        return out


class ConvModule(nn.Module):
    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(dim, 2 * dim, 1)
        self.depthwise_conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.BatchNorm1d(dim)
        self.pointwise_conv2 = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        # On [B, T, D]: a pointwise convolution is a matrix product, and small products are fast.
        x = F.glu(F.linear(x, self.pointwise_conv1.weight[:, :, 0], self.pointwise_conv1.bias))
        x = self.depthwise(x)
        x = F.silu(self.norm(x.flatten(0, 1)).view_as(x))
        return F.linear(x, self.pointwise_conv2.weight[:, :, 0], self.pointwise_conv2.bias)

    def depthwise(self, x: Tensor) -> Tensor:
        conv = self.depthwise_conv
        if torch.is_grad_enabled():
            out: Tensor = conv(x.transpose(1, 2))
            return out.transpose(1, 2)
        # The same sum by taps: for short windows several times faster than the general kernel.
        pad = conv.kernel_size[0] // 2
        taps = F.pad(x, (0, 0, pad, pad)).unfold(1, conv.kernel_size[0], 1)
        out = (taps * conv.weight[:, 0]).sum(-1)
        return out if conv.bias is None else out + conv.bias


class RelativeAttention(nn.Module):
    """Scores of what is there and how far away it is; the past lies at positive distance."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(dim, dim)
        self.linear_v = nn.Linear(dim, dim)
        self.linear_out = nn.Linear(dim, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, dim // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, dim // heads))
        self.dropout = dropout
        self._kept: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        q, k, v = (
            linear(x).view(batch, frames, self.heads, -1).transpose(1, 2)
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        scale = 1.0 / math.sqrt(dim // self.heads)
        distance = (q + self.pos_bias_v[:, None]) @ self._positions(frames)
        out = F.scaled_dot_product_attention(
            q + self.pos_bias_u[:, None],
            k,
            v,
            attn_mask=_by_key(distance) * scale,
            dropout_p=self.dropout if self.training else 0.0,
            scale=scale,
        )
        mixed: Tensor = self.linear_out(out.transpose(1, 2).reshape(batch, frames, dim))
        return mixed

    def _positions(self, frames: int) -> Tensor:
        """Keys of distance, [heads, dim / heads, 2 T - 1]; kept while the weights do not change."""
        weight = self.linear_pos.weight
        if torch.is_grad_enabled():
            return self._project(frames, weight)
        key = (frames, weight._version)
        if self._kept is None or self._kept[0] != key or self._kept[1].device != weight.device:
            self._kept = (key, self._project(frames, weight))
        return self._kept[1]

    def _project(self, frames: int, weight: Tensor) -> Tensor:
        table = relative_positions(frames, weight.shape[1]).to(weight)
        keys: Tensor = self.linear_pos(table).view(len(table), self.heads, -1)
        return keys.permute(1, 2, 0).contiguous()


def relative_positions(frames: int, dim: int) -> Tensor:
    """Sinusoids of distances T-1 down to -(T-1), float32 [2 T - 1, dim]."""
    distance = torch.arange(frames - 1, -frames, -1, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * -(math.log(10_000.0) / dim))
    angle = distance[:, None] * rates
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def _by_key(scores: Tensor) -> Tensor:
    """Scores by distance [B, H, T, 2 T - 1] to scores by key [B, H, T, T].

    Key j lies at distance i - j of query i, which is column T - 1 - i + j: in the flattened rows
    each query starts one column earlier than the one before.
    """
    batch, heads, frames, columns = scores.shape
    flat = scores.reshape(batch, heads, frames * columns)
    rows = flat[:, :, frames - 1 : frames - 1 + frames * (columns - 1)]
    return rows.view(batch, heads, frames, columns - 1)[..., :frames] if frames > 1 else scores
