"""What a step of training sees of the latents. A batch is a function of seed, rank and step alone.

Frames of a store of moved portraits are in no order, and eight people show the same motion in
frames of the same number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.swaptalk.latents import lower

_REST_SHARE = 0.5  # of sources and references that are the first frame, the resting face
_OWN_SHARE = 0.1  # of swaps that put a face on itself


class Person(Protocol):
    """Frames of one identity, such as a `LatentFace`: maps float32 [n, dim, rows, columns], motion
    [N, MOTION_DIM] and regions [N, 3, 3]."""

    @property
    def group(self) -> str:
        """Those of one group show the same motion in frames of the same number."""

    @property
    def motion(self) -> Tensor: ...

    @property
    def regions(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def latents(self, frames: Sequence[int]) -> Tensor:
        """Maps of these frames."""


class SwapBatch(NamedTuple):
    """B swaps; all maps float32 [B, dim, rows, columns]."""

    source: Tensor  # a frame of person A
    target: Tensor  # frame i of person B
    truth: Tensor  # frame i of person A, who moves as B does
    regions: Tensor  # [B, 3, 3] of the truth


class ExpertBatch(NamedTuple):
    """B times lower halves and what is heard with them; two rows each are of one person."""

    halves: Tensor  # float32 [B, frames, dim, rows / 2, columns]
    sound: Tensor  # float32 [B, frames, MOTION_DIM]


class LipBatch(NamedTuple):
    """P people, `frames` of each: P x frames rows, those of a person side by side."""

    target: Tensor  # float32 [P frames, dim, rows, columns]; the truth is its lower half
    reference: Tensor  # another frame of the person, the same for all rows
    sound: Tensor  # [P frames, tokens, MOTION_DIM] of the target and its neighbours
    heard: Tensor  # [P, frames, MOTION_DIM] of the targets, for the expert
    regions: Tensor  # [P frames, 3, 3] of the target


class Sampler:
    """Who is seen, by chance."""

    def __init__(self, faces: Sequence[Person], size: int, *, seed: int, rank: int = 0) -> None:
        self.faces, self.size, self.seed, self.rank = faces, size, seed, rank

    def _chance(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.rank, step))

    def _person(self, chance: np.random.Generator) -> Person:
        return self.faces[int(chance.integers(len(self.faces)))]

    def maps(self, count: int) -> Tensor:
        """Of `count` frames by chance, [count, dim, rows, columns]."""
        chance = np.random.default_rng((self.seed, 0x3A))
        people = [self._person(chance) for _ in range(count)]
        return torch.cat([face.latents([int(chance.integers(len(face)))]) for face in people])


class SwapSampler(Sampler):
    """Draws swaps whose answer is known. `size` is the number of swaps."""

    def __init__(self, faces: Sequence[Person], size: int, *, seed: int, rank: int = 0) -> None:
        super().__init__(faces, size, seed=seed, rank=rank)
        self._groups: dict[str, list[Person]] = defaultdict(list)
        for face in faces:
            self._groups[face.group].append(face)

    def draw(self, step: int) -> SwapBatch:
        """The batch of that step."""
        chance = self._chance(step)
        rows = [self._row(chance) for _ in range(self.size)]
        return SwapBatch(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def _row(self, chance: np.random.Generator) -> tuple[Tensor, ...]:
        person = self._person(chance)
        others = [face for face in self._groups[person.group] if face is not person]
        own = not others or chance.random() < _OWN_SHARE
        other = person if own else others[int(chance.integers(len(others)))]
        frame = int(chance.integers(min(len(person), len(other))))
        seen = _rest_or_any(person, chance)
        return (
            person.latents([seen]), other.latents([frame]), person.latents([frame]),
            person.regions[frame : frame + 1],
        )  # fmt: skip


class ExpertSampler(Sampler):
    """Draws lips with their motion, twice of each person, so that not the person tells them apart.

    `size` is the number of rows, even.
    """

    def __init__(
        self, faces: Sequence[Person], size: int, frames: int, *, seed: int, rank: int = 0
    ) -> None:
        super().__init__(faces, size, seed=seed, rank=rank)
        self.frames = frames

    def draw(self, step: int) -> ExpertBatch:
        """The batch of that step."""
        chance = self._chance(step)
        halves, sound = [], []
        for _ in range(self.size // 2):
            person = self._person(chance)
            seen = _frames(person, 2 * self.frames, chance)
            for frames in (seen[: self.frames], seen[self.frames :]):
                halves.append(lower(person.latents(frames)))
                sound.append(person.motion[frames])
        return ExpertBatch(torch.stack(halves), torch.stack(sound))


class LipSampler(Sampler):
    """Draws people who are to say what they say. `size` is the number of people."""

    def __init__(
        self, faces: Sequence[Person], size: int, frames: int, tokens: int, ahead: int,
        *, seed: int, rank: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(faces, size, seed=seed, rank=rank)
        self.frames, self.tokens, self.ahead = frames, tokens, ahead

    def draw(self, step: int) -> LipBatch:
        """The batch of that step."""
        chance = self._chance(step)
        rows = [self._rows(chance) for _ in range(self.size)]
        return LipBatch(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def _rows(self, chance: np.random.Generator) -> tuple[Tensor, ...]:
        person = self._person(chance)
        seen = _frames(person, self.frames, chance)
        reference = person.latents([_rest_or_any(person, chance)])
        return (
            person.latents(seen), reference.expand(len(seen), -1, -1, -1),
            torch.stack([self._window(person.motion, frame, chance) for frame in seen]),
            person.motion[seen][None], person.regions[seen],
        )  # fmt: skip

    def _window(self, motion: Tensor, frame: int, chance: np.random.Generator) -> Tensor:
        """Motion [N, D] -> of the frame and its neighbours, [tokens, D].

        The stored frames are in no order, so neighbours are made: on either side the face is on
        its way from or to what it is in another frame, which the outermost token may have reached.
        """
        away = torch.arange(self.tokens) - (self.tokens - 1 - self.ahead)
        before, after = (motion[int(chance.integers(len(motion)))] for _ in range(2))
        reached = torch.from_numpy(chance.random(2)).float() / (self.tokens - 1)
        share = away.abs() * torch.where(away < 0, reached[0], reached[1])
        aim = torch.where(away[:, None] < 0, before, after)
        return torch.lerp(motion[frame].expand_as(aim), aim, share[:, None])


def _rest_or_any(person: Person, chance: np.random.Generator) -> int:
    return 0 if chance.random() < _REST_SHARE else int(chance.integers(len(person)))


def _frames(person: Person, count: int, chance: np.random.Generator) -> list[int]:
    """Different ones, as long as there are so many."""
    chosen: list[int] = chance.permutation(len(person)).tolist()
    return [chosen[i % len(chosen)] for i in range(count)]
