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


async def test_its_packets_follow_each_other():
    microphone = Microphone()
    frames = [await microphone.recv() for _ in range(3)]
    assert [frame.pts for frame in frames] == [0, PACKET, 2 * PACKET]
    assert {(frame.sample_rate, frame.samples) for frame in frames} == {(RATE_HZ, PACKET)}
