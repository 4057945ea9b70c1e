"""One stretch of the corpus: 30 s of one voice, or of none, with every phone's time."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.motion.articulation import FPS
from training.speech.lexicon_languages import TRAINING_LANGUAGES
from training.speech.phones import RATE_HZ, Phone, Utterance
from training.speech.synthesis import ACCENTS, FESTIVAL_VOICES, VARIANTS, at_speed, synthesise_all
from training.speech.text import sentence

logger = logging.getLogger(__name__)

LENGTH_S = 30
SAMPLES = LENGTH_S * RATE_HZ
FRAMES = LENGTH_S * FPS
HOP = RATE_HZ // FPS
_LEVEL = 10.0 ** (-23.0 / 20.0)  # RMS of a voice at work, full scale 1


@dataclass(frozen=True, kw_only=True)
class StretchConfig:
    """Shares are probabilities; ranges are drawn from uniformly."""

    voices: dict[str, float] = field(
        default_factory=lambda: {
            "english": 0.34, "foreign": 0.14, "flite:rms": 0.10, "flite:slt": 0.08,
            "flite:kal16": 0.02, "festival:kal_diphone": 0.10,
            "festival:cmu_us_slt_arctic_hts": 0.08, "festival": 0.14,
        }
    )  # fmt: skip
    speechless_share: float = 0.12
    listening_share: float = 0.15  # of stretches with silences of 5 to 12 s
    amid_share: float = 0.3  # of stretches that begin within an utterance
    rate: tuple[float, float] = (0.75, 1.4)
    pitch: tuple[float, float] = (0.6, 1.5)  # espeak-ng only
    speed: tuple[float, float] = (0.85, 1.18)  # of a tape: pitch and formants follow
    effort_db: tuple[float, float] = (-5.0, 4.0)  # of one utterance against the next


@dataclass(frozen=True)
class Stretch:
    samples: NDArray[np.float32]  # [SAMPLES] clean, in [-1, 1]
    phones: tuple[Phone, ...]  # cover the stretch without gaps
    voice: str  # 'none' where nobody speaks
    language: str
    texts: tuple[str, ...]
    gap: NDArray[np.float32]  # [FRAMES] of real lips over face height, NaN where unknown

    @property
    def speech_s(self) -> float:
        return sum(phone.length_s for phone in self.phones if phone.label != "SIL")


Chance = np.random.Generator
Speaker = Callable[[Chance], Utterance]


def draw_stretch(chance: Chance, config: StretchConfig) -> Stretch:
    """A stretch for training: voice, text, manner and pauses by chance."""
    if chance.random() < config.speechless_share:
        return silent_stretch()
    voice, language = draw_voice(chance, config)
    speaker = _speaker(voice, language, chance, config)
    listening = chance.random() < config.listening_share
    return lay_out(speaker, language, chance, config, listening=listening)


def silent_stretch() -> Stretch:
    """Nobody speaks."""
    quiet = np.zeros(SAMPLES, dtype=np.float32)
    return Stretch(quiet, (Phone("SIL", 0.0, float(LENGTH_S)),), "none", "none", (), _unknown())


def draw_voice(chance: Chance, config: StretchConfig) -> tuple[str, str]:
    """(voice, language); never a held-out one."""
    names, shares = list(config.voices), np.array(list(config.voices.values()))
    name = names[int(chance.choice(len(names), p=shares / shares.sum()))]
    variant = VARIANTS[int(chance.integers(len(VARIANTS)))]
    if name == "english":
        return f"espeak:{ACCENTS[int(chance.integers(len(ACCENTS)))]}+{variant}", "en"
    if name == "foreign":
        language = TRAINING_LANGUAGES[int(chance.integers(len(TRAINING_LANGUAGES)))]
        return f"espeak:{language}+{variant}", language
    if name == "festival":  # one of other languages
        names = [known for known, voice in FESTIVAL_VOICES.items() if voice.language != "en"]
        known = names[int(chance.integers(len(names)))]
        return f"festival:{known}", FESTIVAL_VOICES[known].language
    return name, "en"


def lay_out(
    speaker: Speaker, language: str, chance: Chance, config: StretchConfig, *, listening: bool
) -> Stretch:
    """Utterances of `speaker` and pauses, until the stretch is full."""
    gap = _unknown()
    samples = np.zeros(SAMPLES, dtype=np.float64)
    phones: list[Phone] = []
    texts: list[str] = []
    voice = "none"
    at = 0 if chance.random() < config.amid_share else _pause(chance, listening)
    while at < SAMPLES:
        said = speaker(chance)
        if not texts and at == 0:
            at = -int(chance.uniform(0.0, 0.9) * len(said.samples))
        if said.gap is not None:
            at = at // HOP * HOP  # real lips keep their frames: between two, a closure would blur
            _place(said.gap, at // HOP, gap)
        effort = 10.0 ** (chance.uniform(*config.effort_db) / 20.0)
        begin, end = max(at, 0), min(at + len(said.samples), SAMPLES)
        samples[begin:end] += effort * _levelled(said.samples)[begin - at : end - at]
        phones += _shifted(said.phones, at / RATE_HZ)
        texts.append(said.text)
        voice = said.voice
        at += len(said.samples) + _pause(chance, listening)
    peak = float(np.abs(samples).max())
    samples *= min(1.0, 0.99 / max(peak, 1e-9))
    heard = samples.astype(np.float32)
    return Stretch(heard, cover(phones), voice, language, tuple(texts), gap)


def _unknown() -> NDArray[np.float32]:
    return np.full(FRAMES, np.nan, dtype=np.float32)


def _place(piece: NDArray[np.float32], at: int, whole: NDArray[np.float32]) -> None:
    """Write `piece` from frame `at` on, which may be negative, as far as it fits."""
    begin, end = max(at, 0), min(at + len(piece), len(whole))
    if end > begin:
        whole[begin:end] = piece[begin - at : end - at]


def cover(phones: list[Phone]) -> tuple[Phone, ...]:
    """The phones within the stretch, silence between them, neighbouring silences as one."""
    covered: list[Phone] = []
    for phone in [*phones, Phone("SIL", float(LENGTH_S), float(LENGTH_S))]:
        at = covered[-1].end_s if covered else 0.0
        start, end = (min(max(t, at), float(LENGTH_S)) for t in (phone.start_s, phone.end_s))
        if start > at + 1e-6:
            _append(covered, Phone("SIL", at, start))
        if end > start + 1e-6:
            _append(covered, Phone(phone.label, start, end))
    return tuple(covered)


def _append(phones: list[Phone], phone: Phone) -> None:
    if phones and phone.label == "SIL" == phones[-1].label:
        phones[-1] = Phone("SIL", phones[-1].start_s, phone.end_s)
    else:
        phones.append(phone)


def _shifted(phones: tuple[Phone, ...], by_s: float) -> list[Phone]:
    return [Phone(phone.label, phone.start_s + by_s, phone.end_s + by_s) for phone in phones]


def _levelled(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """At the RMS of a voice at work, measured where it is not silent."""
    exact = samples.astype(np.float64)
    pieces = np.square(exact[: len(exact) // 320 * 320].reshape(-1, 320)).mean(1)
    loud = pieces[pieces > 1e-3 * pieces.max(initial=0.0)]
    rms = float(np.sqrt(loud.mean())) if len(loud) else 0.0
    return exact * (_LEVEL / max(rms, 1e-4))


def _pause(chance: Chance, listening: bool) -> int:
    """Samples of silence between two utterances: mostly breaths, some thoughts, some turns."""
    if listening and chance.random() < 0.5:
        length_s = chance.uniform(5.0, 12.0)
    elif chance.random() < 0.75:
        length_s = chance.uniform(0.15, 0.8)
    else:
        length_s = chance.uniform(0.8, 4.0)
    return int(length_s * RATE_HZ)


def _speaker(voice: str, language: str, chance: Chance, config: StretchConfig) -> Speaker:
    """One person: a voice at one rate, pitch and size, varying a little from text to text."""
    rate, pitch = chance.uniform(*config.rate), chance.uniform(*config.pitch)
    speed = chance.uniform(*config.speed)
    at_once = 6 if voice.startswith("festival") else 1
    ready: list[Utterance] = []

    def say(chance: Chance) -> Utterance:
        for _ in range(5):
            if ready:
                return at_speed(ready.pop(), speed)
            texts = [sentence(language, chance) for _ in range(at_once)]
            near = float(np.clip(rate * chance.uniform(0.92, 1.08), *config.rate))
            try:
                ready.extend(synthesise_all(texts, voice, rate=near, pitch=pitch))
            except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
                logger.warning("%s cannot say %r: %s", voice, texts, error)
        raise RuntimeError(f"{voice} could say nothing in five attempts; see the log")

    return say
