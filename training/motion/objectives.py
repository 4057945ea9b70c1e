"""What the motion generator learns from a window.

    epsilon    the noise (Ho et al. 2020), AniTalker's objective
    velocity   noise minus motion along a straight path (Lipman et al. 2022; Liu et al. 2022)
    regression the motion itself from sound alone: the plain network to compare with
    distil     in one pass, the sample that a teacher reaches from the same noise (Luhman and Luhman
               2021) of brows and head; of the mouth, which the sound decides, the motion itself

Frames of the past are shown clean, as they are when streaming, slightly perturbed so that the
generator does not trust its own small errors, and without mouth and eye rims: those follow from the
sound, and a network that sees them copies them, late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.diffusion.generator import Condition, MotionGenerator
from pipelines.diffusion.schedule import Known, Level, ddpm_alphas, sample, without
from pipelines.motion.latent import (
    DRIVEN,
    LATENT_DIM,
    LATENT_NAMES,
    MOUTH,
    SHAPES,
    MotionLatent,
)
from pipelines.motion.lip_closure import parting_weights
from training.motion.windows import Batch
from training.speech.corpus_store import LABEL_LIST
from training.speech.phones import BILABIALS, OPEN_VOWELS

_MOUTH_WEIGHT, _REST_WEIGHT = 2.0, 1.0
_PARTING_WEIGHT = 4.0  # what the eye sees first counts once more, as a whole
_NO_PAST, _STREAMING = 0.25, 0.5  # shares of windows without context, and as when streaming
_AHEAD = 4  # frames that a streaming window may look ahead, at most
_TELLING = torch.tensor([LABEL_LIST.index(label) for label in sorted(BILABIALS | OPEN_VOWELS)])
_TELLING_MORE = 2.0  # p, b, m and open vowels count so much more: eyes look for them
_TAUGHT = 3  # every so manyth window is shown to the teacher, which takes several passes
_BLUR = 0.1  # deviation of the perturbation of the past, in latents, at most


@dataclass(frozen=True)
class Loss:
    total: Tensor
    motion: Tensor  # of the objective
    lips: Tensor  # of the sound branch alone
    phones: Tensor


class Auxiliary(nn.Module):
    """Heads on the sound branch that only training has: the lips, and the phone of each row."""

    def __init__(self, speech_dim: int, rows: int, labels: int) -> None:
        super().__init__()
        self.rows, self.labels = rows, labels
        self.lips = nn.Linear(speech_dim, MOUTH.stop)
        self.phones = nn.Linear(speech_dim, rows * labels)

    def forward(self, speech: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        difference = self.lips(speech) - batch.motion[..., MOUTH]
        lips = _squares(F.pad(difference, (0, LATENT_DIM - MOUTH.stop))).mean()
        logits = self.phones(speech).view(*speech.shape[:2], self.rows, self.labels)
        return lips, F.cross_entropy(logits.flatten(0, 2), batch.phones.flatten())


def _weights() -> tuple[Tensor, Tensor]:
    """How much each latent channel counts, and what each adds to the parting; [LATENT_DIM]."""
    weights = torch.full((LATENT_DIM,), _REST_WEIGHT)
    weights[MOUTH] = _MOUTH_WEIGHT
    parting = MotionLatent().mixing @ parting_weights()
    return weights / weights.mean(), parting / parting[LATENT_NAMES.index("jaw")]


_WEIGHTS, _PART = _weights()


def _squares(difference: Tensor) -> Tensor:
    """Weighted square of a difference [..., LATENT_DIM], one number per frame."""
    each = (difference.square() * _WEIGHTS.to(difference)).mean(-1)
    return each + _PARTING_WEIGHT / LATENT_DIM * (difference @ _PART.to(difference)).square()


def past(batch: int, frames: int) -> Tensor:
    """Which frames of each window are known, bool [B, T]: none, all but the last few, or some."""
    kind = torch.rand(batch)
    some = torch.randint(1, frames, (batch,))
    streaming = frames - torch.randint(1, _AHEAD + 2, (batch,))
    length = torch.where(kind < _NO_PAST + _STREAMING, streaming, some)
    length = torch.where(kind < _NO_PAST, 0, length)
    return torch.arange(frames) < length[:, None]


def seen(motion: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The past as the generator is shown it: without shapes, the rest as it may have drawn it."""
    both = without(torch.cat([last[:, None], motion], 1), SHAPES.stop)
    both = both + torch.randn_like(both) * _BLUR * torch.rand(len(both), 1, 1)
    both = without(both.clamp(-1.0, 1.0), SHAPES.stop)
    return both[:, 1:], both[:, 0]


class Objective:
    """A loss by name; `teacher` and `levels` only for "distil"."""

    about: Mapping[str, str] = {"kind": "portrait-motion"}  # the weights that it makes

    def __init__(
        self, name: str, teacher: MotionGenerator | None = None, levels: Sequence[Level] = ()
    ) -> None:
        if name not in ("epsilon", "velocity", "regression", "distil"):
            raise ValueError(f"unknown objective {name!r}")
        if (name == "distil") != (teacher is not None):
            raise ValueError("distil, and only it, needs a teacher")
        self.name, self.teacher, self.levels = name, teacher, levels
        self.bars = torch.from_numpy(ddpm_alphas()).float()

    def __call__(self, model: MotionGenerator, auxiliary: Auxiliary, batch: Batch) -> Loss:
        speech = model.hear(batch.rows)
        lips, phones = auxiliary(speech, batch)
        motion = self._motion(model, speech, batch)
        return Loss(motion + 0.5 * lips + 0.1 * phones, motion, lips, phones)

    def _motion(self, model: MotionGenerator, speech: Tensor, batch: Batch) -> Tensor:
        x0, shape = batch.motion, batch.motion.shape[:2]
        known = past(*shape)
        noise = torch.randn_like(x0)
        shown, last = seen(x0, batch.last)
        if self.name == "regression":
            none = torch.zeros_like(x0)
            out = model(none, torch.ones(1, 1), model.condition(speech, none[:, 0]))
            return _error(out, x0, counts(batch, torch.zeros_like(known)))
        condition = model.condition(speech, last)
        if self.name == "distil":
            return self._distil(model, condition, batch, shown, last, known, noise)
        if self.name == "velocity":
            noisy, t, noise = flow_point(x0)
            target = noise - x0
        else:
            step = torch.randint(0, len(self.bars), (shape[0], 1))
            bar = self.bars[step][..., None]
            noisy = bar.sqrt() * x0 + (1.0 - bar).sqrt() * noise
            t, target = (step + 1) / len(self.bars), noise
        noisy = torch.where(known[..., None], shown, noisy)
        time = torch.where(known, 0.0, t)
        return _error(model(noisy, time, condition), target, counts(batch, known))

    def _distil(
        self, model: MotionGenerator, condition: Condition, batch: Batch, shown: Tensor,
        last: Tensor, known: Tensor, noise: Tensor,
    ) -> Tensor:  # fmt: skip
        teacher = self.teacher
        assert teacher is not None
        noisy = torch.where(known[..., None], shown, noise)
        motion = noise - model(noisy, torch.where(known, 0.0, 1.0), condition)
        some = slice(0, len(motion) // _TAUGHT)
        with torch.no_grad():
            given = teacher.condition(teacher.hear(batch.rows[some]), last[some])
            told = Known(shown[some], known[some])
            drawn = motion[..., DRIVEN].clone()
            drawn[some] = sample(teacher, given, noise[some], self.levels, told)[..., DRIVEN]
        goal = torch.cat([batch.motion[..., SHAPES], drawn], 2)
        return _error(motion, goal, counts(batch, known))


def flow_point(x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Somewhere on the straight paths to x0 [B, T, D]: there, time [B, 1], and the noise.

    Logit-normal times (Esser et al. 2024), with some at pure noise, where walks begin.
    """
    noise = torch.randn_like(x0)
    t = torch.sigmoid(torch.randn(len(x0), 1))
    t = torch.where(torch.rand(len(x0), 1) < 0.15, 1.0, t)
    return torch.lerp(x0, noise, t[..., None]), t, noise


def counts(batch: Batch, known: Tensor) -> Tensor:
    """How much each frame counts, [B, T]: none that is known, telling sounds more."""
    telling = (batch.phones[..., None] == _TELLING).any(2).view(*known.shape, -1).any(2)
    return (~known).float() * (1.0 + _TELLING_MORE * telling)


def _error(out: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean weighted square over the frames, each as much as it counts."""
    return (_squares(out - target) * counts).sum() / counts.sum()
