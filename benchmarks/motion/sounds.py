"""Minutes of held-out voices to watch a face by: talk with short pauses, and talk among silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.lips.sounds import Clip, white
from pipelines.pipeline import FPS
from training.speech.phones import RATE_HZ, Phone
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import synthesise

_ROOM_DB, _VOICE_DB = -72.0, -23.0  # RMS below full scale
_HOP = RATE_HZ // FPS
_PAUSES_S = (0.2, 0.7)  # between sentences of talk
_TURN_SENTENCES, _SILENCES_S = 5, (6.0, 16.0)  # of a conversation


def talk(length_s: float, voices: Sequence[str], seed: int = 0) -> Clip:
    """Sentences between short pauses, voices in turn."""
    return _joined(length_s, voices, seed, conversation=False)


def conversation(length_s: float, voices: Sequence[str], seed: int = 0) -> Clip:
    """Turns of some sentences between long silences."""
    return _joined(length_s, voices, seed, conversation=True)


def _joined(length_s: float, voices: Sequence[str], seed: int, *, conversation: bool) -> Clip:
    chance = np.random.default_rng(seed)
    cache = {}
    size = round(length_s * RATE_HZ) // _HOP * _HOP
    sound = white(size, _ROOM_DB, seed)
    phones: list[Phone] = []
    at, said = 0.5, 0
    while True:
        voice, text = voices[said // _TURN_SENTENCES % len(voices)], HELD_OUT[said % len(HELD_OUT)]
        if (voice, text) not in cache:
            cache[voice, text] = synthesise(text, voice)
        utterance = cache[voice, text]
        begin = round(at * RATE_HZ)
        if begin + len(utterance.samples) > size:
            break
        rms = float(np.sqrt(np.mean(np.square(utterance.samples, dtype=np.float64))))
        scaled = utterance.samples * (10.0 ** (_VOICE_DB / 20.0) / rms)
        sound[begin : begin + len(scaled)] += scaled
        if not phones or at > phones[-1].end_s:
            phones.append(Phone("SIL", phones[-1].end_s if phones else 0.0, at))
        phones += [Phone(p.label, p.start_s + at, p.end_s + at) for p in utterance.phones]
        said += 1
        turn_over = conversation and said % _TURN_SENTENCES == 0
        at += utterance.length_s + chance.uniform(*(_SILENCES_S if turn_over else _PAUSES_S))
    phones.append(Phone("SIL", phones[-1].end_s, size / RATE_HZ))
    return Clip(sound.clip(-1.0, 1.0).astype(np.float32), tuple(phones))
