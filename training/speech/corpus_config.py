"""What a corpus is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.speech.corpus_meta import stored_config
from training.speech.corpus_stretches import LENGTH_S, StretchConfig
from training.speech.microphone import MicrophoneConfig

SplitName = Literal["train", "validation", "languages"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "languages")


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    hours: float = 9.0  # of the training split, pauses included
    seed: int = 0
    validation: int = 20  # stretches of held-out voices; the first half clean
    languages: int = 8  # stretches of held-out languages; the first half clean
    recordings: str = ""  # folder of recorded speakers, in place of the synthetic voices
    hold_out: tuple[str, ...] = ()  # recorded speakers that do not train, beside the tenth
    stretches: StretchConfig = field(default_factory=StretchConfig)
    microphone: MicrophoneConfig = field(default_factory=MicrophoneConfig)

    @property
    def splits(self) -> tuple[SplitName, ...]:
        if not self.recordings:
            return SPLITS
        return SPLITS[:2] if self.validation else SPLITS[:1]

    @property
    def origin(self) -> str:
        """What the stretches depend on, in words."""
        said = f"seed {self.seed}, {self.hours} hours"
        if self.recordings:
            said += f", recordings {self.recordings} without {list(self.hold_out)}"
        return said

    def count(self, split: SplitName) -> int:
        """Stretches of that split."""
        if split == "train":
            return max(1, round(self.hours * 3_600 / LENGTH_S))
        return self.validation if split == "validation" else self.languages

    @classmethod
    def of(cls, out: Path) -> CorpusConfig:
        """As far as the stored stretches depend on it."""
        stored = stored_config(out)
        return cls(
            hours=stored["hours"],
            seed=stored["seed"],
            validation=stored["validation"],
            languages=stored["languages"],
            recordings=stored.get("recordings", ""),
            hold_out=tuple(stored.get("hold_out", ())),
        )
