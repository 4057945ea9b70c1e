"""The clip that an avatar lives in: whole frames kept encoded, and where the face is in each.

    pictures at 25 fps -> follow -> Track: meshes and small pictures
    Track              -> choose_stretch, steady_squares -> which frames, and their squares
                       -> make_loop -> in which order they are played
    those pictures     -> KeptClip (encoded), squares for the networks

A video gives its own pictures (`of_video`), a photo those that `portrait` draws of it (`drawn`).
Each stage is kept in the folder of the enrolment and found again after an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kernels.i420 import rgb_to_i420
from pipelines.identity import Arrays
from pipelines.photo.curves import lip_gap
from pipelines.photo.decode import Image8
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.container import LIMITS, inspect, read_pictures
from pipelines.photo.video.kept import STRETCH, KeptClip, Planes, keep, to_rgb
from pipelines.photo.video.steady import SteadyPicture, steady
from pipelines.pipeline import FPS, PartOf, Progress, Size
from pipelines.swaptalk.loop import (
    SHORTEST,
    Loop,
    choose_stretch,
    find_idle,
    make_loop,
    turn_steps,
)
from pipelines.swaptalk.mask import face_masks, whole_masks
from pipelines.swaptalk.square import corners, cut, steady_squares
from pipelines.swaptalk.track import (
    Track,
    differences,
    filled,
    follow,
    resumed,
    steps_between,
)
from pipelines.swaptalk.wide import placed

MOST_PIXELS = 1280 * 720
"""Of a frame; larger ones are reduced."""
MOST_RESIDENT = 64 * 1024 * 1024
"""Bytes of pictures, encoded and decoded, that an avatar may hold in memory while it is shown."""
TEMPLATE_LIMITS = replace(LIMITS, shortest_s=2.0, longest_s=60.0)
_MIB = 1024 * 1024
_EDGE = 3  # pixels around a square, that its own are made of

Pictures = Callable[[], Iterable[SteadyPicture]]
"""The pictures of a clip from its beginning, as often as they are asked for."""


@dataclass(frozen=True)
class Template:
    """n frames, played as `loop` says.

    places, float64 [n, 2, 3], and masks, uint8 [n, h, w]: of their faces, see `square` and `mask`.
    gap: float32 [n], how far the mouth is open in each, in face heights.
    whole: uint8 [n, h, w], masks of whole faces over their squares, for a swap; not kept.
    surroundings: float64 [2, 5], what its pictures show of the frames, see `wide`.
    turn: how much more happens at a turn than from one frame to the next: 1 is as much.
    idle: frames in which the person is silent.
    """

    clip: KeptClip
    places: NDArray[np.float64]
    masks: NDArray[np.uint8]
    gap: NDArray[np.float32]
    surroundings: NDArray[np.float64]
    loop: Loop
    turn: float = 1.0
    idle: int = 0
    whole: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return self.clip.count

    def arrays(self) -> Arrays:
        """As identity features keep it."""
        return {
            "clip": self.clip.data,
            "clip_starts": self.clip.starts,
            "places": self.places,
            "masks": self.masks,
            "gap": self.gap,
            "loop": np.stack([self.loop.frames, *self.loop.after]),
            "surroundings": self.surroundings,
        }

    @classmethod
    def of(cls, arrays: Arrays) -> Template:
        """What `arrays` gave."""
        names = ("places", "masks", "gap", "surroundings", "loop")
        places, masks, gap, surroundings, loop = (arrays[name] for name in names)
        width, height = (int(length) for length in surroundings[0, :2])
        clip = KeptClip(arrays["clip"], arrays["clip_starts"], len(gap), (width, height))
        return cls(clip, places, masks, gap, surroundings, Loop(loop[0], loop[1:]))


def of_video(path: Path) -> tuple[Pictures, Size]:
    """The pictures of a video, and the size that they are to be kept at; raises as `inspect`."""
    facts = inspect(path, TEMPLATE_LIMITS)
    size = kept_size(facts.width, facts.height)
    return lambda: steady(read_pictures(path, TEMPLATE_LIMITS, max(size))), size


def kept_size(width: int, height: int) -> Size:
    """Of frames of a clip: even, and no larger than `MOST_PIXELS`."""
    scale = min(1.0, math.sqrt(MOST_PIXELS / (width * height)))
    across, down = (max(2, 2 * int(length * scale / 2 + 1e-6)) for length in (width, height))
    return across, down


def make_template(pictures: Pictures, size: Size, progress: Progress, frames: int) -> Template:
    """Follow the face and keep the stretch to be played; about `frames` pictures are to come.

    Raises:
        EnrolmentError: it cannot be used, as `track_face` says, or what is left is too short, or
            needs too much memory.
        EnrolmentCancelled: as `progress` said.
    """
    track = resumed(progress.folder / "track.npz", lambda: follow(
        pictures(), size, PartOf(progress, 0.0, 0.7), frames))  # fmt: skip
    stretch, gap = _stretch(track)
    points, small = filled(track.points[stretch]), track.small[stretch]
    found = steady_squares(points, gap)
    clip = _kept(pictures, size, stretch, PartOf(progress, 0.7, 1.0))
    check_memory(clip)
    steps = steps_between(found, small)
    idle = find_idle(gap, steps)
    return Template(
        clip=clip,
        places=found.places,
        masks=face_masks(found.jaw),
        whole=whole_masks(found.oval),
        gap=gap,
        surroundings=placed(points.mean(0), size),
        loop=make_loop(idle, differences(found, small)),
        turn=turn_steps(steps),
        idle=0 if idle is None else idle.stop - idle.start,
    )


def squares_of(template: Template, side: int) -> Iterator[Tensor]:
    """The face of each frame as networks see it, float32 [3, side, side] in [-1, 1]."""
    for picture, place in zip(rgb_pictures(template.clip), template.places, strict=True):
        yield cut(*_near(picture, place), side)


def _near(picture: Image8, place: NDArray[np.float64]) -> tuple[Tensor, NDArray[np.float64]]:
    """The part of a frame that its square touches, float32 [3, h, w] in [-1, 1], and the square
    there: the whole of 720 lines took as long as the square."""
    height, width = picture.shape[:2]
    at = corners(place[None])[0]
    left, top = (int(v) for v in np.floor(at.min(0) - _EDGE).clip(0, (width - 1, height - 1)))
    right, bottom = (int(v) for v in np.ceil(at.max(0) + _EDGE).clip((left + 1, top + 1), None))
    part = picture[top:bottom, left:right]
    moved = place - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
    return torch.from_numpy(part.copy()).permute(2, 0, 1).float() / 127.5 - 1.0, moved


def rgb_pictures(clip: KeptClip) -> Iterator[Image8]:
    """The pictures of a clip, uint8 [H, W, 3]."""
    for planes in clip.pictures():
        yield to_rgb(planes)


def check_memory(clip: KeptClip) -> None:
    """Refuse a clip of which too much would have to be held while it is shown.

    Raises:
        EnrolmentError: it needs more than `MOST_RESIDENT`.
    """
    needed = resident_bytes(clip)
    if needed > MOST_RESIDENT:
        raise EnrolmentError(
            "video_too_large",
            f"Showing the video would take {needed / _MIB:.0f} MiB of memory; at most "
            f"{MOST_RESIDENT // _MIB} MiB are allowed. Use a shorter or less noisy one, or export "
            "it at a lower resolution.",
        )


def resident_bytes(clip: KeptClip) -> int:
    """Memory of the clip while it is shown: encoded, the stretch that is shown and the next one,
    and what a decoder works with."""
    width, height = clip.size
    return clip.nbytes + (2 * STRETCH + 4) * width * height * 3 // 2


def _stretch(track: Track) -> tuple[slice, NDArray[np.float32]]:
    """The frames to be played, and how far the lips are apart in them."""
    seen = ~np.isnan(track.points[:, 0, 0])
    if not seen.any():
        raise _too_short()
    points = filled(track.points)
    gap = np.array([lip_gap(each) for each in points], np.float32)
    steps = steps_between(steady_squares(points, gap), track.small)
    stretch = choose_stretch(seen, steps, gap)
    if stretch is None:
        raise _too_short()
    return stretch, gap[stretch]


def _too_short() -> EnrolmentError:
    return EnrolmentError(
        "no_face",
        f"For {SHORTEST / FPS:.1f} s in a row the whole face must be seen, turned toward the "
        "camera. Use a video of one person who looks at the camera all the time.",
    )


def _kept(pictures: Pictures, size: Size, stretch: slice, progress: Progress) -> KeptClip:
    def encoded() -> Iterator[Planes]:
        count = stretch.stop - stretch.start
        for n, picture in enumerate(islice(pictures(), stretch.start, stretch.stop)):
            progress(n / count, "keeping the video")
            yield to_i420(picture.pixels, size)

    clip = keep(encoded(), size)
    if clip.count != stretch.stop - stretch.start:
        raise ValueError(f"{clip.count} pictures were read again, not {stretch}")
    return clip


def to_i420(picture: Image8, size: Size) -> Planes:
    """A picture [H, W, 3] at another size, as planes."""
    if picture.shape[1::-1] != size:
        image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        picture = np.asarray(image)
    rgb = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255.0
    return np.asarray(rgb_to_i420(rgb)[0].numpy())
