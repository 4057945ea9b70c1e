"""Sheets to look through: one face in all its looks, and many faces with their mouths enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.faces.figures import SOURCE
from benchmarks.faces.mesh import Points
from benchmarks.faces.poses import EYES
from benchmarks.faces.studio import Picture
from pipelines.photo.curves import face_height
from pipelines.pipeline import Size

_CELL, _DETAIL = 224, 150  # pixels of a look; and height of the mouth or eyes below it
_COLUMNS = 9
_TITLE = 18
OVERVIEW = (  # look, what is shown of it
    (SOURCE, "face"), (SOURCE, "mouth"), ("rest", "mouth"), ("m", "mouth"), ("widest", "mouth"),
    ("ee", "mouth"), ("f v", "mouth"), ("laugh", "mouth"), ("rest", "eyes"), ("blink", "eyes"),
    ("yaw -12", "face"), ("turned, a", "face"),
)  # fmt: skip
ROWS = 10  # people on a page of the overview
_FACE, _NEAR = 96, 144  # pixels: side of a face in it, and width of a mouth or of eyes
_WIDTHS = [_FACE if part == "face" else _NEAR for _, part in OVERVIEW]
_WIDTH = sum(_WIDTHS)

Box = tuple[float, float, float, float]


def boxes(points: Points, size: Size) -> dict[str, Box]:
    """Where head, mouth and eyes are in a frame of (width, height), from the source's mesh."""
    unit = face_height(points)
    mouth = points[[61, 291, 13, 14], :2].mean(0)
    mouth[1] += 0.03 * unit  # the lower lip moves
    eyes = points[[33, 263], :2].mean(0)
    head = points[[10, 152], :2].mean(0)
    return {
        "face": _box(head, 0.82 * unit, 0.82 * unit, size),
        "mouth": _box(mouth, 0.33 * unit, 0.22 * unit, size),
        "eyes": _box(eyes, 0.36 * unit, 0.24 * unit, size),
    }


def _box(middle: NDArray[np.float64], half_width: float, half_height: float, size: Size) -> Box:
    half = np.minimum((half_width, half_height), np.array(size) / 2.0)
    x, y = np.clip(middle, half, np.array(size) - half)
    return float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1])


def _part(picture: Picture, box: Box, size: Size) -> Image.Image:
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box=box)


def sheet(source: Picture, looks: Mapping[str, Picture], points: Points) -> Image.Image:
    """All looks of one face, mouth or eyes enlarged below each."""
    pictures = {SOURCE: source, **looks}
    where = boxes(points, (source.shape[1], source.shape[0]))
    step = _TITLE + _CELL + _DETAIL
    rows = -(-len(pictures) // _COLUMNS)
    page = Image.new("RGB", (_COLUMNS * _CELL, rows * step), "white")
    write, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for n, (name, picture) in enumerate(pictures.items()):
        x, y = n % _COLUMNS * _CELL, n // _COLUMNS * step
        write.text((x + _CELL // 2, y + _TITLE // 2), name, fill="black", font=font, anchor="mm")
        page.paste(_part(picture, where["face"], (_CELL, _CELL)), (x, y + _TITLE))
        near = where["eyes" if name in EYES else "mouth"]
        page.paste(_part(picture, near, (_CELL, _DETAIL)), (x, y + _TITLE + _CELL))
    return page


def strip(source: Picture, looks: Mapping[str, Picture], points: Points, name: str) -> Image.Image:
    """One face as a row of the overview."""
    pictures = {SOURCE: source, **looks}
    where = boxes(points, (source.shape[1], source.shape[0]))
    row = Image.new("RGB", (_WIDTH, _FACE), "white")
    x = 0
    for (look, part), width in zip(OVERVIEW, _WIDTHS, strict=True):
        row.paste(_part(pictures[look], where[part], (width, _FACE)), (x, 0))
        x += width
    write, font = ImageDraw.Draw(row), ImageFont.load_default(size=11)
    at = (2, _FACE - 15)
    write.text(at, name[:40], fill="white", font=font, stroke_width=2, stroke_fill="black")
    return row


def overview(strips: Sequence[Image.Image]) -> list[Image.Image]:
    """Pages of `ROWS` faces."""
    pages = []
    for start in range(0, len(strips), ROWS):
        held = strips[start : start + ROWS]
        page = Image.new("RGB", (_WIDTH, _TITLE + len(held) * _FACE), "white")
        write, font = ImageDraw.Draw(page), ImageFont.load_default(size=13)
        x = 0
        for (look, _), width in zip(OVERVIEW, _WIDTHS, strict=True):
            write.text((x + width // 2, _TITLE // 2), look, fill="black", font=font, anchor="mm")
            x += width
        for n, row in enumerate(held):
            page.paste(row, (0, _TITLE + n * _FACE))
        pages.append(page)
    return pages


def resized(picture: Picture, size: Size) -> Picture:
    """To (width, height), averaged where it shrinks."""
    shrinks = picture.shape[1] > size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return (
        picture
        if picture.shape[1::-1] == size
        else np.asarray(cv2.resize(picture, size, interpolation=how))
    )
