"""The corpus in the motion codes of a renderer, and what a generator learns from them.

Motion as a stream shows it, the mouth and brows of the corpus upon the head, gaze, lids and mood
of `IdleMotion`, is put into codes by the renderer's map. Idle motion's part and the strength of
expression are given to the generator. Of each stretch they are drawn once, with controls turned up
and down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pipelines.anitalker.config import GENERATED
from pipelines.anitalker.generated_codes import given
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.audio.mel import MelConfig
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.motion.idle import IDLE, LISTENING, SPEAKING, IdleMotion
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from training.motion.objectives import Auxiliary, Loss, counts, flow_point
from training.motion.windows import Batch, Windows
from training.speech.corpus_store import LABEL_LIST
from training.speech.phones import BILABIALS

_BATCH = 256  # stretches at once
_SPEAKING, _LISTENING = MelConfig().bands + 2, MelConfig().bands + 3  # columns of rows
_NATURAL = 0.5  # share of stretches with every control at 1
_FACE = [i for name, i in MOTION_INDEX.items() if name in BLENDSHAPES and "Squint" not in name]
_SPREAD = 0.2  # deviation of codes, about
_SHUT = torch.tensor([LABEL_LIST.index(label) for label in sorted(BILABIALS)])
_SHUT_MORE = 4.0  # p, b, m count so much more again, so that lips in doubt meet
_SAMPLE = 512  # windows that tell how large codes get
_MOST, _REACH = 0.999, 1.1  # share of codes within, and some room beyond


def live(folder: Path) -> None:
    """Write life.npy float16 [N, frames, MOTION_DIM] and expression.npy float32 [N]."""
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    count, frames = len(rows), rows.shape[1] // 4
    chance = torch.Generator().manual_seed(count)
    controls = 2.0 * torch.rand(count, 4, generator=chance)
    controls[torch.rand(count, generator=chance) < _NATURAL] = 1.0
    life = IdleMotion()
    drawn = np.zeros((count, frames, MOTION_DIM), np.float16)
    for start in tqdm(range(0, count, _BATCH), desc=f"life in {folder.name}"):
        part = slice(start, min(start + _BATCH, count))
        last = torch.from_numpy(np.array(rows[part, 3::4, _SPEAKING : _LISTENING + 1], np.float32))
        silent = torch.where(last[..., 1] > 0.5, LISTENING, IDLE)
        doing = torch.where(last[..., 0] > 0.5, SPEAKING, silent)
        drawn[part] = _live(life, doing, controls[part], torch.arange(part.start, part.stop))
    np.save(folder / "expression.npy", controls[:, 0].numpy())
    np.save(folder / "life.tmp.npy", drawn)
    (folder / "life.tmp.npy").rename(folder / "life.npy")


@torch.inference_mode()
def _live(life: IdleMotion, doing: Tensor, controls: Tensor, seeds: Tensor) -> NDArray[np.float32]:
    """IdleMotion of streams that do what `doing` int64 [B, T] says, [B, T, MOTION_DIM]."""
    state, active = life.init_state(seeds), torch.ones(len(seeds), dtype=torch.bool)
    still = torch.zeros(len(seeds))
    steps = [life.step(now, still, controls, state, active) for now in doing.unbind(1)]
    return torch.stack(steps, 1).numpy()


@dataclass(frozen=True)
class CodeBatch(Batch):
    """Windows with what a generator of codes draws and is told.

    codes: [B, T, D], changes from rest in units of the generator; given: [B, T, GIVEN_DIM].
    """

    codes: Tensor
    given: Tensor


class CodeWindows(Windows):
    """Random windows of prepared corpora, motion also in codes; `unit` [D] is a code of 1."""

    def __init__(
        self, folders: Sequence[Path], seed: int, to_code: MotionToCode, unit: Tensor
    ) -> None:
        super().__init__(folders, seed)
        for folder in folders:
            if not (folder / "life.npy").exists():
                live(folder)
        self.to_code, self.unit = to_code, unit
        self.idle, self.targets, self.expression = (
            [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in folders]
            for name in ("life", "targets", "expression")
        )

    def at(self, which: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> CodeBatch:
        heard = super().at(which, starts, frames)
        life = np.zeros((len(which), frames, MOTION_DIM), np.float32)
        face = np.zeros_like(life)
        expression = np.ones((len(which), frames, 1), np.float32)
        for i, (place, start) in enumerate(zip(which, starts, strict=True)):
            corpus, one = self.places[place]
            skip, part = max(-start, 0), slice(max(start, 0), start + frames)
            life[i, skip:] = self.idle[corpus][one, part]
            face[i, skip:, _FACE] = self.targets[corpus][one, part][:, _FACE].T
            expression[i] = self.expression[corpus][one]
        alive, strength = torch.from_numpy(life), torch.from_numpy(expression)
        with torch.no_grad():
            motion = alive + strength * torch.from_numpy(face)
            motion[..., : len(BLENDSHAPES)] = motion[..., : len(BLENDSHAPES)].clamp(0.0, 1.0)
            moved = self.to_code.moved(motion.flatten(0, 1))
        codes = moved.view(*alive.shape[:2], -1) / self.unit
        plain = {field.name: getattr(heard, field.name) for field in fields(heard)}
        return CodeBatch(**plain, codes=codes, given=given(alive, strength))


def unit_of(folders: Sequence[Path], to_code: MotionToCode) -> Tensor:
    """What a code of 1 is to stand for so that few leave [-1, 1]: float32 [D]."""
    windows = CodeWindows(folders, 0, to_code, torch.ones(()))
    which = windows.chance.integers(len(windows.places), size=_SAMPLE)
    codes = windows.at(which, np.zeros_like(which), min(windows.frames, 500)).codes
    reach = codes[:, ::10].flatten(0, 1).abs().quantile(_MOST, 0)
    return _REACH * reach


class CodeObjective:
    """Whole windows of codes, nothing of them known, from somewhere on the way from noise to them.

    Codes count by their size: a renderer's directions are orthonormal, so distance is Euclidean. A
    loss of 1 is about that of a face at rest.
    """

    name = "codes"
    lengths: Sequence[int] = (18, 18, 24, 40, 100)  # of windows, drawn at random

    def __init__(self, to_code: MotionToCode) -> None:
        self.about: Mapping[str, str] = {"kind": GENERATED, "codes": to_code.digest()}

    def __call__(self, model: MotionGenerator, auxiliary: Auxiliary, batch: Batch) -> Loss:
        assert isinstance(batch, CodeBatch)
        speech = model.hear(batch.rows)
        lips, phones = auxiliary(speech, batch)
        none = torch.zeros_like(batch.codes[:, 0])
        condition = model.condition(speech, none, given=Given(batch.given))
        noisy, time, _ = flow_point(batch.codes)
        size = model.unit / model.unit.square().mean().sqrt() / _SPREAD
        error = ((model(noisy, time, condition) - batch.codes) * size).square().mean(-1)
        each = counts(batch, torch.zeros_like(error, dtype=torch.bool))
        shut = (batch.phones[..., None] == _SHUT).any(2).view(*error.shape, -1).any(2)
        each = each * (1.0 + _SHUT_MORE * shut)
        motion = (error * each).sum() / each.sum()
        return Loss(motion + 0.5 * lips + 0.1 * phones, motion, lips, phones)
