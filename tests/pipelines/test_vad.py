"""Who speaks when: edges of speech in silence, noise and a voice."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.audio.vad import FRAME_SAMPLES, VadConfig, VoiceActivity
from training.speech.phones import RATE_HZ


def vowel(seconds: float) -> NDArray[np.float32]:
    """A buzz through the resonances of an open vowel."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = np.zeros(len(times))
    for harmonic in range(1, 40):
        hz = 130.0 * harmonic
        strength = sum(np.exp(-(((hz - f) / 120.0) ** 2)) for f in (730.0, 1_090.0, 2_440.0))
        sound += (0.02 + strength) * np.sin(2.0 * np.pi * hz * times + harmonic**2)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.003])
def test_silence_and_faint_noise_are_not_speech(level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, 16_000 * 5).astype(np.float32)
    vad = VoiceActivity()
    assert vad(noise) == ()
    assert not vad.speech


def test_a_voice_starts_and_stops_where_it_does() -> None:
    vad = VoiceActivity()
    sound = np.concatenate([silence(1.0), vowel(1.0), silence(1.0)])
    started, stopped = vad(sound)
    assert (started.kind, stopped.kind) == ("started", "stopped")
    assert started.position / RATE_HZ == pytest.approx(1.0, abs=0.05)
    assert stopped.position / RATE_HZ == pytest.approx(2.0, abs=0.15)
    assert not vad.speech
    assert vad.pausing


def test_pieces_say_what_the_whole_says() -> None:
    sound = np.concatenate([silence(0.4), vowel(0.6), silence(0.8), vowel(0.4)])
    whole, piecewise = VoiceActivity(), VoiceActivity()
    pieces = [edge for hop in np.split(sound, len(sound) // 640) for edge in piecewise(hop)]
    assert tuple(pieces) == whole(sound)
    assert whole.speech
    assert piecewise.speech


def test_a_longer_hangover_ends_speech_later() -> None:
    sound = np.concatenate([silence(0.4), vowel(0.6), silence(0.5)])
    short, long = VoiceActivity(), VoiceActivity(VadConfig(hangover_frames=40))
    assert [edge.kind for edge in short(sound)] == ["started", "stopped"]
    assert [edge.kind for edge in long(sound)] == ["started"]


def test_whole_frames_are_asked_for() -> None:
    with pytest.raises(ValueError, match=f"multiple of {FRAME_SAMPLES}"):
        VoiceActivity()(silence(0.011))
