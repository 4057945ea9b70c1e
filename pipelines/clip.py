"""Whole clips through a pipeline, hop by hop as live speech comes: the offline loop."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from pipelines.batch import Batch
from pipelines.pipeline import HOP_SAMPLES, Pipeline, Size


@dataclass(frozen=True)
class Shown:
    """What a frame of a clip shows; overwritten by the next."""

    picture: NDArray[np.uint8] | None
    """I420, [height * 3 / 2, width]; None where it was not drawn."""
    motion: NDArray[np.float32]
    """[D]."""
    behaviour: int
    """Index into `pipelines.motion.space.BEHAVIOURS`."""


def play(
    pipeline: Pipeline,
    samples: NDArray[np.float32],
    size: Size,
    *,
    seed: int = 0,
    controls: Mapping[str, float] | None = None,
    draw: Container[int] | None = None,
) -> Iterator[Shown]:
    """The frames of a clip in a fresh stream of slot 0, whose identity is set if it is drawn.

    Args:
        samples: [n * 640] at 16 kHz in [-1, 1].
        controls: by name, all of them; default ones if there are none.
        draw: numbers of the frames to draw; all of them by default.
    """
    pipeline.reset(0, seed)
    if controls is not None:
        pipeline.set_controls(0, dict(controls))
    batch = Batch.of(pipeline.slots, (size,), pipeline.motion_dim)
    batch.active[0] = True
    batch.size[:] = size
    voice = VoiceActivity()
    delay = pipeline.look_ahead // HOP_SAMPLES
    whole = np.concatenate([samples, np.zeros(pipeline.look_ahead, np.float32)])
    for frame, hop in enumerate(whole.reshape(-1, HOP_SAMPLES), -delay):
        voice(hop)
        batch.hops[0], batch.speech[0] = hop, voice.speech
        batch.draw[0] = frame >= 0 and (draw is None or frame in draw)
        pipeline.step(batch)
        if frame >= 0:
            picture = batch.picture(0) if batch.drawn[0] else None
            yield Shown(picture, batch.motion[0], int(batch.behaviour[0]))
