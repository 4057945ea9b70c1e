"""What is due when, and what becomes of media that comes late, twice, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.media import HOP_S, Frame
from realtime.playout import GrowthConfig, PictureQueue, PlayoutClock, VoiceQueue
from tests.support.streams import STILL, brightness, grey

FRAME = 640


def voice(number: int) -> NDArray[np.int16]:
    return np.full(1_920, number, np.int16)


def frame(number: int, value: int | None = None) -> Frame:
    """Frame `number`, drawn as bright as `value` says."""
    picture = None if value is None else grey(value)
    return Frame(number * FRAME, picture, np.zeros(1, np.float32), "idle", 0.0, 0.0)


def take(queue: PictureQueue) -> int:
    return brightness(queue.take()[0])


def test_media_is_due_a_fixed_delay_after_its_time() -> None:
    playout = PlayoutClock(100.0, 0.150)
    assert playout.due(0) == pytest.approx(100.150)
    assert playout.due(16_000) == pytest.approx(101.150)
    assert playout.position(101.1501) == 16_001
    with pytest.raises(ValueError, match="negative"):
        PlayoutClock(0.0, -0.1)


def test_delay_grows_in_small_steps_only_under_sustained_lateness() -> None:
    now = 0.0
    playout = PlayoutClock(now, 0.1, GrowthConfig(max_s=0.02))
    for n in range(200):  # one late frame in twenty: nothing to do
        position = 16_000 + n * FRAME
        playout.report(position, playout.due(position) + (0.01 if n % 20 == 0 else -0.01), now)
        playout.pause(now, quiet=True)
    assert playout.delay_s == 0.1
    for n in range(2_000):  # all late, until the delay fits
        position = 200_000 + n * FRAME
        playout.report(position, playout.start + position / 16_000 + 0.119, now)
        now += HOP_S
        before = playout.delay_s
        playout.pause(now, quiet=n % 3 == 0)
        assert playout.delay_s - before in (0.0, pytest.approx(0.01))
        if playout.delay_s > before:
            assert n % 3 == 0
    assert playout.delay_s == pytest.approx(0.12)
    assert playout.grown_s == pytest.approx(0.02)


def test_one_stall_does_not_make_the_delay_grow() -> None:
    playout = PlayoutClock(0.0, 0.1)
    for n in range(100):  # all of it reported at one moment
        playout.report(16_000 + n * FRAME, playout.due(16_000 + n * FRAME) + 0.3, 0.0)
        playout.pause(0.0, quiet=True)
    assert playout.grown_s == 0


def test_growth_does_not_wait_for_a_pause_for_ever() -> None:
    playout = PlayoutClock(0.0, 0.1)
    for n in range(60):
        position = 16_000 + n * FRAME
        playout.report(position, playout.due(position) + 0.01, n * HOP_S)
    playout.pause(60 * HOP_S, quiet=False)
    assert playout.grown_s == 0
    playout.pause(60 * HOP_S + 2.1, quiet=False)
    assert playout.grown_s == pytest.approx(0.01)


def test_voice_comes_whole_and_in_order() -> None:
    queue = VoiceQueue()
    for n in range(3):
        queue.put(n * FRAME, voice(n + 1))
    heard = [queue.take() for _ in range(6)]
    assert [int(part[0]) for part in heard if part is not None] == [1, 1, 2, 2, 3, 3]
    assert queue.take() is None
    assert queue.played == queue.heard == 3 * FRAME


def test_voice_of_several_channels_stays_so() -> None:
    queue = VoiceQueue()
    queue.put(0, np.full((1_920, 2), 5, np.int16))
    first = queue.take()
    assert first is not None
    assert first.shape == (960, 2)
    queue.clear()
    fading = queue.take()
    assert fading is not None
    assert fading.shape == (960, 2)
    assert list(fading[0]) == [5, 5]
    assert not fading[240:].any()


def test_a_hole_in_the_voice_is_silent_once_later_voice_is_there() -> None:
    queue = VoiceQueue()
    assert queue.take() is None
    queue.put(FRAME, voice(7))
    gap = queue.take()
    assert gap is not None
    assert not gap.any()


def test_voice_that_was_given_up_is_not_kept() -> None:
    queue = VoiceQueue()
    for n in range(10):
        queue.put(n * FRAME, voice(n + 1))
    queue.skip_to(5 * FRAME + 320)
    part = queue.take()
    assert part is not None
    assert part[0] == 6
    queue.put(3 * FRAME, voice(3))  # too late
    assert queue.played == 6 * FRAME


def test_before_the_first_picture_there_is_the_still() -> None:
    queue = PictureQueue(grey(STILL))
    assert take(queue) == STILL
    queue.put(frame(1, 1))
    assert take(queue) == 1
    assert queue.stats.repeated == 1


def test_a_missing_picture_repeats_the_last_and_a_late_one_follows() -> None:
    queue = PictureQueue(grey(STILL))
    queue.put(frame(0, 10))
    assert [take(queue) for _ in range(3)] == [10, 10, 10]
    assert not queue.ready
    queue.put(frame(1, 11))
    assert not queue.ready
    assert take(queue) == 11
    assert (queue.stats.late, queue.stats.dropped, queue.stats.repeated) == (1, 0, 2)


def test_of_several_late_pictures_the_newest_is_shown() -> None:
    queue = PictureQueue(grey(STILL))
    for _ in range(3):
        queue.take()
    for n in range(6):
        queue.put(frame(n, 10 + n))
    assert [take(queue) for _ in range(3)] == [13, 14, 15]
    assert (queue.stats.late, queue.stats.dropped) == (3, 3)


def test_what_is_older_than_what_is_shown_is_dropped() -> None:
    queue = PictureQueue(grey(STILL))
    queue.put(frame(5, 15))
    queue.skip_to(5 * FRAME)
    assert take(queue) == 15
    queue.put(frame(4, 14))
    assert take(queue) == 15
    assert (queue.stats.skipped, queue.stats.dropped) == (5, 1)


def test_where_none_was_drawn_there_is_nothing_to_wait_for() -> None:
    queue = PictureQueue(grey(STILL))
    queue.put(frame(0, 10))
    queue.put(frame(1))
    assert take(queue) == 10
    assert queue.ready
    assert take(queue) == 10
    assert not queue.ready
    assert queue.stats.repeated == 1


def test_clear_drops_what_waits_and_what_is_still_being_made() -> None:
    voices, queue = VoiceQueue(), PictureQueue(grey(STILL))
    for n in range(5):
        voices.put(n * FRAME, voice(n + 1))
        queue.put(frame(n, n + 10))
    voices.take()
    assert take(queue) == 10
    voices.clear()
    queue.clear(6 * FRAME)
    queue.put(frame(5, 15))  # was being drawn
    assert queue.stats.dropped == 5
    faded = voices.take()
    assert faded is not None
    assert not faded[240:].any()
    for _ in range(8):
        silence = voices.take()
        assert silence is not None
        assert not silence.any()
    assert queue.ready  # nothing will come
    assert [take(queue) for _ in range(5)] == [10] * 5
    queue.put(frame(6, 16))
    assert take(queue) == 16
    assert voices.take() is None
    voices.put(5 * FRAME, voice(6))
    assert int(voices.take()[0]) == 6  # type: ignore[index]


def test_pictures_are_bounded() -> None:
    queue = PictureQueue(grey(STILL), capacity=3)
    for n in range(5):
        queue.put(frame(n, 10 + n))
    assert queue.stats.dropped == 2
    assert [take(queue) for _ in range(5)] == [STILL, STILL, 12, 13, 14]


def test_misplaced_media_is_refused_loudly() -> None:
    queue = VoiceQueue()
    with pytest.raises(ValueError, match="multiple of 640"):
        queue.put(100, voice(1))
    with pytest.raises(ValueError, match="1920 samples"):
        queue.put(0, np.zeros(100, np.int16))
    with pytest.raises(ValueError, match="640"):
        PictureQueue(grey(0)).put(Frame(100, None, np.zeros(1, np.float32), "idle", 0, 0))
