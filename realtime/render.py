"""`vivavoce render`: a sound file to a talking MP4 through exactly the streaming code.

The sound goes through the same decimator, voice detector and pipeline as a microphone's, hop by
hop, with no more look-ahead than a live session has, as fast as the machine goes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.audio.vad import VoiceActivity
from pipelines.avatar import AvatarPipeline
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.parts import parts_of
from pipelines.photo.decode import MAX_BYTES
from pipelines.photo.errors import EnrolmentError
from pipelines.presets import FPS, HOP_SAMPLES, PRESETS, Preset
from realtime.avatars import AvatarLibrary
from realtime.errors import VivavoceError
from realtime.metrics import Metrics
from realtime.sources.resample import FACTOR, WEBRTC_RATE_HZ, Decimator

HOP_48K = HOP_SAMPLES * FACTOR


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


def hops(chunks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """Cut a stream of int16 chunks (48 kHz mono, any lengths) into hops of 40 ms.

    The last hop is filled up with silence.
    """
    held: NDArray[np.int16] = np.zeros(0, np.int16)
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= HOP_48K:
            yield held[:HOP_48K]
            held = held[HOP_48K:]
    if len(held):
        yield np.concatenate([held, np.zeros(HOP_48K - len(held), np.int16)])


def frames(
    chunks: Iterable[NDArray[np.int16]], pipeline: AvatarPipeline, step_s: list[float]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int16]]]:
    """Run slot 0 of `pipeline` over a sound; the slot must have an identity.

    Args:
        chunks: int16 sound, 48 kHz mono, cut anyhow: the cuts do not change the result.
        pipeline: fresh, or reset.
        step_s: the wall time of each step is appended here.

    Yields:
        I420 planes uint8 [size * 3 // 2, size] and the voice int16 [1920] of the same 40 ms.
    """
    delay = pipeline.look_ahead // HOP_SAMPLES
    active = torch.zeros(pipeline.slots, dtype=torch.bool)
    active[0] = True
    samples = torch.zeros(pipeline.slots, HOP_SAMPLES)
    speech = torch.zeros(pipeline.slots, dtype=torch.bool)
    decimate, vad = Decimator(), VoiceActivity()
    waiting: deque[NDArray[np.int16]] = deque()
    # Silence after the end draws the frames that the look-ahead holds back.
    tail = [np.zeros(HOP_48K, np.int16)] * delay
    for n, voice in enumerate(chain(hops(chunks), tail)):
        begin = time.monotonic()
        waiting.append(voice)
        hop = decimate(voice)
        vad(hop)
        samples[0], speech[0] = torch.from_numpy(hop), vad.speech
        draw = n >= delay
        result = pipeline.step(samples, speech, active, active & draw)
        step_s.append(time.monotonic() - begin)
        if draw:
            yield result.frames[0].cpu().numpy(), waiting.popleft()


def read_sound(path: Path) -> Iterator[NDArray[np.int16]]:
    """Decode any sound file to int16 chunks at 48 kHz mono.

    Raises:
        ValueError: the file cannot be read, or holds no sound.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} holds no sound")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=WEBRTC_RATE_HZ)
            for decoded in container.decode(container.streams.audio[0]):
                for part in resampler.resample(decoded):
                    yield part.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            for part in resampler.resample(None):
                yield part.to_ndarray().reshape(-1).astype(np.int16, copy=False)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot read the sound {path}: {error}") from error


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
    except (EnrolmentError, VivavoceError) as error:
        raise ValueError(str(error)) from error


async def _load_named(job: RenderJob) -> IdentityFeatures:
    library = AvatarLibrary(job.data_dir, job.cast_dir, 1, Metrics(), job.preset)
    try:
        return IdentityStore(library.identities).load(await library.ensure(library.get(job.avatar)))
    finally:
        await library.close()


class Mp4Writer:
    """H.264 and AAC into an MP4, marked as generated."""

    def __init__(self, path: Path, size: int) -> None:
        try:
            self._container = av.open(str(path), "w", format="mp4")
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"cannot write {path}: {error}") from error
        self._container.metadata["comment"] = "AI-generated video of a synthetic avatar (vivavoce)"
        self._video = self._container.add_stream(
            "libx264", rate=FPS, options={"preset": "veryfast", "crf": "20", "threads": "1"}
        )
        self._video.width = self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._audio = self._container.add_stream("aac", rate=WEBRTC_RATE_HZ, layout="mono")
        self._n = 0

    def write(self, planes: NDArray[np.uint8], voice: NDArray[np.int16]) -> None:
        """Add one frame and its 40 ms of sound."""
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts, picture.time_base = self._n, Fraction(1, FPS)
        sound = av.AudioFrame.from_ndarray(voice.reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate = WEBRTC_RATE_HZ
        sound.pts, sound.time_base = self._n * HOP_48K, Fraction(1, WEBRTC_RATE_HZ)
        self._container.mux(self._video.encode(picture))
        self._container.mux(self._audio.encode(sound))
        self._n += 1

    def close(self) -> None:
        """Flush the encoders and finish the file."""
        if self._n:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()


def render(job: RenderJob, progress: bool = False) -> RenderSummary:
    """Render a sound file to an MP4.

    Raises:
        ValueError: anything wrong with the job's files or values, with the reason.
    """
    if not job.audio.is_file():
        raise ValueError(f"no such file: {job.audio}")
    if not job.out.parent.is_dir():
        raise ValueError(f"no such folder: {job.out.parent}")
    torch.set_num_threads(1)
    identity = load_identity(job)
    pipeline = AvatarPipeline(job.preset, slots=1, size=job.size, seed=job.seed)
    pipeline.set_identity(0, identity)
    total = sum(len(chunk) for chunk in read_sound(job.audio))
    if total == 0:
        raise ValueError(f"{job.audio} holds no sound")
    step_s: list[float] = []
    encode_s: list[float] = []
    begin = time.monotonic()
    writer = Mp4Writer(job.out, job.size)
    try:
        with tqdm(total=-(-total // HOP_48K), unit="frame", disable=not progress) as bar:
            for planes, voice in frames(read_sound(job.audio), pipeline, step_s):
                before = time.monotonic()
                writer.write(planes, voice)
                encode_s.append(time.monotonic() - before)
                bar.update()
    finally:
        writer.close()
    wall_s = time.monotonic() - begin
    media_s = len(encode_s) / FPS
    summary = RenderSummary(
        frames=len(encode_s),
        media_s=media_s,
        wall_s=round(wall_s, 3),
        real_time_factor=round(wall_s / media_s, 4),
        look_ahead_ms=pipeline.look_ahead / 16,
        step_ms=_quantiles_ms(step_s),
        encode_ms=_quantiles_ms(encode_s),
    )
    if job.stats is not None:
        job.stats.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    return summary


def _quantiles_ms(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}
