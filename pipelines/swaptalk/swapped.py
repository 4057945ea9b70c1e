"""Another face in a template: swapped once, at enrolment, and kept in its frames.

    source's photo -> square -> map          frames' maps, source's map -> Faces.swap -> new maps
    new maps -> whole faces -> pasted into the frames, softly and in their colours -> kept anew

From then on it is a template like any other: only its lower face is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.decode import Image8
from pipelines.photo.upright import read_portrait
from pipelines.photo.video.kept import Planes, keep
from pipelines.pipeline import Progress
from pipelines.swaptalk.faces import Faces
from pipelines.swaptalk.paste import Face, paste, small
from pipelines.swaptalk.square import cut, steady_squares
from pipelines.swaptalk.template import Template, check_memory, squares_of

_WHOLE = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, -1.0], [0.0, 0.0, 1.0]])
"""Brings what `paste` takes for a lower half to the whole square."""


def source_square(photo: Path, side: int) -> Tensor:
    """The face of a photo, float32 [1, 3, side, side] in [-1, 1]; raises `EnrolmentError`."""
    picture, face = read_portrait(photo.read_bytes())
    place = steady_squares(face.points[None], np.zeros(1)).places[0]
    return cut(_unit(picture), place, side)[None]


def swap_faces(
    template: Template, maps: Tensor, source: Tensor, faces: Faces, progress: Progress
) -> tuple[Template, Tensor]:
    """The template with the face of `source` [1, 3, side, side], and its maps [n, ...].

    Raises:
        EnrolmentError: its frames need too much memory.
        EnrolmentCancelled: as `progress` said.
    """
    assert template.whole is not None, "made just now, not kept"
    masks = torch.from_numpy(template.whole.copy()).float() / 255.0
    key, changed = faces.encode(source), []

    def frames() -> Iterator[Planes]:
        both = zip(template.clip.pictures(), squares_of(template, faces.side), strict=True)
        for number, (planes, square) in enumerate(both):
            progress(number / len(template), "putting in the other face")
            made = faces.swap(key, maps[number : number + 1])
            changed.append(made)
            held = torch.from_numpy(planes.copy())
            place = template.places[number] @ _WHOLE
            face = Face(place, masks[number], small(square * 0.5 + 0.5))
            paste(faces.whole(made)[0], face, held)
            yield np.asarray(held.numpy())

    clip = keep(frames(), template.clip.size)
    check_memory(clip)
    return replace(template, clip=clip), torch.cat(changed)


def _unit(picture: Image8) -> Tensor:
    """[H, W, 3] to float32 [3, H, W] in [-1, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1.0
