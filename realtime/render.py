"""`vivavoce render`: a sound file to a talking MP4 through exactly the streaming code.

    FileSource -> AvatarStream over a LocalEngine -> Mp4Sink

on a clock that does not wait: hop by hop, with no more look-ahead than a live session has, as fast
as the machine goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from pipelines.pipeline import Material
from pipelines.registry import find_system
from realtime.avatar_stream import AvatarStream
from realtime.avatars.features import Features
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.records import Avatar, sniff_video
from realtime.clock import VirtualClock
from realtime.config import ServerConfig
from realtime.cursor import Cursor
from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.errors import AvatarRejected, UnknownAvatar, VivavoceError
from realtime.media import FPS, HOP_S, HOP_SAMPLES, Picture, Voice
from realtime.metrics import Metrics
from realtime.output_file import OutputFile
from realtime.sinks.mp4 import Mp4Sink
from realtime.sources.file import FileSource, Sound, survey

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RenderJob:
    """What to render. The pipeline, its options, frame, size and the folders are `config`'s."""

    avatar: str
    """The name of an avatar, or the path of what one can be made of."""
    audio: Path
    out: Path
    config: ServerConfig
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
    backend: str
    """What computed the motion: another one's frames differ a little. Empty: there is no choice."""
    look_ahead_ms: float
    step_ms: dict[str, float]
    encode_ms: dict[str, float]
    warnings: tuple[str, ...]
    """What is odd about the sound."""


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
        sound = survey(job.audio)
        for warning in sound.warnings:
            logger.warning("%s", warning)
        try:
            summary = asyncio.run(_render(job, sound, out, progress))
        except VivavoceError as error:
            raise ValueError(str(error)) from error
        if stats is not None:
            stats.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    return summary


async def _render(job: RenderJob, sound: Sound, out: Path, progress: bool) -> RenderSummary:
    import torch

    torch.set_num_threads(1)
    config, pipeline = job.config, job.config.pipeline
    key = await find_identity(job.avatar, config)
    engine = LocalEngine(
        pipeline,
        config.options_of(pipeline),
        config.identities_dir,
        device=config.device,
        backend=config.backend,
    )
    step_s: list[float] = []
    engine.on_step = step_s.append
    size, frame = config.size_of(pipeline), config.frame_of(pipeline)
    handle = await engine.open(StreamRequest(pipeline, key, size, frame, job.seed))
    stream = AvatarStream(FileSource(sound.chunks(), sound.mix), handle, VirtualClock())
    begin = time.monotonic()
    with (
        Mp4Sink(out, handle.largest, sound.channels) as sink,
        tqdm(total=sound.hops, unit="frame", disable=not progress) as bar,
    ):
        encode_s = await _play(stream, sink, bar)
    wall_s = time.monotonic() - begin
    media_s = len(encode_s) / FPS
    return RenderSummary(
        frames=len(encode_s),
        media_s=media_s,
        wall_s=round(wall_s, 3),
        real_time_factor=round(wall_s / media_s, 4),
        backend=engine.backend.name if engine.backend else "",
        look_ahead_ms=handle.look_ahead / HOP_SAMPLES * HOP_S * 1000,
        step_ms=_quantiles_ms(step_s),
        encode_ms=_quantiles_ms(encode_s),
        warnings=sound.warnings,
    )


async def _play(stream: AvatarStream, sink: Mp4Sink, bar: tqdm[NoReturn]) -> list[float]:
    """Play the stream into the sink; returns the wall time that each frame took there."""
    items: Cursor[Voice | Picture] = stream.subscribe(Voice, Picture)
    stream.start()
    running = asyncio.ensure_future(stream.run())
    running.add_done_callback(lambda _: stream.close())  # else an error would leave us waiting
    encode_s, spent_s = [], 0.0
    try:
        async for item in items:
            begin = time.monotonic()
            sink.write(item)
            spent_s += time.monotonic() - begin
            if isinstance(item, Picture):
                encode_s.append(spent_s)
                spent_s = 0.0
                bar.update()
    finally:
        stream.close()
        await running
    return encode_s


async def find_identity(avatar: str, config: ServerConfig) -> str:
    """The key of the features of an avatar by name, or of a photo (or video) by path, which are
    kept for the next time.

    Raises:
        VivavoceError: no such avatar or file, or no avatar can be made of it.
    """
    guest = _guest(Path(avatar), config.pipeline)
    if guest is not None:
        features = Features(config, Metrics(), _keep_no_record)
        try:
            return await features.ensure(guest, config.pipeline)
        finally:
            await features.close()
    library = AvatarLibrary(config, Metrics())
    try:
        return await library.prepare(library.get(avatar), config.pipeline)
    except UnknownAvatar as error:
        raise UnknownAvatar(_unknown(Path(avatar), error)) from error
    finally:
        await library.close()


async def _keep_no_record(avatar: Avatar, key: str) -> None:
    pass


def _guest(path: Path, pipeline: str) -> Avatar | None:
    """An avatar of the photo or video at `path`; None if there is no such file."""
    if not path.is_file():
        return None
    material = Material(photo=path)
    if "video" in find_system(pipeline).accepts:
        with path.open("rb") as file, suppress(AvatarRejected):
            sniff_video(file)
            material = Material(video=path)
    return Avatar(str(path), str(path), "upload", material)


def _unknown(path: Path, error: UnknownAvatar) -> str:
    """Someone who wrote a path wants to hear of the file, not of other avatars' names."""
    if path.is_dir():
        return f"--avatar {path} is a folder: give a photo in it, or the name of an avatar"
    if len(path.parts) > 1 or re.fullmatch(r"\.\w{2,5}", path.suffix):
        return f"--avatar {path}: no such file"
    return str(error)


def _quantiles_ms(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}
