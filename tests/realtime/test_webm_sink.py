"""The WebM of a stream on a clock turned by hand: what lies in it when."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Future

import av
import numpy as np
import pytest
from aiortc.codecs import CODECS

from realtime.avatar_stream import AvatarStream
from realtime.media import Hop
from realtime.sinks.webm import Recording
from realtime.sinks.webrtc.encodings import Encodings
from tests.support.fakes import ManualClock, settle
from tests.support.streams import FakeHandle, NumberedSource, grey

VP8 = CODECS["video"][0]
FROM, TO = 50, 60
"""Frames that are large and bright, and hops that are heard."""


class Flash(NumberedSource):
    def hop(self, n: int, now: float) -> Hop:
        hop = super().hop(n, now)
        tone = 12_000 * np.sin(2 * np.pi * 500 * np.arange(len(hop.voice)) / 48_000)
        hop.voice[:] = tone if FROM <= n < TO else 0
        return hop


def draw(n: int) -> av.VideoFrame:
    large = FROM <= n < TO  # as when there is time for more
    return grey(200 if large else 30, (128, 128) if large else (64, 64))


class SameThread:
    """An executor on which nothing waits."""

    def submit(self, work: Callable[..., object], *args: object) -> Future[object]:
        future: Future[object] = Future()
        future.set_result(work(*args))
        return future


async def recorded(seconds: float) -> bytes:
    """So much of a stream, as a file."""
    clock = ManualClock()
    stream = AvatarStream(Flash(), FakeHandle(clock, look_ahead=0, draw=draw), clock)
    pieces: list[bytes] = []

    async def send(piece: bytes) -> None:
        pieces.append(piece)

    encodings = Encodings(stream, executor=SameThread())  # type: ignore[arg-type]
    recording = Recording(encodings, send)
    stream.start()
    tasks = [asyncio.create_task(stream.run()), asyncio.create_task(recording.run())]
    await clock.advance(seconds)
    recording.stop()
    writer = await tasks[1]
    stream.close()
    await tasks[0]
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert writer is not None
    return writer.front() + b"".join(pieces[1:])


async def test_picture_and_voice_of_one_media_time_lie_at_one_time_in_the_file() -> None:
    file = await recorded(4.0)
    with av.open(io.BytesIO(file)) as container:
        bright = [p.time for p in container.decode(video=0) if p.width == 128]
        bright = bright[: TO - FROM]
    with av.open(io.BytesIO(file)) as container:
        sounds = [(s.time, s.to_ndarray()[0]) for s in container.decode(audio=0)]
    begin = sounds[0][0]
    sound = np.concatenate([samples for _, samples in sounds])
    loud_s = begin + np.flatnonzero(np.abs(sound) > 0.2)[[0, -1]] / 48_000
    assert bright == pytest.approx([bright[0] + 0.04 * n for n in range(TO - FROM)])
    assert loud_s == pytest.approx([bright[0], bright[-1] + 0.04], abs=0.005)


async def test_one_can_jump_every_ten_seconds_however_few_key_frames_others_want() -> None:
    file = await recorded(25.0)
    with av.open(io.BytesIO(file)) as container:
        entries = container.streams.video[0].index_entries
        listed = [entry.timestamp / 1000 for entry in entries]
    with av.open(io.BytesIO(file)) as container:
        times = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.size]
    keys = [time / 1000 for time, is_key in times if is_key]
    assert listed == keys
    assert max(np.diff([*keys, times[-1][0] / 1000])) < 10.1
    assert len(keys) < 8  # each takes bits from all who watch


async def test_who_does_not_take_it_holds_nobody_up_and_fills_no_memory() -> None:
    clock = ManualClock()
    stream = AvatarStream(Flash(), FakeHandle(clock, look_ahead=0, draw=draw), clock)

    async def send(piece: bytes) -> None:
        await asyncio.Event().wait()

    encodings = Encodings(stream, executor=SameThread())  # type: ignore[arg-type]
    stuck = asyncio.create_task(Recording(encodings, send).run())
    watching = encodings.video(VP8)
    stream.start()
    playing = asyncio.create_task(stream.run())
    seen = 0
    for _ in range(300):
        await clock.advance(0.1)
        seen += len(list(iter(watching.pop, None)))
    assert seen > 700
    [encoding] = encodings._video.values()
    assert max(len(viewer) for viewer in encoding.viewers) <= 250
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert encoding.viewers == [watching]
    watching.close()
    stream.close()
    await playing
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
