"""What the sound itself says of phone times: where phones hold silence, and silences speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.speech.phones import RATE_HZ, Phone

_PIECE = RATE_HZ // 100
_SLOW_S = 0.2  # a phone that is longer may hold a pause
_QUIET_DB, _QUIET_S = -30.0, 0.08  # against the mean of the voice
_CLOSURE_S = 0.1  # of silence that belongs to a stop
_STOPS = frozenset({"P", "B", "T", "D", "K", "G", "CH", "JH"})
_LOUD_DB, _LOUD_S = -15.0, 0.6  # of speech in silences: a word at least that nobody wrote down
_PAUSE_S, _EDGE = 0.3, 5  # pauses that are looked into, without so many pieces at either end
_LONGEST_S = 0.5  # read speech holds a vowel for 0.3 s


def levels(phones: Sequence[Phone], samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Of each 10 ms, dB against the mean of what lies within phones: float64 [S / 160]."""
    exact = samples[: len(samples) // _PIECE * _PIECE].astype(np.float64)
    power = np.square(exact.reshape(-1, _PIECE)).mean(1) + 1.0
    spoken = np.zeros(len(power), dtype=np.bool_)
    for phone in phones:
        if phone.label != "SIL":
            spoken[_pieces(phone)] = True
    mean = power[spoken].mean() if spoken.any() else 1.0
    return np.asarray(10.0 * np.log10(power / mean))


def without_pauses(phones: Sequence[Phone], samples: NDArray[np.int16]) -> tuple[Phone, ...]:
    """The same with the silence at the ends of slow phones as SIL; a stop keeps its closure."""
    level = levels(phones, samples)
    kept: list[Phone] = []
    for phone in phones:
        start, end = phone.start_s, phone.end_s
        if phone.label != "SIL" and phone.length_s > _SLOW_S:
            loud = np.flatnonzero(level[_pieces(phone)] > _QUIET_DB) / 100.0
            if len(loud):
                first = start + float(loud[0])
                last = start + float(loud[-1]) + 0.01
                before = _CLOSURE_S if phone.label in _STOPS else 0.0
                start = first - before if first - before - start > _QUIET_S else start
                end = last if end - last > _QUIET_S else end
        for piece in (
            Phone("SIL", phone.start_s, start),
            Phone(phone.label, start, end),
            Phone("SIL", end, phone.end_s),
        ):
            if piece.length_s < 1e-4:
                continue
            if kept and piece.label == "SIL" == kept[-1].label:
                kept[-1] = Phone("SIL", kept[-1].start_s, piece.end_s)
            else:
                kept.append(piece)
    return tuple(kept)


def doubt(phones: Sequence[Phone], samples: NDArray[np.int16]) -> str | None:
    """Why these times cannot be right, or None."""
    level = levels(phones, samples)
    unwritten = 0.0
    for phone in phones:
        if phone.label != "SIL" and phone.length_s > _LONGEST_S:
            return f"a phone that does not end: {phone.label} at {phone.start_s:.2f} s"
        if phone.label == "SIL" and phone.length_s > _PAUSE_S:
            unwritten += float((level[_pieces(phone)][_EDGE:-_EDGE] > _LOUD_DB).sum()) / 100.0
    if unwritten > _LOUD_S:
        return f"speech without words: {unwritten:.1f} s"
    return None


def _pieces(phone: Phone) -> slice:
    return slice(round(phone.start_s * 100.0), round(phone.end_s * 100.0))
