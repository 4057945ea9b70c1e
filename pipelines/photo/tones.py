"""Photos of a single tone: black and white, sepia. What is painted into one takes it on.

A mouth's inside is painted, and red; by a network, a closed lid's skin is, too.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Face

_ONE_TONE, _COLOURED = 0.045, 0.065
"""Of a picture's contrast, what its colours lie off one curve: 0 of black and white, up to 0.05 of
a sepia print saved as a JPEG; of 900 coloured portraits two lie below 0.07."""
_LIGHT = (0.30, 0.59, 0.11)
_COARSE = 96  # pixels along a side, about: coarser than the blocks of a JPEG


def tone_of(picture: Tensor) -> Tensor:
    """What brings colours to the one tone of a `picture` [3, H, W], in its own range: float32
    [3, 4], a matrix and what is added. Of a coloured one it changes nothing."""
    coarse = F.avg_pool2d(picture.float(), max(1, min(picture.shape[1:]) // _COARSE))
    colours = coarse.flatten(1)
    weights = colours.new_tensor(_LIGHT)
    light = weights @ colours
    level, contrast = light.mean(), light.std().clamp_min(1e-3)
    z = (light - level) / contrast
    curve = torch.stack([torch.ones_like(z), z, z.square() - 1.0])
    gram = curve @ curve.T / len(z) + 1e-6 * torch.eye(3, device=z.device)
    middle, slope, bend = torch.linalg.solve(gram, curve @ colours.T / len(z))  # [3] each
    off = colours - torch.stack([middle, slope, bend], dim=1) @ curve
    apart = float(off.square().mean(1).max().sqrt() / contrast)
    share = min(max((_COLOURED - apart) / (_COLOURED - _ONE_TONE), 0.0), 1.0)
    slope = slope / contrast
    one = torch.cat([torch.outer(slope, weights), (middle - slope * level)[:, None]], 1)
    return torch.lerp(torch.eye(3, 4, device=one.device), one, share)


def toned(pictures: Tensor, tones: Tensor) -> Tensor:
    """`pictures` [n, 3, H, W] by `tones` [n, 3, 4]."""
    colours = torch.baddbmm(tones[:, :, 3:], tones[:, :, :3], pictures.flatten(2))
    return colours.view(pictures.shape)


def toned_over(pictures: Tensor, tone: Tensor) -> Tensor:
    """`pictures` [n, 4, H, W], premultiplied and in [0, 1], by one tone [3, 4]."""
    alpha = pictures[:, 3:]
    colours = torch.einsum("oc,nchw->nohw", tone[:, :3], pictures[:, :3])
    colours = (colours + tone[:, 3].view(1, 3, 1, 1) * alpha).clamp(min=0.0).minimum(alpha)
    return torch.cat([colours, alpha], dim=1)


def colourfulness(face: Face, picture: Tensor) -> float:
    """0 for a grey photo, 1 for skin as colourful as most: how colourful the mouth may be."""
    size = picture.shape[-1]
    at = (face.to_canvas(face.points[[50, 280, 117, 346, 4, 17, 0], :2]) + 1) / 2 * size
    x, y = np.clip(at, 2, size - 3).astype(int).T
    colours = picture[:, y, x]
    high, low = colours.amax(dim=0), colours.amin(dim=0)
    return float(((high - low) / high.clamp(min=0.05)).median().div(0.22).clamp(0.0, 1.0))
