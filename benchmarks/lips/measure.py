"""All figures of a mouth over several sentences, from the gaps that were read in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.lips.figures import (
    ON_TIME_MS,
    Count,
    Follow,
    Gaps,
    closures,
    false_closures,
    follow,
    in_speech,
    onset_ms,
)
from benchmarks.lips.sounds import Clip, Samples
from training.motion.articulation import CLOSED, FPS, articulate

Watch = Callable[[Samples], Gaps]
"""Sound to the gap over face height in each of its frames."""

_MARGIN = 3  # frames around the spoken part that count for r: lips start before the sound
_SETTLING, _EARLY = 2, 8  # frames: of the reader, and of lips that anticipate
_LEAST_QUIET = 5  # frames of silence that tell how still the lips are


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
        silence.append(quiet(gap, clip))
    talk = np.concatenate(speech)
    stills = [float(part.std()) for part in silence if len(part) >= _LEAST_QUIET]
    still = float(np.mean(stills)) if stills else None
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
        "gap_sd_in_silence": None if still is None else round(still, 5),
        "stillness": None
        if still is None or talk.std() <= 1e-6
        else round(still / float(talk.std()), 3),
        "onset_ms": _onsets(readings),
    }


def quiet(gap: Gaps, clip: Clip) -> Gaps:
    """The gap in the silence before the speaker begins, lips at rest; empty if there is none."""
    first = clip.phones[0]
    end = int(first.end_s * FPS) if first.label == "SIL" else 0
    return gap[_SETTLING : max(end - _EARLY, _SETTLING)]


def followed(gap: Gaps, clip: Clip, reference: Gaps | None = None) -> Follow:
    """How the gap follows the reference mouth, or another, over the spoken part of a clip."""
    if reference is None:
        reference = articulate(clip.phones, clip.frames)
    where = np.flatnonzero(in_speech(clip.phones, clip.frames))
    part = slice(max(where[0] - _MARGIN, 0), where[-1] + 1 + _MARGIN)
    return follow(gap[part], reference[part])


def mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)


def _onsets(readings: Sequence[tuple[Gaps, Clip]]) -> dict[str, float] | None:
    """From the first sound to open lips, and the same of the reference mouth."""
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
        "on_time": _on_time(found),
        "of": len(found),
        "reference_median": round(float(np.median(wanted))),
        "reference_on_time": _on_time(wanted),
    }


def _on_time(onsets_ms: Sequence[float]) -> float:
    """Share of sentences in which the lips part no later than ON_TIME_MS after the sound."""
    return round(float(np.mean(np.array(onsets_ms) <= ON_TIME_MS)), 3)


def table(rows: dict[str, dict[str, Any]], title: str) -> str:
    """Rows of `figures` as lines of text. False closures: those of open vowels in which the
    reference is open, and of all."""
    lines = [
        f"{title:30s}{'r':>6s}{'lag':>6s}{'closures':>10s}{'false':>7s}{'of all':>8s}{'still':>7s}"
        f"  onset"
    ]
    for name, row in rows.items():
        still = "-" if row["stillness"] is None else f"{row['stillness']:.3f}"
        onset = "-"
        if row["onset_ms"] is not None:
            onset = (
                "{median:.0f} ms, latest {latest:.0f}, {on_time:.0%} of {of} within {most:.0f}"
            ).format(**row["onset_ms"], most=ON_TIME_MS)
        lines.append(
            f"{name:30s}{row['r']:6.2f}{row['lag_frames']:6.1f}{row['closures']:10.0%}"
            f"{row['false_closures_where_reference_open']:7.1%}{row['false_closures']:8.1%}"
            f"{still:>7s}  {onset}"
        )
    return "\n".join(lines)
