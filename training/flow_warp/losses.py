"""How far one picture is from another: colours, edges and features, most where people look."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDEN = torch.tensor([1.5, 1.6, 1.6])  # radius over half width, of mouth, right eye, left eye
_EXTRA = (16.0, 8.0, 8.0)  # weight there beside 1 elsewhere, unless told otherwise
_BOX = torch.tensor([[1.4, 1.8], [1.3, 0.9], [1.3, 0.9]])  # reach across and down, likewise
_SCALES = 3
_AWAY = 0.1  # weight of what is known far from the mouth, beside 1 around it
_SOFT = 0.002  # half pictures: below that flows differ squarely


def attention(regions: Tensor, size: int, extra: Sequence[float] = _EXTRA) -> Tensor:
    """Weights [N, 1, size, size] of mean 1, highest at the mouth and eyes of regions [N, 3, 3].

    extra: of mouth, right eye, left eye, beside 1 elsewhere.
    """
    line = (torch.arange(size, device=regions.device) + 0.5) * (2.0 / size) - 1.0
    radius = regions[..., 2] * _WIDEN.to(regions.device)
    across = (line - regions[..., 0, None]) / radius[..., None]
    down = (line - regions[..., 1, None]) / radius[..., None]
    spots = torch.exp(-(down[..., :, None] ** 2 + across[..., None, :] ** 2))
    weight = 1.0 + (spots * spots.new_tensor(extra)[:, None, None]).sum(1, keepdim=True)
    return weight / weight.mean((2, 3), keepdim=True)


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def colour_loss(made: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 over halved sizes, and of the difference of neighbours: a scalar."""
    loss = made.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            made, wanted, weight = (F.avg_pool2d(x, 2) for x in (made, wanted, weight))
        error = (made - wanted).abs()
        loss = loss + (error * weight).mean()
        across, down = _edges(made - wanted)
        loss = loss + (across.abs() * weight[..., 1:]).mean()
        loss = loss + (down.abs() * weight[..., 1:, :]).mean()
    return loss / _SCALES


def flow_loss(grids: Sequence[Tensor], wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted distance of where levels look from where they should, in half pictures: a scalar.

    grids: [N, 2, n, n] of the levels; wanted [N, 2, F, F], not finite where unknown; weight
    [N, 1, S, S].
    """
    known = wanted.isfinite().all(1, keepdim=True)
    wanted = torch.where(known, wanted, 0.0)
    loss = wanted.new_zeros(())
    for grid in grids:
        size = grid.shape[-1]
        share = F.adaptive_avg_pool2d(known.float(), min(size, wanted.shape[-1]))
        aim = F.adaptive_avg_pool2d(wanted * known, share.shape[-1]) / share.clamp_min(1e-6)
        here = F.adaptive_avg_pool2d(weight, share.shape[-1]) * (share > 0.5)
        got = F.adaptive_avg_pool2d(grid, share.shape[-1])
        distance = ((got - aim).square().sum(1, keepdim=True) + _SOFT**2).sqrt() - _SOFT
        loss = loss + (distance * here).sum() / here.sum().clamp_min(1.0)
    return loss / len(grids)


def hole_loss(masks: Sequence[Tensor], flows: Tensor, regions: Tensor) -> Tensor:
    """Cross entropy of masks against what the photo shows, most at mouth and eyes: a scalar.

    masks: logits [N, 1, n, n] of the levels. An open mouth and a closed lid show what the photo
    does not hold, which the flows [N, 2, F, F] leave unknown, NaN. Elsewhere all that the photo
    holds is to come from it. Rows in which all is unknown do not count, nor what is infinite.
    """
    size = flows.shape[-1]
    shown = (~flows.isnan().any(1, keepdim=True)).float()
    told = shown.amax((1, 2, 3), keepdim=True) * (~flows.isinf().any(1, keepdim=True))
    around = _around(regions, size)
    weight = told * (around + _AWAY * (1.0 - around) * shown)
    loss = flows.new_zeros(())
    for mask in masks:
        side = min(mask.shape[-1], size)
        aim, here = (F.adaptive_avg_pool2d(v, side) for v in (shown, weight))
        got = F.adaptive_avg_pool2d(mask, side)
        error = F.binary_cross_entropy_with_logits(got, aim, reduction="none")
        loss = loss + (error * here).sum() / here.sum().clamp_min(1.0)
    return loss / max(len(masks), 1)  # a tiny network has no level that is told


def _around(regions: Tensor, size: int) -> Tensor:
    """1 in a box around mouth and either eye of regions [N, 3, 3], else 0: [N, 1, S, S]."""
    line = (torch.arange(size, device=regions.device) + 0.5) * (2.0 / size) - 1.0
    reach = regions[..., 2, None] * _BOX.to(regions.device)  # [N, 3, 2]
    across = (line - regions[..., 0, None]).abs() < reach[..., 0, None]
    down = (line - regions[..., 1, None]).abs() < reach[..., 1, None]
    return (down[..., :, None] & across[..., None, :]).any(1, keepdim=True).float()


class RandomFeatures(nn.Module):
    """A perceptual distance from a fixed network of random orthogonal filters.

    No trained network of other people's pictures is needed; random filters see texture and edges
    in context, which the L1 of colours averages away.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64), seed: int = 0) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(seed)
        self.widths = widths
        for i, (dim_in, dim_out) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
            kernel = torch.empty(dim_out, dim_in, 4, 4)
            nn.init.orthogonal_(kernel, gain=1.4, generator=chance)
            self.register_buffer(f"kernel{i}", kernel, persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[N, 3, S, S] -> maps of half, quarter, eighth size."""
        maps, x = [], pictures
        for i in range(len(self.widths)):
            kernel: Tensor = getattr(self, f"kernel{i}")
            x = F.leaky_relu(F.conv2d(x, kernel, stride=2, padding=1), 0.2)
            maps.append(x)
        return maps


def feature_loss(features: RandomFeatures, made: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of the random features, relative to their size: a scalar."""
    with torch.no_grad():
        aims = features(wanted)
    loss = made.new_zeros(())
    for got, aim in zip(features(made), aims, strict=True):
        here = F.interpolate(weight, got.shape[2:], mode="area")
        loss = loss + ((got - aim).abs() * here).mean() / aim.abs().mean()
    return loss / len(aims)
