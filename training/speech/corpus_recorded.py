"""Stretches of recorded people, who lie on one side of the split each, never single clips."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.speech.corpus_stretches import Chance, Stretch, StretchConfig, lay_out
from training.speech.phones import RATE_HZ, Utterance
from training.speech.recordings import Clip, Recordings
from training.speech.synthesis import at_speed

_HELD_OUT_OF = 10  # one speaker in so many
_CURVES_WEIGHT = 3.0  # clips with real lips are few, so each is heard as often as three
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_FADE = RATE_HZ // 50  # a room's noise that begins at once would tell where a clip does


class RecordedVoices:
    """The usable clips of some recordings by speaker, 'SOURCE:NAME', and who is held out.

    Held out are a tenth of the speakers without curves, the same ones whoever else is there, and
    those of `hold_out`, by name.
    """

    def __init__(self, folder: Path, hold_out: Sequence[str] = ()) -> None:
        self.recordings = Recordings(folder)
        self.clips: dict[str, list[Clip]] = defaultdict(list)
        for clip in sorted(self.recordings.usable(), key=lambda clip: (clip.source, clip.name)):
            self.clips[f"{clip.source}:{clip.speaker}"].append(clip)
        if not self.clips:
            raise ValueError(f"{folder} holds no recordings; see training.speech.recordings")
        names = {voice.partition(":")[2] for voice in self.clips}
        unknown = set(hold_out) - names
        if unknown:
            raise ValueError(f"nobody is called {', '.join(sorted(unknown))} in {folder}")
        self.held_out = sorted(v for v in self.clips if self._is_held_out(v, hold_out))
        self.training = sorted(set(self.clips) - set(self.held_out))
        if not self.training:
            raise ValueError(f"all speakers of {folder} are held out")

    def _is_held_out(self, voice: str, hold_out: Sequence[str]) -> bool:
        name = voice.partition(":")[2]
        if any(clip.curves for clip in self.clips[voice]):
            return name in hold_out
        digest = hashlib.sha256(name.encode()).digest()
        return name in hold_out or digest[0] % _HELD_OUT_OF == 0

    def draw(self, number: int, chance: Chance, config: StretchConfig) -> Stretch:
        """Stretch `number` for training: each speaker as often as there is speech of them.

        Numbers step through the speakers by the golden ratio, evenly at any count: by chance, 480
        stretches left out 69 of 231 speakers.
        """
        shares = np.cumsum([self._weight(voice) for voice in self.training])
        place = (number * _GOLDEN) % 1.0 * shares[-1]
        voice = self.training[int(np.searchsorted(shares, place, side="right"))]
        listening = chance.random() < config.listening_share
        speed = float(chance.uniform(*config.speed))
        return self.stretch(voice, chance, config, listening=listening, speed=speed)

    def stretch(
        self,
        voice: str,
        chance: Chance,
        config: StretchConfig,
        *,
        listening: bool,
        speed: float = 1.0,
    ) -> Stretch:
        """The clips of one speaker in random order, and pauses.

        At a speed, a larger or smaller person says what has no real lips beside.
        """
        ready: list[Clip] = []

        def say(chance: Chance) -> Utterance:
            if not ready:
                clips = self.clips[voice]
                ready.extend(clips[int(n)] for n in chance.permutation(len(clips)))
            said = self._utterance(ready.pop(), voice)
            return said if said.gap is not None or speed == 1.0 else at_speed(said, speed)

        return lay_out(say, "en", chance, config, listening=listening)

    def _utterance(self, clip: Clip, voice: str) -> Utterance:
        arrays = self.recordings.arrays(clip)
        samples = arrays["samples"].astype(np.float32) / 32_768.0
        return Utterance(_faded(samples), clip.phones, clip.text, voice, arrays.get("gap"))

    def _weight(self, voice: str) -> float:
        return sum(
            clip.length_s * (_CURVES_WEIGHT if clip.curves else 1.0) for clip in self.clips[voice]
        )


def _faded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    ramp = np.linspace(0.0, 1.0, min(_FADE, len(samples) // 2), dtype=np.float32)
    if len(ramp):
        samples[: len(ramp)] *= ramp
        samples[-len(ramp) :] *= ramp[::-1]
    return samples
