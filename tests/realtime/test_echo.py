"""The avatar's own voice in the user's microphone, and the user's beside it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.audio.vad import SpeechEdge, VoiceActivity
from realtime.echo import EchoGate
from realtime.media import PACKET_SAMPLES, VOICE_SAMPLES, Hop
from realtime.sources.resample import Decimator
from tests.support.babble import RATE_HZ, babble

Sound = NDArray[np.float64]

FULL = 32_768.0


def room(voice: Sound, gain_db: float, delay_s: float) -> Sound:
    """What a loudspeaker brings back: later, with a tail of 60 ms, at another level."""
    rng = np.random.default_rng(3)
    tail = rng.standard_normal(round(0.06 * RATE_HZ)) * np.exp(-np.arange(2_880) / 600)
    tail[0] = 3.0
    late = np.concatenate([np.zeros(round(delay_s * RATE_HZ)), voice])[: len(voice)]
    size = 1 << (2 * len(voice)).bit_length()
    back = np.fft.irfft(np.fft.rfft(late, size) * np.fft.rfft(tail, size), size)[: len(voice)]
    return np.asarray(back / np.sqrt(np.sum(tail**2)) * 10 ** (gain_db / 20))


def edges(played: Sound, microphone: Sound) -> list[SpeechEdge]:
    """What the gate tells; both at 48 kHz, whole hops, heard at the time when it was played."""
    gate, decimate, vad = EchoGate(), Decimator(), VoiceActivity()
    noise = np.random.default_rng(0).standard_normal(len(microphone)) * 20
    heard = np.clip(microphone + noise, -FULL, FULL - 1).astype(np.int16)
    told: list[SpeechEdge] = []
    for n in range(len(heard) // VOICE_SAMPLES):
        span = slice(n * VOICE_SAMPLES, (n + 1) * VOICE_SAMPLES)
        for k, part in enumerate(np.split(played[span].astype(np.int16), 2)):
            gate.played(n * 640 + k * PACKET_SAMPLES, part)
        samples = decimate(heard[span])
        vad(samples)
        told += gate.heard(Hop(n * 640, samples, heard[span], vad.speech, 0.0), n * 640)
    return told


def at(seconds: float) -> slice:
    begin = round(seconds * RATE_HZ)
    return slice(begin, begin + 2 * RATE_HZ)


@pytest.fixture(scope="module")
def avatar() -> Sound:
    voice = babble(14.0, seed=1, pitch_hz=190) * 2_500
    voice[:RATE_HZ] = 0
    return np.clip(voice, -FULL, FULL - 1)


@pytest.mark.parametrize(("gain_db", "delay_s"), [(-10, 0.09), (-20, 0.33), (-30, 0.61)])
def test_the_avatar_does_not_hear_itself(avatar: Sound, gain_db: float, delay_s: float) -> None:
    assert edges(avatar, room(avatar, gain_db, delay_s)) == []


@pytest.mark.parametrize("gain_db", [-10, -30])
def test_the_user_is_heard_while_the_avatar_speaks(avatar: Sound, gain_db: float) -> None:
    user = np.zeros(len(avatar))
    for begin in (6.0, 10.0):
        user[at(begin)] = babble(2.0, seed=5, pitch_hz=110) * 2_000
    told = edges(avatar, user + room(avatar, gain_db, 0.33))
    starts = [edge.position / 16_000 for edge in told if edge.kind == "started"]
    for begin in (6.0, 10.0):
        assert any(begin - 0.1 < start < begin + 0.6 for start in starts)
    assert all(6.0 - 0.1 < start < 8.2 or 10.0 - 0.1 < start < 12.2 for start in starts)


def test_a_user_alone_is_heard_as_by_the_voice_detector() -> None:
    user = np.zeros(6 * RATE_HZ)
    user[at(2.0)] = babble(2.0, seed=5) * 2_000
    told = edges(np.zeros(len(user)), user)
    assert [edge.kind for edge in told][:1] == ["started"]
    assert told[-1].kind == "stopped"
    assert told[0].position / 16_000 == pytest.approx(2.0, abs=0.25)
    assert told[-1].position / 16_000 == pytest.approx(4.0, abs=0.45)
