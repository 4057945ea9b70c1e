"""Performances for training: lips that close and anticipate, heads that move like people's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.motion.articulation import FPS, articulate
from training.motion.performance import MOUTH, OUTPUTS, perform
from training.motion.visemes import blend, covered
from training.speech.phones import RATE_HZ, Phone

Motion = NDArray[np.float32]

_WORDS = "B AA T IY SH UW M AE N OW V ER P EH L AO Z W IH D F AY G AX K EY S"


def _said(labels: str, start_s: float = 0.0, each_s: float = 0.09) -> list[Phone]:
    return [
        Phone(label, start_s + i * each_s, start_s + (i + 1) * each_s)
        for i, label in enumerate(labels.split())
    ]


def _voice(phones: list[Phone], length_s: float) -> NDArray[np.float32]:
    """A hum where something is said, its level and pitch wandering as speech does."""
    times = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    hz = 120.0 + 25.0 * np.sin(2.0 * np.pi * 0.7 * times) + 10.0 * np.sin(8.0 * times)
    level = 0.1 * (1.0 + 0.7 * np.sin(2.0 * np.pi * 1.9 * times))
    hum = level * np.sign(np.sin(2.0 * np.pi * np.cumsum(hz) / RATE_HZ))
    said = np.zeros(len(times), np.float32)
    for phone in phones:
        if phone.label != "SIL":
            said[int(phone.start_s * RATE_HZ) : int(phone.end_s * RATE_HZ)] = 1.0
    return (hum * said).astype(np.float32)


def _talk(length_s: float) -> list[Phone]:
    """Phrases of two to four seconds between pauses of half a second, in a varied order."""
    chance = np.random.default_rng(3)
    labels = _WORDS.split()
    phones: list[Phone] = []
    at = 0.2
    while at < length_s - 5.0:
        for _ in range(int(chance.integers(25, 50))):
            length = chance.uniform(0.05, 0.14)
            phones.append(Phone(str(chance.choice(labels)), at, at + length))
            at += length
        phones.append(Phone("SIL", at, at + 0.5))
        at += 0.5
    return phones


def _play(phones: list[Phone], length_s: float, seed: int = 0) -> Motion:
    return perform(phones, _voice(phones, length_s), int(length_s * FPS), seed)


def _channel(motion: Motion, name: str) -> NDArray[np.float64]:
    return motion[:, MOTION_INDEX[OUTPUTS[name][0]]].astype(np.float64)


def _pose(motion: Motion) -> NDArray[np.float64]:
    return np.stack([_channel(motion, name) for name in ("yaw", "pitch", "roll")], 1)


@pytest.mark.parametrize("label", ["P", "B", "M"])
@pytest.mark.parametrize("around", ["AA", "IY", "UW", "S"])
def test_lips_meet_for_closures(label: str, around: str) -> None:
    phones = _said(f"{around} {label} {around}", start_s=0.5)
    motion = _play(phones, 1.5)
    parting = _channel(motion, "jaw") - _channel(motion, "close")
    middle = int(phones[1].middle_s * FPS)
    assert parting[middle - 1 : middle + 2].min() < 0.01
    assert _channel(motion, "press")[middle - 1 : middle + 2].max() > 0.05
    # No other shape pulls the lips apart then.
    shut = int(parting[middle - 1 : middle + 2].argmin()) + middle - 1
    assert all(_channel(motion, n)[shut] < 0.02 for n in ("teeth_lower", "teeth_upper", "funnel"))


def test_lower_lip_tucks_for_f() -> None:
    motion = _play(_said("AA F AA", start_s=0.5), 1.5)
    tuck = _channel(motion, "tuck")
    assert tuck.max() > 0.3
    assert abs(int(tuck.argmax()) - int(0.635 * FPS)) <= 2


def test_open_vowels_open_and_order() -> None:
    opening = {
        vowel: (lambda m: (_channel(m, "jaw") - _channel(m, "close")).max())(
            _play(_said(f"D {vowel} D", start_s=0.5, each_s=0.14), 1.5)
        )
        for vowel in ("AA", "EH", "IY")
    }
    assert opening["AA"] > opening["EH"] > opening["IY"] > 0.05


def test_rounding_starts_before_its_vowel_and_through_a_consonant() -> None:
    phones = _said("IY T UW T IY", start_s=0.5, each_s=0.12)
    pucker = _channel(_play(phones, 2.0), "pucker")
    vowel = phones[2].start_s
    onset = (np.flatnonzero(pucker > 0.25 * pucker.max())[0] + 0.5) / FPS
    assert 0.04 <= vowel - onset <= 0.14
    assert pucker.max() > 0.3
    wide = _channel(_play(phones, 2.0), "wide")
    assert wide[int(phones[2].middle_s * FPS)] < 0.5 * wide.max()


def test_gap_is_the_reference_gap() -> None:
    phones = covered(_talk(20.0), 20.0)
    times = (np.arange(20 * FPS) + 0.5) / FPS
    steps = np.arange(-2, 3) * 0.008
    gap = blend(phones, (times[:, None] + steps).ravel()).gap.reshape(-1, 5).mean(1)
    assert (
        np.abs(gap - articulate(phones, 20 * FPS)).max() < 1e-4
    )  # of 0.05: what lies 0.9 s away is left out


def test_silence_is_still() -> None:
    phones = [*_said(_WORDS, start_s=0.5), *_said(_WORDS, start_s=9.0)]
    motion = _play(phones, 12.0)
    quiet = slice(int(4.5 * FPS), int(8.2 * FPS))
    for name in MOUTH:
        assert np.abs(_channel(motion, name)[quiet]).max() < 1e-3, name
    calm, lively = (_pose(motion)[part].std(0) for part in (quiet, slice(10, 70)))
    assert calm.mean() < lively.mean()


def test_nothing_said_is_a_resting_mouth() -> None:
    motion = perform([], np.zeros(0, np.float32), 500, 7)
    assert motion.shape == (500, MOTION_DIM)
    assert motion.dtype == np.float32
    assert all(np.abs(_channel(motion, name)).max() == 0.0 for name in MOUTH)
    assert np.all((_pose(motion).std(0) > 0.1) & (_pose(motion).std(0) < 2.0))


def test_head_moves_as_people_do_and_stays_in_bounds() -> None:
    motion = _play(_talk(120.0), 120.0, seed=5)
    pose = _pose(motion)
    assert np.all(pose.std(0) >= [3.0, 2.0, 2.0])
    assert np.all(pose.std(0) <= [5.5, 4.0, 3.5])
    assert np.all(np.abs(pose).max(0) <= [12.0, 8.0, 8.0])
    assert np.all(np.abs(pose.mean(0)) < 1.0)
    velocity = np.diff(pose, axis=0) * FPS
    assert 11.0 <= np.linalg.norm(velocity, axis=1).mean() <= 24.0  # degrees per second, no noise
    power = np.abs(np.fft.rfft(velocity, axis=0)) ** 2
    slow = power[np.fft.rfftfreq(len(velocity), 1.0 / FPS) < 2.0].sum(0) / power.sum(0)
    assert np.all((slow > 0.35) & (slow < 0.85))  # landmark noise, which is fast, lowers it


def test_the_head_does_not_drift() -> None:
    pose = _pose(perform([], np.zeros(0, np.float32), 10 * 60 * FPS, 1))
    minutes = pose.reshape(10, 60 * FPS, 3).mean(1)
    assert np.abs(minutes).max() < 1.0


def test_seeds_change_the_head_and_not_the_mouth() -> None:
    phones = _talk(60.0)
    one, other = _play(phones, 60.0, seed=1), _play(phones, 60.0, seed=2)
    for name in MOUTH:
        assert np.array_equal(_channel(one, name), _channel(other, name)), name
    for a, b in zip(_pose(one).T, _pose(other).T, strict=True):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.3
    assert np.array_equal(one, _play(phones, 60.0, seed=1))


def test_louder_speech_is_larger_within_a_fifth() -> None:
    phones = _said("AA " * 40, start_s=0.2)
    loud = _voice(phones, 4.0)
    loud[: len(loud) // 2] *= 0.25
    parting = {}
    for name, samples in (("even", _voice(phones, 4.0)), ("rising", loud)):
        motion = perform(phones, samples, 100, 0)
        parting[name] = _channel(motion, "jaw") - _channel(motion, "close")
    ratio = parting["rising"] / np.maximum(parting["even"], 1e-6)
    soft, strong = ratio[15:40], ratio[60:85]
    assert soft.mean() < 0.95
    assert strong.mean() > 1.05


def test_phones_beyond_the_frames_are_allowed_and_no_frames_are_not() -> None:
    phones = _said(_WORDS, start_s=0.1)
    assert perform(phones, _voice(phones, 3.0), 20, 0).shape == (20, MOTION_DIM)
    with pytest.raises(ValueError, match="frames"):
        perform(phones, _voice(phones, 3.0), 0, 0)


def test_only_the_named_channels_move_and_sides_agree() -> None:
    motion = _play(_talk(20.0), 20.0)
    named = {MOTION_INDEX[target] for targets in OUTPUTS.values() for target in targets}
    still = [i for i in range(MOTION_DIM) if i not in named]
    assert np.abs(motion[:, still]).max() == 0.0
    for targets in OUTPUTS.values():
        rows = motion[:, [MOTION_INDEX[target] for target in targets]]
        assert np.array_equal(rows.min(1), rows.max(1))
    shapes = motion[:, : MOTION_INDEX["headYaw"]]
    assert np.all((shapes >= 0.0) & (shapes <= 1.0))
