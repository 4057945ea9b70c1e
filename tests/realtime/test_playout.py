"""What is due when, and what becomes of media that comes late, twice, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.playout import GrowthConfig, PlayFrame, PlayoutBuffer, PlayoutClock
from tests.support.fakes import ManualClock

FRAME = 640


def voice(number: int) -> NDArray[np.int16]:
    return np.full(1_920, number, np.int16)


def picture(start: int, value: int = 0, ready: float = 0.0) -> PlayFrame:
    return PlayFrame(start, np.full((24, 16), value, np.uint8), ready, ready - 0.05)


def buffered(delay_s: float = 0.1, capacity: int = 25) -> tuple[ManualClock, PlayoutBuffer]:
    clock = ManualClock(0.0)
    return clock, PlayoutBuffer(PlayoutClock(clock, delay_s), capacity=capacity)


def test_media_is_due_a_fixed_delay_after_its_time() -> None:
    playout = PlayoutClock(ManualClock(100.0), 0.150)
    assert playout.due(0) == pytest.approx(100.150)
    assert playout.due(16_000) == pytest.approx(101.150)
    assert playout.position(101.1501) == 16_001
    with pytest.raises(ValueError, match="negative"):
        PlayoutClock(ManualClock(), -0.1)


async def test_delay_grows_in_small_steps_only_under_sustained_lateness() -> None:
    clock = ManualClock(0.0)
    playout = PlayoutClock(clock, 0.1, growth=GrowthConfig(max_s=0.02))
    for n in range(200):  # one late frame in twenty: nothing to do
        position = 16_000 + n * FRAME
        playout.report(position, playout.due(position) + (0.01 if n % 20 == 0 else -0.01))
        playout.pause(quiet=True)
    assert playout.delay_s == 0.1
    for n in range(2_000):  # all late, until the delay fits
        position = 200_000 + n * FRAME
        playout.report(position, playout.start + position / 16_000 + 0.119)
        await clock.advance(0.04)
        before = playout.delay_s
        playout.pause(quiet=n % 3 == 0)
        assert playout.delay_s - before in (0.0, pytest.approx(0.01))
        if playout.delay_s > before:
            assert n % 3 == 0
    assert playout.delay_s == pytest.approx(0.12)
    assert playout.grown_s == pytest.approx(0.02)


def test_one_stall_does_not_make_the_delay_grow() -> None:
    playout = PlayoutClock(ManualClock(0.0), 0.1)
    for n in range(100):  # all of it reported at one moment
        playout.report(16_000 + n * FRAME, playout.due(16_000 + n * FRAME) + 0.3)
        playout.pause(quiet=True)
    assert playout.grown_s == 0


async def test_growth_does_not_wait_for_a_pause_for_ever() -> None:
    clock = ManualClock(0.0)
    playout = PlayoutClock(clock, 0.1)
    for n in range(60):
        playout.report(16_000 + n * FRAME, playout.due(16_000 + n * FRAME) + 0.01)
        await clock.advance(0.04)
    playout.pause(quiet=False)
    assert playout.grown_s == 0
    await clock.advance(2.1)
    playout.pause(quiet=False)
    assert playout.grown_s == pytest.approx(0.01)


def test_voice_comes_whole_and_in_order() -> None:
    _, buffer = buffered()
    for n in (1, 0, 2):
        assert buffer.put_voice(n * FRAME, voice(n + 1))
    heard = [buffer.take_voice(p, 320) for p in range(0, 3 * FRAME, 320)]
    assert [int(part[0]) for part in heard if part is not None] == [1, 1, 2, 2, 3, 3]
    assert buffer.take_voice(3 * FRAME, 320) is None
    assert buffer.played == 3 * FRAME
    assert len(buffer) == 0


def test_a_hole_in_the_voice_is_silent_once_later_voice_is_there() -> None:
    _, buffer = buffered()
    assert buffer.take_voice(0, 320) is None
    buffer.put_voice(FRAME, voice(7))
    gap = buffer.take_voice(0, 320)
    assert gap is not None
    assert not gap.any()
    assert buffer.stats.silent_gaps == 1


def test_a_missing_picture_repeats_the_last_and_a_late_one_is_dropped() -> None:
    _, buffer = buffered()
    assert buffer.take_picture(0) is None  # none was ever there
    buffer.put_picture(picture(FRAME, 1))
    assert buffer.take_picture(FRAME)[0, 0] == 1  # type: ignore[index]
    assert buffer.take_picture(2 * FRAME)[0, 0] == 1  # type: ignore[index]
    assert buffer.stats.repeated_pictures == 1
    assert not buffer.put_picture(picture(FRAME, 9))
    assert buffer.stats.late_pictures == 1
    buffer.put_picture(picture(3 * FRAME, 3))
    buffer.put_picture(picture(4 * FRAME, 4))
    assert buffer.take_picture(4 * FRAME)[0, 0] == 4  # type: ignore[index]
    assert buffer.stats.late_pictures == 2


def test_a_picture_that_just_missed_its_time_is_what_gets_repeated() -> None:
    _, buffer = buffered()
    buffer.put_picture(picture(0, 1))
    buffer.take_picture(0)
    buffer.take_picture(FRAME)
    buffer.put_picture(picture(FRAME, 2))
    assert buffer.take_picture(2 * FRAME)[0, 0] == 2  # type: ignore[index]


def test_where_none_was_drawn_the_last_picture_is_repeated_without_waiting() -> None:
    _, buffer = buffered()
    buffer.put_picture(picture(0, 1))
    buffer.put_picture(PlayFrame(FRAME, None, 0.0, 0.0))
    buffer.take_picture(0)
    assert buffer.has_picture(FRAME)
    assert buffer.take_picture(FRAME)[0, 0] == 1  # type: ignore[index]
    assert buffer.stats.repeated_pictures == 1
    assert len(buffer.added_delays) == 1


def test_clear_drops_what_waits_and_what_is_still_being_made() -> None:
    _, buffer = buffered()
    for n in range(5):
        buffer.put_voice(n * FRAME, voice(n + 1))
        buffer.put_picture(picture(n * FRAME, n + 1))
    buffer.take_voice(0, 320)
    buffer.take_picture(0)
    assert buffer.clear() == 320
    assert not buffer.put_picture(picture(4 * FRAME, 50))  # was being drawn
    assert not buffer.put_voice(4 * FRAME, voice(50))
    assert buffer.stats.stale == 2
    heard = [buffer.take_voice(p, 320) for p in range(320, 5 * FRAME, 320)]
    assert all(part is not None and not part.any() for part in heard)
    assert buffer.take_picture(4 * FRAME)[0, 0] == 1  # type: ignore[index]
    assert buffer.put_voice(5 * FRAME, voice(6))
    assert buffer.put_picture(picture(5 * FRAME, 6))
    assert int(buffer.take_voice(5 * FRAME, 320)[0]) == 6  # type: ignore[index]


def test_after_close_nothing_goes_in_or_out() -> None:
    _, buffer = buffered()
    buffer.put_voice(0, voice(1))
    buffer.put_picture(picture(0, 1))
    buffer.close()
    assert not buffer.put_voice(FRAME, voice(1))
    assert not buffer.put_picture(picture(FRAME, 1))
    assert len(buffer) == 0
    assert buffer.take_picture(0) is None


def test_the_buffer_is_bounded() -> None:
    _, buffer = buffered(capacity=3)
    assert [buffer.put_voice(n * FRAME, voice(n)) for n in range(5)] == [True] * 3 + [False] * 2
    assert [buffer.put_picture(picture(n * FRAME)) for n in range(5)] == [True] * 3 + [False] * 2
    assert buffer.stats.refused == 4


def test_misplaced_media_is_refused_loudly() -> None:
    _, buffer = buffered()
    with pytest.raises(ValueError, match="multiple of 640"):
        buffer.put_voice(100, voice(1))
    with pytest.raises(ValueError, match="1920 samples"):
        buffer.put_voice(0, np.zeros(100, np.int16))
    with pytest.raises(ValueError, match="640"):
        buffer.put_picture(picture(100))


def test_added_delay_is_measured_from_arrival_to_hand_over() -> None:
    clock, buffer = buffered()
    buffer.put_picture(PlayFrame(0, np.zeros((24, 16), np.uint8), 0.0, -0.12))
    buffer.take_picture(0)
    assert list(buffer.added_delays) == [pytest.approx(clock.now() + 0.12)]
