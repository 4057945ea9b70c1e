"""The tracks on a clock turned by hand: what leaves when, and together with what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from realtime.playout import PlayFrame, PlayoutBuffer, PlayoutClock
from realtime.sinks.webrtc.tracks import AvatarAudioTrack, AvatarVideoTrack
from tests.support.fakes import ManualClock, settle

FRAME = 640
DELAY_S = 0.12


class Bench:
    """Both tracks, read as aiortc's senders would, with the time each frame left."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.playout = PlayoutClock(self.clock, DELAY_S)
        self.buffer = PlayoutBuffer(self.playout)
        self.audio_track = AvatarAudioTrack(self.playout, self.buffer)
        self.video_track = AvatarVideoTrack(self.playout, self.buffer)
        self.audio: list[tuple[float, av.AudioFrame]] = []
        self.video: list[tuple[float, av.VideoFrame]] = []
        self.start = self.clock.now()

    async def read_audio(self) -> None:
        while True:
            frame = await self.audio_track.recv()
            self.audio.append((self.clock.now() - self.start, frame))

    async def read_video(self, encode_s: float = 0.0) -> None:
        while True:
            frame = await self.video_track.recv()
            self.video.append((self.clock.now() - self.start, frame))
            await self.clock.sleep_until(self.clock.now() + encode_s)

    def put(self, n: int, with_picture: bool = True) -> None:
        now = self.clock.now()
        self.buffer.put_voice(n * FRAME, np.full(1_920, n + 1, np.int16))
        if with_picture:
            planes = np.full((24, 16), n % 200 + 16, np.uint8)
            self.buffer.put_picture(PlayFrame(n * FRAME, planes, now, now))

    async def feed(self, first: int, count: int, **options: Any) -> None:
        """Frames as they come from a microphone: n is there when its media time is over."""
        for n in range(first, first + count):
            target = self.start + (n + 1) * 0.04
            if target > self.clock.now():
                await self.clock.advance(target - self.clock.now())
            self.put(n, **options)
            await settle()


@asynccontextmanager
async def reading(
    bench: Bench, *readers: Coroutine[Any, Any, None]
) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(reader) for reader in readers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_picture_and_voice_of_one_media_time_leave_together() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()):
        await bench.feed(0, 250)
    video = {round(frame.pts / 90_000, 6): left for left, frame in bench.video}
    audio = {round(frame.pts / 48_000, 6): left for left, frame in bench.audio}
    assert len(video) >= 245
    for media_time, left in video.items():
        assert left == pytest.approx(media_time + DELAY_S, abs=1e-6)
        assert audio[media_time] == pytest.approx(left, abs=1e-6)


async def test_frames_carry_the_media_they_were_given() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()):
        await bench.feed(0, 10)
    _, sound = bench.audio[4]
    assert (sound.pts, sound.sample_rate, sound.samples) == (4 * 960, 48_000, 960)
    assert (sound.format.name, sound.layout.name) == ("s16", "mono")
    assert np.all(sound.to_ndarray() == 3)
    _, shown = bench.video[2]
    assert (shown.pts, shown.format.name) == (2 * 3_600, "yuv420p")
    assert (shown.width, shown.height) == (16, 16)
    assert np.all(shown.to_ndarray() == 18)


async def test_pace_is_absolute_over_a_long_time() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video(encode_s=0.007)):
        await bench.feed(0, 1_500)
    left, last = bench.audio[-1]
    assert left - last.pts / 48_000 == pytest.approx(DELAY_S, abs=1e-6)
    left, shown = bench.video[-1]
    assert left - shown.pts / 90_000 == pytest.approx(DELAY_S, abs=1e-6)
    assert bench.buffer.stats.skipped_pictures == 0
    assert bench.buffer.stats.repeated_pictures == 0


async def test_a_late_engine_repeats_pictures_but_cuts_no_voice() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()):
        await bench.feed(0, 50)
        for n in range(50, 60):  # voice comes, pictures do not
            await bench.feed(n, 1, with_picture=False)
        await bench.feed(60, 20)
    heard = [int(frame.to_ndarray()[0, 0]) for _, frame in bench.audio]
    assert heard == [n + 1 for n in range(len(heard) // 2) for _ in range(2)] + (
        [len(heard) // 2 + 1] if len(heard) % 2 else []
    )
    assert bench.buffer.stats.repeated_pictures == 10
    times = [frame.pts // 3_600 for _, frame in bench.video]
    assert times == list(range(len(times)))
    lateness = max(left - frame.pts / 90_000 - DELAY_S for left, frame in bench.video)
    assert lateness <= 0.0151


async def test_held_up_voice_is_sent_at_once_and_the_pace_is_kept() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio()):
        await bench.feed(0, 20)
        await bench.clock.advance(0.5)  # nothing is put
        await bench.feed(20, 30)
    assert [frame.pts // 960 for _, frame in bench.audio] == list(range(len(bench.audio)))
    left, last = bench.audio[-1]
    assert left - last.pts / 48_000 == pytest.approx(DELAY_S, abs=1e-6)
    assert bench.buffer.stats.skipped_audio_ms == 0


async def test_after_a_suspension_both_tracks_meet_the_clock_again_once() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()):
        await bench.feed(0, 20)
        await bench.clock.advance(10.0)
        for n in range(20, 270):  # all that was missed comes at once, then it goes on
            bench.put(n)
        await bench.feed(270, 60)
    left, last = bench.audio[-1]
    assert left - last.pts / 48_000 == pytest.approx(DELAY_S, abs=1e-6)
    assert int(last.to_ndarray()[0, 0]) == last.pts // 1_920 + 1
    assert bench.buffer.stats.skipped_audio_ms == pytest.approx(10_000, abs=300)
    assert bench.playout.grown_s == 0


async def test_an_encoder_that_is_too_slow_skips_pictures_and_stays_in_time() -> None:
    bench = Bench()
    async with reading(bench, bench.read_video(encode_s=0.050)):
        await bench.feed(0, 100)
    lateness = [left - frame.pts / 90_000 - DELAY_S for left, frame in bench.video]
    assert max(lateness) < 0.04
    assert bench.buffer.stats.skipped_pictures > 15


async def test_growth_moves_both_tracks_alike() -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()):
        await bench.feed(0, 30)
        bench.playout.delay_s += 0.01
        await bench.feed(30, 30)
    left, sound = bench.audio[-1]
    assert left - sound.pts / 48_000 == pytest.approx(DELAY_S + 0.01, abs=1e-6)
    left, shown = bench.video[-1]
    assert left - shown.pts / 90_000 == pytest.approx(DELAY_S + 0.01, abs=1e-6)


@pytest.mark.parametrize("how", ["buffer", "track"])
async def test_both_tracks_end_cleanly(how: str) -> None:
    bench = Bench()
    async with reading(bench, bench.read_audio(), bench.read_video()) as tasks:
        await bench.feed(0, 5)
        if how == "buffer":
            bench.buffer.close()
        else:
            bench.audio_track.stop()
            bench.video_track.stop()
        await bench.clock.advance(0.2)
        assert all(task.done() for task in tasks)
        for task in tasks:
            with pytest.raises(MediaStreamError):
                await task
