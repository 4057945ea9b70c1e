"""Sounds to measure lips by: sentences between silences, and the noises of a room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.motion.articulation import FPS
from training.speech.phones import RATE_HZ, Phone, Utterance

Samples = NDArray[np.float32]

SILENCE_S = 0.8  # before and after a sentence, whole video frames
_ROOM_DB = -72.0  # noise under everything, dB below full scale


@dataclass(frozen=True)
class Clip:
    samples: Samples  # [S] at RATE_HZ, whole video frames
    phones: tuple[Phone, ...]

    @property
    def frames(self) -> int:
        return len(self.samples) * FPS // RATE_HZ


def spoken(utterance: Utterance, level_db: float = -23.0) -> Clip:
    """The sentence at an RMS of `level_db` below full scale, silence around it, in a quiet room."""
    size = len(utterance.samples) + round(2 * SILENCE_S * RATE_HZ)
    size += -size % (RATE_HZ // FPS)
    samples = np.zeros(size, dtype=np.float64)
    begin = round(SILENCE_S * RATE_HZ)
    loudness = float(np.sqrt(np.mean(np.square(utterance.samples, dtype=np.float64))))
    voice = utterance.samples * (10.0 ** (level_db / 20.0) / loudness)
    samples[begin : begin + len(voice)] = voice
    samples += white(size, _ROOM_DB, seed=0)
    phones = [
        Phone(phone.label, phone.start_s + SILENCE_S, phone.end_s + SILENCE_S)
        for phone in utterance.phones
    ]
    around = [Phone("SIL", 0.0, SILENCE_S), *phones]
    around.append(Phone("SIL", phones[-1].end_s, size / RATE_HZ))
    return Clip(samples.clip(-1.0, 1.0).astype(np.float32), tuple(around))


def white(size: int, level_db: float, seed: int) -> NDArray[np.float64]:
    """White noise of an RMS of `level_db` below full scale."""
    noise = np.random.default_rng(seed).standard_normal(size)
    return np.asarray(noise * 10.0 ** (level_db / 20.0))


def fan(size: int, level_db: float, seed: int) -> NDArray[np.float64]:
    """A fan: noise that falls by 6 dB per octave above 400 Hz, with a hum of its blades."""
    spectrum = np.fft.rfft(white(size, 0.0, seed))
    hz = np.fft.rfftfreq(size, 1.0 / RATE_HZ)
    noise = np.fft.irfft(spectrum / (1.0 + 1j * hz / 400.0), size)
    hum = 0.3 * noise.std() * np.sin(2.0 * np.pi * 118.0 * np.arange(size) / RATE_HZ)
    mixed = noise + hum
    return np.asarray(mixed / mixed.std() * 10.0 ** (level_db / 20.0))


def typing(size: int, peak_db: float, seed: int) -> NDArray[np.float64]:
    """Keys: decaying clicks of 8-30 ms at a typist's pace, most with a softer release."""
    chance = np.random.default_rng(seed)
    sound = white(size, _ROOM_DB, seed)
    at = RATE_HZ // 5
    while at < size - RATE_HZ // 4:
        length = int(chance.uniform(0.008, 0.030) * RATE_HZ)
        times = np.arange(length)
        ring = np.sin(2.0 * np.pi * chance.uniform(800.0, 3_000.0) * times / RATE_HZ)
        click = (chance.standard_normal(length) + ring) * np.exp(-4.0 * times / length)
        click *= 10.0 ** (peak_db / 20.0) / np.abs(click).max()
        sound[at : at + length] += click
        if chance.random() < 0.7:
            release = at + int(chance.uniform(0.05, 0.10) * RATE_HZ)
            sound[release : release + length] += 0.4 * click
        at += int(chance.uniform(0.08, 0.35) * RATE_HZ)
    return sound


def noises(length_s: float) -> dict[str, Samples]:
    """What must leave the lips alone, by name."""
    size = round(length_s * FPS) * RATE_HZ // FPS
    made = {
        "digital silence": np.zeros(size),
        "quiet room": white(size, -72.0, 1),
        "hiss at -45 dBFS": white(size, -45.0, 1),
        "fan at -45 dBFS": fan(size, -45.0, 1),
        "fan at -36 dBFS": fan(size, -36.0, 1),
        "typing, peaks at -20 dBFS": typing(size, -20.0, 1),
        "typing, peaks at -6 dBFS": typing(size, -6.0, 1),
    }
    return {name: sound.clip(-1.0, 1.0).astype(np.float32) for name, sound in made.items()}
