"""`vivavoce render`: a sound file to a talking MP4 through exactly the streaming code.

The sound goes through the same decimator, voice detector and pipeline as a microphone's, hop by
hop, with no more look-ahead than a live session has, as fast as the machine goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import av
import numpy as np
import torch
from tqdm import tqdm

from pipelines.avatar import AvatarPipeline
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.motion.space import BEHAVIOURS
from pipelines.parts import parts_of
from pipelines.photo.decode import MAX_BYTES
from pipelines.photo.errors import EnrolmentError
from pipelines.presets import PRESETS, Preset
from realtime.avatar_stream import AvatarStream
from realtime.avatars import AvatarLibrary
from realtime.clock import VirtualClock
from realtime.engine.handle import StreamFacts
from realtime.errors import UnknownAvatar, VivavoceError
from realtime.media import FPS, HOP_SAMPLES, Frame, Hop, Picture, Voice
from realtime.metrics import Metrics
from realtime.output_file import OutputFile
from realtime.sinks.mp4 import Mp4Sink
from realtime.sources.file import FileSource, survey

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RenderJob:
    """What to render. `avatar` is the name of an avatar or the path of a photo."""

    avatar: str
    audio: Path
    out: Path
    data_dir: Path
    cast_dir: Path
    preset: Preset = PRESETS["portrait"]
    size: int = 512
    seed: int = 0
    stats: Path | None = None
    force: bool = False
    """`out` and `stats` may replace files."""


@dataclass(frozen=True)
class RenderSummary:
    """How it went. Times in seconds of wall time; stage times in milliseconds per frame."""

    frames: int
    media_s: float
    wall_s: float
    real_time_factor: float
    look_ahead_ms: float
    step_ms: dict[str, float]
    encode_ms: dict[str, float]
    warnings: tuple[str, ...] = ()
    """What is odd about the sound."""


class LocalSlot:
    """Slot 0 of a pipeline in this process, as a `StreamHandle`: stepped inside `submit`.

    Args:
        pipeline: fresh, or reset, with an identity in slot 0.
    """

    expected_latency_s = 0.0

    def __init__(self, pipeline: AvatarPipeline, size: int) -> None:
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_end: Callable[[str], None] = lambda reason: None
        self.look_ahead = pipeline.look_ahead
        self.still = av.VideoFrame(size, size, "yuv420p")
        self.step_s: list[float] = []
        """Wall time of each step."""
        self._pipeline = pipeline
        self._samples = torch.zeros(pipeline.slots, HOP_SAMPLES)
        self._speech = torch.zeros(pipeline.slots, dtype=torch.bool)
        self._active = torch.zeros(pipeline.slots, dtype=torch.bool)
        self._active[0] = True

    def submit(self, hop: Hop) -> None:
        begin = time.monotonic()
        self._samples[0], self._speech[0] = torch.from_numpy(hop.samples), hop.speech
        start = hop.start - self.look_ahead
        draw = self._active & (start >= 0)
        result = self._pipeline.step(self._samples, self._speech, self._active, draw)
        self.step_s.append(time.monotonic() - begin)
        if start >= 0:
            picture = av.VideoFrame.from_ndarray(result.frames[0].cpu().numpy(), format="yuv420p")
            behaviour = BEHAVIOURS[int(result.behaviour[0])]
            motion = result.motion[0].cpu().numpy()
            self.on_frame(Frame(start, picture, motion, behaviour, hop.arrived, hop.arrived))

    def clear(self) -> None:
        """Nothing is heard that is not shown."""

    async def set_identity(self, key: str) -> None:
        raise NotImplementedError

    async def set_controls(self, values: Mapping[str, float]) -> None:
        raise NotImplementedError

    def facts(self) -> StreamFacts:
        return StreamFacts()

    async def close(self) -> None:
        pass


def load_identity(job: RenderJob) -> IdentityFeatures:
    """The features of an avatar by name, or of a photo by path (kept for the next time).

    Raises:
        ValueError: no such avatar or file, or no avatar can be made of the photo.
    """
    try:
        path = Path(job.avatar)
        if path.is_file():
            store = IdentityStore(job.data_dir / "identities")
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"{path} is larger than {MAX_BYTES / 1e6:.0f} MB")
            photo = path.read_bytes()
            parts = parts_of(job.preset)
            key = parts.identity_key(photo)
            if not store.path(key).exists():
                store.save(parts.enrol(photo))
            return store.load(key)
        return asyncio.run(_load_named(job))
    except UnknownAvatar as error:
        raise ValueError(_unknown(job.avatar, error)) from error
    except (EnrolmentError, VivavoceError) as error:
        raise ValueError(str(error)) from error


def _unknown(avatar: str, error: UnknownAvatar) -> str:
    """Someone who wrote a path wants to hear of the file, not of other avatars' names."""
    path = Path(avatar)
    if path.is_dir():
        return f"--avatar {avatar} is a folder: give a photo in it, or the name of an avatar"
    if len(path.parts) > 1 or re.fullmatch(r"\.\w{2,5}", path.suffix):
        return f"--avatar {avatar}: no such file"
    return str(error)


async def _load_named(job: RenderJob) -> IdentityFeatures:
    library = AvatarLibrary(job.data_dir, job.cast_dir, 1, Metrics(), job.preset)
    try:
        return IdentityStore(library.identities).load(await library.ensure(library.get(job.avatar)))
    finally:
        await library.close()


def render(job: RenderJob, progress: bool = False) -> RenderSummary:
    """Render a sound file to an MP4.

    Raises:
        ValueError: anything wrong with the job's files or values, with the reason.
    """
    if not job.audio.is_file():
        raise ValueError(f"--audio {job.audio}: no such file")
    with ExitStack() as files:
        photo = {"--avatar": Path(job.avatar)} if Path(job.avatar).is_file() else {}
        keep = {"--audio": job.audio, **photo}
        out = files.enter_context(OutputFile("--out", job.out, keep, force=job.force))
        stats = None
        if job.stats is not None:
            keep["--out"] = job.out
            stats = files.enter_context(OutputFile("--stats", job.stats, keep, force=job.force))
        summary = _render(job, out, progress)
        if stats is not None:
            stats.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    return summary


def _render(job: RenderJob, out: Path, progress: bool) -> RenderSummary:
    sound = survey(job.audio)
    for warning in sound.warnings:
        logger.warning("%s", warning)
    torch.set_num_threads(1)
    pipeline = AvatarPipeline(job.preset, slots=1, size=job.size, seed=job.seed)
    pipeline.set_identity(0, load_identity(job))
    source = FileSource(sound.chunks(), sound.mix)
    slot = LocalSlot(pipeline, job.size)
    stream = AvatarStream(source, slot, VirtualClock())
    begin = time.monotonic()
    with (
        Mp4Sink(out, (job.size, job.size), sound.channels) as sink,
        tqdm(total=sound.hops, unit="frame", disable=not progress) as bar,
    ):
        encode_s = asyncio.run(_play(stream, sink, bar))
    wall_s = time.monotonic() - begin
    media_s = len(encode_s) / FPS
    return RenderSummary(
        frames=len(encode_s),
        media_s=media_s,
        wall_s=round(wall_s, 3),
        real_time_factor=round(wall_s / media_s, 4),
        look_ahead_ms=pipeline.look_ahead / 16,
        step_ms=_quantiles_ms(slot.step_s),
        encode_ms=_quantiles_ms(encode_s),
        warnings=sound.warnings,
    )


async def _play(stream: AvatarStream, sink: Mp4Sink, bar: tqdm[NoReturn]) -> list[float]:
    """Play the stream into the sink; returns the wall time that each frame took there."""
    cursor = stream.subscribe(Voice, Picture)
    stream.start()
    running = asyncio.ensure_future(stream.run())
    running.add_done_callback(lambda _: stream.close())  # else an error would leave us waiting
    encode_s, spent_s = [], 0.0
    try:
        async for item in cursor:
            begin = time.monotonic()
            sink.write(item)
            spent_s += time.monotonic() - begin
            if isinstance(item, Picture):
                encode_s.append(spent_s)
                spent_s = 0.0
                bar.update()
    finally:
        cursor.close()
        stream.close()
        await running
    return encode_s


def _quantiles_ms(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}
