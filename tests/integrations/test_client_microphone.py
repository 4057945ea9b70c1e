"""A microphone that is written to: at any rate, in order, silent where nothing is waiting."""

import numpy as np
import pytest
from vivavoce_client import Microphone
from vivavoce_client.microphone import PACKET, RATE_HZ


def heard(microphone: Microphone, packets: int) -> np.ndarray:
    return np.concatenate([microphone.packet(number) for number in range(packets)])


def test_what_is_written_is_heard_in_order_and_then_there_is_silence():
    microphone = Microphone()
    ramp = np.arange(1, 2 * PACKET + 101, dtype=np.int16)
    microphone.write(ramp[:700])
    microphone.write(ramp[700:])
    sound = heard(microphone, 4)
    assert np.array_equal(sound[: len(ramp)], ramp)
    assert not sound[len(ramp) :].any()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100])
def test_other_rates_keep_the_pitch(rate_hz):
    microphone = Microphone()
    tone = 8_000 * np.sin(2 * np.pi * 500 * np.arange(rate_hz) / rate_hz)
    microphone.write(tone.astype(np.int16), rate_hz)
    sound = heard(microphone, RATE_HZ // PACKET).astype(float)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert np.argmax(spectrum) == pytest.approx(500, abs=1)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 48_000])
@pytest.mark.parametrize("part", [1, 160, 777, 20_000])
def test_a_voice_in_parts_has_no_seams(rate_hz, part):
    voice = (9_000 * np.sin(np.arange(5_000) / 3)).astype(np.int16)
    whole, parts = Microphone(), Microphone()
    whole.write(voice, rate_hz)
    for begin in range(0, len(voice), part):
        parts.write(voice[begin : begin + part], rate_hz)
    count = 5_000 * RATE_HZ // rate_hz // PACKET + 2
    assert np.array_equal(heard(parts, count), heard(whole, count))


def test_another_rate_ends_what_was_said_in_the_first():
    microphone = Microphone()
    for rate_hz in (16_000, 24_000, 48_000):
        microphone.write(np.full(rate_hz // 10, 5_000, np.int16), rate_hz)
    assert microphone.waiting_s == pytest.approx(0.3, abs=0.002)
    sound = heard(microphone, 20)
    assert np.count_nonzero(sound > 2_500) == pytest.approx(0.3 * RATE_HZ, rel=0.02)


def test_of_too_much_that_waits_the_oldest_is_dropped():
    microphone = Microphone(most_s=0.1)
    ramp = np.arange(1, 12 * PACKET + 1, dtype=np.int16)
    for part in np.split(ramp, 24):
        microphone.write(part)
    assert microphone.waiting_s == 0.1
    assert microphone.dropped_s == pytest.approx(0.14)
    assert np.array_equal(heard(microphone, 6), np.pad(ramp[7 * PACKET :], (0, PACKET)))
    assert microphone.waiting_s == 0
    microphone.write(ramp[:PACKET])
    assert np.array_equal(heard(microphone, 1), ramp[:PACKET])


async def test_its_packets_follow_each_other():
    microphone = Microphone()
    frames = [await microphone.recv() for _ in range(3)]
    assert [frame.pts for frame in frames] == [0, PACKET, 2 * PACKET]
    assert {(frame.sample_rate, frame.samples) for frame in frames} == {(RATE_HZ, PACKET)}
