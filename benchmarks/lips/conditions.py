"""Under what the lips are measured besides clean voices: microphones, backgrounds, languages.

Everything is drawn with fixed seeds, so two runs hear the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from benchmarks.lips.sounds import Clip, Samples, noises, spoken, white
from training.motion.articulation import FPS
from training.speech import noises as training_noises
from training.speech.lexicon_languages import HELD_OUT_LANGUAGES
from training.speech.microphone import MicrophoneConfig, record
from training.speech.phones import RATE_HZ, Utterance
from training.speech.rooms import in_room, room_response
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import missing, synthesise
from training.speech.text import foreign

LANGUAGE_VOICES: dict[str, tuple[str, ...]] = {
    language: tuple(f"espeak:{language}+{speaker}" for speaker in ("m3", "f3"))
    for language in HELD_OUT_LANGUAGES
}

# A headset in a quiet room: each of the microphones below changes one thing about it.
_PLAIN = MicrophoneConfig(
    clean_share=0.0, usual_share=1.0, usual_peak_db=(-9.0, -9.0), digital_share=0.0,
    floor_db=(-63.0, -63.0), room_share=0.0, steady_share=0.0, typing_share=0.0, blows_share=0.0,
    babble_share=0.0, music_share=0.0, tilt_share=0.0, band_share=0.0, wander_share=0.0,
    suppress_share=0.0, clip_share=0.0, opus_share=0.0,
)  # fmt: skip
_TELEPHONE = "telephone band"
_TELEPHONE_HZ = (300.0, 3_400.0)
MICROPHONES: dict[str, MicrophoneConfig] = {
    "peaks at -40 dBFS": replace(_PLAIN, usual_peak_db=(-40.0, -40.0)),
    "noise 15 dB below": replace(_PLAIN, steady_share=1.0, snr_db=(15.0, 15.0)),
    "room": replace(_PLAIN, room_share=1.0, rt60_s=(0.4, 0.4), direct_db=(0.0, 0.0)),
    "Opus 16 kbit/s, 5 % lost": replace(
        _PLAIN, opus_share=1.0, bit_rate=(16e3, 16e3), loss_share=1.0, loss=(0.05, 0.05)
    ),
    _TELEPHONE: _PLAIN,  # after the band itself
    "anything, as in training": MicrophoneConfig(clean_share=0.0),
}

_SETTLE = 10  # frames a noise may take to be known for one
_AFTER_SPEECH = 15  # frames after a speaker until the lips must rest: hangover and closing
_FAR_DB, _MUSIC_DB = -48.0, (-36.0, -24.0)  # RMS below full scale; a near voice has -23
_STRUCK, _STRUCK_DB = 6, -6.0
_FAR_VOICES = ("espeak:en-us+m2", "espeak:en+f4", "espeak:en-gb-scotland+m7", "espeak:en-us+f2")


@dataclass(frozen=True)
class Background:
    """A sound, and from which video frame on it must leave the lips alone."""

    samples: Samples
    begin: int


def through(clip: Clip, microphone: str, seed: int) -> Clip:
    """The clip as one of `MICROPHONES` delivers it; phones keep their times."""
    samples = clip.samples
    if microphone == _TELEPHONE:
        band = butter(4, _TELEPHONE_HZ, "bandpass", fs=RATE_HZ, output="sos")
        samples = sosfiltfilt(band, samples).astype(np.float32)
    chance = np.random.default_rng([seed, list(MICROPHONES).index(microphone)])
    return replace(clip, samples=record(samples, chance, MICROPHONES[microphone]))


def phrases(language: str, count: int) -> list[str]:
    """Phrases of at least five words of a held-out language."""
    chance = np.random.default_rng(20)
    found: list[str] = []
    while len(found) < count:
        text = foreign(language, chance)
        if len(text.split()) >= 5:
            found.append(text)
    return found


def backgrounds(length_s: float) -> dict[str, Background]:
    """What must leave the lips alone, by name; far talk only where its voices are installed."""
    made = {name: Background(sound, _SETTLE) for name, sound in noises(length_s).items()}
    size = round(length_s * FPS) * RATE_HZ // FPS
    for level in _MUSIC_DB:
        sound = training_noises.music(size, np.random.default_rng(3)) * 10.0 ** (level / 20.0)
        made[f"music at {level:.0f} dBFS"] = Background(_sound(sound), _SETTLE)
    made[f"struck things, peaks at {_STRUCK_DB:.0f} dBFS"] = Background(_struck(size), _SETTLE)
    if all(missing(voice) is None for voice in _FAR_VOICES):
        speaker = synthesise(HELD_OUT[0], _FAR_VOICES[0])
        others = [synthesise(" ".join(HELD_OUT[2:5]), voice).samples for voice in _FAR_VOICES]
        made[f"far talk at {_FAR_DB:.0f} dBFS, after a speaker"] = far_talk(
            speaker, others, length_s
        )
    return made


def _struck(size: int) -> Samples:
    """Mouse buttons, knocks, claps, dishes: one thing after another."""
    each = -(-size // _STRUCK)
    parts = []
    for n in range(_STRUCK):
        thing = training_noises.blows(each + 2 * RATE_HZ, np.random.default_rng([6, n]))
        begin = int(np.flatnonzero(thing)[0])  # within two seconds
        parts.append(thing[begin : begin + each])
    sound = np.concatenate(parts)[:size] + white(size, -72.0, 1)
    return _sound(sound * 10.0 ** (_STRUCK_DB / 20.0) / np.abs(sound).max())


def far_talk(
    speaker: Utterance, others: Sequence[NDArray[np.float32]], length_s: float
) -> Background:
    """A sentence nearby; before, under and for `length_s` after it others talk across a room."""
    near = spoken(speaker)
    size = len(near.samples) + round(length_s * FPS) * RATE_HZ // FPS
    chance = np.random.default_rng(4)
    talk = in_room(training_noises.babble(size, chance, others), room_response(0.8, -10.0, chance))
    sound = talk * 10.0 ** (_FAR_DB / 20.0) / talk.std()
    sound[: len(near.samples)] += near.samples
    end_s = max(phone.end_s for phone in near.phones if phone.label != "SIL")
    return Background(_sound(sound), int(end_s * FPS) + 1 + _AFTER_SPEECH)


def _sound(samples: NDArray[np.float64]) -> Samples:
    return samples.clip(-1.0, 1.0).astype(np.float32)
