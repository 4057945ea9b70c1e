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
from pipelines.motion.reading import parting_of
from pipelines.motion.style import STYLE_DIM
from training.motion.variation import Variation
from training.speech.corpus_store import LABEL_LIST, Split

_BATCH = 128  # stretches heard at once
_REAL_RANGE = (8.0, 90.0)  # percentiles of a speaker's gaps that are rest and wide open
_OPEN_GAP = 0.058  # 90th percentile of the reference mouth's


@dataclass(frozen=True)
class Batch:
    """Windows of T frames.

    rows: float32 [B, 4 T, F]; motion: latents [B, T, D]; last: latents of the frame before,
    [B, D]; phones: int64 [B, 4 T], indices of labels, one per row; style: [B, STYLE_DIM] of the
    speaker; parting: [B, T] of real lips, in the range of ours, NaN where none were filmed.
    """

    rows: Tensor
    motion: Tensor
    last: Tensor
    phones: Tensor
    style: Tensor
    parting: Tensor


def prepare(folder: Path) -> None:
    """Write into `folder` what is not there of rows.npy float16 [N, rows, F], latents.npy float16
    [N, frames, D] and parting.npy float16 [N, frames]."""
    latent = MotionLatent()
    if not (folder / "rows.npy").exists():
        _write_rows(folder)
    if not (folder / "parting.npy").exists():
        np.save(folder / "parting.npy", _partings(folder))
    if not (folder / "latents.npy").exists():
        targets = np.load(folder / "targets.npy", mmap_mode="r")
        encoded = latent.encode(torch.from_numpy(np.array(targets, np.float32)))
        np.save(folder / "latents.npy", encoded.numpy().astype(np.float16))


def _write_rows(folder: Path) -> None:
    features = np.load(folder / "features.npy", mmap_mode="r")
    speech = np.load(folder / "speech.npy", mmap_mode="r")
    hearing = Hearing(MelConfig())
    count, rows, _ = features.shape
    heard = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        folder / "rows.tmp.npy", "w+", np.float16, (count, rows, hearing.dim)
    )
    with torch.inference_mode():
        for start in tqdm(range(0, count, _BATCH), desc=f"hearing {folder.name}"):
            part = slice(start, min(start + _BATCH, count))
            heard[part] = _hear(hearing, features[part], speech[part])
    heard.flush()
    (folder / "rows.tmp.npy").rename(folder / "rows.npy")


def _partings(folder: Path) -> NDArray[np.float16]:
    """Real lips as partings of ours: each speaker's from rest to wide open as the reference has it.

    People open less or more than each other, and than our faces do; that is no part of speech.
    """
    gaps = np.array(np.load(folder / "gap.npy"), np.float64)
    filmed = set(np.flatnonzero(np.isfinite(gaps).any(1)))
    lines = [line for line in Split(folder).lines() if line.index in filmed] if filmed else []
    for speaker in {line.speaker for line in lines}:
        own = [line.index for line in lines if line.speaker == speaker]
        known = gaps[own][np.isfinite(gaps[own])]
        low, high = np.percentile(known, _REAL_RANGE)
        gaps[own] = (gaps[own] - low) * (_OPEN_GAP / (high - low))
    return np.where(np.isfinite(gaps), parting_of(gaps), np.nan).astype(np.float16)


def _stretches_of(folder: Path, speakers: Sequence[str]) -> set[int]:
    """Which stretches of a split are theirs."""
    if not speakers:
        return set()
    return {line.index for line in Split(folder).lines() if line.speaker in speakers}


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
    """Random windows of prepared corpora, reproducible by seed; of nobody in `without`."""

    def __init__(self, folders: Sequence[Path], seed: int, without: Sequence[str] = ()) -> None:
        for folder in folders:
            prepare(folder)
        self.rows, self.latents, self.phones, self.styles, self.partings = (
            [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in folders]
            for name in ("rows", "latents", "phones", "style", "parting")
        )
        unused = [_stretches_of(folder, without) for folder in folders]
        self.places = [
            (i, n)
            for i, rows in enumerate(self.rows)
            for n in range(len(rows))
            if n not in unused[i]
        ]
        owners = np.array([i for i, _ in self.places])
        self._own = [np.flatnonzero(owners == i) for i in range(len(folders))]
        self.frames = self.latents[0].shape[1]
        self.chance = np.random.default_rng(seed)
        self.variation = Variation(self.chance)
        hearing = Hearing(MelConfig())
        self.per_frame = hearing.rows
        self._silence = hearing.silence().numpy()
        self._rest = rest().numpy()

    def draw(self, batch: int, frames: int, vary: bool = False) -> Batch:
        """`batch` windows of `frames` frames; some begin before their stretch, in silence.

        Every folder gives as many of them as every other, however large it is.

        With `vary`, each window is heard from another vocal tract and microphone.
        """
        which = np.concatenate(
            [
                self.chance.choice(own, size=size)
                for own, size in zip(self._own, self._sizes(batch), strict=True)
            ]
        )
        starts = self.chance.integers(-frames + 4, self.frames - frames, size=batch)
        found = self.at(which, starts, frames)
        if not vary:
            return found
        bands = MelConfig().bands
        heard = self.variation(found.rows[..., :bands])
        return replace(found, rows=torch.cat([heard, found.rows[..., bands:]], 2))

    def _sizes(self, batch: int) -> NDArray[np.int64]:
        """How many windows of `batch` each folder gives."""
        folders = len(self._own)
        extra = self.chance.permutation(folders) < batch % folders
        return np.asarray(batch // folders + extra)

    def at(self, which: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> Batch:
        """The windows that begin at frame `starts` of the stretches `which`."""
        per = self.per_frame
        rows = np.tile(self._silence, (len(which), frames * per, 1))
        motion = np.tile(self._rest, (len(which), frames + 1, 1))
        phones = np.full((len(which), frames * per), LABEL_LIST.index("SIL"), np.int64)
        style = np.zeros((len(which), STYLE_DIM), np.float32)
        parting = np.full((len(which), frames), np.nan, np.float32)
        for i, (place, start) in enumerate(zip(which, starts, strict=True)):
            corpus, one = self.places[place]
            skip = max(-start, 0)
            style[i] = self.styles[corpus][one]
            parting[i, skip:] = self.partings[corpus][one, start + skip : start + frames]
            heard = slice((start + skip) * per, (start + frames) * per)
            rows[i, skip * per :] = self.rows[corpus][one, heard]
            phones[i, skip * per :] = self.phones[corpus][one, heard]
            before = max(1 - start, 0)  # the window's frame 0 is column 1
            motion[i, before:] = self.latents[corpus][one, start - 1 + before : start + frames]
        both = torch.from_numpy(motion)
        return Batch(
            torch.from_numpy(rows),
            both[:, 1:],
            both[:, 0],
            torch.from_numpy(phones),
            torch.from_numpy(style),
            torch.from_numpy(parting),
        )
