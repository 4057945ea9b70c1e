"""A whole stream on a clock turned by hand: what leaves when, and together with what."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from math import inf

import numpy as np
import pytest

from realtime.avatar_stream import GRACE_S, MARGIN_S, AvatarStream
from realtime.clock import VirtualClock
from realtime.cursor import Cursor
from realtime.media import HOP_S, HOP_SAMPLES, Picture, Voice
from realtime.sources.microphone.source import Microphone
from tests.support.fakes import microphone, opus_packets
from tests.support.stream_bench import DELAY_S, lateness, running
from tests.support.streams import STILL, FakeHandle, NumberedSource, Viewer, grey


async def test_picture_and_voice_of_one_media_time_leave_together() -> None:
    async with running() as bench:
        await bench.clock.advance(10.0)
    pictures, voice = bench.viewer.pictures, bench.viewer.voice
    assert [p.start for _, p in pictures] == [n * 640 for n in range(len(pictures))]
    assert [v.start for _, v in voice] == [n * 320 for n in range(len(voice))]
    assert len(pictures) == 247
    assert len(voice) == 493
    assert np.abs(lateness(pictures)).max() < 1e-6
    assert np.abs(lateness(voice)).max() < 1e-6
    assert bench.viewer.seen == [n % 200 for n in range(len(pictures))]
    assert bench.viewer.heard == [1 + n // 2 for n in range(len(voice))]
    assert all(abs(skew) < 1e-6 for skew in bench.stream.skews)
    assert list(bench.stream.added_delays) == pytest.approx([DELAY_S - HOP_S] * 247)


async def test_voice_goes_out_without_a_pipeline_that_answers() -> None:
    async with running(latency_s=inf) as bench:
        await bench.clock.advance(2.0)
    assert np.abs(lateness(bench.viewer.voice)).max() < 1e-6
    assert set(bench.viewer.seen) == {STILL}
    assert [p.start for _, p in bench.viewer.pictures] == [n * 640 for n in range(46)]
    assert lateness(bench.viewer.pictures).max() == pytest.approx(GRACE_S)


async def test_pictures_that_all_come_late_are_shown_late() -> None:
    """A busy machine finishes every picture 150 ms after its time."""
    async with running(latency_s=0.030 + 0.150) as bench:
        await bench.clock.advance(8.0)
    seen = bench.viewer.seen
    assert seen[:3] == [STILL] * 3
    assert seen[10:] == sorted(set(seen[10:]))  # in order, and each is a new one
    assert len(set(range(185)) - set(seen)) <= 1  # where the delay grew
    assert bench.stream.pictures.stats.late > 180
    assert bench.stream.pictures.stats.dropped < 5
    assert bench.viewer.heard == [1 + n // 2 for n in range(len(bench.viewer.voice))]
    assert bench.stream.playout.grown_s > 0
    assert 0.1 < np.median(bench.stream.skews) < 0.2  # told as it is


async def test_a_picture_a_second_however_late_is_shown() -> None:
    def one_a_second(number: int) -> float:
        return 0.9 if number % 25 == 0 else inf

    async with running(latency_s=one_a_second) as bench:
        await bench.clock.advance(10.0)
    fresh = [left for left, picture in bench.viewer.pictures if picture.fresh]
    assert len(fresh) == 9
    assert np.diff(fresh).max() < 1.0 + HOP_S
    assert len(bench.viewer.pictures) == 246


async def test_a_late_picture_gives_way_to_a_newer_one() -> None:
    latencies = {10: 0.231, 11: 0.192}  # both come between two slots, 10 is never seen
    async with running(latency_s=lambda n: latencies.get(n, 0.0 if n < 12 else inf)) as bench:
        await bench.clock.advance(2.0)
    seen = bench.viewer.seen
    assert 10 not in seen
    assert seen[9:13] == [9, 9, 9, 9]
    assert set(seen[16:]) == {11}
    assert bench.stream.pictures.stats.dropped == 1
    assert bench.stream.pictures.stats.late == 2


async def test_where_none_is_drawn_the_last_is_repeated_without_waiting() -> None:
    async with running(draw=lambda n: None if n % 2 else grey(n)) as bench:
        await bench.clock.advance(2.0)
    assert np.abs(lateness(bench.viewer.pictures)).max() < 1e-6
    assert bench.viewer.seen == [n // 2 * 2 for n in range(len(bench.viewer.seen))]
    assert [p.fresh for _, p in bench.viewer.pictures] == [n % 2 == 0 for n in range(47)]
    assert bench.stream.pictures.stats.repeated == 23


async def test_held_up_voice_is_sent_at_once_and_the_pace_is_kept() -> None:
    source = NumberedSource(late=lambda n: 0.5 - HOP_S * (n - 20) if 20 <= n < 32 else 0.0)
    async with running(source) as bench:
        await bench.clock.advance(4.0)
    assert bench.viewer.heard == [1 + n // 2 for n in range(len(bench.viewer.voice))]
    late = lateness(bench.viewer.voice)
    assert late.max() > 0.2
    assert late[-1] == pytest.approx(0)
    assert bench.stream.skipped_audio_s == 0


async def test_after_a_suspension_all_meets_the_clock_again_once() -> None:
    async with running() as bench:
        await bench.clock.advance(1.0)
        bench.clock.jump(10.0)
        await bench.clock.advance(2.0)
    left, last = bench.viewer.voice[-1]
    assert left - last.start / 16_000 == pytest.approx(DELAY_S)
    assert bench.viewer.heard[-1] == last.start // 640 + 1
    assert bench.stream.skipped_audio_s == pytest.approx(10.0, abs=0.3)
    assert bench.stream.pictures.stats.skipped == pytest.approx(250, abs=8)
    assert bench.stream.playout.grown_s == 0


async def test_growth_moves_voice_and_pictures_alike() -> None:
    async with running() as bench:
        await bench.clock.advance(1.0)
        bench.stream.playout.delay_s += 0.01
        await bench.clock.advance(1.0)
    assert lateness(bench.viewer.voice)[-1] == pytest.approx(0.01)
    assert lateness(bench.viewer.pictures)[-1] == pytest.approx(0.01)


async def test_the_delay_follows_the_beginning_of_the_first_packets() -> None:
    """A microphone's packets end 7 ms after the time its stream began."""
    source = Microphone()
    async with running(source) as bench:
        for packet in microphone(
            opus_packets(np.ones(960 * 60, np.int16)), start=bench.begin + 0.007
        ):
            await bench.clock.advance(packet.arrival - bench.clock.now())
            source.push(packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival)
    assert source.t0 == pytest.approx(bench.begin + 0.007)
    left, voice = bench.viewer.voice[-1]
    late_s = math.hypot(source.patience_s, MARGIN_S)  # seldom both
    expected = HOP_S + 2 * HOP_S + 0.010 + late_s + 0.007
    assert left - voice.start / 16_000 == pytest.approx(expected)
    # Hops leave with their last packet, not at their deadline.
    assert bench.stream.added_delays[-1] == pytest.approx(expected - 0.007 - HOP_S)


# Who watches


@pytest.mark.parametrize("seed", range(5))
async def test_others_come_and_go_and_nobody_notices(seed: int) -> None:
    rng = random.Random(seed)
    async with running() as bench:
        others: list[tuple[Viewer, asyncio.Task[None]]] = []
        gone: list[Viewer] = []
        for _ in range(150):
            if rng.random() < 0.3:
                viewer = Viewer(bench.stream, bench.clock)
                others.append((viewer, asyncio.create_task(viewer.read())))
            if others and rng.random() < 0.3:
                viewer, task = others.pop(rng.randrange(len(others)))
                viewer.cursor.close()
                await task
                gone.append(viewer)
            if rng.random() < 0.1:
                bench.stream.subscribe(Picture, depth=1)  # reads nothing
            await bench.clock.advance(rng.uniform(0, 0.1))
    assert bench.viewer.heard == [1 + n // 2 for n in range(len(bench.viewer.voice))]
    assert bench.viewer.seen == [n % 200 for n in range(len(bench.viewer.pictures))]
    assert np.abs(lateness(bench.viewer.pictures)).max() < 1e-6
    for viewer in gone:  # each saw a stretch of the same
        assert np.all(np.diff(viewer.heard) <= 1)
        assert np.all(np.diff(viewer.seen) % 200 == 1)


async def test_a_slow_reader_misses_the_oldest() -> None:
    async with running() as bench:
        cursor: Cursor[Picture] = bench.stream.subscribe(Picture, depth=3)
        await bench.clock.advance(2.0)
        waiting = [item.start // HOP_SAMPLES for item in iter(cursor.pop, None) if item]
        assert waiting == [44, 45, 46]
        assert cursor.dropped == 44


async def test_everybody_is_told_of_the_end() -> None:
    async with running() as bench:
        await bench.clock.advance(1.0)
        bench.stream.close()
        await bench.viewer.read()
        count = len(bench.viewer.voice)
        await bench.clock.advance(1.0)
        assert len(bench.viewer.voice) == count
        late: Cursor[Voice] = bench.stream.subscribe(Voice)
        assert [voice async for voice in late] == []


# Motion and behaviour


async def test_motion_is_told_when_its_picture_is_shown() -> None:
    told: list[tuple[float, int]] = []
    async with running(draw=lambda n: None if n % 2 else grey(n)) as bench:
        bench.stream.on_frame = lambda frame: told.append((bench.clock.now(), frame.start))
        await bench.clock.advance(2.0)
    shown = [(bench.begin + left, p.start) for left, p in bench.viewer.pictures]
    assert told == shown  # of pictures that were not drawn too: 25 a second


async def test_motion_of_late_pictures_waits_for_them() -> None:
    told: dict[int, float] = {}
    async with running(latency_s=0.030 + 0.150) as bench:
        bench.stream.on_frame = lambda frame: told.update({frame.start: bench.clock.now()})
        await bench.clock.advance(4.0)
    for (left, picture), number in zip(bench.viewer.pictures, bench.viewer.seen, strict=True):
        if picture.fresh:
            assert told[number * 640] == bench.begin + left
    assert list(told) == [n * 640 for n in range(len(told))]


async def test_motion_that_is_never_shown_is_not_told() -> None:
    told: list[int] = []
    async with running() as bench:
        bench.stream.on_frame = lambda frame: told.append(frame.start)
        await bench.clock.advance(1.0)
        before = len(told)
        bench.stream.clear()
        forgotten = bench.stream.pictures._wanted_from
        await bench.clock.advance(1.0)
    assert told[before] == forgotten
    assert told == sorted(set(told))


# A source that is not live


async def play(
    hops: int, clock: VirtualClock, read: Callable[[Cursor[Voice | Picture]], object], depth: int
) -> tuple[AvatarStream, FakeHandle, NumberedSource]:
    source = NumberedSource(live=False, hops=hops)
    handle = FakeHandle(clock)
    stream = AvatarStream(source, handle, clock)
    cursor: Cursor[Voice | Picture] = stream.subscribe(Voice, Picture, depth=depth)
    stream.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream.run())
        tasks.create_task(read(cursor))  # type: ignore[arg-type]
    return stream, handle, source


@pytest.mark.parametrize("depth", [1, 3, 25])
@pytest.mark.parametrize("hops", [1, 2, 100])
async def test_a_file_is_played_whole_at_the_pace_of_its_reader(hops: int, depth: int) -> None:
    items: list[Voice | Picture] = []

    async def read(cursor: Cursor[Voice | Picture]) -> None:
        async for item in cursor:
            items.append(item)
            for _ in range(random.Random(len(items)).randrange(9)):
                await asyncio.sleep(0)

    stream, handle, source = await play(hops, VirtualClock(), read, depth)
    kinds = [("voice" if isinstance(i, Voice) else "picture", i.start) for i in items]
    expected = [
        entry
        for n in range(hops)
        for entry in (("voice", 640 * n), ("picture", 640 * n), ("voice", 640 * n + 320))
    ]
    assert kinds == expected
    assert all(item.fresh for item in items if isinstance(item, Picture))
    assert source.pulled == len(handle.heard) == hops + 2  # and no more than the look-ahead
    assert stream.pictures.stats.dropped == stream.pictures.stats.repeated == 0


async def test_a_file_waits_for_pictures_however_long_they_take() -> None:
    clock = VirtualClock()
    source = NumberedSource(live=False, hops=50)
    handle = FakeHandle(clock, latency_s=5.0)
    stream = AvatarStream(source, handle, clock)
    viewer = Viewer(stream, clock)
    stream.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream.run())
        tasks.create_task(viewer.read())
    assert viewer.seen == list(range(50))
    assert viewer.heard == [1 + n // 2 for n in range(100)]
    assert stream.playout.grown_s == 0
