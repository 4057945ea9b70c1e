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
from pipelines.portrait.lips_and_lids import Patch, Traced
from pipelines.portrait.paint_bytes import paint_eye, paint_mouth
from pipelines.portrait.picture_bytes import Bytes, composite, lit, write_i420

_ONE_MAP = np.empty(0, np.float32)  # x and y of a map are together in the other
_NO_LIGHT = 0.002  # shading that changes a byte by half a step at most


def draw_i420(baked: Baked, frame: Plan, planes: Tensor) -> None:
    """Write the frame into I420 `planes`, uint8 [1, H * 3 / 2, W]."""
    held: Bytes = planes[0].numpy()
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
    """Yield the parts of the frame in which the person is: the box, and RGBA [h, w, 4], opaque."""
    person, behind = baked.person.numpy(), baked.behind.numpy()
    step = baked.placement.step
    nodes = frame.flow.nodes.numpy()
    places, gains = _in_pixels(baked, nodes[:2]), nodes[2] + 1.0
    found = [patch for traced in frame.traced for patch in fine(traced)]
    patches = [_patch(baked, frame, index, patch) for index, patch in enumerate(found)]
    lit = [*_lit(nodes[2]), *(_cells(baked, patch.box) for patch in patches)]
    for band in frame.flow.bands:
        box, opaque = _pixels(baked, band.cells), _pixels(baked, (band.cells[0], band.opaque))[1]
        place = _refined(_nodes(places, band.cells), step, box)
        near = [patch for patch in patches if overlap(box, patch.box)]
        for patch in near:
            _put(place, box, patch.places, patch.box)
        layer = np.asarray(
            cv2.remap(person, place, _ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
        for cells in _around(band.cells, lit):
            spot = _pixels(baked, cells)
            gain = _refined(_nodes(gains, cells), step, spot)
            for patch in near:
                _put(gain, spot, patch.gain, patch.box)
            _light(layer, box, gain, spot)
        for patch in near:
            patch.paint(layer, box)
        for columns in slice(box[1].start, opaque.start), slice(opaque.stop, box[1].stop):
            if columns.stop > columns.start:
                side = layer[:, columns.start - box[1].start : columns.stop - box[1].start]
                side[:] = composite(side, behind[box[0], columns])
        yield box, layer


@dataclass(frozen=True)
class _Patch:
    """A patch as bands need it."""

    box: Box
    places: Array  # [H, W, 2] pixels of the person
    gain: Array  # [H, W]
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
    lowered = index > 0 and shut(frame.values, index - 1) > 0.0  # a lid is painted over skin, too
    opened = found if lowered else found.opened()
    places = _in_pixels(baked, found.source.numpy())
    gain = found.shade.numpy() + 1.0
    if opened is None:
        return _Patch(found.box, places, gain, found.box, None, gain)
    if index == 0:
        inside, cover = paint_mouth(baked, frame, opened), opened.cover.numpy()
    else:
        inside, cover = paint_eye(baked, frame, index - 1, opened)
    return _Patch(found.box, places, gain, opened.box, inside, cover)


def fine(traced: Traced) -> list[Patch]:
    """Patches in pixels.

    All its planes are brought there one above the other, at once: what is interpolated between two
    of them lies outside of the nodes, and is cut off.
    """
    step = traced.step
    rows, columns = traced.nodes.shape[-2:]
    tall = traced.nodes.reshape(-1, columns).numpy()
    wide = cv2.resize(tall, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    inner = slice(step // 2, -(step // 2))
    planes = torch.from_numpy(np.asarray(wide)).view(-1, 2, 4, rows * step, columns * step)
    return traced.parted(planes[..., inner, inner])


def _in_pixels(baked: Baked, places: Array) -> Array:
    """Canvas coordinates [2, h, w] to pixels of `baked.person` from centre to centre, [h, w, 2]."""
    scale = baked.placement.side / 2
    shift = scale + baked.margin - 0.5
    to_pixels = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
    return np.asarray(cv2.transform(cv2.merge([*places]), to_pixels), np.float32)


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


def _nodes(values: Array, cells: Box) -> Array:
    """Of `values` at all nodes, those at the corners of `cells`."""
    rows, columns = cells
    return values[rows.start : rows.stop + 1, columns.start : columns.stop + 1]


def _refined(nodes: Array, step: int, box: Box) -> Array:
    """Interpolate nodes `step` pixels apart to the pixels of `box`, which begins at the first."""
    wide = cv2.resize(nodes, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    rows, columns = (slice(step // 2, step // 2 + part.stop - part.start) for part in box)
    return np.asarray(wide[rows, columns], np.float32)


def _lit(shades: Array) -> list[Box]:
    """The cells between whose nodes shading changes anything: one box, or none."""
    changes = np.abs(shades) > _NO_LIGHT
    found = [np.flatnonzero(changes.any(axis=axis)) for axis in (1, 0)]
    if not len(found[0]):
        return []
    rows, columns = (slice(max(0, int(n[0]) - 1), int(n[-1]) + 1) for n in found)
    return [(rows, columns)]


def _around(band: Box, boxes: Sequence[Box]) -> list[Box]:
    """The smallest box that holds what `boxes` share with `band`, or none."""
    shared = [found[0] for box in boxes if (found := overlap(band, box))]
    if not shared:
        return []
    rows, columns = (
        slice(
            band[i].start + min(box[i].start for box in shared),
            band[i].start + max(box[i].stop for box in shared),
        )
        for i in (0, 1)
    )
    return [(rows, columns)]


def _put(whole: Array, box: Box, part: Array, at: Box) -> None:
    """Put into `whole`, which covers `box`, as much of `part` as is in it."""
    shared = overlap(box, at)
    if shared is not None:
        here, there = shared
        whole[here] = part[there]


def _light(layer: Bytes, box: Box, gain: Array, spot: Box) -> None:
    """Multiply the colours of `layer` RGBA, which covers `box`, by `gain`, which covers `spot`."""
    here = tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for whole, part in zip(box, spot, strict=True)
    )
    layer[here] = lit(layer[here], [gain] * 3)
