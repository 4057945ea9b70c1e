"""Photos of a single tone: black and white, sepia. What a network paints into one takes it on.

A mouth's inside and a lid's skin are the network's own, and red; all else it takes from the photo.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ONE_TONE, _COLOURED = 0.045, 0.075
"""Of a picture's contrast, what its colours lie off one line: 0 of black and white, 0.04 of a
sepia print; of 1,500 coloured portraits three lie below 0.075."""
_LIGHT = (0.30, 0.59, 0.11)


def tone_of(picture: Tensor) -> Tensor:
    """What brings colours to the one tone of a `picture` [3, H, W] in [-1, 1]: float32 [3, 4], a
    matrix and what is added. Of a coloured one it changes nothing."""
    colours = picture.float().flatten(1)
    weights = colours.new_tensor(_LIGHT)
    light = weights @ colours
    spread, contrast = light - light.mean(), light.std()
    middle = colours.mean(1)
    slope = (colours - middle[:, None]) @ spread / spread.square().sum().clamp_min(1e-9)
    off = colours - middle[:, None] - slope[:, None] * spread
    apart = float(off.square().mean(1).max().sqrt() / contrast.clamp_min(1e-3))
    share = min(max((_COLOURED - apart) / (_COLOURED - _ONE_TONE), 0.0), 1.0)
    one = torch.cat([torch.outer(slope, weights), (middle - slope * light.mean())[:, None]], 1)
    return torch.lerp(torch.eye(3, 4, device=one.device), one, share)


def toned(pictures: Tensor, tones: Tensor) -> Tensor:
    """`pictures` [n, 3, H, W] by `tones` [n, 3, 4]."""
    colours = torch.baddbmm(tones[:, :, 3:], tones[:, :, :3], pictures.flatten(2))
    return colours.view(pictures.shape)
