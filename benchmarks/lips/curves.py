"""Gap curves of a model over many clips: made, read from a file, kept in one.

A file keeps them by the clip's name, so that a state of the tree is measured once and compared ever
after without running it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lips.figures import Gaps
from benchmarks.lips.held_out import Said
from benchmarks.lips.instruments import Instrument, read_all
from benchmarks.lips.models import motions
from benchmarks.lips.sounds import Samples
from pipelines.pipeline import HOP_SAMPLES

Curves = dict[str, Gaps]

_POWER_FLOOR = 1e-10  # of full scale: -100 dB


@dataclass(frozen=True)
class Source:
    """Where curves come from: a model, by its weights (None: those shipped) and the checkout whose
    code runs it (None: this one), or a file of curves."""

    weights: Path | None = None
    checkout: Path | None = None
    kept: Path | None = None

    @classmethod
    def of(cls, text: str) -> Source:
        """`FILE.json` of curves, or `[WEIGHTS][@CHECKOUT]`, weights being a file or a run."""
        if text.endswith(".json"):
            return cls(kept=Path(text))
        weights, _, checkout = text.partition("@")
        return cls(Path(weights) if weights else None, Path(checkout) if checkout else None)

    def curves(self, said: Sequence[Said], instrument: Instrument) -> Curves:
        """The gap in every frame of every clip, by the clip's name.

        Raises:
            ValueError: the file lacks a clip, or has another length of it.
        """
        if self.kept is not None:
            return _chosen(load(self.kept), said, self.kept)
        sounds = {one.name: one.clip.samples for one in said}
        return read_all(instrument, motions(sounds, self.weights, self.checkout))

    def __str__(self) -> str:
        if self.kept is not None:
            return self.kept.stem
        name = "shipped" if self.weights is None else str(self.weights)
        return name if self.checkout is None else f"{name} of {self.checkout.name}"


def load(path: Path) -> Curves:
    """The curves that `save` kept."""
    held = json.loads(path.read_text())
    return {name: np.array(curve, np.float64) for name, curve in held["gaps"].items()}


def save(path: Path, curves: Mapping[str, Gaps], **about: str) -> None:
    """Keep curves, to a ten-thousandth of the face height, with what is said about them."""
    held = {name: [round(float(gap), 4) for gap in curve] for name, curve in curves.items()}
    path.write_text(json.dumps({**about, "gaps": held}) + "\n")


def energy(samples: Samples) -> Gaps:
    """Log power of each frame, [frames]: what a mouth that only followed loudness would do."""
    power = np.square(samples.reshape(-1, HOP_SAMPLES), dtype=np.float64).mean(1)
    return np.asarray(np.log(power + _POWER_FLOOR))


def _chosen(curves: Curves, said: Sequence[Said], path: Path) -> Curves:
    for one in said:
        found = curves.get(one.name)
        if found is None or len(found) != one.clip.frames:
            frames = "no frames" if found is None else f"{len(found)} frames"
            raise ValueError(f"{path} has {frames} of {one.name}, which has {one.clip.frames}")
    return {one.name: curves[one.name] for one in said}
