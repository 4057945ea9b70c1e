"""How many pictures are drawn at once: graphs are captured for 1, 2, 4, 8 ... and all of them."""

from __future__ import annotations

import torch
from torch import Tensor

FEW = 8


def row_counts(slots: int) -> tuple[int, ...]:
    """Numbers of pictures that there are graphs for: 1, 2, 4 ... and all."""
    return (*(2**n for n in range((slots - 1).bit_length())), slots)


def pieces(pictures: int, slots: int) -> tuple[int, ...]:
    """The numbers, each of `row_counts`, in which so many pictures are drawn.

    What is left over in a larger number is drawn for nothing; up to 8 it costs next to nothing
    beside a further launch, beyond that it may be a third of what is wanted.
    """
    counts, found = row_counts(slots), []
    while pictures > 0:
        count = next(n for n in counts if n >= pictures)
        if pictures > FEW and 3 * (count - pictures) > pictures:
            count = max(n for n in counts if n <= pictures)
        found.append(count)
        pictures -= count
    return tuple(found)


def first_rows(wanted: Tensor, count: int) -> Tensor:
    """The first `count` slots of `wanted` (bool [B]), rising; where there are fewer, the last of
    them again, so that no other slot is drawn. int64 [count]."""
    order = torch.sort(wanted.to(torch.int8), descending=True, stable=True).indices
    place = torch.arange(count, device=wanted.device)
    return order[torch.minimum(place, (wanted.sum() - 1).clamp_min(0))]
