"""A video or a photo to the identity features of `swaptalk`: template, and what the networks keep.

    material -> template (frames, squares, masks) -> maps, batch by batch -> swap, if asked -> rows

Maps are kept in the enrolment's folder as they are made; they are what takes longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.identity import Arrays, IdentityFeatures
from pipelines.photo.framing import SQUARE, STORED, WIDE
from pipelines.photo.video.container import inspect
from pipelines.photo.video.kept import STRETCH, to_rgb
from pipelines.pipeline import FPS, Material, PartOf, Progress
from pipelines.swaptalk import drawn
from pipelines.swaptalk.faces import ROWS, Faces, Rows
from pipelines.swaptalk.paste import small
from pipelines.swaptalk.player import View
from pipelines.swaptalk.swapped import source_square, swap_faces
from pipelines.swaptalk.template import (
    TEMPLATE_LIMITS,
    Template,
    make_template,
    of_video,
    squares_of,
)
from pipelines.swaptalk.wide import beside

_BATCH = 8
_PREVIEW = 512  # pixels


def enrol(material: Material, faces: Faces, key: str, progress: Progress) -> IdentityFeatures:
    """Turn material into identity features, a video before a photo.

    Arrays: those of `Template.arrays`; around uint8 [n, 3, h, w], see `paste.Face`; around_1, if
    there is any, what 16:9 shows beside the frames; preview uint8 [S, S, 3]; and what `faces`
    prepares, float32 [n, ...] each.

    Raises:
        EnrolmentError: no avatar can be made of it; code and message are for the user.
        EnrolmentCancelled: as `progress` said.
    """
    template = _template(material, progress)
    with torch.inference_mode():
        maps = _maps(template, faces, PartOf(progress, 0.6, 0.85))
        if material.source is not None:
            source = source_square(material.source, faces.side)
            part = PartOf(progress, 0.85, 0.96)
            template, maps = swap_faces(template, maps, source, faces, part)
        rows, around = _rows(template, maps, faces, PartOf(progress, 0.96, 1.0))
        arrays: Arrays = {"around": around}
    first = IdentityFeatures(key, template.arrays() | arrays, {}, SQUARE)
    number = template.loop.frame(0)
    picture = template.clip.stretch(number // STRETCH)[number % STRETCH]
    arrays["preview"] = to_rgb(View.of(first, (_PREVIEW, _PREVIEW)).show(picture))
    if (more := beside(to_rgb(picture), template.surroundings)) is not None:
        arrays[f"around_{STORED.index(WIDE)}"] = more
    kept = {ROWS + name: held.numpy() for name, held in rows.items()}
    width, height = template.clip.size
    meta = {
        "template": f"{len(template)} frames of {width} x {height}",
        "turn": f"{template.turn:.2f}",
        "idle": f"{template.idle} frames",
    }
    return IdentityFeatures(key, first.arrays | arrays | kept, meta)


def reference_frame(template: Template) -> int:
    """The frame whose mouth is to be moved: the most closed one."""
    return int(np.argmin(template.gap))


def _template(material: Material, progress: Progress) -> Template:
    if material.video is not None:
        pictures, size = of_video(material.video)
        seconds = inspect(material.video, TEMPLATE_LIMITS).seconds or TEMPLATE_LIMITS.longest_s
        return make_template(pictures, size, PartOf(progress, 0.0, 0.6), round(seconds * FPS))
    pictures, size = drawn.of_photo(material.photo_bytes(), PartOf(progress, 0.0, 0.3))
    return make_template(pictures, size, PartOf(progress, 0.3, 0.6), drawn.FRAMES)


def _maps(template: Template, faces: Faces, progress: Progress) -> Tensor:
    """Maps of all frames, [n, ...]."""
    maps = []
    for number, squares in enumerate(_batches(squares_of(template, faces.side))):
        progress(number * _BATCH / len(template), "learning the face")
        path = progress.folder / f"maps-{number:03}.npy"
        if path.exists():
            found = torch.from_numpy(np.load(path))
        else:
            found = faces.encode(squares)
            partial = path.with_suffix(".part.npy")
            np.save(partial, found.numpy())
            partial.replace(path)
        maps.append(found)
    return torch.cat(maps)


def _rows(
    template: Template, maps: Tensor, faces: Faces, progress: Progress
) -> tuple[Rows, NDArray[np.uint8]]:
    """What `faces` prepares of all frames; and their lower halves in the cells of the masks,
    [n, 3, h, w]."""
    reference = maps[reference_frame(template)][None]
    parts: list[Rows] = []
    halves: list[NDArray[np.uint8]] = []
    for squares in _batches(squares_of(template, faces.side)):
        progress(len(halves) / len(template), "getting ready to speak")
        part = maps[len(halves) : len(halves) + len(squares)]
        parts.append(faces.prepare(part, reference, squares))
        for square in squares[:, :, faces.side // 2 :] * 127.5 + 127.5:
            halves.append(small(square).round().clamp(0.0, 255.0).byte().numpy())
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return rows, np.stack(halves)


def _batches(squares: Iterator[Tensor]) -> Iterator[Tensor]:
    while part := list(islice(squares, _BATCH)):
        yield torch.stack(part)
