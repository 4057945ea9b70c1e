"""Templates on a device, in tables that a step looks up by slot and frame.

Slots that show one template share its row, for a row is large: of ours 0.21 MB of latents for each
frame, 64 MB for the longest template, and its frames as I420, of the longest 29, 118 and 233 MB at
256, 512 and 720 square lines, 104, 210 and 415 MB where any frame may be asked for. A template
stays in its row, whoever shows it, until the row is wanted for another.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels.paste_lower import Clips
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.rungs import Rungs
from pipelines.swaptalk.faces import ROWS, Faces, Rows
from pipelines.swaptalk.loop import LONGEST
from pipelines.swaptalk.mask import HEIGHT, WIDTH
from pipelines.swaptalk.paste import box_of
from pipelines.transfer import stream_of

_POSITIONS = 2 * LONGEST - 2


@dataclass(frozen=True)
class _Frames:
    """All frames of a template at one size, see `Clips`."""

    planes: NDArray[np.uint8]  # [n, bytes]
    places: NDArray[np.float32]  # [n, 6]
    boxes: NDArray[np.int32]  # [n, 5]


@dataclass
class _Row:
    """What a row holds, and since when nobody shows it."""

    of: tuple[str, str] | None = None  # key and frame of an identity
    ready: bool = False  # all but its frames
    sizes: set[Size] = field(default_factory=set)
    filling: int = 0  # threads that write it
    shown: int = 0  # slots
    left: int = 0


def template_bytes(faces: Faces, rungs: Rungs, device: torch.device) -> int:
    """What the tables take for each template, once all rungs are used."""
    latents = sum(one.nbytes for one in _example(faces, device).values())
    frame = latents + HEIGHT * WIDTH * (1 + 3)
    for rung in range(len(rungs.boxes)):
        frame += rungs.pixels(rung) * 3 // 2 + 6 * 4 + 5 * 4
    return LONGEST * frame + _POSITIONS * 3 * 8


class ClipTables:
    """Tables of `templates` rows for `slots` slots.

    Rows are written outside of any graph, and lie where they are for good; what a rung needs is
    made when one of its sizes is first named.

    row: int64 [slots], which row a slot shows. frames: int64 [rows, positions], the frame at each
    position of a loop. after: int64 [rows, 2, positions], see `loop`. latents, masks, around: by
    row and frame, rows * LONGEST of them.
    """

    def __init__(
        self, faces: Faces, slots: int, templates: int, rungs: Rungs, device: torch.device
    ) -> None:
        self._side, self._rungs, self._device = faces.side, rungs, device
        self._rows = [_Row() for _ in range(templates)]
        self._shows: list[int | None] = [None] * slots
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._aside = stream_of(device)
        self._clock = 0
        self._clips: dict[int, Clips] = {}
        self.row = torch.zeros(slots, dtype=torch.int64, device=device)
        self.frames = self._made((templates, _POSITIONS), torch.int64)
        self.after = self._made((templates, 2, _POSITIONS), torch.int64)
        self._count = templates * LONGEST
        self.latents = {
            name: self._made((self._count, *one.shape[1:]), one.dtype)
            for name, one in _example(faces, device).items()
        }
        self.masks = self._made((self._count, HEIGHT, WIDTH), torch.uint8)
        self.around = self._made((self._count, 3, HEIGHT, WIDTH), torch.uint8)

    def _made(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=kind, device=self._device)

    def clips(self, size: Size) -> Clips:
        """The frames of the rung that has pictures of `size`."""
        rung = self._rungs.find(size)
        with self._making:
            if rung not in self._clips:
                with torch.inference_mode(False):  # they outlive the step that names the size first
                    self._clips[rung] = self._empty(self._rungs.pixels(rung))
            return self._clips[rung]

    def _empty(self, pixels: int) -> Clips:
        clips = Clips(
            planes=self._made((self._count, pixels * 3 // 2), torch.uint8),
            masks=self.masks,
            places=self._made((self._count, 6), torch.float32),
            boxes=self._made((self._count, 5), torch.int32),
        )
        clips.boxes[:, 4] = 1  # nothing is averaged over no pixels
        return clips

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Write a template into a row, from any thread, so that `set` is quick; if no row is free,
        nothing is done. A copy of hundreds of megabytes would hold up all slots' steps."""
        with self._lock:
            number = self._find(identity)
            number = self._take(identity) if number is None else number
            if number is None:
                return
            self._rows[number].filling += 1
        self._fill(number, identity, (size,))

    def set(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Let a slot show a template that may be drawn at `sizes`.

        Raises:
            ValueError: as many templates are shown as there are rows, or it is too long.
        """
        with self._lock:
            self._leave(slot)
            number = self._find(identity)
            number = self._take(identity) if number is None else number
            if number is None:
                raise ValueError(
                    f"{len(self._rows)} templates are shown, and there is room for no other"
                )
            self._rows[number].filling += 1
        self._fill(number, identity, sizes)
        with self._lock:
            self._rows[number].shown += 1
            self._shows[slot] = number
            self.row[slot] = number

    def release(self, slot: int) -> None:
        """A slot shows nothing any more. Its template stays for whoever comes back to it."""
        with self._lock:
            self._leave(slot)

    def _find(self, identity: IdentityFeatures) -> int | None:
        wanted = identity.key, identity.frame
        return next((n for n, row in enumerate(self._rows) if row.of == wanted), None)

    def _take(self, identity: IdentityFeatures) -> int | None:
        """The row that nobody has shown for longest, for a template that is in none."""
        unused = [n for n, row in enumerate(self._rows) if not (row.shown or row.filling)]
        if not unused:
            return None
        number = min(unused, key=lambda n: self._rows[n].left)
        self._clock += 1
        self._rows[number] = _Row((identity.key, identity.frame), left=self._clock)
        return number

    def _leave(self, slot: int) -> None:
        number, self._shows[slot] = self._shows[slot], None
        if number is not None:
            self._clock += 1
            row = self._rows[number]
            row.shown, row.left = row.shown - 1, self._clock

    def _fill(self, number: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Write what a row lacks of a template; two threads may write the same."""
        row = self._rows[number]
        try:
            lacking = [size for size in sizes if size not in row.sizes]
            if lacking or not row.ready:
                with self._uploading():
                    if not row.ready:
                        self._write(number, identity)
                    for size in lacking:
                        self._write_frames(number, self._decode(identity, size), size)
            row.ready = True
            row.sizes.update(sizes)
        finally:
            with self._lock:
                row.filling -= 1
                if not (row.ready or row.filling):
                    row.of = None

    @contextmanager
    def _uploading(self) -> Iterator[None]:
        """On a card beside the steps, which none of it concerns yet, and done when this ends."""
        if self._aside is None:
            yield
            return
        # A step that has begun may still read a row that nobody shows any more.
        self._aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._aside):
            yield
        self._aside.synchronize()

    def _write(self, number: int, identity: IdentityFeatures) -> None:
        """What does not depend on a size."""
        tensors = identity.tensors
        frames, after = tensors["loop"][0], tensors["loop"][1:]
        count, positions = len(tensors["masks"]), len(frames)
        if count > LONGEST:
            raise ValueError(f"a template of {count} frames; at most {LONGEST} can be played")
        self.frames[number] = int(frames[0])  # also at positions of another loop
        self.frames[number, :positions] = frames.to(self._device)
        self.after[number] = 0
        self.after[number, :, :positions] = after.to(self._device)
        part = slice(number * LONGEST, number * LONGEST + count)
        for name, table in self.latents.items():
            if ROWS + name in tensors:
                table[part] = tensors[ROWS + name].to(self._device)
            else:
                table[part] = 0
        self.masks[part] = tensors["masks"].to(self._device)
        self.around[part] = tensors["around"].to(self._device)

    def _write_frames(self, number: int, frames: _Frames, size: Size) -> None:
        clips, first = self.clips(size), number * LONGEST
        part = slice(first, first + len(frames.planes))
        clips.planes[part, : frames.planes.shape[1]] = torch.from_numpy(frames.planes)
        clips.places[part] = torch.from_numpy(frames.places).to(self._device)
        clips.boxes[part] = torch.from_numpy(frames.boxes).to(self._device)

    def _decode(self, identity: IdentityFeatures, size: Size) -> _Frames:
        from pipelines.swaptalk.player import View  # these read video, which drawing does not
        from pipelines.swaptalk.template import Template

        template, view = Template.of(identity.arrays), View.of(identity, size)
        planes = [view.show(picture).reshape(-1) for picture in template.clip.pictures()]
        places = view.places(template.places, template.clip.size)
        return _Frames(
            np.stack(planes),
            np.stack([_back(place) for place in places]),
            np.stack([self._box(place, size) for place in places]),
        )

    def _box(self, place: NDArray[np.float64], size: Size) -> NDArray[np.int32]:
        """Top, left, bottom, right and what is averaged, as `paste.paste` does."""
        box = box_of(place, *size) or (0, 0, 0, 0)
        step = self._side / (2.0 * math.hypot(*place[:, 0]))
        return np.array([*box, max(1, int(step))], np.int32)


def _example(faces: Faces, device: torch.device) -> Rows:
    """What the networks keep of a frame: of a grey one, for its shapes."""
    grey = torch.zeros(1, 3, faces.side, faces.side, device=device)
    maps = faces.encode(grey)
    return faces.prepare(maps, maps, grey)


def _back(place: NDArray[np.float64]) -> NDArray[np.float32]:
    """Of a square's place, from the frame into it, see `Clips.places`."""
    back = np.linalg.inv(place[:, :2]).reshape(-1)
    return np.asarray(np.concatenate([back, place[:, 2]]), np.float32)
