"""How a head and brows move to speech: drift, nods at accents, phrase ends, listening nods.

Sizes follow people talking to a camera as MediaPipe FaceMesh reads them at 25 fps: standard
deviations of 1.5-10 degrees of yaw (median 4.1), 1.7-6.8 of pitch (2.7), 1.9-5.1 of roll (3.2), a
mean angular speed of 16-40 degrees per second (22), of which a sixth to six tenths of the power
lies under 2 Hz. A silent person moves much less. Random parts are Gaussian noise of a given
spectrum, so they return to zero by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.motion.articulation import FPS
from training.motion.prosody import Prosody, smooth

Array = NDArray[np.float64]

POSE = ("yaw", "pitch", "roll", "x", "y", "z")
LIMITS_DEG = {"yaw": 12.0, "pitch": 8.0, "roll": 8.0}

# channel: (corner in Hz, sd while silent, sd while talking) of layers of noise. Degrees;
# interocular distances for x, y, z. Tuned so that talk, rendered and read by FaceMesh, falls inside
# the figures above; of a rendered turn FaceMesh reads 55 % of the yaw, half of the pitch, all roll.
_DRIFT: dict[str, tuple[tuple[float, float, float], ...]] = {
    "yaw": ((0.12, 0.90, 3.7), (0.65, 0.25, 3.0), (2.2, 0.05, 1.20)),
    "pitch": ((0.11, 0.70, 2.7), (0.70, 0.25, 2.4), (2.2, 0.05, 1.00)),
    "roll": ((0.10, 0.70, 2.4), (0.65, 0.20, 2.1), (2.0, 0.04, 0.80)),
    "x": ((0.12, 0.006, 0.012), (0.6, 0.001, 0.004)),
    "y": ((0.12, 0.003, 0.006), (0.6, 0.001, 0.002)),
    "z": ((0.10, 0.006, 0.014), (0.5, 0.001, 0.004)),
}
_COUPLED = {"x": ("yaw", 0.004), "y": ("pitch", -0.002), "z": ("pitch", -0.002)}  # per degree
_QUICK_HZ = 1.0  # layers above it follow loudness: heads move more on loud syllables (Munhall 2004)
_LIVELY_PER_DB = 0.06
_TALK_SD_S = 0.28  # eases between silence and talk within half a second to one

# A beat: seconds down, held and back. Nods come with or just before the stressed syllable (Hadar et
# al. 1983; Munhall et al. 2004): the head is lowest at the middle of its vowel.
_BEAT_S = (0.17, 0.04, 0.32)
_BEAT_DEG = (1.4, 3.8)  # of the least and of the strongest
_BEAT_CHANCE = 0.75
_PHRASE_S = (0.45, 0.20, 0.90)  # lowering that ends a phrase
_PHRASE_DEG = (0.8, 2.6)
_LEVEL_SD_S = 2.0
_NODS_PER_MIN, _NOD_S, _NOD_DEG = 5.0, 1.1, 1.6  # while listening

# Brows rise a little before pitch accents, about 60 ms (Flecha-Garcia 2010), on some of them.
_RAISE_S = (0.18, 0.16, 0.40)
_RAISE = (0.12, 0.45)
_RAISE_CHANCE = 0.40


def head_motion(prosody: Prosody, frames: int, rng: np.random.Generator) -> dict[str, Array]:
    """Pose channels by the names of `POSE`, float64 [frames] each; degrees and interoculars."""
    talk = smooth(prosody.talking, _TALK_SD_S)
    lively = talk * np.clip(1.0 + _LIVELY_PER_DB * smooth(prosody.loudness, 0.2), 0.5, 1.5)
    pose = {name: _drift(_DRIFT[name], talk, lively, rng) for name in POSE}
    beats = _beats(prosody, frames, rng)
    lowered = beats + _endings(prosody, frames, rng)
    pose["pitch"] -= lowered - smooth(lowered, _LEVEL_SD_S)  # a nodding head does not sink
    pose["pitch"] -= _listening_nods(talk, frames, rng)
    pose["yaw"] = pose["yaw"] + _sway(prosody, frames, 1.3, rng)
    pose["roll"] = pose["roll"] + _sway(prosody, frames, 1.0, rng)
    for name, limit in LIMITS_DEG.items():
        pose[name] = limit * np.tanh(pose[name] / limit)
    for name, (angle, share) in _COUPLED.items():
        pose[name] = pose[name] + share * pose[angle]
    return pose


def brow_motion(prosody: Prosody, frames: int, rng: np.random.Generator) -> dict[str, Array]:
    """Inner and outer brows up, brows down, squint: blendshape weights, float64 [frames] each."""
    talk = smooth(prosody.talking, _TALK_SD_S)
    raised = np.zeros(frames)
    for at, strength in prosody.accents:
        if rng.random() < _RAISE_CHANCE * (0.5 + strength):
            size = (_RAISE[0] + (_RAISE[1] - _RAISE[0]) * strength) * rng.uniform(0.6, 1.2)
            raised = np.maximum(raised, size * _bump(at - _RAISE_S[0] - 0.06, _RAISE_S, frames))
    mood = noise(frames, 0.08, rng)
    frown = np.maximum(noise(frames, 0.12, rng) - 0.6, 0.0) * 0.055 * (0.3 + 0.7 * talk)
    squint = np.maximum(0.05 + 0.04 * noise(frames, 0.10, rng), 0.0)
    inner = 0.8 * raised + np.maximum(0.03 * mood, 0.0)
    calm = 1.0 - np.minimum(raised / 0.2, 1.0)
    return {"brow_inner": inner, "brow_outer": raised, "brow_down": frown * calm, "squint": squint}


def noise(frames: int, corner_hz: float, rng: np.random.Generator) -> Array:
    """Gaussian noise of unit deviation whose power falls with the sixth power above the corner."""
    size = 1 << int(np.ceil(np.log2(frames + 6.0 * FPS / corner_hz)))
    hz = np.fft.rfftfreq(size, 1.0 / FPS)
    shape = (1.0 + (hz / corner_hz) ** 2) ** -1.5
    shape[0] = 0.0
    white = rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz))
    values = np.fft.irfft(white * shape, size)
    expected = np.sqrt(2.0 * 2.0 * np.square(shape).sum()) / size
    return np.asarray(values[:frames] / expected)


def _drift(
    layers: Sequence[tuple[float, float, float]],
    talk: Array,
    lively: Array,
    rng: np.random.Generator,
) -> Array:
    parts = [
        noise(len(talk), corner_hz, rng)
        * (silent + (talking - silent) * (lively if corner_hz > _QUICK_HZ else talk))
        for corner_hz, silent, talking in layers
    ]
    return np.asarray(sum(parts))


def _beats(prosody: Prosody, frames: int, rng: np.random.Generator) -> Array:
    """Nods at accents, degrees downward."""
    total = np.zeros(frames)
    for at, strength in prosody.accents:
        if rng.random() < _BEAT_CHANCE:
            size = (_BEAT_DEG[0] + (_BEAT_DEG[1] - _BEAT_DEG[0]) * strength) * rng.uniform(0.6, 1.3)
            total += size * _bump(at - _BEAT_S[0], _BEAT_S, frames)
    return total


def _sway(prosody: Prosody, frames: int, size_deg: float, rng: np.random.Generator) -> Array:
    """Turns to either side that come with some accents."""
    total = np.zeros(frames)
    for at, strength in prosody.accents:
        size = size_deg * strength * rng.standard_normal()
        if rng.random() < 0.5:
            total += size * _bump(at - rng.uniform(0.1, 0.25), _BEAT_S, frames)
    return total


def _endings(prosody: Prosody, frames: int, rng: np.random.Generator) -> Array:
    """The lowering at the end of phrases, degrees downward."""
    total = np.zeros(frames)
    for end in prosody.phrase_ends:
        size = rng.uniform(*_PHRASE_DEG)
        total += size * _bump(end - _PHRASE_S[0], _PHRASE_S, frames)
    return total


def _listening_nods(talk: Array, frames: int, rng: np.random.Generator) -> Array:
    """Double nods at random times of silence, degrees downward."""
    total = np.zeros(frames)
    for at in np.flatnonzero(rng.random(frames) < _NODS_PER_MIN / 60.0 / FPS):
        if talk[at : at + int(_NOD_S * FPS)].max() > 0.05:
            continue
        phase = np.clip((np.arange(frames) - at) / (_NOD_S * FPS), 0.0, 1.0)
        size = _NOD_DEG * rng.uniform(0.5, 1.2)
        total += size * np.sin(4.0 * np.pi * phase) * np.sin(np.pi * phase)
    return total


def _bump(start_s: float, spans_s: tuple[float, float, float], frames: int) -> Array:
    """Smoothly from 0 at `start_s` to 1, a hold, and back to 0, each for one of `spans_s`."""
    rise, hold, fall = spans_s
    since = (np.arange(frames) + 0.5) / FPS - start_s
    return _ease(since / rise) * (1.0 - _ease((since - rise - hold) / fall))


def _ease(t: Array) -> Array:
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * t * (t * (6.0 * t - 15.0) + 10.0))
