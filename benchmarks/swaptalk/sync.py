"""Whether lips fit what is said: read from pixels by FaceMesh, and by the latent expert."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lips.figures import Count, Gaps, closures, follow
from benchmarks.swaptalk.clips import Speech
from pipelines.photo.curves import lip_gap
from pipelines.photo.follow import FaceFollower
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.vqgan.network import Vqgan

Meshes = NDArray[np.float32]

_APART = 10  # frames from one window that the expert sees to the next


class Sync(NamedTuple):
    """Of one clip. r: of the read gap with the wanted one, at the best lag within 2 frames.
    closed: of p, b, m, how many have the lips closed. lost: frames in which no face was read."""

    r: float
    closed: Count
    lost: Count


class Belief(NamedTuple):
    """Of the expert, mean of one clip's windows. own: cosine of lips with their own sound, in
    [0, 1]. more: by how much that is above the median of the clip's other sounds."""

    own: float
    more: float


def meshes(pictures: Tensor) -> Meshes:
    """What FaceMesh sees in squares [n, 3, S, S] in [0, 1] in their order: float32 [n, 478, 3] in
    pixels, NaN where no face is seen."""
    found = np.full((len(pictures), 478, 3), np.nan, np.float32)
    with FaceFollower() as follower:
        for n, picture in enumerate(pictures):
            seen = (picture * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()
            mesh = follower.read(seen)
            if mesh is not None:
                found[n] = mesh
    return found


def gaps(found: Meshes) -> Gaps:
    """Of the lips in meshes, over the face height, float64 [n]; NaN where there is none."""
    return np.array([lip_gap(mesh) for mesh in found], np.float64)


def read_sync(found: Meshes, said: Speech) -> Sync:
    """How lips follow what is said.

    Raises:
        ValueError: too few frames.
    """
    read = gaps(found)
    lost = np.isnan(read)
    if lost.sum() > len(read) // 2:
        return Sync(0.0, Count(0, 0), Count(int(lost.sum()), len(read)))
    r = follow(read, said.gap).r
    return Sync(r, closures(read, said.phones), Count(int(lost.sum()), len(read)))


def believe(expert: SyncExpert, vqgan: Vqgan, pictures: Tensor, motion: Tensor) -> Belief:
    """What the expert thinks of squares [n, 3, S, S] in [0, 1] with motion [n, MOTION_DIM]."""
    frames = expert.config.frames
    starts = range(0, len(pictures) - frames + 1, _APART)
    seen = [lower(pictures[n : n + frames]) * 2.0 - 1.0 for n in starts]
    lips = expert.embed_lips(torch.stack([vqgan.encode(halves) for halves in seen]))
    sound = expert.embed_sound(torch.stack([motion[n : n + frames] for n in starts]))
    cosine = lips @ sound.T
    own = cosine.diagonal()
    others = cosine[~torch.eye(len(cosine), dtype=torch.bool)].view(len(cosine), -1)
    more = own - others.median(1).values if len(cosine) > 1 else own * 0.0
    return Belief(float(own.mean()), float(more.mean()))
