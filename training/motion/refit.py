"""Fit the reference mouth to real lips: `python -m training.motion.refit RECORDINGS --out FILE`.

Gap and dominance of every phone are fitted to the lips of the recorded speakers who were filmed,
each with a level and a range of their own, near the table of `articulation` as a prior (or that of
another file: it knows these speakers): phones that nobody says keep their figures. Timing stays as
it is there. Speakers count by the root of their
clips, or one of them would decide. `--without` leaves one out of the fit, to measure on them; the
correlation with everybody's lips is printed. FILE is for `training.speech.corpus --articulation`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from training.motion.articulation import (
    FPS,
    TARGETS,
    ArticulationConfig,
    Targets,
    articulate,
    fading,
    openness,
    resting,
)
from training.motion.visemes import covered
from training.speech.phones import BILABIALS, Phone
from training.speech.recordings import Recordings

_LABELS = sorted(TARGETS)
_STEPS, _CLIPS = 220, 24  # of the fit; of one speaker in each
_PRIOR = 0.03
_GAP_UNIT, _STRENGTH_UNIT = 0.02, 0.7  # deviations that the prior counts as one
_RANGE_PRIOR = 0.003


@dataclass(frozen=True)
class Mouth:
    """The filmed lips of one clip. gap: float64 [T], without unread frames."""

    speaker: str
    phones: tuple[Phone, ...]
    gap: NDArray[np.float64]


def filmed(folder: Path) -> list[Mouth]:
    """Every clip of the recordings with lip curves that were read throughout.

    Raises ValueError if there is none.
    """
    recordings = Recordings(folder)
    found = []
    for clip in recordings.usable():
        if not clip.curves:
            continue
        gap = np.asarray(recordings.arrays(clip)["gap"], np.float64)
        if np.isfinite(gap).all():
            phones = tuple(covered(clip.phones, len(gap) / FPS))
            found.append(Mouth(clip.speaker, phones, gap))
    if not found:
        raise ValueError(f"{folder} holds nobody's lips")
    return found


class Model(torch.nn.Module):
    """`articulate` of the average style as a function of the table, for gradients."""

    def __init__(self, prior: Targets) -> None:
        super().__init__()
        table = torch.tensor([prior[label] for label in _LABELS])
        self.gaps = torch.nn.Parameter(table[:, 0].clone())
        self.strengths = torch.nn.Parameter(table[:, 1].log())
        self.start = (self.gaps.detach().clone(), self.strengths.detach().clone())
        # What no table can say otherwise: lips that meet, and silence.
        self.fixed = torch.tensor([label in BILABIALS | {"SIL"} for label in _LABELS])

    def table(self) -> dict[str, tuple[float, float]]:
        gaps = torch.where(self.fixed, self.start[0], self.gaps).clamp_min(0.0).tolist()
        strengths = self.strengths.exp().tolist()
        return {
            label: (round(gap, 4), round(strength, 3))
            for label, gap, strength in zip(_LABELS, gaps, strengths, strict=True)
        }

    def prior(self) -> Tensor:
        gaps = ((self.gaps - self.start[0]) / _GAP_UNIT).square().mean()
        strengths = ((self.strengths - self.start[1]) / _STRENGTH_UNIT).square().mean()
        return gaps + strengths

    def forward(self, basis: Basis) -> Tensor:
        """Gap per frame, [T]."""
        gaps = torch.where(self.fixed, self.start[0], self.gaps).clamp_min(0.0)
        asked = torch.where(basis.silent, basis.quiet, gaps[basis.labels])
        strength = torch.where(basis.silent, basis.hold, self.strengths.exp()[basis.labels])
        weight = basis.near * strength
        mean = (weight * asked).sum(1) / weight.sum(1)
        return (mean * basis.open).view(-1, basis.exposure).mean(1)


@dataclass(frozen=True)
class Basis:
    """What of a clip does not depend on the table: instants [I] by phones [P]."""

    labels: Tensor  # int64 [P]
    silent: Tensor  # bool [P]
    near: Tensor  # [I, P]: what fades leave of each phone
    quiet: Tensor  # [I, P]: the gap of silence
    hold: Tensor  # [I, P]: its strength
    open: Tensor  # [I]: less where lips meet
    exposure: int

    @classmethod
    def of(cls, mouth: Mouth) -> Basis:
        config = ArticulationConfig()
        middles = (np.arange(len(mouth.gap)) + 0.5) / FPS
        steps = np.arange(-2, 3) * 0.008
        times = (middles[:, None] + steps).ravel()
        quiet, hold = resting(times, mouth.phones, config)
        arrays = (fading(times, mouth.phones, config), quiet, hold)
        near, still, strength = (torch.from_numpy(a).float() for a in arrays)
        labels = [phone.label for phone in mouth.phones]
        return cls(
            torch.tensor([_LABELS.index(label) for label in labels]),
            torch.tensor([label == "SIL" for label in labels]),
            near,
            still,
            strength,
            torch.from_numpy(openness(times, mouth.phones, config)).float(),
            len(steps),
        )


def fit(
    mouths: Sequence[Mouth], prior: Targets = TARGETS, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The table that follows these lips best, near `prior`."""
    chance = np.random.default_rng(seed)
    speakers = sorted({mouth.speaker for mouth in mouths})
    clips = [(Basis.of(mouth), torch.from_numpy(mouth.gap).float()) for mouth in mouths]
    own = {s: [c for c, m in zip(clips, mouths, strict=True) if m.speaker == s] for s in speakers}
    spread = {s: torch.cat([gap for _, gap in own[s]]).std() for s in speakers}
    model = Model(prior)
    ranges, levels = torch.zeros(2, len(speakers)).unbind(0)
    ranges.requires_grad_(True)
    levels.requires_grad_(True)
    optimiser = torch.optim.Adam(
        [
            {"params": [model.gaps], "lr": 1e-3},
            {"params": [model.strengths], "lr": 2e-2},
            {"params": [ranges], "lr": 1e-2},
            {"params": [levels], "lr": 3e-4},
        ]
    )
    for _ in tqdm(range(_STEPS), desc="fitting"):
        losses, weights = [], []
        for n, speaker in enumerate(speakers):
            count = len(own[speaker])
            for index in chance.permutation(count)[:_CLIPS]:
                basis, gap = own[speaker][index]
                error = (ranges[n].exp() * model(basis) + levels[n] - gap) / spread[speaker]
                losses.append(error.square().mean())
                weights.append(count**0.5 / min(count, _CLIPS))
        share = torch.tensor(weights) / sum(weights)
        loss = (torch.stack(losses) * share).sum()
        loss = loss + _PRIOR * model.prior() + _RANGE_PRIOR * ranges.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.table()


def agreement(mouths: Sequence[Mouth], targets: Targets) -> dict[str, float]:
    """Mean correlation of the reference mouth with the clips of each speaker."""
    config = ArticulationConfig(targets=targets)
    found: dict[str, list[float]] = {}
    for mouth in mouths:
        gap = articulate(mouth.phones, len(mouth.gap), config)
        found.setdefault(mouth.speaker, []).append(float(np.corrcoef(gap, mouth.gap)[0, 1]))
    return {speaker: round(float(np.mean(rs)), 3) for speaker, rs in sorted(found.items())}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, help="folder of training.speech.recordings")
    parser.add_argument("--without", action="append", default=[], metavar="SPEAKER")
    parser.add_argument("--prior", type=Path, help="another table, as this command writes it")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    mouths = filmed(args.recordings)
    prior = ArticulationConfig.load(args.prior).targets if args.prior else TARGETS
    print("before:", agreement(mouths, prior))
    targets = fit([mouth for mouth in mouths if mouth.speaker not in args.without], prior)
    print("after:", agreement(mouths, targets))
    about = {"without": args.without, "targets": targets}
    args.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
