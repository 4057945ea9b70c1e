"""All figures of a mouth over several sentences, from the gaps that were read in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.lips.figures import (
    Count,
    Follow,
    Gaps,
    closures,
    false_closures,
    follow,
    in_speech,
    onset_ms,
)
from benchmarks.lips.sounds import SILENCE_S, Clip, Samples
from training.motion.articulation import CLOSED, FPS, articulate

Watch = Callable[[Samples], Gaps]
"""Sound to the gap over face height in each of its frames."""

_MARGIN = 3  # frames around the spoken part that count for r: lips start before the sound
_QUIET = round(SILENCE_S * FPS) - 5  # less the anticipation and the reader's settling


def figures(readings: Sequence[tuple[Gaps, Clip]]) -> dict[str, Any]:
    """Figures of all sentences together; each reading has a gap per frame of its clip."""
    follows, hits, false, strays = [], Count(0, 0), Count(0, 0), Count(0, 0)
    speech, silence = [], []
    for gap, clip in readings:
        follows.append(followed(gap, clip))
        hits += closures(gap, clip.phones)
        false += false_closures(gap, clip.phones)
        reference = articulate(clip.phones, clip.frames)
        strays += false_closures(gap, clip.phones, reference=reference)
        speech.append(gap[in_speech(clip.phones, len(gap))])
        silence.append(gap[2:_QUIET])
    talk = np.concatenate(speech)
    still = float(np.mean([part.std() for part in silence]))
    return {
        "r": mean([one.r for one in follows]),
        "lag_frames": mean([float(one.lag) for one in follows]),
        "closures": round(hits.share, 3),
        "closures_of": hits.total,
        "false_closures": round(false.share, 3),
        "open_vowels": false.total,
        "false_closures_where_reference_open": round(strays.share, 3),
        "gap_percentiles": [round(float(v), 4) for v in np.percentile(talk, (10, 50, 90))],
        "closed_share": round(float((talk < CLOSED).mean()), 3),
        "gap_sd_in_speech": round(float(talk.std()), 4),
        "gap_sd_in_silence": round(still, 5),
        "stillness": round(still / float(talk.std()), 3) if talk.std() > 1e-6 else None,
        "onset_ms": _onsets(readings),
    }


def followed(gap: Gaps, clip: Clip) -> Follow:
    """How the gap follows the reference mouth over the spoken part of a clip."""
    reference = articulate(clip.phones, clip.frames)
    where = np.flatnonzero(in_speech(clip.phones, clip.frames))
    part = slice(max(where[0] - _MARGIN, 0), where[-1] + 1 + _MARGIN)
    return follow(gap[part], reference[part])


def mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)


def _onsets(readings: Sequence[tuple[Gaps, Clip]]) -> dict[str, float] | None:
    """From the first sound to open lips, and the reference mouth's own median."""
    found, wanted = [], []
    for gap, clip in readings:
        here = onset_ms(gap, clip.phones)
        reference = onset_ms(articulate(clip.phones, clip.frames), clip.phones)
        if here is not None and reference is not None:
            found.append(here)
            wanted.append(reference)
    if not found:
        return None
    return {
        "median": round(float(np.median(found))),
        "latest": round(max(found)),
        "of": len(found),
        "reference_median": round(float(np.median(wanted))),
    }


def table(rows: dict[str, dict[str, Any]], title: str) -> str:
    """Rows of `figures` as lines of text."""
    lines = [f"{title:30s}{'r':>6s}{'lag':>6s}{'closures':>10s}{'false':>7s}{'still':>7s}  onset"]
    for name, row in rows.items():
        still = "-" if row["stillness"] is None else f"{row['stillness']:.3f}"
        onset = "-"
        if row["onset_ms"] is not None:
            onset = "{median:.0f} ms, latest {latest:.0f}".format(**row["onset_ms"])
        lines.append(
            f"{name:30s}{row['r']:6.2f}{row['lag_frames']:6.1f}{row['closures']:10.0%}"
            f"{row['false_closures']:7.1%}{still:>7s}  {onset}"
        )
    return "\n".join(lines)
