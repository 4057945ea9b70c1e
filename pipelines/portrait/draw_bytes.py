"""Draws a planned frame on a CPU: bytes throughout, by OpenCV, in bands as wide as the person.

A band is map, sampled person, shading, mouth, eyes and composite in turn, so that little of the
frame has to pass through memory more than once. Half of a frame's time was once PyTorch's
`grid_sample` of four float channels; OpenCV samples bytes in an eighth of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Array
from pipelines.photo.placement import Box, overlap
from pipelines.portrait.bake import Baked
from pipelines.portrait.eye_composite import shut
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.paint_bytes import paint_eye, paint_mouth
from pipelines.portrait.picture_bytes import Bytes, composite, write_i420

_ONE_MAP = np.empty(0, np.float32)  # x and y of a map are together in the other
_NO_LIGHT = 0.002  # shading that changes a byte by half a step at most


def draw_i420(baked: Baked, frame: Plan, planes: Tensor) -> None:
    """Write the frame into I420 `planes`, uint8 [1, H * 3 / 2, W]."""
    held: Bytes = planes.numpy()[0]
    held[:] = baked.behind_i420.numpy()
    for (rows, columns), rgba in draw(baked, frame):
        write_i420(rgba, held, rows.start, columns.start)


def draw_rgb(baked: Baked, frame: Plan) -> Tensor:
    """The frame as RGB uint8 [H, W, 3]."""
    picture = baked.behind.clone()
    for box, rgba in draw(baked, frame):
        picture[box] = torch.from_numpy(rgba[..., :3])
    return picture


def draw(baked: Baked, frame: Plan) -> Iterator[tuple[Box, Bytes]]:
    """Yield the parts of the frame in which the person is: the box, and RGB of it [h, w, 4]."""
    person, behind = baked.person.numpy(), baked.behind.numpy()
    x, y, shade = frame.flow.nodes
    places, gains = cv2.merge([x + baked.margin, y + baked.margin]), shade + 1.0
    patches = [_patch(baked, frame, *each) for each in enumerate(frame.patches)]
    lit = _around([*_lit(shade), *(_cells(baked, patch.box) for patch in patches)])
    for cells in frame.flow.bands:
        box = _pixels(baked, cells)
        near = [patch for patch in patches if overlap(box, patch.box)]
        place = _refined(baked, places, cells)
        for patch in near:
            _put(place, box, patch.places, patch.box)
        layer = np.asarray(
            cv2.remap(person, place, _ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
        shared = overlap(cells, lit)
        if shared is not None:
            inner = _moved(shared[0], cells)
            gain, spot = _refined(baked, gains, inner), _pixels(baked, inner)
            for patch in near:
                _put(gain, spot, patch.gain, patch.box)
            part = layer[_moved(spot, box, -1)]
            # OpenCV makes 1 of the fourth channel.
            part[:] = cv2.multiply(part, cv2.cvtColor(gain, cv2.COLOR_GRAY2RGBA), dtype=cv2.CV_8U)
        for patch in near:
            patch.paint(layer, box)
        yield box, composite(layer, behind[box])


@dataclass(frozen=True)
class _Patch:
    """A patch as bands need it."""

    box: Box
    places: Array  # [H, W, 2] pixels of the person
    gain: Array  # [H, W] of its colours
    opened: Box  # what is not covered by skin, and around it
    inside: Bytes | None  # RGBA there; None if all is covered
    cover: Array  # [H', W'] share of skin there

    def paint(self, layer: Bytes, band: Box) -> None:
        """Show what is inside as far as no skin covers it."""
        shared = None if self.inside is None else overlap(band, self.opened)
        if shared is not None:
            assert self.inside is not None
            here, there = shared
            skin = self.cover[there]
            layer[here] = cv2.blendLinear(layer[here], self.inside[there], skin, 1.0 - skin)


def _patch(baked: Baked, frame: Plan, index: int, found: Patch) -> _Patch:
    x, y = found.source
    places = np.asarray(cv2.merge([x + baked.margin, y + baked.margin]), np.float32)
    gain = found.shade + 1.0
    lowered = index > 0 and shut(frame.values, index - 1) > 0.0  # a lid is painted over skin, too
    opened = found if lowered else found.opened()
    if opened is None:
        return _Patch(found.box, places, gain, found.box, None, found.cover)
    if index == 0:
        inside, cover = paint_mouth(baked, frame, opened), opened.cover
    else:
        inside, cover = paint_eye(baked, frame, index - 1, opened)
    return _Patch(found.box, places, gain, opened.box, inside, cover)


def _pixels(baked: Baked, cells: Box) -> Box:
    """The pixels of the frame under cells of the lattice."""
    step = baked.placement.step
    rows, columns = (
        slice(whole.start + part.start * step, min(whole.stop, whole.start + part.stop * step))
        for whole, part in zip(baked.visible, cells, strict=True)
    )
    return rows, columns


def _cells(baked: Baked, box: Box) -> Box:
    """The cells of the lattice that pixels of the frame touch."""
    step = baked.placement.step
    rows, columns = (
        slice((part.start - whole.start) // step, -((whole.start - part.stop) // step))
        for whole, part in zip(baked.visible, box, strict=True)
    )
    return rows, columns


def _refined(baked: Baked, values: Array, cells: Box) -> Array:
    """Interpolate `values` at all nodes to the pixels of `cells`."""
    step, (rows, columns) = baked.placement.step, cells
    nodes = values[rows.start : rows.stop + 1, columns.start : columns.stop + 1]
    wide = cv2.resize(nodes, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    down, across = (
        slice(step // 2, step // 2 + part.stop - part.start) for part in _pixels(baked, cells)
    )
    return np.asarray(wide[down, across], np.float32)


def _lit(shades: Array) -> list[Box]:
    """The cells between whose nodes shading changes anything: one box, or none."""
    changes = np.abs(shades) > _NO_LIGHT
    found = [np.flatnonzero(changes.any(axis=axis)) for axis in (1, 0)]
    if not len(found[0]):
        return []
    rows, columns = (slice(max(0, int(n[0]) - 1), int(n[-1]) + 1) for n in found)
    return [(rows, columns)]


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all `boxes`."""
    rows, columns = (
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )
    return rows, columns


def _moved(box: Box, by: Box, sign: int = 1) -> Box:
    """`box` moved by the corner of another, or back."""
    rows, columns = (
        slice(part.start + sign * other.start, part.stop + sign * other.start)
        for part, other in zip(box, by, strict=True)
    )
    return rows, columns


def _put(whole: Array, box: Box, part: Array, at: Box) -> None:
    """Put into `whole`, which covers `box`, as much of `part` as is in it."""
    shared = overlap(box, at)
    if shared is not None:
        here, there = shared
        whole[here] = part[there]
