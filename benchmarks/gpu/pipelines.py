"""The pipelines that are measured, as a bare machine can build them: the one table of them.

Nothing here may import, even through others, more than torch, triton, numpy and safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.photo.framing import FRAMES, SQUARE
from pipelines.pipeline import Size

SIZES = FRAMES[SQUARE].sizes


_TEMPLATES = 4
"""Clips that slots of `swaptalk` share at most: one takes half a gigabyte."""
_FRAMES = 6
"""Of a clip that are baked; its loop goes through these."""


def _as_it_is(renderer: Any) -> None:
    return None


@dataclass(frozen=True)
class Measured:
    """renderer: for so many slots, the sizes, and a device; a `BatchedRenderer`. motion: a model
    on the CPU. shorten: what makes faces small enough to be carried, once they are set."""

    renderer: Callable[[int, tuple[Size, ...], torch.device], Any]
    motion: Callable[[], Any]
    shorten: Callable[[Any], None] = _as_it_is


def _anitalker(slots: int, sizes: tuple[Size, ...], device: torch.device) -> Any:
    from pipelines.anitalker.batched import BatchedNetwork
    from pipelines.anitalker.render_batched import BatchedAniTalker
    from pipelines.anitalker.weights import load_renderer
    from pipelines.rungs import Rungs

    network = BatchedNetwork(load_renderer("anitalker-renderer"), slots, device=device)
    return BatchedAniTalker(network, Rungs.of([sizes]))


def _codes() -> Any:
    from pipelines.anitalker.mapped_codes import MappedCodes
    from pipelines.anitalker.weights import load_map

    return MappedCodes(_motion(), load_map("anitalker-motion"))


def _portrait(slots: int, sizes: tuple[Size, ...], device: torch.device) -> Any:
    from pipelines.portrait.batched import BatchedPortrait

    return BatchedPortrait(slots, sizes, device)


def _swaptalk(slots: int, sizes: tuple[Size, ...], device: torch.device) -> Any:
    from pipelines.rungs import Rungs
    from pipelines.swaptalk.faces import LatentFaces
    from pipelines.swaptalk.options import SwapTalkOptions
    from pipelines.swaptalk.render_batched import BatchedSwapTalk
    from pipelines.swaptalk.vqgan.weights import load_vqgan
    from pipelines.swaptalk.weights import load_lips
    from pipelines.weights import find_weights

    options = SwapTalkOptions()
    vqgan, lips = load_vqgan(options.vqgan_weights), load_lips(find_weights(options.lips_weights))
    faces = LatentFaces(vqgan.to(device), lips.to(device), options.margin)
    templates = min(slots, _TEMPLATES)
    return BatchedSwapTalk(faces, slots, device, templates=templates, rungs=Rungs.of([sizes]))


def _fewer_frames(renderer: Any) -> None:
    """Let loops go through the first frames of their clips only, and forget the others."""
    from pipelines.swaptalk.loop import LONGEST

    tables = renderer.tables
    tables.frames.remainder_(_FRAMES)
    held = [tables.masks, tables.around, *tables.latents.values()]
    held += [part for clips in tables._clips.values() for part in clips]
    for table in held:
        table.view(-1, LONGEST, *table.shape[1:])[:, _FRAMES:] = 0


def _motion() -> Any:
    from pipelines.motion.diffusion import load_motion

    return load_motion()


PIPELINES: Mapping[str, Measured] = {
    "portrait": Measured(_portrait, _motion),
    "anitalker": Measured(_anitalker, _codes),
    "swaptalk": Measured(_swaptalk, _motion, _fewer_frames),
}


def renderer_of(name: str, slots: int, sizes: tuple[Size, ...], device: torch.device) -> Any:
    """The pipeline's renderer with all its tables made, without faces."""
    with torch.inference_mode():
        renderer = PIPELINES[name].renderer(slots, sizes, device)
        for width, height in sizes:
            picture = torch.empty(width * height * 3 // 2, dtype=torch.uint8, device=device)
            renderer.still((width, height), 0, picture)
    return renderer
