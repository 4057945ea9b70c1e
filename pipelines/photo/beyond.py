"""Goes on with a cut-out person beyond the edges of a picture, as far as a head may move away.

Where an edge cuts the person, its mirror image goes on, bent so that outlines keep their direction:
hair that falls outward falls on, and what had begun to close closes. A mirror image as it is would
end in a step wherever an outline meets the edge at a slant.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Array, Mask, single, smoothstep

_GROWTH = 0.5  # of the distance: so much may an outline that opens open further
_FAINT = 0.06  # of the picture's side: over which what only touches an edge fades
_WINDOW = 9  # pixels over which an outline's course is averaged


def beyond_edges(person: Tensor, margin: int) -> Tensor:
    """Add `margin` pixels around a person, float32 [4, S, S] premultiplied: the same with sides of
    S + 2 * margin."""
    size = person.shape[-1]
    wide = person.new_zeros(4, size + 2 * margin, size + 2 * margin)
    inner = slice(margin, margin + size)
    wide[:, inner, inner] = person
    for view in (wide[:, inner], wide.transpose(1, 2)):  # beside it, then above and below all that
        view[:, :, :margin] = outward(view[:, :, margin : 2 * margin + 1]).flip(2)
        view[:, :, -margin:] = outward(view[:, :, -2 * margin - 1 : -margin].flip(2))
    return wide


def outward(strip: Tensor) -> Tensor:
    """What lies 1 to m pixels outside of an edge, [C, L, m], from what lies 0 to m inside of it,
    `strip` [C, L, 1 + m]; the last channel is how much of the person there is."""
    length, far = strip.shape[1], strip.shape[2] - 1
    away = np.arange(1, far + 1)
    faint = 1.0 - smoothstep(0.0, _FAINT * length, single(away))
    made = strip[:, :, :1] * torch.from_numpy(faint)
    alpha = strip[-1].numpy()
    line = np.arange(length)[:, None]
    for begin, end in runs(alpha[:, 0] > 0.5):
        first, last = _followed(alpha > 0.5, begin, end)
        outer, lower = begin + _closed(begin - first), end - _closed(last - end)
        rises, falls = first - outer, last - lower
        if begin == 0:
            outer, rises = np.full(far, -np.inf), falls if end < length else 0.0 * falls
        if end == length:
            lower, falls = np.full(far, np.inf), rises
        share = (line - outer) / np.maximum(lower - outer, 1.0) if begin and end < length else 0.0
        source = line + rises + np.clip(share, 0.0, 1.0) * (falls - rises)
        cover = np.clip((line - outer) / 2 + 1, 0, 1) * np.clip((lower - line) / 2 + 0.5, 0, 1)
        part = _sampled(strip[:, :, 1:], source) * torch.from_numpy(single(cover))
        made = torch.where(part[-1:] > made[-1:], part, made)
    return made


def _followed(marked: Mask, begin: int, end: int) -> tuple[Array, Array]:
    """Where the run from `begin` to `end` in the first column of `marked` [L, 1 + m] begins and
    ends in each of the others, [m], smoothly."""
    first, last = [float(begin)], [float(end)]
    for column in range(1, marked.shape[1]):
        found = [(a, b) for a, b in runs(marked[:, column]) if a < last[-1] and b > first[-1]]
        widest = max(found, key=lambda run: run[1] - run[0], default=(first[-1], last[-1]))
        first.append(float(widest[0]))
        last.append(float(widest[1]))
    return _averaged(first)[1:], _averaged(last)[1:]


def _closed(widened: Array) -> Array:
    """How far an outline has closed 1 to m pixels outside of the edge, where it has `widened` so
    much as far inside: as fast, and never more slowly further out, as a round shape does."""
    rate = np.diff(widened, prepend=0.0)
    if rate[: _WINDOW // 2].sum() > 0:
        rate = np.maximum.accumulate(rate)
    return single(np.cumsum(np.maximum(rate, -_GROWTH)))


def _averaged(values: list[float]) -> Array:
    """Running means, [n]; the first value stays."""
    padded = np.pad(np.array(values), _WINDOW // 2, mode="reflect", reflect_type="odd")
    return single(np.convolve(padded, np.full(_WINDOW, 1.0 / _WINDOW), mode="valid"))


def _sampled(strip: Tensor, rows: Array) -> Tensor:
    """Values of `strip` [C, L, m] at fractional `rows` [L, m], mirrored at both ends."""
    top = strip.shape[1] - 1
    folded = np.abs(rows)
    folded = np.clip(np.where(folded > top, 2 * top - folded, folded), 0, top)
    low = np.minimum(np.floor(folded), top - 1).astype(np.int64)
    share = torch.from_numpy(single(folded - low))
    columns = torch.arange(strip.shape[2])
    index = torch.from_numpy(low)
    return torch.lerp(strip[:, index, columns], strip[:, index + 1, columns], share)


def runs(marked: Mask) -> list[tuple[int, int]]:
    """Begin and end of each stretch of what is True in [L]."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in steps.reshape(-1, 2)]
