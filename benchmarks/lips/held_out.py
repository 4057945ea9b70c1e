"""Speech that no training heard, with phone times: synthetic voices, recorded speakers, real lips.

Recorded speech is a folder as `training.speech.recordings` makes it. Of some of its speakers there
are real lips beside, read by FaceMesh from video at 25 fps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lips.figures import Gaps
from benchmarks.lips.sounds import Clip, spoken
from training.motion.articulation import FPS
from training.speech.corpus_recorded import RecordedVoices
from training.speech.phones import RATE_HZ
from training.speech.recordings import Clip as Recording
from training.speech.recordings import Recordings
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, missing, synthesise

_HOP = RATE_HZ // FPS


@dataclass(frozen=True)
class Said:
    """A clip of somebody. real: gap of the speaker's own lips, float64 [frames], NaN where no face
    was read; None where there was no camera."""

    name: str
    speaker: str
    clip: Clip
    real: Gaps | None = None


def synthetic(sentences: int = len(HELD_OUT)) -> list[Said]:
    """The held-out voices that are installed, so many sentences each."""
    voices = [voice for voice in HELD_OUT_VOICES if missing(voice) is None]
    return [
        Said(f"{voice}/{n}", voice, spoken(synthesise(text, voice)))
        for voice in voices
        for n, text in enumerate(HELD_OUT[:sentences])
    ]


def left_out(folder: Path) -> list[Said]:
    """Clips of the recorded speakers without real lips whom training never hears.

    Raises:
        ValueError: the folder holds no recordings, or everybody is trained on.
    """
    voices = RecordedVoices(folder)
    clips = [clip for voice in voices.held_out for clip in voices.clips[voice] if not clip.curves]
    if not clips:
        raise ValueError(f"training leaves nobody of {folder} out")
    return [_said(voices.recordings, clip) for clip in clips]


def real_mouths(folder: Path) -> list[Said]:
    """All clips that have the speaker's own lips beside.

    Raises:
        ValueError: the folder has none.
    """
    recordings = Recordings(folder)
    clips = sorted((c for c in recordings.usable() if c.curves), key=lambda c: (c.source, c.name))
    if not clips:
        raise ValueError(f"no clip of {folder} has curves of real lips")
    return [_said(recordings, clip) for clip in clips]


def speakers_of(said: Sequence[Said]) -> list[str]:
    """In order of appearance."""
    return list(dict.fromkeys(one.speaker for one in said))


def _said(recordings: Recordings, clip: Recording) -> Said:
    """Whole video frames: as many as there are of the lips, else silence fills the last one."""
    arrays = recordings.arrays(clip)
    real = arrays["gap"].astype(np.float64) if clip.curves else None
    samples = arrays["samples"].astype(np.float32) / 32_768.0
    held = np.zeros((-(-len(samples) // _HOP) if real is None else len(real)) * _HOP, np.float32)
    held[: len(samples)] = samples[: len(held)]
    return Said(clip.name, clip.speaker, Clip(held, clip.phones), real)
