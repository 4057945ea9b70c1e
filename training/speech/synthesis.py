"""Synthetic speech with phone times, from the engines that Debian packages.

A voice is named engine:voice, as in espeak:en-us+f3, flite:slt or festival:ked_diphone. A speaker
stays on one side of the split: flite's and festival's slt are one woman, their kal one man.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.speech.espeak import library
from training.speech.phones import RATE_HZ, Phone, Utterance, from_festvox, from_ipa
from training.speech.phones_festival import from_festival

ACCENTS: tuple[str, ...] = (  # of English, as espeak-ng names them
    "en-us", "en", "en-gb-x-rp", "en-us", "en-gb-scotland", "en-us", "en-gb-x-gbcwmd",
    "en-us-nyc", "en-gb-x-gbclan", "en-us", "en-029",
)  # fmt: skip
VARIANTS: tuple[str, ...] = (  # espeak-ng's speakers that sound like people, and unlike each other
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "croak",
    "klatt", "klatt2", "klatt4", "klatt6", "grandma", "grandpa", "Alex", "Alicia", "Andrea", "Andy",
    "Annie", "anika", "aunty", "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward",
    "Gene", "Henrique", "Hugo", "iven", "iven3", "Jacky", "john", "kaukovalta", "Lee", "linda",
    "marcelo", "Marco", "Mario", "max", "Michael", "michel", "miguel", "Mike", "Nguyen", "norbert",
    "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph3",
    "travis", "victor", "zac", "whisper",
)  # fmt: skip
TRAINING_VOICES: tuple[str, ...] = (
    *(f"espeak:{ACCENTS[i % len(ACCENTS)]}+{name}" for i, name in enumerate(VARIANTS)),
    "flite:rms", "flite:slt", "flite:kal16", "festival:kal_diphone",
    "festival:cmu_us_slt_arctic_hts", "festival:upc_ca_ona_hts", "festival:czech_dita",
    "festival:czech_krb", "festival:czech_machac", "festival:czech_ph",
    "festival:hy_fi_mv_diphone", "festival:suo_fi_lj_diphone", "festival:lp_diphone",
    "festival:pc_diphone", "festival:msu_ru_nsh_clunits",
)  # fmt: skip
HELD_OUT_VOICES: tuple[str, ...] = ("flite:awb", "festival:ked_diphone")

# espeak-ng marks a stop where it bursts and counts its closure to the sound before: level of the
# voice band around 5 sentences of two voices falls 50 ms before the mark of p, t, k.
_CLOSURES_S = {"P": 0.05, "T": 0.05, "K": 0.05, "CH": 0.05, "B": 0.02, "D": 0.02, "G": 0.02}
_CLOSURE_SHARE = 0.5  # of the sound before, at most


_Sound = tuple[NDArray[np.float32], list[tuple[str, float]]]  # samples; labels with their ends


@dataclass(frozen=True)
class FestivalVoice:
    """Where Debian puts a voice, and what it reads."""

    folder: str  # below /usr/share/festival/voices
    package: str
    language: str = "en"
    encoding: str = "iso-8859-1"

    def label(self, phone: str) -> str:
        """What it calls a phone, in our alphabet."""
        return from_festvox(phone) if self.language == "en" else from_festival(phone, self.language)


FESTIVAL_VOICES: dict[str, FestivalVoice] = {
    "kal_diphone": FestivalVoice("english/kal_diphone", "festvox-kallpc16k"),
    "ked_diphone": FestivalVoice("english/ked_diphone", "festvox-kdlpc16k"),
    "cmu_us_slt_arctic_hts": FestivalVoice("us/cmu_us_slt_arctic_hts", "festvox-us-slt-hts"),
    "upc_ca_ona_hts": FestivalVoice("catalan/upc_ca_ona_hts", "festvox-ca-ona-hts", "ca"),
    "czech_dita": FestivalVoice("czech/czech_dita", "festvox-czech-dita", "cs", "iso-8859-2"),
    "czech_krb": FestivalVoice("czech/czech_krb", "festvox-czech-krb", "cs", "iso-8859-2"),
    "czech_machac": FestivalVoice("czech/czech_machac", "festvox-czech-machac", "cs", "iso-8859-2"),
    "czech_ph": FestivalVoice("czech/czech_ph", "festvox-czech-ph", "cs", "iso-8859-2"),
    "hy_fi_mv_diphone": FestivalVoice("finnish/hy_fi_mv_diphone", "festvox-suopuhe-mv", "fi"),
    "suo_fi_lj_diphone": FestivalVoice("finnish/suo_fi_lj_diphone", "festvox-suopuhe-lj", "fi"),
    "lp_diphone": FestivalVoice("italian/lp_diphone", "festvox-italp16k", "it"),
    "pc_diphone": FestivalVoice("italian/pc_diphone", "festvox-itapc16k", "it"),
    "msu_ru_nsh_clunits": FestivalVoice("russian/msu_ru_nsh_clunits", "festvox-ru", "ru", "utf-8"),
}


def missing(voice: str) -> str | None:
    """What must be installed before `voice` can speak, or None if it can."""
    engine, name = _split(voice)
    if engine == "espeak":
        try:
            library()
        except RuntimeError as error:
            return str(error)
        return None
    if shutil.which(engine) is None:
        return f"{engine} is missing; on Debian: apt-get install {engine}"
    if engine == "festival":
        if name not in FESTIVAL_VOICES:
            return f"unknown festival voice {name!r}; known: {', '.join(FESTIVAL_VOICES)}"
        known = FESTIVAL_VOICES[name]
        if not Path("/usr/share/festival/voices", known.folder).is_dir():
            return f"festival's {name} is missing; on Debian: apt-get install {known.package}"
    return None


def synthesise(text: str, voice: str, *, rate: float = 1.0, pitch: float = 1.0) -> Utterance:
    """Speak one sentence. `rate` is speed; `pitch` (espeak only) scales the voice's mean pitch.

    Raises ValueError for a rate out of [0.4, 2.5] and for a sound without a label, RuntimeError for
    a voice that is not installed or made no sound.
    """
    said = synthesise_all([text], voice, rate=rate, pitch=pitch)
    if not said:
        raise RuntimeError(f"{voice} made no sound of {text!r}")
    return said[0]


def synthesise_all(
    texts: Sequence[str], voice: str, *, rate: float = 1.0, pitch: float = 1.0
) -> list[Utterance]:
    """Speak several sentences, for festival in one go; those that it cannot say are left out."""
    if not 0.4 <= rate <= 2.5:
        raise ValueError(f"rate must lie in [0.4, 2.5], got {rate}")
    engine, name = _split(voice)
    lack = missing(voice)
    if lack is not None:
        raise RuntimeError(lack)
    with tempfile.TemporaryDirectory() as folder:
        if engine == "espeak":
            made: list[_Sound | None] = [_espeak(text, name, rate, pitch) for text in texts]
        elif engine == "flite":
            made = [_flite(text, name, rate, Path(folder)) for text in texts]
        else:
            made = list(_festival(texts, name, rate, Path(folder)))
    return [
        Utterance(sound[0], _join(sound[1], len(sound[0]) / RATE_HZ), text, voice)
        for text, sound in zip(texts, made, strict=True)
        if sound is not None
    ]


def at_speed(said: Utterance, speed: float) -> Utterance:
    """As a tape run at `speed` (0.5-2): faster and higher, formants included; phones keep step."""
    if not 0.5 <= speed <= 2.0:
        raise ValueError(f"speed must lie in [0.5, 2], got {speed}")
    ratio = Fraction(1.0 / speed).limit_denominator(60)
    samples = resample_poly(said.samples.astype(np.float64), ratio.numerator, ratio.denominator)
    length_s = len(samples) / RATE_HZ
    scale = length_s / said.length_s
    phones = [(phone.label, phone.end_s * scale) for phone in said.phones]
    heard = samples.astype(np.float32).clip(-1.0, 1.0)
    return Utterance(heard, _join(phones, length_s), said.text, said.voice)


def _split(voice: str) -> tuple[str, str]:
    engine, _, name = voice.partition(":")
    if engine not in {"espeak", "flite", "festival"} or not name:
        raise ValueError(f"expected espeak:NAME, flite:NAME or festival:NAME, got {voice!r}")
    return engine, name


def _espeak(text: str, name: str, rate: float, pitch: float) -> _Sound:
    pcm, starts = library().say(text, name, rate, pitch)
    samples = _at_rate(pcm, library().rate_hz)
    ends = [start for start, _ in starts[1:]] + [len(samples) / RATE_HZ]
    phones: list[tuple[str, float]] = [("SIL", starts[0][0])] if starts else []
    language = name.partition("+")[0]
    for (start, symbol), end in zip(starts, ends, strict=True):
        labels = from_ipa(symbol, language)
        if not labels:
            continue
        early = _CLOSURES_S.get(labels[0], 0.0)
        if early and len(phones) > 1:
            (_, before), (label, mark) = phones[-2:]
            start = mark - min(early, _CLOSURE_SHARE * (mark - before))
            phones[-1] = (label, start)
        share = (end - start) / len(labels)
        phones += [(label, start + share * (i + 1)) for i, label in enumerate(labels)]
    return samples, phones


def _flite(text: str, name: str, rate: float, folder: Path) -> _Sound:
    sound = folder / "speech.wav"
    command = ["flite", "-voice", name, "--setf", f"duration_stretch={1.0 / rate:.4f}"]
    command += ["-psdur", "-t", text, "-o", str(sound)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    phones: list[tuple[str, float]] = []
    for entry in printed.split():
        label, _, end = entry.partition(":")
        if phones and float(end) < phones[-1][1]:
            raise ValueError(f"flite times restart at each sentence; one at a time, got {text!r}")
        phones.append((from_festvox(label), float(end)))
    return _read(sound), phones


def _festival(
    texts: Sequence[str], name: str, rate: float, folder: Path
) -> Iterator[_Sound | None]:
    """Each text's sound and phones, or None where festival failed; it starts slowly, so once."""
    known = FESTIVAL_VOICES[name]
    commands = [f"(voice_{name})", f"(Parameter.set 'Duration_Stretch {1.0 / rate:.4f})"]
    for n, text in enumerate(texts):
        quoted = text.replace("\\", " ").replace('"', " ")
        commands += [
            f'(set! said (utt.synth (Utterance Text "{quoted}")))',
            f'(utt.save.wave said "{folder}/{n}.wav" \'riff)',
            f'(utt.save.segs said "{folder}/{n}.segs")',
        ]
    script = folder / "say.scm"
    script.write_bytes("\n".join(commands).encode(known.encoding, "replace"))
    subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
    for n in range(len(texts)):
        segments = folder / f"{n}.segs"
        if not segments.exists():
            yield None
            continue
        rows = [line.split() for line in segments.read_text().splitlines()]
        phones = [(row[2], float(row[0])) for row in rows if len(row) == 3]
        yield _read(folder / f"{n}.wav"), [(known.label(phone), end) for phone, end in phones]


def _read(path: Path) -> NDArray[np.float32]:
    with wave.open(str(path)) as sound:
        rate_hz = sound.getframerate()
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
    return _at_rate(pcm, rate_hz)


def _at_rate(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.float32]:
    samples = pcm.astype(np.float64) / 32_768.0
    if rate_hz != RATE_HZ:
        samples = resample_poly(samples, RATE_HZ, rate_hz)
    return samples.astype(np.float32).clip(-1.0, 1.0)


def _join(phones: list[tuple[str, float]], length_s: float) -> tuple[Phone, ...]:
    """Phones from (label, end), without empty ones, neighbouring silences as one."""
    joined: list[Phone] = []
    start = 0.0
    for label, end in [*phones, ("SIL", length_s)]:
        end = min(end, length_s)
        if end - start < 1e-4:
            continue
        if joined and label == "SIL" == joined[-1].label:
            joined[-1] = Phone("SIL", joined[-1].start_s, end)
        else:
            joined.append(Phone(label, start, end))
        start = end
    return tuple(joined)
