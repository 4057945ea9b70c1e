"""Held-out people who talk: drawn by `portrait`, so that each true answer is known.

    a person's resting frame -> enrolled anew -> any motion -> frames -> squares of the face

Frames of a store are in no order; here they follow each other as in a video.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lips.figures import Gaps
from benchmarks.lips.instruments import from_motion
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX, POSE
from pipelines.photo.curves import lip_gap
from pipelines.photo.detect import FaceMesh, find_face
from pipelines.photo.follow import FaceFollower
from pipelines.pipeline import FPS
from pipelines.portrait.bake import CACHE
from pipelines.portrait.enrol import describe
from pipelines.portrait.render import draw_rgb
from pipelines.swaptalk.drawn import idle_motion
from pipelines.swaptalk.square import cut, steady_squares
from training.flow_warp.store import Face
from training.motion.performance import MOUTH, OUTPUTS, pose_mouth
from training.motion.visemes import blend
from training.speech.phones import BILABIALS, CONSONANTS, VOWELS, Phone

SIDE = 256
"""Pixels along a side of a square."""
_DRAWN = 512  # of a frame
_MOVES = 2.0  # whoever talks moves the head about twice as far as who listens
_CLOSED_SHARE = 0.25  # of consonants p, b, m alone; of all the others some are such
_PAUSE_S, _CONSONANT_S, _VOWEL_S = 0.2, (0.05, 0.10), (0.09, 0.18)

Motion = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """What is said. motion: [n, MOTION_DIM], of the mouth alone."""

    motion: Motion
    phones: Sequence[Phone]

    @cached_property
    def gap(self) -> Gaps:
        """How far the lips are to part, over the face height, [n]."""
        return from_motion(self.motion)


def speech(seed: int, frames: int) -> Speech:
    """Syllables by chance, after a pause, for so many frames; many begin with closed lips."""
    chance = np.random.default_rng((seed, 0x5A1D))
    phones = [Phone("SIL", 0.0, _PAUSE_S)]
    while phones[-1].end_s < frames / FPS:
        first = BILABIALS if chance.random() < _CLOSED_SHARE else CONSONANTS
        for labels, length in ((sorted(first), _CONSONANT_S), (sorted(VOWELS), _VOWEL_S)):
            start = phones[-1].end_s
            end = start + float(chance.uniform(*length))
            phones.append(Phone(str(chance.choice(labels)), start, end))
    times = (np.arange(frames) + 0.5) / FPS
    channels = pose_mouth(blend(phones, times), np.ones(frames))
    motion = np.zeros((frames, MOTION_DIM), np.float32)
    for name in MOUTH:
        for target in OUTPUTS[name]:
            motion[:, MOTION_INDEX[target]] = channels[name]
    return Speech(motion, phones)


def head(seed: int, frames: int) -> Motion:
    """Of somebody's head and eyes while they talk, [n, MOTION_DIM]; the mouth at rest."""
    motion = idle_motion(frames, seed).numpy()
    motion[:, [MOTION_INDEX[name] for name in POSE if name.startswith("head")]] *= _MOVES
    return np.asarray(motion, np.float32)


class Person:
    """Somebody of a store, to be moved at will.

    Raises:
        EnrolmentError: no face is found in the first frame.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        photo = Face(path).frame(0).numpy()
        face = find_face(photo)
        self.square = _cut(torch.from_numpy(photo), _square_of(face))[None]
        """Of the picture itself, float32 [1, 3, SIDE, SIDE] in [-1, 1]."""
        key = hashlib.sha256(path.stem.encode()).hexdigest()
        identity = describe(photo, face, key)
        self._baked = CACHE.make(identity, (_DRAWN, _DRAWN), torch.device("cpu"))

    def clips(self, head: Motion, said: Iterable[Motion]) -> list[Tensor]:
        """With the head's motion, saying each of these: squares [n, 3, SIDE, SIDE] in [-1, 1].

        Squares lie where those of the resting mouth do: what is said moves no square.
        """
        places = self._places(head)
        return [self._squares(each + head, places) for each in said]

    def _squares(self, motion: Motion, places: NDArray[np.float64]) -> Tensor:
        both = zip(motion, places, strict=True)
        return torch.stack([_cut(self._draw(row), place) for row, place in both])

    def _draw(self, motion: Motion) -> Tensor:
        return draw_rgb(self._baked, torch.from_numpy(motion))

    def _places(self, head: Motion) -> NDArray[np.float64]:
        with FaceFollower() as follower:
            found = [follower.read(self._draw(row).numpy()) for row in head]
        points = np.stack([mesh for mesh in found if mesh is not None])
        if len(points) < len(head):
            raise ValueError(f"{self.name}: no face is seen in {len(head) - len(points)} frames")
        return steady_squares(points, np.array([lip_gap(mesh) for mesh in points])).places


def people(store: Path, count: int) -> list[Person]:
    """The first `count` held-out people of a store, by name.

    Raises:
        ValueError: there are fewer than two.
    """
    paths = sorted((store / "held_out").glob("*.safetensors"))[:count]
    if len(paths) < 2:
        raise ValueError(f"{store}/held_out holds {len(paths)} people; a swap takes two")
    return [Person(path) for path in paths]


def _square_of(face: FaceMesh) -> NDArray[np.float64]:
    place: NDArray[np.float64] = steady_squares(face.points[None], np.zeros(1)).places[0]
    return place


def _cut(frame: Tensor, place: NDArray[np.float64]) -> Tensor:
    """The square of a frame uint8 [H, W, 3], [3, SIDE, SIDE] in [-1, 1]."""
    return cut(frame.permute(2, 0, 1).float() / 127.5 - 1.0, place, SIDE)
