"""A corpus on disk: random features, a mouth that opens with time and the stretch's number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.speech.corpus_store import LABEL_LIST

STRETCHES, FRAMES = 3, 100


def write_corpus(folder: Path) -> Path:
    """Write what training reads of a corpus, both splits; returns the folder."""
    chance = np.random.default_rng(0)
    for split in ("train", "validation"):
        place = folder / split
        place.mkdir(parents=True)
        targets = np.zeros((STRETCHES, FRAMES, MOTION_DIM), np.float16)
        opening = np.arange(FRAMES) / FRAMES * 0.4
        targets[..., MOTION_INDEX["jawOpen"]] = opening + 0.01 * np.arange(STRETCHES)[:, None]
        np.save(place / "targets.npy", targets)
        np.save(
            place / "features.npy",
            chance.normal(-8.0, 2.0, (STRETCHES, 4 * FRAMES, 80)).astype(np.float16),
        )
        np.save(place / "speech.npy", chance.random((STRETCHES, FRAMES)) < 0.5)
        np.save(
            place / "phones.npy",
            chance.integers(len(LABEL_LIST), size=(STRETCHES, 4 * FRAMES)).astype(np.int8),
        )
        np.save(place / "style.npy", chance.normal(size=(STRETCHES, 4)).astype(np.float32))
        np.save(place / "gap.npy", np.full((STRETCHES, FRAMES), np.nan, np.float16))
    return folder
