"""What motion generators learn from windows of the corpus.

`Spoken` is what our network learns: the shapes of the mouth as the sound decides them, forces on
brows and head as a flow (Lipman et al. 2022; Liu et al. 2022), each frame given the frames before
it as they were, slightly perturbed so that the network does not trust its own small errors. Real
lip curves count beside the reference mouth, and the phone of every row is asked for as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.motion.diffusion import network_metadata
from pipelines.motion.latent import (
    DRIVEN,
    LATENT_DIM,
    LATENT_NAMES,
    MOUTH,
    SHAPES,
    MotionLatent,
)
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.network import AHEAD, MotionNetwork
from pipelines.motion.style import STYLE_DIM
from training.motion.windows import Batch
from training.speech.corpus_store import LABEL_LIST
from training.speech.phones import BILABIALS, OPEN_VOWELS

_MOUTH_WEIGHT, _REST_WEIGHT = 2.0, 1.0
_PARTING_UNIT = 0.1  # parting of the lips (jawOpen) that counts as one against a real mouth
_PARTING_WEIGHT = 4.0  # what the eye sees first counts once more, as a whole
_TELLING = torch.tensor([LABEL_LIST.index(label) for label in sorted(BILABIALS | OPEN_VOWELS)])
_SILENCE = LABEL_LIST.index("SIL")
_BEGINNING = 4  # frames that begin to speak, and of silence before them
_BEFORE = AHEAD  # of those frames, before the sound: heard by then, and lips part before a voice
_TELLING_MORE = 2.0  # p, b, m and open vowels count so much more: eyes look for them
_REAL = 0.3  # how much a real mouth counts where one was filmed
_FLOW = 0.3  # what is drawn, against the lips
_PHONES = 0.1
_MEETING, _MET = 0.1, 0.06  # whether lips meet: parting, in jawOpen, that reads as closed
_DRAWS = 2  # points of the flow per frame
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


def parted(shapes: Tensor) -> Tensor:
    """How far lips part, in units of jawOpen, [...] of latents of shapes [..., 11]."""
    share = MotionLatent().mixing[SHAPES] @ parting_weights()
    return (shapes + 1.0) @ share.to(shapes)


def _squares(difference: Tensor) -> Tensor:
    """Weighted square of a difference [..., LATENT_DIM], one number per frame."""
    each = (difference.square() * _WEIGHTS.to(difference)).mean(-1)
    return each + _PARTING_WEIGHT / LATENT_DIM * (difference @ _PART.to(difference)).square()


class PhoneHead(nn.Module):
    """The phone of each row from what is heard; only training has it."""

    def __init__(self, network: MotionNetwork) -> None:
        super().__init__()
        self.shape = (network.config.rows, len(LABEL_LIST))
        self.read = nn.Linear(network.config.dim, math.prod(self.shape))

    def forward(self, heard: Tensor, phones: Tensor) -> Tensor:
        """heard [B, T, D], phones int64 [B, rows * T] -> the mean cross entropy."""
        logits = self.read(heard).view(*heard.shape[:2], *self.shape)
        return F.cross_entropy(logits.flatten(0, 2), phones.flatten())


class Spoken:
    """What our streaming network learns; its windows hold `AHEAD` frames more than are shown."""

    name = "spoken"
    lengths: Sequence[int] = (50 + AHEAD, 100 + AHEAD, 150 + AHEAD)

    def __init__(self, network: MotionNetwork, real: float = _REAL) -> None:
        self.about: Mapping[str, str] = network_metadata(network)
        self.real = real

    def __call__(self, network: MotionNetwork, phones: PhoneHead, batch: Batch) -> Loss:
        size = len(batch.rows)
        state, active = network.init_state(size), torch.ones(size, dtype=torch.bool)
        heard = network.hear(batch.rows, state, active)[:, AHEAD:]
        motion = batch.motion[:, :-AHEAD]
        shown = batch.phones[:, : -AHEAD * network.config.rows]
        shapes = network.lips(heard, batch.style)
        difference = F.pad(shapes - motion[..., SHAPES], (0, LATENT_DIM - SHAPES.stop))
        each = telling(shown, motion.shape[1])
        lips = (_squares(difference) * each).sum() / each.sum()
        met = (parted(motion[..., SHAPES]) < _MET).float()
        odds = F.binary_cross_entropy_with_logits(network.shutting(heard), met, each)
        lips = lips + self.real * self._real(network, heard, batch.parting[:, :-AHEAD])
        drawn = self._flow(network, heard, motion[..., DRIVEN], batch.last[:, DRIVEN])
        said = phones(heard, shown)
        return Loss(lips + _FLOW * drawn + _PHONES * said + _MEETING * odds, drawn, lips, said)

    def _real(self, network: MotionNetwork, heard: Tensor, parting: Tensor) -> Tensor:
        """How far the average speaker's lips are from those that were filmed, where any were."""
        known = parting.isfinite()
        average = torch.zeros(len(heard), STYLE_DIM)
        shapes = network.lips(heard, average)
        error = (parted(shapes) - parting.nan_to_num()) / _PARTING_UNIT
        return (error.square() * known).sum() / known.numel()

    def _flow(self, network: MotionNetwork, heard: Tensor, forces: Tensor, last: Tensor) -> Tensor:
        before = torch.cat([last[:, None], forces[:, :-1]], 1)
        before = before + torch.randn_like(before) * _BLUR * torch.rand(len(before), 1, 1)
        memory = network.memories(heard, before)
        noise = torch.randn(_DRAWS, *forces.shape)
        time = torch.sigmoid(torch.randn(_DRAWS, *forces.shape[:2], 1))
        time = torch.where(torch.rand_like(time) < 0.2, 1.0, time)  # where walks begin
        noisy = torch.lerp(forces.expand_as(noise), noise, time)
        given = (x.expand(_DRAWS, *x.shape) for x in (heard, memory))
        out = network.velocity(noisy, time, *given)
        return (out - (noise - forces)).square().mean()


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
    return (~known).float() * telling(batch.phones, known.shape[1])


def telling(phones: Tensor, frames: int) -> Tensor:
    """How much each frame counts by its sounds: phones int64 [B, rows * T] -> [B, T], 1 or more.

    Open vowels, p, b, m, and the frames around the first sound of somebody who begins to speak.
    """
    rows = phones.view(len(phones), frames, -1)
    found = (rows[..., None] == _TELLING).any(3).any(2)
    spoken = (rows != _SILENCE).any(2)
    silent = F.max_pool1d(F.pad(spoken.float(), (_BEGINNING, 0)), _BEGINNING, 1)[:, :frames] == 0
    starts = F.pad((spoken & silent).float(), (_BEGINNING - 1 - _BEFORE, _BEFORE))
    begins = F.max_pool1d(starts, _BEGINNING, 1) > 0
    return 1.0 + _TELLING_MORE * (found | begins)
