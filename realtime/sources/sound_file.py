"""Sound files of any kind, decoded to 48 kHz past damaged stretches. Knows no hops and no model."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ

_OF_THE_FILE = frozenset({errno.ENOENT, errno.EACCES, errno.EISDIR, errno.EMFILE})
"""Everything else that FFmpeg says is of what the file holds, in numbers and words of its own."""
_LISTS = frozenset({"concat", "dash", "hls", "sdp"})
GAP_S = 0.005
"""Timestamps may be this far off: containers round them."""
LONGEST_GAP_S = 60.0
"""A gap that seems longer is a damaged timestamp."""
SHORTFALL_S = 0.5
"""A file that ends this much before the length it states was cut off."""


@dataclass
class Damage:
    """What was found damaged while decoding."""

    stretches: int = 0
    silence_s: float = 0.0
    """Length of the silence that stands for them, as far as their timestamps tell it."""
    missing_s: float = 0.0
    """How much earlier the file ends than it says."""

    def describe(self) -> list[str]:
        """A sentence for each thing that a user should know."""
        said = []
        if self.stretches:
            many = "one stretch" if self.stretches == 1 else f"{self.stretches} stretches"
            said.append(
                f"{many} of the sound could not be decoded and became {self.silence_s:.2f} s "
                "of silence"
            )
        if self.missing_s:
            said.append(f"the file is cut off {self.missing_s:.1f} s before the end that it states")
        return said


def decode(path: Path, damage: Damage) -> Iterator[NDArray[np.int16]]:
    """Decode a sound file to chunks of any length, int16 [n, C] at 48 kHz, C = 1 or 2.

    What cannot be decoded is left out, and silence put where timestamps show a gap; `damage`
    counts both.

    Raises:
        ValueError: it cannot be read, or holds no sound; the message says what to do.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): record or export it again")
    try:
        with av.open(str(path)) as container:
            if container.format.name in _LISTS:
                raise ValueError(f"{path} names other files: give the sound itself")
            if not container.streams.audio:
                raise ValueError(f"{path} holds no sound: give a file with an audio track")
            if container.streams.audio[0].codec_context is None:  # whatever its stub may say
                raise ValueError(unreadable(path))
            yield from _Decoder(container, damage)
    except (OSError, av.FFmpegError) as error:
        if error.errno in _OF_THE_FILE:
            raise ValueError(f"cannot read {path}: {error.strerror}") from error
        raise ValueError(unreadable(path)) from error


def unreadable(path: Path) -> str:
    """What to say of a file that nothing can be decoded from."""
    return (
        f"{path} cannot be read: it is no sound file, or it is damaged or cut off; give a WAV, "
        "FLAC, MP3, M4A or Ogg file, or export or download this one again"
    )


def _seconds(timed: AudioFrame | av.Packet[AudioStream]) -> float | None:
    """When it is to be heard, in seconds; None where its container does not say."""
    if timed.pts is None or timed.time_base is None:
        return None
    return float(timed.pts * timed.time_base)


class _Decoder:
    """Iterates over the chunks of the first audio stream of a container."""

    def __init__(self, container: av.container.InputContainer, damage: Damage) -> None:
        self._container = container
        self._stream = container.streams.audio[0]
        self._damage = damage
        self._layout = "mono" if self._stream.codec_context.channels == 1 else "stereo"
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._end_s: float | None = None  # where the next frame should start
        self._broken = False  # what came last could not be decoded

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        for packet in self._packets():
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self._note(packet)
                continue
            for frame in frames:
                yield from self._place(frame)
        yield from self._flush()
        self._note_end()

    def _packets(self) -> Iterator[av.Packet[AudioStream]]:
        """Up to the end, or to where the container itself cannot be followed any more."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self._note(None)
                return
            if packet is None:
                return
            yield packet

    def _note(self, packet: av.Packet[AudioStream] | None) -> None:
        if not self._broken:
            self._damage.stretches += 1
        self._broken = True
        if packet is not None and self._end_s is None:
            self._end_s = _seconds(packet)

    def _place(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        """The frame's sound, after silence for what is missing before it."""
        start_s = _seconds(frame)
        start_s = self._end_s if start_s is None else start_s
        if start_s is not None and self._end_s is not None and start_s - self._end_s > GAP_S:
            if not self._broken:
                self._damage.stretches += 1
            yield from self._silence(start_s - self._end_s)
        self._broken = False
        self._end_s = (start_s or 0.0) + frame.samples / frame.sample_rate
        yield from self._resample(frame)

    def _silence(self, seconds: float) -> Iterator[NDArray[np.int16]]:
        if seconds <= LONGEST_GAP_S:
            self._damage.silence_s += seconds
            channels = 1 if self._layout == "mono" else 2
            yield np.zeros((round(seconds * VOICE_RATE_HZ), channels), np.int16)

    def _resample(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:  # at the start; later where a file is damaged or was joined
            yield from self._flush()
            self._kind = kind
            self._resampler = av.AudioResampler("s16", self._layout, VOICE_RATE_HZ)
        assert self._resampler is not None
        for part in self._resampler.resample(frame):
            yield self._samples(part)

    def _flush(self) -> Iterator[NDArray[np.int16]]:
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                yield self._samples(part)

    def _samples(self, part: AudioFrame) -> NDArray[np.int16]:
        channels = 1 if self._layout == "mono" else 2
        return part.to_ndarray().reshape(-1, channels).astype(np.int16, copy=False)

    def _note_end(self) -> None:
        guessed = self._container.format.name == "aac"  # from its bit rate: it states no length
        if self._container.duration is None or self._end_s is None or guessed:
            return
        missing = self._container.duration / av.time_base - self._end_s
        if missing > SHORTFALL_S:
            self._damage.missing_s = missing
