"""Sounds that are not the speaker's: hiss, fans, hum, keys, blows, music, other people talking.

All are float64 [size] at 16 kHz, at an RMS of 1 (`typing`, `blows`: with peaks at 1), and seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.speech.phones import RATE_HZ

Sound = NDArray[np.float64]
Chance = np.random.Generator


def white(size: int, chance: Chance) -> Sound:
    """Hiss: the same power at every frequency."""
    return chance.standard_normal(size)


def pink(size: int, chance: Chance) -> Sound:
    """Falls by 3 dB per octave above 40 Hz."""
    return _coloured(size, chance, lambda hz: np.maximum(hz, 40.0) ** -0.5)


def fan(size: int, chance: Chance) -> Sound:
    """Noise that falls by 6 dB per octave above a knee, with a hum of its blades."""
    knee, blades = chance.uniform(200.0, 900.0), chance.uniform(70.0, 240.0)
    noise = _coloured(size, chance, lambda hz: 1.0 / np.abs(1.0 + 1j * hz / knee))
    hum = chance.uniform(0.1, 0.6) * np.sin(2.0 * np.pi * blades * _times(size))
    return _unit(noise + hum)


def hum(size: int, chance: Chance) -> Sound:
    """Mains: 50 or 60 Hz and harmonics over a little hiss."""
    base = float(chance.choice((50.0, 60.0)))
    times = _times(size)
    sound = 0.1 * chance.standard_normal(size)
    for harmonic in range(1, 9):
        strength = chance.uniform(0.0, 1.0) / harmonic
        sound += strength * np.sin(2.0 * np.pi * (base * harmonic * times + chance.random()))
    return _unit(sound)


def typing(size: int, chance: Chance) -> Sound:
    """Keys: decaying clicks of 8-30 ms at a typist's pace with thinking breaks; peaks at 1."""
    sound = np.zeros(size)
    at = int(chance.uniform(0.0, 0.5) * RATE_HZ)
    while at < size:
        click = _click(chance) * chance.uniform(0.4, 1.0)
        _add(sound, click, at)
        if chance.random() < 0.7:
            _add(sound, 0.4 * click, at + int(chance.uniform(0.05, 0.10) * RATE_HZ))
        pause = chance.uniform(0.08, 0.35) if chance.random() < 0.93 else chance.uniform(0.5, 3.0)
        at += int(pause * RATE_HZ)
    return sound


def blows(size: int, chance: Chance) -> Sound:
    """One thing that is struck now and then, one to five times in a row; peaks at 1."""
    strike = _STRIKES[int(chance.integers(len(_STRIKES)))]
    sound = np.zeros(size)
    at = int(chance.uniform(0.0, 2.0) * RATE_HZ)
    while at < size:
        apart = chance.uniform(0.09, 0.35)
        for _ in range(int(chance.integers(1, 6))):
            _add(sound, strike(chance) * chance.uniform(0.4, 1.0), at)
            at += int(apart * chance.uniform(0.8, 1.2) * RATE_HZ)
        at += int(chance.uniform(0.3, 4.0) * RATE_HZ)
    return sound


def music(size: int, chance: Chance) -> Sound:
    """Music without voice: chords of a scale, a tune of plucked or held notes, maybe drums."""
    beat = int(60.0 / chance.uniform(70.0, 150.0) * RATE_HZ)
    root = 110.0 * 2.0 ** (chance.integers(0, 12) / 12.0)
    scale = np.array((0, 2, 4, 5, 7, 9, 11) if chance.random() < 0.6 else (0, 2, 3, 5, 7, 8, 10))
    brightness, decay = chance.uniform(0.4, 0.85), chance.uniform(1.0, 6.0)
    drums = chance.random() < 0.5
    sound = np.zeros(size + 8 * beat)
    for number, at in enumerate(range(0, size, beat)):
        if number % 4 == 0:
            degree = int(chance.integers(7))
            for third in (0, 2, 4):
                note = root * _step(scale, degree + third)
                _add(sound, 0.3 * _note(note, 4 * beat, brightness, 0.5 * decay), at)
        if chance.random() < 0.8:
            note = 2.0 * root * _step(scale, int(chance.integers(10)))
            _add(sound, 0.6 * _note(note, beat, brightness, decay), at)
        if drums:
            _add(sound, 0.8 * _click(chance) if number % 2 else _thump(), at)
    return _unit(sound[:size])


def babble(size: int, chance: Chance, talk: Sequence[NDArray[np.float32]]) -> Sound:
    """Three to six of the `talk` tracks at once, each from a place of its own."""
    sound = np.zeros(size)
    for track in chance.choice(len(talk), size=int(chance.integers(3, 7))):
        shifted = np.roll(talk[track], int(chance.integers(len(talk[track]))))
        sound += chance.uniform(0.4, 1.0) * np.resize(shifted, size)
    return _unit(sound)


STEADY: dict[str, Callable[[int, Chance], Sound]] = {
    "white": white, "pink": pink, "fan": fan, "hum": hum,
}  # fmt: skip


def _times(size: int) -> Sound:
    return np.arange(size) / RATE_HZ


def _unit(sound: Sound) -> Sound:
    return np.asarray(sound / (np.sqrt(np.mean(np.square(sound))) + 1e-12))


def _add(sound: Sound, part: Sound, at: int) -> None:
    """Add `part` from sample `at` on, cut at the end of `sound`."""
    fits = max(0, min(len(part), len(sound) - at))
    sound[at : at + fits] += part[:fits]


def _coloured(size: int, chance: Chance, gain: Callable[[Sound], Sound]) -> Sound:
    # An even count of small factors is transformed several times faster.
    padded = -(-size // RATE_HZ) * RATE_HZ
    spectrum = np.fft.rfft(chance.standard_normal(padded))
    shaped = np.fft.irfft(spectrum * gain(np.fft.rfftfreq(padded, 1.0 / RATE_HZ)), padded)
    return _unit(shaped[:size])


def _click(chance: Chance) -> Sound:
    length = int(chance.uniform(0.008, 0.030) * RATE_HZ)
    ring = np.sin(2.0 * np.pi * chance.uniform(800.0, 3_000.0) * _times(length))
    click = (chance.standard_normal(length) + ring) * np.exp(-4.0 * np.arange(length) / length)
    return np.asarray(click / np.abs(click).max())


def _mouse(chance: Chance) -> Sound:
    """A button pressed and let go: two clicks of a few ms."""
    sound = np.zeros(int(0.15 * RATE_HZ))
    for at in (0.0, chance.uniform(0.04, 0.12)):
        click = _ring(chance, 0.004, chance.uniform(1_500.0, 4_500.0), 0.7)
        _add(sound, click * chance.uniform(0.6, 1.0), int(at * RATE_HZ))
    return sound


def _knock(chance: Chance) -> Sound:
    """Knuckles on wood, a cup set down, a finger on the microphone: low and short."""
    return _ring(chance, chance.uniform(0.015, 0.06), chance.uniform(70.0, 450.0), 0.3)


def _clap(chance: Chance) -> Sound:
    return _ring(chance, chance.uniform(0.008, 0.025), chance.uniform(900.0, 1_800.0), 0.9)


def _dish(chance: Chance) -> Sound:
    """Glass, metal, crockery: rings for longer."""
    return _ring(chance, chance.uniform(0.03, 0.12), chance.uniform(1_200.0, 5_000.0), 0.15)


def _ring(chance: Chance, decay_s: float, hz: float, hiss: float) -> Sound:
    """A struck thing: a tone, its uneven overtone and a share of noise, that die away; peak 1."""
    times = _times(int(5.0 * decay_s * RATE_HZ))
    tone = np.sin(2.0 * np.pi * hz * times)
    tone += chance.uniform(0.2, 0.8) * np.sin(2.0 * np.pi * chance.uniform(1.6, 2.9) * hz * times)
    noise = chance.standard_normal(len(times)) * np.exp(-times / (0.4 * decay_s))
    sound = (1.0 - hiss) * tone * np.exp(-times / decay_s) + hiss * noise
    return np.asarray(sound / np.abs(sound).max())


_STRIKES: tuple[Callable[[Chance], Sound], ...] = (_mouse, _knock, _knock, _clap, _dish)


def _thump() -> Sound:
    times = _times(RATE_HZ // 5)
    return np.asarray(np.sin(2.0 * np.pi * 55.0 * times) * np.exp(-18.0 * times))


def _step(scale: NDArray[np.int64], degree: int) -> float:
    octave, place = divmod(degree, len(scale))
    return float(2.0 ** (octave + scale[place] / 12.0))


def _note(hz: float, length: int, brightness: float, decay: float) -> Sound:
    """Harmonics that fall by `brightness` each, with a soft attack and a decay in 1/s."""
    times = _times(length)
    sound = np.zeros(length)
    for harmonic in range(1, 7):
        if harmonic * hz < RATE_HZ / 2.2:
            sound += brightness**harmonic * np.sin(2.0 * np.pi * harmonic * hz * times)
    attack = np.minimum(1.0, times / 0.01) * np.minimum(1.0, (length - np.arange(length)) / 160.0)
    return np.asarray(sound * attack * np.exp(-decay * times))
