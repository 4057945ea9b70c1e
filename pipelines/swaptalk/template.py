"""The clip that an avatar lives in: whole frames kept encoded, and where the face is in each.

    pictures at 25 fps -> follow -> Track: mesh, gap of the lips, change from frame to frame
    Track              -> choose_stretch, steady_squares -> which frames, and their squares
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
from pipelines.photo.crop import choose_crop
from pipelines.photo.curves import head_angles, lip_gap
from pipelines.photo.decode import Image8
from pipelines.photo.detect import MAX_YAW_DEG, FaceMesh
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.framing import STORED
from pipelines.photo.video.container import LIMITS, inspect, read_pictures
from pipelines.photo.video.kept import STRETCH, KeptClip, Planes, keep, to_rgb
from pipelines.photo.video.steady import SteadyPicture, steady
from pipelines.photo.video.track import track_face
from pipelines.pipeline import FPS, PartOf, Progress, Size
from pipelines.swaptalk.loop import SHORTEST, choose_stretch, place_in, turn_steps
from pipelines.swaptalk.mask import face_masks, whole_masks
from pipelines.swaptalk.square import Squares, corners, cut, steady_squares

MOST_PIXELS = 1280 * 720
"""Of a frame; larger ones are reduced."""
MOST_RESIDENT = 64 * 1024 * 1024
"""Bytes of pictures, encoded and decoded, that an avatar may hold in memory while it is shown."""
TEMPLATE_LIMITS = replace(LIMITS, shortest_s=2.0, longest_s=60.0)
_MIB = 1024 * 1024
_SMALL = (48, 27)  # what pictures are compared by

Pictures = Callable[[], Iterable[SteadyPicture]]
"""The pictures of a clip from its beginning, as often as they are asked for."""


@dataclass(frozen=True)
class Track:
    """The face of n frames in order.

    points: float32 [n, 478, 3] in their pixels, NaN where it is not seen. change: float32 [n],
    mean difference from the frame before, of full scale.
    """

    points: NDArray[np.float32]
    change: NDArray[np.float32]


@dataclass(frozen=True)
class Template:
    """n frames, played there and back.

    places, float64 [n, 2, 3], and masks, uint8 [n, h, w]: of their faces, see `square` and `mask`.
    gap: float32 [n], how far the mouth is open in each, in face heights.
    whole: uint8 [n, h, w], masks of whole faces over their squares, for a swap; not kept.
    canvas: float64 [3], left, top and side of head and shoulders in the frame, its square picture.
    turn: how much more happens at a turn than from one frame to the next: 1 is as much.
    """

    clip: KeptClip
    places: NDArray[np.float64]
    masks: NDArray[np.uint8]
    gap: NDArray[np.float32]
    canvas: NDArray[np.float64]
    turn: float = 1.0
    whole: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return self.clip.count

    def number(self, position: int) -> int:
        """The frame that is shown at a position of the loop."""
        return place_in(position, self.clip.count)

    def arrays(self) -> Arrays:
        """As identity features keep it."""
        width, height = self.clip.size
        return {
            "clip": self.clip.data,
            "clip_starts": self.clip.starts,
            "places": self.places,
            "masks": self.masks,
            "gap": self.gap,
            "surroundings": np.array([[width, height, *self.canvas]] * len(STORED), np.float64),
        }

    @classmethod
    def of(cls, arrays: Arrays) -> Template:
        """What `arrays` gave."""
        width, height, *canvas = arrays["surroundings"][0]
        clip = KeptClip(
            arrays["clip"], arrays["clip_starts"], len(arrays["gap"]), (int(width), int(height))
        )
        places, masks, gap = (arrays[name] for name in ("places", "masks", "gap"))
        return cls(clip, places, masks, gap, np.array(canvas))


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
    track = _resumed(progress.folder / "track.npz", lambda: follow(
        pictures(), size, PartOf(progress, 0.0, 0.7), frames))  # fmt: skip
    stretch, gap = _stretch(track)
    found = steady_squares(_filled(track.points[stretch]), gap)
    clip = _kept(pictures, size, stretch, PartOf(progress, 0.7, 1.0))
    check_memory(clip)
    return Template(
        clip=clip,
        places=found.places,
        masks=face_masks(found.jaw),
        whole=whole_masks(found.oval),
        gap=gap,
        canvas=_canvas(_filled(track.points[stretch]), size),
        turn=turn_steps(_steps(found, track.change[stretch])),
    )


def follow(pictures: Iterable[SteadyPicture], size: Size, progress: Progress, frames: int) -> Track:
    """The face in each picture, in pixels of `size`; raises as `track_face`."""
    points, changes = [], []
    last: NDArray[np.float32] | None = None
    lost = np.full((478, 3), np.nan, np.float32)
    for frame in track_face(pictures):
        height, width = frame.pixels.shape[:2]
        scale = np.array([size[0] / width, size[1] / height, size[0] / width], np.float32)
        turned = frame.points is None or abs(head_angles(frame.points)[0]) > MAX_YAW_DEG
        points.append(lost if frame.points is None or turned else frame.points * scale)
        small = Image.fromarray(frame.pixels).resize(_SMALL, Image.Resampling.BOX, reducing_gap=2.0)
        now = np.asarray(small, np.float32) / 255.0
        changes.append(0.0 if last is None else float(np.abs(now - last).mean()))
        last = now
        progress(min(1.0, len(points) / frames), "following the face")
    return Track(np.stack(points).astype(np.float32), np.array(changes, np.float32))


def squares_of(template: Template, side: int) -> Iterator[Tensor]:
    """The face of each frame as networks see it, float32 [3, side, side] in [-1, 1]."""
    for picture, place in zip(rgb_pictures(template.clip), template.places, strict=True):
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1.0
        yield cut(whole, place, side)


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
    points = _filled(track.points)
    gap = np.array([lip_gap(each) for each in points], np.float32)
    steps = _steps(steady_squares(points, gap), track.change)
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


def _filled(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points [n, 478, 3] with what is missing drawn from its neighbours in time."""
    seen = np.flatnonzero(~np.isnan(points[:, 0, 0]))
    after = np.searchsorted(seen, np.arange(len(points))).clip(0, len(seen) - 1)
    before = (after - 1).clip(0)
    a, b = seen[before], seen[after]
    share = np.clip((np.arange(len(points)) - a) / np.maximum(b - a, 1), 0.0, 1.0)
    share[a == b] = 0.0
    earlier, later = points[a].astype(np.float64), points[b].astype(np.float64)
    filled: NDArray[np.float64] = earlier + share[:, None, None] * (later - earlier)
    return filled


def _steps(found: Squares, change: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much happens from each of n frames to the next, [n - 1]: the way of the square's corners
    and the change of the picture, each over its median."""
    way = np.sqrt((np.diff(corners(found.places), axis=0) ** 2).sum(-1).mean(-1))
    parts = [each / max(float(np.median(each)), 1e-9) for each in (way, change[1:])]
    return np.asarray(parts[0] + parts[1], np.float64)


def _canvas(points: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """Head and shoulders, as of a photo, but never beyond the frame."""
    middle = points.mean(0).astype(np.float32)
    crop = choose_crop(FaceMesh(middle), *size)
    side = float(2 * int(min(crop.side, *size) / 2))
    corner = [
        min(max(start + (crop.side - side) / 2, 0.0), length - side)
        for start, length in zip((crop.left, crop.top), size, strict=True)
    ]
    return np.array([*(2.0 * round(start / 2) for start in corner), side])


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


def _resumed(path: Path, make: Callable[[], Track]) -> Track:
    """What is kept at `path`, or made now and kept there."""
    if path.exists():
        with np.load(path) as held:
            return Track(held["points"], held["change"])
    track = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez(partial, points=track.points, change=track.change)
    partial.replace(path)
    return track
