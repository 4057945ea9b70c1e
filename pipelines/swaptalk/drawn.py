"""A photo's template: a few seconds that `portrait` draws of it, idle, the mouth at rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from pipelines.motion.controls import control_row
from pipelines.motion.idle import LISTENING, IdleMotion
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.framing import PHOTO, framed, sizes_for
from pipelines.photo.upright import read_portrait
from pipelines.photo.video.kept import KeptClip, Planes, keep, to_rgb
from pipelines.photo.video.steady import SteadyPicture
from pipelines.pipeline import FPS, Progress, Size
from pipelines.portrait.bake import CACHE
from pipelines.portrait.enrol import describe
from pipelines.portrait.render import draw_i420
from pipelines.portrait.system import SYSTEM
from pipelines.swaptalk.ears import MOUTH
from pipelines.swaptalk.template import Pictures

FRAMES = 6 * FPS
_SEED = 5  # of the idle motion, the same for everybody


def of_photo(photo: bytes, progress: Progress) -> tuple[Pictures, Size]:
    """Pictures of a photo whose head moves, and their size; drawn once, kept in the enrolment's
    folder.

    Raises:
        EnrolmentError: no avatar can be made of it.
        EnrolmentCancelled: as `progress` said.
    """
    clip = _resumed(progress.folder / "drawn.npz", photo, progress)

    def pictures() -> Iterable[SteadyPicture]:
        for number, planes in enumerate(clip.pictures()):
            yield SteadyPicture(number, to_rgb(planes), True, 0.0)

    return pictures, clip.size


def idle_motion(frames: int, seed: int = _SEED) -> torch.Tensor:
    """Of somebody who listens: float32 [frames, MOTION_DIM], the mouth at rest."""
    idle = IdleMotion()
    state = idle.init_state(torch.tensor([seed]))
    behaviour, still = torch.tensor([LISTENING]), torch.zeros(1)
    active, controls = torch.ones(1, dtype=torch.bool), control_row()[None]
    rows = [idle.step(behaviour, still, controls, state, active) for _ in range(frames)]
    motion = torch.cat(rows)
    assert motion.shape == (frames, MOTION_DIM)
    motion[:, :MOUTH] = 0.0
    return motion


def _drawn(photo: bytes, progress: Progress) -> KeptClip:
    progress(0.0, "finding the face")
    identity = framed(describe(*read_portrait(photo), key="0" * 64), PHOTO)
    size = _size(sizes_for(SYSTEM, identity), int(identity.arrays["surroundings"][0][1]))
    baked = CACHE.make(identity, size, torch.device("cpu"))

    def pictures() -> Iterator[Planes]:
        for number, motion in enumerate(idle_motion(FRAMES)):
            progress(number / FRAMES, "moving the head")
            planes = torch.empty(1, size[1] * 3 // 2, size[0], dtype=torch.uint8)
            draw_i420(baked, motion, planes)
            yield np.asarray(planes[0].numpy())

    return keep(pictures(), size)


def _size(sizes: tuple[Size, ...], lines: int) -> Size:
    """The smallest that shows all lines of the photo, or else the largest."""
    return next((size for size in sizes if size[1] >= lines), sizes[-1])


def _resumed(path: Path, photo: bytes, progress: Progress) -> KeptClip:
    if path.exists():
        with np.load(path) as held:
            width, height = (int(v) for v in held["size"])
            return KeptClip(held["data"], held["starts"], int(held["count"]), (width, height))
    clip = _drawn(photo, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez(partial, data=clip.data, starts=clip.starts, count=clip.count, size=clip.size)
    partial.replace(path)
    return clip
