"""Encoding once for all who watch: who gets what, and who decides about key frames and bitrate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import av
import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from realtime.avatar_stream import AvatarStream
from realtime.sinks.webrtc import encodings as module
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sinks.webrtc.pictures import VideoViewer
from realtime.sinks.webrtc.viewer import Encoded, Viewer
from tests.support.fakes import ManualClock, settle
from tests.support.streams import FakeHandle, NumberedSource, grey

VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=96)
H264 = RTCRtpCodecParameters(mimeType="video/H264", clockRate=90_000, payloadType=102)
OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, payloadType=111)


class NotedEncoder:
    """A `VideoEncoder` that notes what it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.keyframes: list[int] = []
        self.target_bps = 0

    def encode(self, frame: av.VideoFrame, *, pts: int, keyframe: bool) -> tuple[list[bytes], bool]:
        self.target_bps = self.target_bps or 500_000
        self.times.append(pts)
        self.sizes.append((frame.width, frame.height))
        if keyframe:
            self.keyframes.append(len(self.times) - 1)
        return [b"key" if keyframe else b"delta"], keyframe

    def set_target(self, bps: int) -> None:
        self.target_bps = bps


class Rig:
    """A stream, its encodings, and the encoders that they made."""

    def __init__(self, draw: Callable[[int], av.VideoFrame | None] | None = None) -> None:
        self.clock = ManualClock()
        self.source = NumberedSource()
        self.handle = FakeHandle(self.clock, look_ahead=0, draw=draw)
        self.stream = AvatarStream(self.source, self.handle, self.clock)
        self.encodings = Encodings(self.stream, executor=SameThread())  # type: ignore[arg-type]
        self.encoders: list[NotedEncoder] = []


class SameThread:
    """An executor on which nothing waits."""

    def submit(self, work: Callable[..., object], *args: object) -> object:
        import concurrent.futures

        future: concurrent.futures.Future[object] = concurrent.futures.Future()
        future.set_result(work(*args))
        return future


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[int], av.VideoFrame | None] | None = None
) -> AsyncIterator[Rig]:
    rig = Rig(draw)

    def make(codec: RTCRtpCodecParameters, bitrate: object) -> NotedEncoder:
        rig.encoders.append(NotedEncoder(codec.name))
        return rig.encoders[-1]

    monkeypatch.setattr(module, "video_encoder", make)
    rig.stream.start()
    task = asyncio.create_task(rig.stream.run())
    try:
        yield rig
    finally:
        rig.stream.close()
        await task
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


def taken(viewer: Viewer) -> list[Encoded]:
    return list(iter(viewer.pop, None))  # type: ignore[arg-type]


async def test_each_frame_is_encoded_once_however_many_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        viewers = [rig.encodings.video(VP8) for _ in range(5)]
        other = rig.encodings.video(H264)
        listeners = [rig.encodings.voice(OPUS) for _ in range(3)]
        await rig.clock.advance(0.4)
        assert [encoder.name for encoder in rig.encoders] == ["VP8", "H264"]
        count = len(rig.encoders[0].times)
        assert rig.encoders[0].times == [n * 3_600 for n in range(count)]
        assert rig.encoders[1].times == rig.encoders[0].times
        got = [taken(viewer) for viewer in [*viewers, other]]
        assert [len(frames) for frames in got] == [count] * 6
        assert all(a is b for a, b in zip(got[0], got[4], strict=True))
        heard = [taken(listener) for listener in listeners]
        assert heard[0] == heard[1] == heard[2]
        assert [e.time for e in heard[0][:3]] == [-312, 648, 1_608]


@pytest.mark.parametrize("seed", range(3))
async def test_viewers_come_and_go_and_each_can_decode_all_it_gets(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    async with running(monkeypatch) as rig:
        constant = rig.encodings.video(VP8)
        watched: list[int] = []
        present: list[tuple[VideoViewer, list[Encoded]]] = []
        for _ in range(200):
            if rng.random() < 0.2:
                present.append((rig.encodings.video(rng.choice((VP8, H264))), []))
            if present and rng.random() < 0.2:
                viewer, _ = present.pop(rng.randrange(len(present)))
                viewer.close()
            await rig.clock.advance(rng.uniform(0, 0.1))
            watched += [encoded.time for encoded in taken(constant)]
            for viewer, frames in present:
                frames += taken(viewer)
                assert not frames or frames[0].keyframe
                assert all(b.time - a.time == 3_600 for a, b in pairwise(frames))
        assert watched == [n * 3_600 for n in range(len(watched))]
        vp8 = [encoder for encoder in rig.encoders if encoder.name == "VP8"]
        assert len(vp8) == 1
        assert vp8[0].times == watched


async def test_a_viewer_that_joins_gets_a_key_frame_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        first = rig.encodings.video(VP8)
        for _ in range(10):
            await rig.clock.advance(0.1)
            taken(first)
        second = rig.encodings.video(VP8)
        third = rig.encodings.video(VP8)
        await rig.clock.advance(0.04)
        assert [e.payloads for e in taken(second)] == [[b"key"]]
        assert [e.payloads for e in taken(third)] == [[b"key"]]
        encoder = rig.encoders[0]
        assert len(encoder.keyframes) == 2
        first.request_keyframe()
        second.request_keyframe()
        await rig.clock.advance(0.12)
        assert len(encoder.keyframes) == 3


async def test_a_viewer_too_slow_skips_to_the_next_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        quick, slow = rig.encodings.video(VP8), rig.encodings.video(VP8)
        taken_by_quick: list[Encoded] = []
        for _ in range(40):
            await rig.clock.advance(0.04)
            taken_by_quick += taken(quick)
        encoder = rig.encoders[0]
        assert len(encoder.keyframes) == 1  # nobody pays for a reader that is away
        missed = slow.dropped
        assert missed > 20
        late = taken(slow)
        assert late == []
        for _ in range(5):
            await rig.clock.advance(0.04)
            taken_by_quick += taken(quick)
        late = taken(slow)
        assert [encoded.keyframe for encoded in late] == [True, False, False, False, False]
        assert len(encoder.keyframes) == 2
        times = [encoded.time for encoded in taken_by_quick]
        assert times == [n * 3_600 for n in range(len(times))]


async def test_the_bitrate_is_what_the_best_link_can_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        good, bad = rig.encodings.video(VP8), rig.encodings.video(VP8)
        bad.received_estimate(100_000, rig.clock.now())  # before there is a frame to judge by
        await rig.clock.advance(0.2)
        encoder = rig.encoders[0]
        good.received_estimate(900_000, rig.clock.now())
        bad.received_estimate(400_000, rig.clock.now())
        assert encoder.target_bps == good.target_bps == 900_000
        good.received_estimate(350_000, rig.clock.now())
        assert encoder.target_bps == 400_000
        good.close()
        for _ in range(3):
            bad.received_report(0.5, 0.3, rig.clock.now())
            await rig.clock.advance(1.1)
        assert encoder.target_bps < 200_000


async def test_one_slow_viewer_gets_less_and_lowers_nobody_elses_quality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        viewers = [rig.encodings.video(VP8) for _ in range(4)]
        good, slow = viewers[0], viewers[-1]
        frames: list[list[Encoded]] = [[] for _ in viewers]

        async def report(seconds: float, bps: int) -> None:
            """As many seconds as that go by; the slow one can take `bps`, the others a lot."""
            for _ in range(round(seconds / 0.04)):
                await rig.clock.advance(0.04)
                for viewer, got in zip(viewers, frames, strict=True):
                    got += taken(viewer)
                    take = bps if viewer is slow else 900_000
                    viewer.received_estimate(take, rig.clock.now())
                    loss = 0.3 if take < 400_000 else 0.0
                    viewer.received_report(loss, 0.05, rig.clock.now())

        await report(1.0, 150_000)
        assert len(rig.encoders) == 1  # a moment changes nothing
        await report(4.0, 150_000)
        full, reduced = rig.encoders
        assert full.target_bps == good.target_bps == 900_000
        assert reduced.target_bps == slow.target_bps < 200_000
        assert len(full.keyframes) == 1  # nor did the move cost the others one
        other = rig.encodings.video(VP8)  # who joins joins the others
        assert other.target_bps == 900_000
        other.close()
        await report(12.0, 900_000)  # its link has recovered
        assert slow.target_bps == 900_000
        before = len(reduced.times)
        await report(0.4, 900_000)
        assert len(reduced.times) == before  # and is not encoded for any more
        assert len(rig.encoders) == 2
        for got in frames:
            assert got[0].keyframe
            assert len(got) == len(frames[0])
            assert all(b.time - a.time == 3_600 for a, b in pairwise(got))


async def test_estimates_alone_part_nobody_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They rise with what is sent, and late where the viewer is new; some players send none."""
    async with running(monkeypatch) as rig:
        takes = 1_100_000, 600_000, 150_000, None
        viewers = [rig.encodings.video(VP8) for _ in takes]
        for _ in range(500):
            await rig.clock.advance(0.04)
            for viewer, bps in zip(viewers, takes, strict=True):
                taken(viewer)
                viewer.received_report(0.0, 0.005, rig.clock.now())
                if bps is not None:
                    viewer.received_estimate(bps, rig.clock.now())
        [encoder] = rig.encoders
        assert encoder.target_bps == 1_100_000
        assert len(encoder.keyframes) == 1
        silent = viewers[-1]
        for _ in range(100):
            await rig.clock.advance(0.04)
            silent.received_report(0.0, 0.3, rig.clock.now())  # a queue
        assert len(rig.encoders) == 2
        assert silent.target_bps < viewers[0].target_bps == 1_100_000


async def test_who_is_left_with_the_reduced_encoding_has_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as rig:
        good, slow = rig.encodings.video(VP8), rig.encodings.video(VP8)
        for _ in range(100):
            await rig.clock.advance(0.04)
            good.received_estimate(900_000, rig.clock.now())
            slow.received_estimate(100_000, rig.clock.now())
            slow.received_report(0.3, 0.05, rig.clock.now())
        good.close()
        again = rig.encodings.video(VP8)
        await rig.clock.advance(0.1)
        assert len(rig.encoders) == 2
        again.received_estimate(800_000, rig.clock.now())
        assert slow.target_bps == again.target_bps == 800_000


async def test_requests_for_key_frames_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs everybody bits: there are a few at once, and then one a second."""
    async with running(monkeypatch) as rig:
        viewers = [rig.encodings.video(VP8) for _ in range(20)]
        for _ in range(250):
            await rig.clock.advance(0.04)
            for viewer in viewers:
                viewer.request_keyframe()
                taken(viewer)
        [encoder] = rig.encoders
        assert 10 <= len(encoder.keyframes) <= 13


async def test_who_asks_again_and_again_pays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as rig:
        quiet, lossy = rig.encodings.video(VP8), rig.encodings.video(VP8)
        for n in range(500):
            await rig.clock.advance(0.04)
            for viewer in (quiet, lossy):
                taken(viewer)
                viewer.received_report(0.01, 0.05, rig.clock.now())
            if n % 25 == 24:
                lossy.request_keyframe()
        full, reduced = rig.encoders
        assert len(full.keyframes) <= 6
        assert len(reduced.keyframes) > 12


async def test_encoders_end_with_their_last_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as rig:
        viewer, listener = rig.encodings.video(VP8), rig.encodings.voice(OPUS)
        await rig.clock.advance(0.3)
        viewer.close()
        viewer.close()
        listener.close()
        count = len(rig.encoders[0].times)
        await rig.clock.advance(0.3)
        assert len(rig.encoders[0].times) == count
        again = rig.encodings.video(VP8)
        await rig.clock.advance(0.1)
        assert len(rig.encoders) == 2
        assert taken(again)[0].keyframe


async def test_the_end_of_the_stream_reaches_every_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as rig:
        viewers = [rig.encodings.video(VP8), rig.encodings.voice(OPUS)]
        await rig.clock.advance(0.2)
        rig.stream.close()
        for viewer in viewers:
            assert [encoded async for encoded in viewer]


async def test_two_codecs_share_a_picture_and_keep_their_key_frames() -> None:
    """Real encoders on threads, over and over the same repeated picture."""
    clock = ManualClock()
    handle = FakeHandle(clock, look_ahead=0, draw=lambda n: grey(n) if n == 0 else None)
    stream = AvatarStream(NumberedSource(), handle, clock)
    encodings = Encodings(stream)
    viewers = [encodings.video(VP8), encodings.video(H264)]
    stream.start()
    task = asyncio.create_task(stream.run())
    keyframes: list[list[int]] = [[], []]
    await clock.advance(stream.playout.delay_s - 0.04)
    for n in range(40):
        if n % 7 == 6:
            viewers[n % 2].request_keyframe()
        await clock.advance(0.04)  # one picture more, which both have before the next
        for viewer, found in zip(viewers, keyframes, strict=True):
            async with asyncio.timeout(60):
                encoded = await anext(viewer)
            assert encoded.time == n * 3_600
            found += [n] if encoded.keyframe else []
    stream.close()
    await task
    assert keyframes == [[0, 6, 20, 34], [0, 13, 27]]
