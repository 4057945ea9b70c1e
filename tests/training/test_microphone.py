"""A live microphone, room and line: in time, in range, seeded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.speech import noises
from training.speech.microphone import MicrophoneConfig, record
from training.speech.microphone_opus import losses, through_opus
from training.speech.phones import RATE_HZ
from training.speech.rooms import in_room, room_response

SHARES = tuple(name for name in MicrophoneConfig.__dataclass_fields__ if name.endswith("_share"))
NOTHING: dict[str, Any] = dict.fromkeys(SHARES, 0.0) | {"usual_share": 1.0}


def voice(seconds: float = 4.0, seed: int = 0) -> NDArray[np.float32]:
    """Syllables of voiced pulses through two resonances, with pauses: like speech to all this."""
    chance = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = 120.0 + 20.0 * np.sin(2.0 * np.pi * 0.7 * times)
    sound = np.zeros(len(times))
    for harmonic in range(1, 30):
        shape = sum(np.exp(-(((harmonic * 120.0 - f) / 250.0) ** 2)) for f in (500.0, 1_500.0))
        phase = 2.0 * np.pi * harmonic * np.cumsum(pitch) / RATE_HZ
        sound += (0.05 + shape) * np.sin(phase + chance.uniform(0.0, 6.0))
    syllables = np.clip(np.sin(2.0 * np.pi * 3.1 * times), 0.0, 1.0) * (times % 2.0 < 1.4)
    sound *= syllables
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def lag_samples(heard: NDArray[Any], original: NDArray[Any]) -> int:
    """By how many samples `heard` is late."""
    size = 2 * len(original)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)))
    return at if at < len(original) else at - size


@pytest.mark.parametrize(
    "step",
    ["clean", "room", "steady", "typing", "blows", "babble", "music", "tilt", "band", "wander",
     "suppress", "clip", "opus"],
)  # fmt: skip
def test_nothing_moves_the_sound_in_time(step: str) -> None:
    original = voice()
    settings = NOTHING | {f"{step}_share": 1.0}
    if step == "opus":
        settings |= {"loss_share": 1.0, "loss": (0.05, 0.05)}
    for seed in range(3):
        chance = np.random.default_rng(seed)
        heard = record(original, chance, MicrophoneConfig(**settings), [voice(5.0, seed=9)])
        assert heard.shape == original.shape
        assert heard.dtype == np.float32
        assert abs(lag_samples(heard, original)) <= (8 if step == "opus" else 1)  # 0.5 ms


def test_everything_at_once_stays_in_time() -> None:
    original = voice()
    for seed in range(4):
        heard = record(original, np.random.default_rng(seed), talk=[voice(5.0, seed=9)])
        assert abs(lag_samples(heard, original)) <= 16


def test_levels_lie_in_the_range_and_use_it() -> None:
    original = voice(1.5)
    config = MicrophoneConfig(opus_share=0.0)
    peaks = [np.abs(record(original, np.random.default_rng(n), config)).max() for n in range(60)]
    decibels = 20.0 * np.log10(peaks)
    assert -41.0 < decibels.min() < -30.0
    assert -6.0 < decibels.max() <= 0.0


def test_a_seed_is_a_microphone() -> None:
    original = voice(1.5)
    one, same, other = (record(original, np.random.default_rng(n)) for n in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_silence_is_digital_or_a_room() -> None:
    quiet = np.zeros(RATE_HZ, dtype=np.float32)
    muted = MicrophoneConfig(clean_share=1.0, digital_share=1.0)
    assert not record(quiet, np.random.default_rng(0), muted).any()
    noisy = MicrophoneConfig(**(NOTHING | {"steady_share": 1.0, "snr_db": (0.0, 0.0)}))
    level = np.sqrt(np.mean(np.square(record(quiet, np.random.default_rng(0), noisy))))
    assert -45.0 < 20.0 * np.log10(level) < -10.0


def test_keys_and_blows_alone_are_as_loud_as_a_voice_and_short() -> None:
    quiet = np.zeros(8 * RATE_HZ, dtype=np.float32)
    config = MicrophoneConfig(**(NOTHING | {"blows_alone_share": 1.0}))
    heard = [record(quiet, np.random.default_rng(n), config) for n in range(40)]
    peaks = 20.0 * np.log10([np.abs(one).max() for one in heard])
    assert (peaks > -6.0).mean() > 0.15
    assert (peaks < -20.0).mean() > 0.15
    lasting = [(np.abs(one) > 0.1 * np.abs(one).max()).mean() for one in heard]
    assert np.median(lasting) < 0.1


@pytest.mark.parametrize("name", [*noises.STEADY, "music", "typing", "blows"])
def test_noises_have_the_level_they_say(name: str) -> None:
    maker = getattr(noises, name)
    sound = maker(3 * RATE_HZ, np.random.default_rng(4))
    assert sound.shape == (3 * RATE_HZ,)
    assert np.array_equal(sound, maker(3 * RATE_HZ, np.random.default_rng(4)))
    if name in {"typing", "blows"}:
        assert 0.4 < np.abs(sound).max() < 1.5
    else:
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0, rel=0.05)


def test_a_room_keeps_the_direct_sound_and_decays_in_its_time() -> None:
    response = room_response(0.4, 6.0, np.random.default_rng(0))
    assert response[0] == 1.0
    assert 10.0 * np.log10(np.square(response[1:]).sum()) == pytest.approx(-6.0, abs=0.01)
    early, late = (np.square(response[a:b]).mean() for a, b in ((800, 1_600), (4_000, 4_800)))
    assert 10.0 * np.log10(early / late) == pytest.approx(30.0, abs=4.0)  # in half the time
    sound = voice(1.0).astype(np.float64)
    assert in_room(sound, response).shape == sound.shape
    with pytest.raises(ValueError, match="rt60_s"):
        room_response(9.0, 0.0, np.random.default_rng(0))


def test_packets_are_lost_in_short_bursts() -> None:
    lost = losses(50_000, 0.08, np.random.default_rng(0))
    assert lost.mean() == pytest.approx(0.08, abs=0.01)
    bursts = int((lost[1:] & ~lost[:-1]).sum())
    assert 1.4 < lost.sum() / bursts < 2.0
    assert not losses(500, 0.0, np.random.default_rng(0)).any()


def test_lost_packets_are_concealed_then_silent() -> None:
    times = np.arange(RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2.0 * np.pi * 200.0 * times)
    lost = np.zeros(50, dtype=np.bool_)
    lost[20:32] = True  # from 0.4 s on, for 0.24 s
    heard = through_opus(tone, 24_000, lost)
    rms = np.sqrt(np.square(heard[: 49 * 320]).reshape(-1, 320).mean(1))
    assert rms[20] > 0.5 * rms[18] > 0.05
    assert (rms[24:31] < 0.01).all()
    assert rms[36] > 0.5 * rms[18]
    with pytest.raises(ValueError, match="6000"):
        through_opus(tone, 100, lost)
