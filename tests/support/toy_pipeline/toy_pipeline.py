"""A pipeline as another distribution would add it: plays a short video back and forth.

Nothing of the product knows it; `tests.support.toy` makes it known by its entry point. It draws
what its video shows at its place in the loop, a bar as high as the sound is loud, lighter or darker
by its control and tinted by its option. A frame shows the sound of the hop before the one heard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.space import BEHAVIOURS
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import HOP_SAMPLES, Control, Material, Progress, Size

SIZE: Size = (320, 180)
MOST_FRAMES = 50
BAR = (300, 316)
"""Columns of the bar, which stands at the bottom of the picture."""
WHITE, NEUTRAL = 235, 128
BRIGHTNESS = Control("brightness", "How light the picture is", low=0.25, high=2.0)
_FORMAT = 1

Planes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    """tint: added to the blue-difference plane of every picture, in 8-bit steps. pace: a file that
    says how many seconds each picture takes; it may change meanwhile."""

    tint: int = 0
    pace: Path = Path()

    def __post_init__(self) -> None:
        if not -100 <= self.tint <= 100:
            raise ValueError(f"tint must lie in [-100, 100], got {self.tint}")


class ToySystem:
    """See `pipelines.pipeline.System`."""

    name = "toy"
    summary = "a short video, played back and forth"
    sizes: tuple[Size, ...] = (SIZE,)
    controls = (BRIGHTNESS,)
    motion_names = ("place", "loudness")
    accepts = frozenset({"video"})
    keeps_video = True
    Options = ToyOptions

    def key(self, material: Material, options: ToyOptions) -> str:
        return content_key(material.digest().encode(), "whole", self.name, _FORMAT)

    def enrol(
        self, material: Material, options: ToyOptions, progress: Progress
    ) -> IdentityFeatures:
        """Arrays: frames uint8 [N, 270, 320], I420; preview uint8 [180, 320, 3].

        Goes on where an earlier run stopped: each frame is kept in the folder as it is decoded.
        """
        if material.video is None:
            raise EnrolmentError("not_a_video", "The toy pipeline is made of a video.")
        try:
            with av.open(material.video) as video:
                for number, frame in enumerate(video.decode(video=0)):
                    if number == MOST_FRAMES:
                        break
                    progress(number / MOST_FRAMES, "reading the video")
                    kept = progress.folder / f"{number:03}.npy"
                    if not kept.exists():
                        width, height = SIZE
                        small = frame.reformat(width, height, "yuv420p")
                        np.save(kept, small.to_ndarray())
        except (av.FFmpegError, IndexError) as error:
            raise EnrolmentError("not_a_video", f"That is no video: {error}") from error
        frames = [np.load(path) for path in sorted(progress.folder.glob("*.npy"))]
        if not frames:
            raise EnrolmentError("not_a_video", "That video holds no picture.")
        preview = av.VideoFrame.from_ndarray(frames[0], "yuv420p").to_ndarray(format="rgb24")
        progress(1.0, "done")
        return IdentityFeatures(
            self.key(material, options), {"frames": np.stack(frames), "preview": preview}, {}
        )

    def build(self, slots: int, options: ToyOptions, device: str) -> ToyPipeline:
        return ToyPipeline(slots, options)


SYSTEM = ToySystem()


@dataclass
class Slot:
    """State of one slot."""

    frames: Planes | None = None
    place: int = 0
    """Steps since the seed's place in the loop."""
    loudness: float = 0.0
    """Of the hop that was heard and not shown yet."""
    speech: bool = False
    brightness: float = BRIGHTNESS.default


class ToyPipeline:
    """See `pipelines.pipeline.Pipeline`."""

    look_ahead = HOP_SAMPLES
    motion_dim = 2

    def __init__(self, slots: int, options: ToyOptions) -> None:
        self.slots = slots
        self.options = options
        self._states = [Slot() for _ in range(slots)]

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Nothing takes long."""

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        self._states[slot].frames = identity.arrays["frames"]

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        self._states[slot].brightness = values["brightness"]

    def reset(self, slot: int, seed: int) -> None:
        self._states[slot] = Slot(frames=self._states[slot].frames, place=seed)

    def still(self, slot: int, batch: Batch) -> None:
        state = self._states[slot]
        assert state.frames is not None
        batch.picture(slot)[:] = picture(state.frames[0], 0.0, 1.0, self.options.tint)

    def step(self, batch: Batch) -> None:
        batch.drawn[:] = False
        for slot, state in enumerate(self._states):
            if batch.clear[slot]:
                state.loudness, state.speech = 0.0, False
            if not batch.active[slot]:
                continue
            batch.motion[slot] = state.place, state.loudness
            batch.behaviour[slot] = BEHAVIOURS.index("speaking" if state.speech else "idle")
            if batch.draw[slot]:
                self._draw(state, batch.picture(slot))
                batch.drawn[slot] = True
            state.place += 1
            state.loudness = float(np.sqrt(np.mean(np.square(batch.hops[slot]))))
            state.speech = bool(batch.speech[slot])

    def _draw(self, state: Slot, target: Planes) -> None:
        frames = state.frames
        assert frames is not None, "drawn before set_identity"
        if self.options.pace.is_file():
            time.sleep(float(self.options.pace.read_text() or 0))
        shown = frames[ping_pong(state.place, len(frames))]
        target[:] = picture(shown, state.loudness, state.brightness, self.options.tint)


def ping_pong(place: int, count: int) -> int:
    """Index of the frame at `place` of a loop of `count` frames there and back."""
    if count == 1:
        return 0
    turn = place % (2 * count - 2)
    return min(turn, 2 * count - 2 - turn)


def picture(frame: Planes, loudness: float, brightness: float, tint: int) -> Planes:
    """One picture, I420 uint8 [270, 320]."""
    _, height = SIZE
    planes: NDArray[Any] = frame.astype(np.float32)
    planes[:height] *= brightness
    top = round(height * (1.0 - min(1.0, loudness)))
    planes[top:height, slice(*BAR)] = WHITE
    chroma = planes[height:].reshape(2, -1)
    chroma[0] += tint
    return np.asarray(planes.clip(0, 255).astype(np.uint8))
