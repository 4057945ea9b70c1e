"""The corpus as the motion generator hears it: random windows of sound and motion.

`prepare` runs the streaming front end over the stored features once, so that training sees exactly
what the live pipeline will; the result lies beside the corpus as rows.npy and latents.npy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pipelines.audio.mel import MelConfig
from pipelines.motion.hearing import Hearing
from pipelines.motion.latent import MotionLatent, rest
from training.motion.variation import Variation
from training.speech.corpus_store import LABEL_LIST

_BATCH = 128  # stretches heard at once


@dataclass(frozen=True)
class Batch:
    """Windows of T frames.

    rows: float32 [B, 4 T, F]; motion: latents [B, T, D]; last: latents of the frame before,
    [B, D]; phones: int64 [B, 4 T], indices of labels, one per row.
    """

    rows: Tensor
    motion: Tensor
    last: Tensor
    phones: Tensor


def prepare(folder: Path) -> None:
    """Write rows.npy float16 [N, rows, F] and latents.npy float16 [N, frames, D] into `folder`."""
    features = np.load(folder / "features.npy", mmap_mode="r")
    speech = np.load(folder / "speech.npy", mmap_mode="r")
    targets = np.load(folder / "targets.npy", mmap_mode="r")
    hearing, latent = Hearing(MelConfig()), MotionLatent()
    count, rows, _ = features.shape
    shape = (count, rows, hearing.dim)
    heard = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        folder / "rows.tmp.npy", "w+", np.float16, shape
    )
    with torch.inference_mode():
        encoded = latent.encode(torch.from_numpy(np.array(targets, np.float32)))
        for start in tqdm(range(0, count, _BATCH), desc=f"hearing {folder.name}"):
            part = slice(start, min(start + _BATCH, count))
            heard[part] = _hear(hearing, features[part], speech[part])
    np.save(folder / "latents.npy", encoded.numpy().astype(np.float16))
    heard.flush()
    (folder / "rows.tmp.npy").rename(folder / "rows.npy")


def _hear(
    hearing: Hearing, features: NDArray[np.float16], speech: NDArray[np.bool_]
) -> NDArray[np.float16]:
    count = len(features)
    state = hearing.init_state(count)
    active = torch.ones(count, dtype=torch.bool)
    hops = torch.from_numpy(np.array(features, np.float32)).view(count, -1, hearing.rows, 80)
    flags = torch.from_numpy(np.array(speech))
    steps = [hearing.step(hops[:, n], flags[:, n], state, active) for n in range(hops.shape[1])]
    return torch.cat(steps, 1).numpy().astype(np.float16)


class Windows:
    """Random windows of prepared corpora, reproducible by seed."""

    def __init__(self, folders: Sequence[Path], seed: int) -> None:
        for folder in folders:
            if not (folder / "rows.npy").exists():
                prepare(folder)
        self.rows, self.latents, self.phones = (
            [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in folders]
            for name in ("rows", "latents", "phones")
        )
        self.places = [(i, n) for i, rows in enumerate(self.rows) for n in range(len(rows))]
        self.frames = self.latents[0].shape[1]
        self.chance = np.random.default_rng(seed)
        self.variation = Variation(self.chance)
        hearing = Hearing(MelConfig())
        self.per_frame = hearing.rows
        self._silence = hearing.silence().numpy()
        self._rest = rest().numpy()

    def draw(self, batch: int, frames: int, vary: bool = False) -> Batch:
        """`batch` windows of `frames` frames; some begin before their stretch, in silence.

        With `vary`, each window is heard from another vocal tract and microphone.
        """
        which = self.chance.integers(len(self.places), size=batch)
        starts = self.chance.integers(-frames + 4, self.frames - frames, size=batch)
        found = self.at(which, starts, frames)
        if not vary:
            return found
        bands = MelConfig().bands
        heard = self.variation(found.rows[..., :bands])
        return replace(found, rows=torch.cat([heard, found.rows[..., bands:]], 2))

    def at(self, which: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> Batch:
        """The windows that begin at frame `starts` of the stretches `which`."""
        per = self.per_frame
        rows = np.tile(self._silence, (len(which), frames * per, 1))
        motion = np.tile(self._rest, (len(which), frames + 1, 1))
        phones = np.full((len(which), frames * per), LABEL_LIST.index("SIL"), np.int64)
        for i, (place, start) in enumerate(zip(which, starts, strict=True)):
            corpus, one = self.places[place]
            skip = max(-start, 0)
            heard = slice((start + skip) * per, (start + frames) * per)
            rows[i, skip * per :] = self.rows[corpus][one, heard]
            phones[i, skip * per :] = self.phones[corpus][one, heard]
            before = max(1 - start, 0)  # the window's frame 0 is column 1
            motion[i, before:] = self.latents[corpus][one, start - 1 + before : start + frames]
        both = torch.from_numpy(motion)
        return Batch(torch.from_numpy(rows), both[:, 1:], both[:, 0], torch.from_numpy(phones))
