"""From a clean voice to what a live microphone delivers: room, noise, circuit, gain, network.

No step moves the sound in time: phones keep their times. Ranges are those a talking service meets:
a headset in a quiet room as well as a laptop beside a fan behind a lossy line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.speech import noises
from training.speech.microphone_opus import PACKET, losses, through_opus
from training.speech.phones import RATE_HZ
from training.speech.rooms import in_room, room_response

Sound = NDArray[np.float64]
Range = tuple[float, float]
_NOMINAL_PEAK = 0.35  # of a voice at -23 dBFS RMS, where a stretch has no voice to measure
_NOMINAL_RMS = 10.0 ** (-23.0 / 20.0)


@dataclass(frozen=True, kw_only=True)
class MicrophoneConfig:
    """Shares are probabilities in [0, 1]; ranges are drawn from uniformly."""

    clean_share: float = 0.2  # no room, noise, circuit or network: a good headset
    peak_db: Range = (-40.0, 0.0)  # of the loudest sample, dB below full scale
    usual_peak_db: Range = (-24.0, -3.0)
    usual_share: float = 0.65
    digital_share: float = 0.05  # without any noise of the circuit: exact zeros in pauses
    floor_db: Range = (-85.0, -62.0)  # noise of the circuit itself, below the voice's peak
    room_share: float = 0.6
    rt60_s: Range = (0.1, 0.5)
    direct_db: Range = (-2.0, 15.0)  # direct sound over the room's
    steady_share: float = 0.55  # white, pink, fan or hum
    typing_share: float = 0.15
    babble_share: float = 0.12
    music_share: float = 0.12
    blows_share: float = 0.25  # keys or struck things, near: often louder than the voice
    blows_db: Range = (-20.0, 10.0)  # their peaks over the voice's
    blows_alone_share: float = 0.5  # where nobody speaks, so that they alone never move lips
    blows_alone_db: Range = (-10.0, 20.0)
    snr_db: Range = (0.0, 40.0)  # steady noise and keys; the upper end is likelier
    rival_snr_db: Range = (8.0, 35.0)  # babble and music: nearer, and the voice is no longer sole
    tilt_share: float = 0.5
    tilt_db: Range = (-3.0, 3.0)  # per octave around 1 kHz
    band_share: float = 0.25
    wander_share: float = 0.3
    wander_db: float = 6.0
    suppress_share: float = 0.2
    clip_share: float = 0.06
    overdrive_db: Range = (3.0, 12.0)
    opus_share: float = 0.6
    bit_rate: Range = (12_000.0, 32_000.0)
    loss_share: float = 0.4  # of those with Opus
    loss: Range = (0.0, 0.10)


def record(
    voice: NDArray[np.float32],
    chance: np.random.Generator,
    config: MicrophoneConfig | None = None,
    talk: Sequence[NDArray[np.float32]] = (),
) -> NDArray[np.float32]:
    """`voice` float32 [S] at 16 kHz -> the microphone's signal, float32 [S] in [-1, 1].

    `voice` may be all zeros: then only the surroundings are heard, as loud as beside a voice.
    `talk` are tracks of other voices, float32, for babble; without them there is none.
    """
    config = config or MicrophoneConfig()
    sound = voice.astype(np.float64)
    voiced = bool(np.any(voice))
    clean = chance.random() < config.clean_share
    if not clean:
        sound = _surroundings(sound, chance, config, talk)
        sound = _circuit(sound, chance, config)
    peak = float(np.abs(sound).max()) if voiced else _NOMINAL_PEAK
    level = config.usual_peak_db if _happens(config.usual_share, chance) else config.peak_db
    sound = sound / peak
    if not _happens(config.digital_share, chance):
        sound += _gain(config.floor_db, chance) * noises.white(len(sound), chance)
    sound *= _gain(level, chance)
    if not clean and _happens(config.clip_share, chance):
        sound = _clipped(sound, _gain(config.overdrive_db, chance))
    sound = np.round(sound.clip(-1.0, 1.0) * 32_767.0) / 32_768.0
    if not clean and _happens(config.opus_share, chance):
        sound = _network(sound, chance, config)
    return sound.clip(-1.0, 1.0).astype(np.float32)


def voice_rms(sound: Sound) -> float:
    """RMS of the 20 ms pieces within 30 dB of the loudest; the nominal voice's for silence."""
    pieces = np.square(sound[: len(sound) // 320 * 320].reshape(-1, 320)).mean(1)
    if pieces.max(initial=0.0) < 1e-9:
        return _NOMINAL_RMS
    return float(np.sqrt(pieces[pieces > pieces.max() * 1e-3].mean()))


def _surroundings(
    sound: Sound,
    chance: np.random.Generator,
    config: MicrophoneConfig,
    talk: Sequence[NDArray[np.float32]],
) -> Sound:
    """The voice in a room, among noises."""
    size, rms, alone = len(sound), voice_rms(sound), not np.any(sound)
    if _happens(config.room_share, chance):
        response = room_response(
            chance.uniform(*config.rt60_s), chance.uniform(*config.direct_db), chance
        )
        sound = in_room(sound, response)
    sound = sound.copy()
    if _happens(config.steady_share, chance):
        kind = list(noises.STEADY.values())[int(chance.integers(len(noises.STEADY)))]
        sound += rms / _ratio(config.snr_db, chance) * kind(size, chance)
    if _happens(config.typing_share, chance):
        keys = noises.typing(size, chance)  # peaks at 1: a voice's peaks are 4 times its RMS
        sound += 4.0 * rms / _ratio(config.snr_db, chance) * keys
    if _happens(config.blows_alone_share if alone else config.blows_share, chance):
        kind = noises.typing if chance.random() < 0.5 else noises.blows
        over = _gain(config.blows_alone_db if alone else config.blows_db, chance)
        sound += 4.0 * rms * over * kind(size, chance)
    if talk and _happens(config.babble_share, chance):
        babble = noises.babble(size, chance, talk)
        sound += rms / _gain(config.rival_snr_db, chance) * babble
    if _happens(config.music_share, chance):
        sound += rms / _gain(config.rival_snr_db, chance) * noises.music(size, chance)
    return sound


def _circuit(sound: Sound, chance: np.random.Generator, config: MicrophoneConfig) -> Sound:
    """Microphone's colour, band limits, suppression of noise, wandering gain: all zero-phase."""
    tilt = chance.uniform(*config.tilt_db) if _happens(config.tilt_share, chance) else 0.0
    band = None
    if _happens(config.band_share, chance):
        band = (chance.uniform(60.0, 300.0), float(chance.choice((3_400.0, 4_000.0, 7_000.0))))
    if tilt or band:
        sound = _coloured(sound, tilt, band)
    if _happens(config.suppress_share, chance):
        sound = _suppressed(sound, chance)
    if _happens(config.wander_share, chance):
        knots = chance.uniform(-config.wander_db, config.wander_db, len(sound) // RATE_HZ // 3 + 2)
        at = np.linspace(0, len(knots) - 1, len(sound))
        sound = sound * 10.0 ** (np.interp(at, np.arange(len(knots)), knots) / 20.0)
    return sound


def _coloured(sound: Sound, tilt_db: float, band: Range | None) -> Sound:
    """`tilt_db` per octave around 1 kHz; nothing outside `band`. Zero phase, by spectrum."""
    padded = (len(sound) // RATE_HZ + 1) * RATE_HZ
    hz = np.fft.rfftfreq(padded, 1.0 / RATE_HZ)
    octaves = np.log2(np.clip(hz, 125.0, 8_000.0) / 1_000.0)
    gain = 10.0 ** (tilt_db * octaves / 20.0)
    if band is not None:
        low, high = band
        gain = gain / np.sqrt(1.0 + (low / np.maximum(hz, 1.0)) ** 4 + (hz / high) ** 16)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, padded) * gain, padded)[: len(sound)])


def _suppressed(sound: Sound, chance: np.random.Generator) -> Sound:
    """Browsers' suppression of noise: bands near their own quietest level are turned down."""
    size, step = 512, 256
    padded = np.concatenate([np.zeros(step), sound, np.zeros(size)])
    window = np.sqrt(np.hanning(size + 1)[:size])
    starts = np.arange(0, len(padded) - size + 1, step)
    frames = np.fft.rfft(padded[starts[:, None] + np.arange(size)] * window)
    power = np.square(np.abs(frames))
    smooth = power.copy()
    for n in range(1, len(smooth)):
        smooth[n] = 0.7 * smooth[n - 1] + 0.3 * power[n]
    background = np.quantile(smooth, 0.1, axis=0) * 3.0
    deepest = 10.0 ** (chance.uniform(-20.0, -8.0) / 20.0)
    gain = np.clip(1.0 - background / np.maximum(smooth, 1e-12), deepest, 1.0)
    out = np.zeros(len(padded))
    for start, frame in zip(starts, np.fft.irfft(frames * gain, size) * window, strict=True):
        out[start : start + size] += frame
    return out[step : step + len(sound)]


def _clipped(sound: Sound, drive: float) -> Sound:
    """Driven past the limits of a circuit, then turned down again."""
    limit = float(np.abs(sound).max()) / drive
    return np.clip(sound, -limit, limit)


def _network(sound: Sound, chance: np.random.Generator, config: MicrophoneConfig) -> Sound:
    share = chance.uniform(*config.loss) if _happens(config.loss_share, chance) else 0.0
    lost = losses(len(sound) // PACKET, share, chance)
    return through_opus(sound, int(chance.uniform(*config.bit_rate)), lost)


def _gain(decibels: Range, chance: np.random.Generator) -> float:
    return float(10.0 ** (chance.uniform(*decibels) / 20.0))


def _ratio(decibels: Range, chance: np.random.Generator) -> float:
    """Voice over noise; density grows linearly from the worst to the best."""
    low, high = decibels
    return float(10.0 ** ((low + (high - low) * np.sqrt(chance.random())) / 20.0))


def _happens(share: float, chance: np.random.Generator) -> bool:
    return bool(chance.random() < share)
