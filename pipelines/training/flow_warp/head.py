"""After training: fit the motion head alone, on what the finished encoder says of many pictures.

While everything moves the head chases codes that change and an encoder that changes. With both
fixed, a pass of the encoder over the faces gives appearance codes once, and the small head is
fitted to them in seconds: it cannot disturb the pictures, which do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.anitalker.encoder import MotionHead
from pipelines.anitalker.motion import MotionToCode
from pipelines.anitalker.renderer import FlowWarp
from pipelines.training.flow_warp.augment import mirror_motion, reframed, relight
from pipelines.training.flow_warp.store import Face

_BATCH = 256
_RATE = 2e-3


@torch.no_grad()
def look(
    renderer: FlowWarp, faces: Sequence[Face], frames: int, seed: int | None
) -> tuple[Tensor, Tensor]:
    """Appearance codes [N, latent] of up to `frames` frames a face, and their motion [N, D].

    Frame 0, the resting face, is always among them. With a seed the pictures are varied as in
    training. Faces without known motion are left out.
    """
    starts: list[Tensor] = []
    motions: list[Tensor] = []
    for face in tqdm(faces, desc="looking", unit="face"):
        if face.motion is None:
            continue
        chance = np.random.default_rng((seed or 0, len(starts)))
        others = chance.permutation(np.arange(1, len(face)))[: frames - 1].tolist()
        chosen = [0, *others]
        pictures = torch.stack([face.frame(i) for i in chosen]).permute(0, 3, 1, 2)
        pictures, motion = pictures.float() / 127.5 - 1.0, face.motion[chosen]
        if seed is not None:
            pictures = reframed(relight(pictures, chance), chance)
            if chance.random() < 0.5:
                pictures, motion = pictures.flip(3), mirror_motion(motion)
        starts.append(renderer.encoder(pictures)[1])
        motions.append(motion)
    return torch.cat(starts), torch.cat(motions)


def fit(head: MotionHead, starts: Tensor, wanted: Tensor, steps: int, seed: int) -> None:
    """Fit the head, in place, to the codes [N, code] that are wanted for starts [N, latent]."""
    chance = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in tqdm(range(steps), desc="head"):
        rows = torch.randint(len(starts), (_BATCH,), generator=chance)
        loss = (head(starts[rows]) - wanted[rows]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        pace.step()


@torch.no_grad()
def explained(head: nn.Module, starts: Tensor, wanted: Tensor) -> float:
    """Share of the variance of the wanted codes that the head gives."""
    error = (head(starts) - wanted).square().mean()
    return 1.0 - float(error / wanted.var(0).mean())


def codes(to_code: MotionToCode, motion: Tensor) -> Tensor:
    """The codes of motion [N, D], without a gradient."""
    with torch.no_grad():
        code: Tensor = to_code(motion)
    return code
