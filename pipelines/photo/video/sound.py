"""The sound of a video, at the pipelines' rate and on its pictures' clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.container import LIMITS, first_time_s, opened
from pipelines.photo.video.sniff import VideoLimits
from pipelines.pipeline import SAMPLE_RATE_HZ

Sound = NDArray[np.float32]

AUDIO_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus", "vorbis"})
_SLACK_S = 0.02  # timestamps may be this far off: containers round them
_MOST_CHANNELS = 16
_MOST_FRAMES_A_SECOND = 1000  # Opus has 400
_AUDIBLE = 1e-3  # -60 dBFS
_AUDIBLE_SHARE = 0.02  # of the sound, in stretches of 20 ms


def read_sound(path: Path, limits: VideoLimits = LIMITS) -> Sound | None:
    """Decode the first sound track, float32 [S] at 16 kHz, channels averaged, in [-1, 1].

    Sample 0 is heard when the first picture is shown: what is earlier is left out, and silence
    stands where a track begins later or has gaps. Damaged stretches are silent too. None where
    there is no track.

    Raises:
        EnrolmentError: the file cannot be used.
    """
    origin_s = first_time_s(path, limits)
    with opened(path, limits) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        _check(stream)
        track = _Track(limits)
        for n, frame in enumerate(_frames(container, stream)):
            if track.full or n > limits.longest_s * _MOST_FRAMES_A_SECOND:
                break
            track.add(frame, (frame.time or 0.0) - origin_s if frame.pts is not None else None)
        return track.finish()


def fit(sound: Sound, samples: int) -> Sound:
    """The sound cut, or filled with silence, to so many samples."""
    return np.pad(sound[:samples], (0, max(0, samples - len(sound))))


def require_sound(sound: Sound | None) -> Sound:
    """The sound, for whoever cannot do without.

    Raises:
        EnrolmentError: there is none, or nothing is to be heard in it.
    """
    if sound is None:
        raise EnrolmentError(
            "no_sound",
            "The video has no sound, and how somebody speaks is learnt from both. Record it with "
            "the microphone on.",
        )
    stretch = SAMPLE_RATE_HZ // 50
    whole = sound[: len(sound) // stretch * stretch].reshape(-1, stretch)
    levels = np.sqrt(np.square(whole).mean(1))
    if len(levels) == 0 or float((levels > _AUDIBLE).mean()) < _AUDIBLE_SHARE:
        raise EnrolmentError(
            "no_sound",
            "The video's sound track is silent, and how somebody speaks is learnt from both. "
            "Record it with the microphone on.",
        )
    return sound


def _check(stream: AudioStream) -> None:
    name = stream.codec_context.name.removesuffix("float")
    if name not in AUDIO_CODECS and not name.startswith("pcm_"):
        raise EnrolmentError(
            "unsupported_type",
            f"The video's sound is coded as {name}, which is not accepted. Export it as MP4 with "
            "AAC.",
        )
    if stream.codec_context.channels > _MOST_CHANNELS:
        raise EnrolmentError("unsupported_type", "The video's sound has too many channels.")


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    for packet in container.demux(stream):
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            continue  # as if it had not been there: a gap


class _Track:
    """Puts decoded frames where their timestamps say."""

    def __init__(self, limits: VideoLimits) -> None:
        self._most = int(limits.longest_s * SAMPLE_RATE_HZ)
        self._held = np.zeros(SAMPLE_RATE_HZ, np.float32)
        self._end = 0  # of what is held
        self._next: int | None = None  # where the next sample of this stretch goes
        self._kind: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None
        self._heard = 0.0  # samples at our rate that went into the resampler
        self._put = 0  # and came out of it

    def add(self, frame: AudioFrame, time_s: float | None) -> None:
        """Take in what is heard from `time_s` on, or right after the last frame."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        at = self._next if time_s is None else round(time_s * SAMPLE_RATE_HZ)
        jumps = self._next is None or (
            at is not None and abs(at - self._next - self._delayed) > _SLACK_S * SAMPLE_RATE_HZ
        )
        if kind != self._kind or jumps:
            self._flush()
            self._kind = kind
            self._resampler = av.AudioResampler("fltp", None, SAMPLE_RATE_HZ)
            self._next, self._heard, self._put = at or 0, 0.0, 0
        assert self._resampler is not None
        self._heard += frame.samples * SAMPLE_RATE_HZ / frame.sample_rate
        frame.pts = None  # the resampler need not know
        for part in self._resampler.resample(frame):
            self._write(part)

    @property
    def full(self) -> bool:
        """Whether what comes next would be later than any picture may be."""
        return self._next is not None and self._next >= self._most

    def finish(self) -> Sound:
        """All of it."""
        self._flush()
        return self._held[: self._end].copy()

    @property
    def _delayed(self) -> float:
        return self._heard - self._put

    def _flush(self) -> None:
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                self._write(part)

    def _write(self, part: AudioFrame) -> None:
        new = np.clip(np.nan_to_num(part.to_ndarray()).mean(0), -1.0, 1.0)
        assert self._next is not None
        begin, end = self._next, min(self._next + len(new), self._most)
        self._next += len(new)
        self._put += len(new)
        early = max(0, -begin)
        begin += early
        if begin >= end:
            return
        if end > len(self._held):
            more = min(max(end, 2 * len(self._held)), self._most) - len(self._held)
            self._held = np.pad(self._held, (0, more))
        self._held[begin:end] = new[early : early + end - begin]
        self._end = max(self._end, end)
