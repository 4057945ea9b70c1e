"""Faces as tables of tensors on a device, a row for each, at frames of one size.

What differs in size from face to face lies at the beginning of as much room as the largest allowed
face takes: at 512 pixels 19 MB a face, two thirds of it the shapes of lips and lids; at 256 15 MB,
at 720 24 MB. Rows are written outside of any graph; graphs read them where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipelines.pipeline import Size
from pipelines.portrait.batched_face import BatchedFace
from pipelines.portrait.room import largest

Part = TypeVar("Part")


class FaceTable:
    """Faces of one size in `rows` rows, each at most as large as `room`.

    Rows that were never written hold faces of a pixel, of which pictures may be drawn.
    """

    def __init__(self, rows: int, room: BatchedFace, device: torch.device) -> None:
        self.held = mapped(
            room, lambda t: torch.ones((rows, *t.shape), dtype=t.dtype, device=device)
        )

    def check(self, face: BatchedFace) -> None:
        """Raise ValueError where there is not room enough for `face`."""
        needs = [*zip(face.nodes, self.held.nodes, strict=True)]
        for value, held in zip(leaves(face), leaves(self.held), strict=True):
            needs += zip(value.shape, held.shape[1:], strict=True)
        if any(count > most for count, most in needs):
            raise ValueError(
                "this face fills too much of the picture, or lies too askew in it, to be drawn "
                "in a batch"
            )

    def write(self, row: int, face: BatchedFace) -> None:
        """Put `face`, for which there is room, into `row`."""
        for value, held in zip(leaves(face), leaves(self.held), strict=True):
            held[row].zero_()
            box = tuple(slice(0, n) for n in value.shape)
            held[row][box] = value.to(held.device)


class FaceTables:
    """The faces of `slots` slots at every size.

    Of `sizes` there are tables from the beginning, a row for each slot, which stay where they are:
    graphs may read them. Those of other sizes (photos in their own shape) are made when a face
    comes that is drawn so, as large as it takes, and made anew with every further one.
    """

    def __init__(self, slots: int, sizes: Sequence[Size], device: torch.device) -> None:
        self.device = device
        self._slots = slots
        self._every = torch.arange(slots, device=device)
        self._foreseen = {size: FaceTable(slots, largest(size), device) for size in sizes}
        self._others: dict[Size, dict[int, BatchedFace]] = {}
        self._made: dict[Size, tuple[BatchedFace, Tensor]] = {}

    def check(self, size: Size, face: BatchedFace) -> None:
        """Raise ValueError where `face` is too large to be drawn at `size`."""
        if size in self._foreseen:
            self._foreseen[size].check(face)

    def write(self, slot: int, faces: Mapping[Size, BatchedFace]) -> None:
        """Give `slot` these faces, and no others.

        Raises:
            ValueError: one is too large; nothing was changed.
        """
        for size, face in faces.items():
            self.check(size, face)
        changed = {size for size, held in self._others.items() if held.pop(slot, None)}
        for size, face in faces.items():
            if size in self._foreseen:
                self._foreseen[size].write(slot, face)
            else:
                self._others.setdefault(size, {})[slot] = face
                changed.add(size)
        for size in changed:
            self._make(size)

    def of(self, size: Size) -> tuple[BatchedFace, Tensor]:
        """The table of a size, and which of its rows each slot's face is in (int64 [slots]).

        Raises:
            ValueError: no slot has a face of that size, nor was it foreseen.
        """
        if size in self._foreseen:
            return self._foreseen[size].held, self._every
        if size not in self._made:
            raise ValueError(f"no face was prepared for {size[0]} x {size[1]} pixels")
        return self._made[size]

    def _make(self, size: Size) -> None:
        faces = self._others[size]
        if not faces:
            del self._others[size], self._made[size]
            return
        table = FaceTable(len(faces), _room_for(list(faces.values())), self.device)
        rows = torch.zeros_like(self._every)
        for row, (slot, face) in enumerate(faces.items()):
            table.write(row, face)
            rows[slot] = row
        self._made[size] = table.held, rows


def mapped(part: Part, change: Callable[[Tensor], Tensor]) -> Part:
    """A dataclass of tensors (and of such dataclasses) over `change` of each tensor."""
    changes: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = change(value)
        elif is_dataclass(value):
            changes[field.name] = mapped(value, change)
    return replace(part, **changes)  # type: ignore[type-var]


def picked(part: Part, rows: Tensor) -> Part:
    """Copies of `rows` (int64 [n]) of all tensors of a table."""
    return mapped(part, lambda held: held[rows])


def leaves(part: object) -> Iterator[Tensor]:
    """All tensors of a dataclass of them, and of such dataclasses."""
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            yield value
        elif is_dataclass(value):
            yield from leaves(value)


def _room_for(faces: Sequence[BatchedFace]) -> BatchedFace:
    """Room for the largest of each part of `faces`."""
    largest_of = [
        tuple(max(sides) for sides in zip(*(value.shape for value in values), strict=True))
        for values in zip(*(leaves(face) for face in faces), strict=True)
    ]
    shapes = iter(largest_of)
    room = mapped(faces[0], lambda t: torch.empty(next(shapes), dtype=t.dtype, device="meta"))
    most = tuple(max(counts) for counts in zip(*(face.nodes for face in faces), strict=True))
    return replace(room, nodes=(most[0], most[1], most[2]))
