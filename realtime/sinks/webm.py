"""A stream as WebM (RFC 9559): VP8 and Opus as the shared encoders made them, encoded once.

What is sent cannot be changed any more, so it begins with a front that knows no duration; `front`
in the end is another one that does, has an index, and belongs in the place of the first.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiortc.codecs import CODECS, depayload

from realtime.media import FPS, PACKET_SAMPLES, SAMPLE_RATE_HZ, VOICE_RATE_HZ, Size
from realtime.sinks.mp4 import MARK
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sinks.webrtc.viewer import Encoded

_VP8 = next(codec for codec in CODECS["video"] if codec.name == "VP8")
_OPUS = next(codec for codec in CODECS["audio"] if codec.name == "opus")
_VIDEO, _AUDIO = 1, 2  # numbers of the tracks, and their types
_CLUSTER_MS = 1000
"""So much comes at once, and is lost at the most where the connection breaks."""
_JUMP_MS = 10_000
"""From key frame to key frame: whoever jumps decodes so much at the most."""
_BEHIND_S = 10
"""Whoever takes the recording may be so far behind; then pictures are missing in it."""
_PICTURE_MS, _PACKET_MS = 1000 // FPS, 1000 * PACKET_SAMPLES // SAMPLE_RATE_HZ

_SEGMENT, _INFO, _TRACKS, _TAGS, _CUES = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1C53BB6B
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
_UNKNOWN = b"\x01" + b"\xff" * 7  # length of a segment that is still being written


def _element(id: int, *parts: bytes) -> bytes:
    """Its length always takes eight bytes: what comes after lies where it lies whatever it is."""
    body = b"".join(parts)
    return _named(id) + (len(body) | 1 << 56).to_bytes(8) + body


def _named(id: int) -> bytes:
    return id.to_bytes((id.bit_length() + 7) // 8)


def _uint(id: int, value: int) -> bytes:
    return _element(id, value.to_bytes(8))


_EBML = _element(
    0x1A45DFA3,
    _uint(0x4286, 1),
    _uint(0x42F7, 1),
    _uint(0x42F2, 4),  # the longest ids and lengths
    _uint(0x42F3, 8),
    _element(0x4282, b"webm"),
    _uint(0x4287, 4),
    _uint(0x4285, 2),  # who knows simple blocks can read it
)


@dataclass(frozen=True)
class _Key:
    """A key frame, and its cluster's place behind the front."""

    time_ms: int
    place: int


class WebmWriter:
    """Blocks in, pieces of a file out.

    Args:
        size: of the first picture; later ones may have others.
    """

    def __init__(self, size: Size) -> None:
        self._tracks = _element(
            _TRACKS,
            _track(_VIDEO, b"V_VP8", _element(0xE0, _uint(0xB0, size[0]), _uint(0xBA, size[1]))),
            _track(
                _AUDIO,
                b"A_OPUS",
                _element(0xE1, _element(0xB5, struct.pack(">d", VOICE_RATE_HZ)), _uint(0x9F, 1)),
                # OpusHead (RFC 7845, 5.1) that skips nothing: times are those of the sound
                _element(
                    0x63A2, struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, VOICE_RATE_HZ, 0, 0)
                ),
            ),
        )
        comment = _element(0x45A3, b"COMMENT"), _element(0x4487, MARK.encode())
        tag = _element(0x7373, _element(0x63C0), _element(0x67C8, *comment))
        self._tags = _element(_TAGS, tag)
        self._blocks: list[bytes] = []  # of the cluster that is open
        self._start_ms = 0  # its time
        self._written = 0  # bytes of those before it
        self._keys: list[_Key] = []
        self._end_ms = 0
        self.first_front = _EBML + _named(_SEGMENT) + _UNKNOWN + self._head()
        """What the file begins with while it is written."""

    def picture(self, time_ms: int, data: bytes, *, keyframe: bool) -> bytes:
        """Add a VP8 frame -> what is to be sent now, perhaps nothing."""
        done = self.flush() if keyframe else b""
        done += self._add(_VIDEO, time_ms, data, keyframe, _PICTURE_MS)
        if keyframe:
            self._keys.append(_Key(time_ms, self._written))
        return done

    def voice(self, time_ms: int, data: bytes) -> bytes:
        """Add an Opus packet -> what is to be sent now, perhaps nothing."""
        return self._add(_AUDIO, time_ms, data, True, _PACKET_MS)

    def _add(self, track: int, time_ms: int, data: bytes, key: bool, lasts_ms: int) -> bytes:
        done = self.flush() if time_ms - self._start_ms >= _CLUSTER_MS else b""
        if not self._blocks:
            self._start_ms = time_ms
        head = struct.pack(">BhB", 0x80 | track, time_ms - self._start_ms, 0x80 if key else 0)
        self._blocks.append(_element(_SIMPLE_BLOCK, head, data))
        self._end_ms = max(self._end_ms, time_ms + lasts_ms)
        return done

    def flush(self) -> bytes:
        """What was added and not sent."""
        if not self._blocks:
            return b""
        cluster = _element(_CLUSTER, _uint(_TIMESTAMP, self._start_ms), *self._blocks)
        self._blocks = []
        self._written += len(cluster)
        return cluster

    def front(self) -> bytes:
        """For the file that is whole: its duration, and where its key frames are."""
        head = self._head(_element(0x4489, struct.pack(">d", self._end_ms)))
        at = len(head) + len(self._cues(0))
        head += self._cues(at)
        return _EBML + _named(_SEGMENT) + (len(head) + self._written | 1 << 56).to_bytes(8) + head

    def _head(self, *more: bytes) -> bytes:
        app = _element(0x4D80, b"vivavoce"), _element(0x5741, b"vivavoce")
        scale = _uint(0x2AD7B1, 1_000_000)  # ns: times are in milliseconds
        return _element(_INFO, scale, *app, *more) + self._tracks + self._tags

    def _cues(self, at: int) -> bytes:
        points = []
        for key in self._keys:
            position = _element(0xB7, _uint(0xF7, _VIDEO), _uint(0xF1, at + key.place))
            points.append(_element(0xBB, _uint(0xB3, key.time_ms), position))
        return _element(_CUES, *points)


def _track(number: int, codec: bytes, *more: bytes) -> bytes:
    return _element(
        0xAE,
        _uint(0xD7, number),
        _uint(0x73C5, number),
        _uint(0x83, number),  # video is type 1 and audio 2, as we number them
        _element(0x86, codec),
        *more,
    )


class Recording:
    """One more viewer of a stream, who makes a WebM of it.

    Args:
        send: takes the file piece by piece; the stream goes on however slow it is.
    """

    def __init__(self, encodings: Encodings, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._video = encodings.video(_VP8, depth=_BEHIND_S * FPS)
        self._voice = encodings.voice(_OPUS, depth=_BEHIND_S * 1000 // _PACKET_MS)
        self._send = send
        self._sending = asyncio.Lock()
        self._writer: WebmWriter | None = None
        self._origin_ms = 0  # of the first picture
        self._jump_ms = 0  # when a key frame is due

    async def run(self) -> WebmWriter | None:
        """Record until the stream ends or `stop`; what wrote the file, None without a picture."""
        try:
            await asyncio.gather(self._take_pictures(), self._take_voice())
            if self._writer is not None:
                await self._pass(self._writer.flush())
            return self._writer
        finally:
            self._video.close()
            self._voice.close()

    def stop(self) -> None:
        """What comes from now on is not recorded."""
        self._video.end()
        self._voice.end()

    async def _take_pictures(self) -> None:
        async for encoded in self._video:
            data = b"".join(depayload(_VP8, payload) for payload in encoded.payloads)
            async with self._sending:
                if self._writer is None:  # the first is a key frame
                    self._writer = self._begin(encoded, data)
                    await self._send(self._writer.first_front)
                time_ms = round(encoded.time * 1000 / self._video.rate) - self._origin_ms
                if encoded.keyframe:
                    self._jump_ms = time_ms + _JUMP_MS
                elif time_ms >= self._jump_ms:
                    self._jump_ms = time_ms + _JUMP_MS
                    self._video.request_keyframe()
                await self._pass(self._writer.picture(time_ms, data, keyframe=encoded.keyframe))

    async def _take_voice(self) -> None:
        async for encoded in self._voice:
            async with self._sending:
                time_ms = round(encoded.time * 1000 / self._voice.rate) - self._origin_ms
                if self._writer is not None and time_ms >= 0:
                    await self._pass(self._writer.voice(time_ms, b"".join(encoded.payloads)))

    def _begin(self, encoded: Encoded, data: bytes) -> WebmWriter:
        width, height = struct.unpack_from("<HH", data, 6)  # RFC 6386, 9.1: of a key frame
        self._origin_ms = round(encoded.time * 1000 / self._video.rate)
        return WebmWriter((width & 0x3FFF, height & 0x3FFF))

    async def _pass(self, piece: bytes) -> None:
        if piece:
            await self._send(piece)
