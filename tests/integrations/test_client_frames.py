"""Pictures and sound of one media time are put together, whatever is late or lost."""

import av
import numpy as np
import pytest
from vivavoce_client.frames import FPS, SOUND_RATE_HZ, SOUND_SAMPLES, Aligner

ZERO = 1_000.0
"""Of the sender's clock: anything."""
PACKET_S = 0.020


def picture(number: int) -> av.VideoFrame:
    """A picture whose luma tells its number."""
    return av.VideoFrame.from_ndarray(np.full((24, 16), number, np.uint8), "yuv420p")


def sound(start: float, seconds: float = PACKET_S) -> np.ndarray:
    """A ramp by media time: sample n of the sender's clock has the value n % 30000."""
    n = np.arange(round(seconds * SOUND_RATE_HZ)) + round((start - ZERO) * SOUND_RATE_HZ)
    return (n % 30_000).astype(np.int16)


class Sender:
    """Feeds an aligner a number of frames' worth of what a session sends."""

    def __init__(self) -> None:
        self.aligner = Aligner()
        self.frames = []

    def pictures(self, *numbers: int) -> None:
        for number in numbers:
            self.aligner.add_picture(ZERO + number / FPS, picture(number))
            self.frames += self.aligner.take()

    def sounds(self, begin: float, end: float, shift_s: float = 0.0) -> None:
        """Packets of media time `begin` to `end`, in seconds; each begins `shift_s` later."""
        for start in np.arange(ZERO + begin + shift_s, ZERO + end + shift_s - 1e-6, PACKET_S):
            self.aligner.add_sound(start, sound(start))
            self.frames += self.aligner.take()

    def shown(self) -> list[int]:
        return [int(frame.picture.to_ndarray()[0, 0]) for frame in self.frames]


def heard(frame) -> int:
    """The first sample's place on the sender's clock."""
    return int(frame.sound[0])


def test_each_frame_has_the_sound_of_its_own_time():
    sender = Sender()
    for number in range(5):
        sender.pictures(number)
        sender.sounds(number / FPS, (number + 1) / FPS)
    assert sender.shown() == [0, 1, 2, 3, 4]
    for number, frame in enumerate(sender.frames):
        assert frame.time_s == pytest.approx(number / FPS)
        assert frame.fresh
        assert np.array_equal(frame.sound, sound(ZERO + number / FPS, 1 / FPS))


@pytest.mark.parametrize("shift_s", [0.0065, -0.0065, 0.0135])
def test_packets_need_not_begin_where_pictures_do(shift_s):
    """Opus looks 6.5 ms ahead, and its packets' times say so."""
    sender = Sender()
    sender.pictures(0, 1, 2, 3)
    sender.sounds(-0.04, 0.2, shift_s)
    assert sender.shown() == [0, 1, 2, 3]
    assert [heard(frame) for frame in sender.frames] == [n * SOUND_SAMPLES for n in range(4)]


def test_sound_that_came_before_the_first_picture_is_left_out():
    sender = Sender()
    sender.sounds(0, 0.4)
    sender.pictures(10)
    sender.sounds(0.4, 0.44)
    assert sender.shown() == [10]
    assert heard(sender.frames[0]) == 10 * SOUND_SAMPLES


def test_a_lost_picture_is_the_one_before_once_it_is_surely_lost():
    sender = Sender()
    sender.pictures(0)
    sender.sounds(0, 0.2)
    assert sender.shown() == [0]  # it may be late
    sender.sounds(0.2, 0.28)
    assert sender.shown() == [0, 0]
    assert [frame.fresh for frame in sender.frames] == [True, False]
    assert heard(sender.frames[1]) == SOUND_SAMPLES


def test_a_picture_that_came_too_late_is_shown_but_is_not_of_that_moment():
    sender = Sender()
    sender.pictures(0)
    sender.sounds(0, 0.32)
    assert sender.shown() == [0, 0, 0]
    sender.pictures(1, 2)
    sender.sounds(0.32, 0.36)
    assert sender.shown() == [0, 0, 0, 2]
    assert not sender.frames[3].fresh
    sender.pictures(4)
    assert sender.shown()[4] == 4
    assert sender.frames[4].fresh


def test_a_picture_behind_the_lost_one_says_so_at_once():
    sender = Sender()
    sender.pictures(0)
    sender.sounds(0, 0.12)
    sender.pictures(2)
    assert sender.shown() == [0, 0, 2]


def test_lost_sound_is_silence_and_what_follows_stays_in_its_place():
    sender = Sender()
    sender.pictures(0, 1, 2, 3)
    sender.sounds(0, 0.04)
    sender.sounds(0.08, 0.16)
    assert sender.shown() == [0, 1, 2, 3]
    assert not sender.frames[1].sound.any()
    assert [heard(sender.frames[n]) for n in (2, 3)] == [2 * SOUND_SAMPLES, 3 * SOUND_SAMPLES]


def test_pictures_go_on_without_any_sound():
    sender = Sender()
    sender.pictures(*range(40))
    assert len(sender.frames) > 20
    assert sender.shown() == list(range(len(sender.frames)))
    assert not any(frame.sound.any() for frame in sender.frames)
