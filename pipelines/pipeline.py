"""What every avatar system is to the rest: how it is chosen, how it enrols, how it is stepped.

A `System` is a name with its options, controls and sizes; it is asked on the event loop and so
imports no tensors. It enrols `Material` into an `Identity` (in a process of its own) and builds a
`Pipeline` (in the inference process), which is stepped over a `pipelines.batch.Batch`:

    hops [B, 640] -> whatever the system does -> I420 planes [B, bytes], motion [B, D]

Registered by name in `pipelines.registry`; other distributions add theirs by entry point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.batch import Batch
    from pipelines.identity import IdentityFeatures
    from pipelines.motion.model import MotionModel
    from pipelines.renderer import BatchedRenderer

SAMPLE_RATE_HZ = 16_000
"""Of the sound that pipelines hear."""
FPS = 25
"""Video frames a second."""
HOP_SAMPLES = SAMPLE_RATE_HZ // FPS
"""Samples consumed per step: one video frame's worth, 640."""
assert HOP_SAMPLES * FPS == SAMPLE_RATE_HZ, "a frame must cover whole samples"

Size = tuple[int, int]
"""(width, height) of a picture in pixels, both even."""


@dataclass(frozen=True)
class Control:
    """Something a user may turn up or down while an avatar runs."""

    name: str
    summary: str
    low: float = 0.0
    high: float = 2.0
    default: float = 1.0

    def check(self, value: object) -> float:
        """The value as a float; ValueError where it is none, or outside [low, high]."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.name} must be a number, got {value!r}")
        if not self.low <= value <= self.high:  # refuses NaN too
            raise ValueError(f"{self.name} must lie in [{self.low:g}, {self.high:g}], got {value}")
        return float(value)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What an avatar is made of: a photo, a video of the person, or either as a template with the
    photo of a `source` face to put into it (`consent`: the statement that it may be used).

    learnt: what was learnt from a video that is not kept, a file of `pipelines.learnt`.
    """

    photo: Path | None = None
    video: Path | None = None
    source: Path | None = None
    consent: str = ""
    learnt: Path | None = None

    def __post_init__(self) -> None:
        if self.photo is None and self.video is None:
            raise ValueError("an avatar needs a photo or a video")

    def photo_bytes(self) -> bytes:
        """Content of the photo; ValueError where there is none."""
        if self.photo is None:
            raise ValueError("a photo is needed")
        return self.photo.read_bytes()

    def digest(self) -> str:
        """SHA-256 over all files, hexadecimal: what content addresses are made of."""
        whole = hashlib.sha256()
        for path in (self.photo, self.video, self.source):
            part = b"" if path is None else hashlib.sha256(path.read_bytes()).digest()
            whole.update(len(part).to_bytes(8, "big") + part)
        return whole.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class EnrolmentCancelled(Exception):
    """Raised by `Progress` inside an enrolment that is not wanted any more."""


class Progress(Protocol):
    """An enrolment's line to whoever waits for it."""

    folder: Path
    """Scratch space of this enrolment alone. What is written there is found again when the same
    enrolment goes on after an interruption, and is deleted when it is done."""

    def __call__(self, share: float, stage: str) -> None:
        """`share` in [0, 1] of the work is done, `stage` is under way ("tracking the face").

        Raises:
            EnrolmentCancelled: stop; nothing need be cleaned up.
        """


class QuietProgress:
    """Progress of an enrolment that nobody waits for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, share: float, stage: str) -> None:
        """Goes on."""


class PartOf:
    """Progress of a part of an enrolment: from the share `begin` of the whole to `end`."""

    def __init__(self, whole: Progress, begin: float, end: float) -> None:
        self.folder = whole.folder
        self._whole, self._begin, self._end = whole, begin, end

    def __call__(self, share: float, stage: str) -> None:
        """`share` in [0, 1] of the part is done; see `Progress`."""
        self._whole(self._begin + (self._end - self._begin) * share, stage)


class System(Protocol):
    """One avatar system. Instances are stateless; importing their module imports no tensors."""

    @property
    def name(self) -> str:
        """As in `--pipeline NAME` and `[pipeline.NAME]`."""

    @property
    def summary(self) -> str:
        """One line for people who choose."""

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Picture sizes it draws, smallest first; the last is the default. A system that can show
        more of a photo than that has `frames` too, see `pipelines.photo.framing`."""

    @property
    def controls(self) -> tuple[Control, ...]:
        """What a user may turn up or down while it runs."""

    @property
    def motion_names(self) -> tuple[str, ...]:
        """Names of the numbers in a frame of motion; empty where they are a code."""

    @property
    def accepts(self) -> frozenset[str]:
        """The kinds of material it can be made of: "photo", "video", "source"."""

    @property
    def keeps_video(self) -> bool:
        """Whether avatars made of a video need it ever after, as templates do. Where not, what was
        learnt from it (see `pipelines.learnt`) is kept in its place, and it is deleted."""

    Options: type[Any]
    """Frozen dataclass of the system's own settings, each with a default; read from
    `[pipeline.NAME]` and `--set`. Nobody else knows its fields."""

    def key(self, material: Material, options: Any) -> str:
        """Content address of the identity that `enrol` gives, 64 hexadecimal digits, without
        looking into the material. Everything the features depend on goes in: material, format,
        weights.

        Raises:
            ValueError: weights that the options name are not installed or do not fit.
        """

    def enrol(self, material: Material, options: Any, progress: Progress) -> IdentityFeatures:
        """Turn material into identity features, among them `preview`, uint8 [H, W, 3].

        Raises:
            EnrolmentError: no avatar can be made of it; code and message are for the user.
            EnrolmentCancelled: as `progress` said.
        """

    def build(self, slots: int, options: Any, device: str) -> Pipeline:
        """A pipeline with `slots` rows of state on `device` ("cpu", "cuda").

        Raises:
            ValueError: weights are missing or do not fit together.
        """


class Pipeline(Protocol):
    """A system with `slots` rows of streaming state. Knows no clock, queue or network.

    All but `prepare` is called from one thread.
    """

    slots: int
    look_ahead: int
    """Samples after a frame's own hop that must be heard before it can be drawn; whole hops."""
    motion_dim: int

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Do ahead what takes long about an identity drawn at `size` or smaller, from any thread;
        `set_identity` is then quick."""

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        """Give `slot` a face and its largest size from the next frame on; its motion goes on."""

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        """Set every control of `slot` (by name) from its next hop on."""

    def reset(self, slot: int, seed: int) -> None:
        """Start `slot` over as if nothing had been heard, with default controls and the noise of
        `seed`."""

    def still(self, slot: int, batch: Batch) -> None:
        """Write the picture of the slot's face before any sound into its row of `batch.planes`, at
        `batch.size[slot]`."""

    def step(self, batch: Batch) -> None:
        """Hear one hop in the slots of `batch.active` and draw those of `batch.draw`, in place.

        Reads hops, speech, active, draw, clear and size; writes planes and drawn of the slots
        drawn, motion and behaviour of the active ones. The frame lies `look_ahead` before the hop.
        """


def _at_once() -> None:
    """Nothing to wait for."""


class UnderWay(NamedTuple):
    """A step that has begun; both wait.

    computed: until the next one may begin. arrived: until what it made lies in its batch, which
    nobody writes to until then.
    """

    computed: Callable[[], None] = _at_once
    arrived: Callable[[], None] = _at_once

    def __call__(self) -> None:
        """Wait until all is done."""
        self.arrived()


@runtime_checkable
class StepsAhead(Protocol):
    """A pipeline that may begin a step while what the one before made is still on its way."""

    def begin(self, batch: Batch) -> UnderWay:
        """Begin `step`, over another batch than the one before."""


@runtime_checkable
class HasFirstCalls(Protocol):
    """A pipeline of which some calls take long the first time, in the thread that steps."""

    def first_calls(self, slot: int, batches: Sequence[Batch]) -> Iterator[None]:
        """Make them, one with each turn, by drawing `slot`, which nobody watches: everything that
        this thread may be asked to do with `batches`, and that no other step did before."""


@runtime_checkable
class Releases(Protocol):
    """A pipeline, or what draws for one, that is told of slots that nobody watches any more."""

    def release(self, slot: int) -> None:
        """What `slot` shows may make room: it is not drawn again before it has an identity."""


@runtime_checkable
class Previews(Protocol):
    """A system that can show, without any sound, how an avatar will move."""

    def preview(self, identity: IdentityFeatures, options: Any) -> Iterator[NDArray[np.uint8]]:
        """Frames [H, W, 3] at `FPS` of about two seconds that loop; small, and drawn as sessions
        with the same options draw them.

        Raises:
            EnrolmentError: with these options there is none.
        """


@runtime_checkable
class NeedsWeights(Protocol):
    """A system whose weights may not be installed; it is then known, but not offered."""

    def missing(self, options: Any) -> str:
        """What must be installed before it can be used, in words; empty if nothing."""


@runtime_checkable
class HasBackends(Protocol):
    """A pipeline that more than one library ("back end") can compute, going on from the same state.

    It begins with the first, by a rule and not by measurement, so that what it gives is the same
    from run to run.
    """

    @property
    def backends(self) -> tuple[str, ...]:
        """Those that can be used here: "torch", "onnxruntime"."""

    def use_backend(self, name: str) -> None:
        """Compute with that one from now on, and let go of the others."""

    def time_backends(self) -> dict[str, float]:
        """How long a hop takes with each, in milliseconds: of processor time on a CPU, of wall time
        elsewhere. No slot notices."""


@runtime_checkable
class Exports(Protocol):
    """A system whose motion can be written as a graph for ONNX Runtime."""

    def motion_to_export(self, options: Any) -> tuple[MotionModel, Path]:
        """The model, and the weights file that it was loaded from.

        Raises:
            ValueError: with these options there is nothing to export.
        """


@runtime_checkable
class ExportsPictures(Protocol):
    """A system whose drawing can be written as a graph for ONNX Runtime."""

    def renderer_to_export(self, slots: int, size: Size, options: Any) -> BatchedRenderer:
        """What draws `slots` faces at `size`, on a CPU, without faces.

        Raises:
            ValueError: weights are missing.
        """
