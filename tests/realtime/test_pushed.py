"""Pushed speech alone: what becomes hops when, and what is told of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.media import HOP_S, HOP_SAMPLES, Hop
from realtime.sources.pushed import MAX_WAITING_S, PAUSE_S, PushedSpeech, TooMuchSpeech
from realtime.sources.source import Playback
from tests.support.sounds import SPEECH

T0 = 50.0


def hum(seconds: float, rate_hz: int = 24_000) -> NDArray[np.int16]:
    n = np.arange(round(seconds * rate_hz))
    return (8_000 * np.sin(2 * np.pi * 200 * n / rate_hz)).astype(np.int16)


def started(rate_hz: int = 24_000) -> PushedSpeech:
    source = PushedSpeech(rate_hz)
    source.start(T0)
    return source


def pull(source: PushedSpeech, until: float) -> list[Hop]:
    """Hops as they are due, up to `until` seconds after the start."""
    hops: list[Hop] = []
    while source.next_deadline() <= T0 + until + 1e-9:
        hops += source.pull(source.next_deadline())
    return hops


def voice(hops: list[Hop]) -> NDArray[np.int16]:
    return np.concatenate([hop.voice for hop in hops])


def test_hops_leave_at_the_beginning_of_their_time_silent_or_not() -> None:
    source = started()
    assert source.pull(T0 - 0.001) == []
    hops = list(source.pull(T0 + 3 * HOP_S))
    source.push(hum(1.0), T0 + 3 * HOP_S)
    hops += pull(source, 0.6)
    assert [hop.start for hop in hops] == [n * HOP_SAMPLES for n in range(16)]
    assert [bool(hop.voice.any()) for hop in hops] == [False] * 4 + [True] * 12
    assert source.next_deadline() == pytest.approx(T0 + 16 * HOP_S)


def test_hops_say_whether_they_are_speech() -> None:
    source = started(48_000)
    source.push(SPEECH, T0)
    hops = pull(source, len(SPEECH) / 48_000 + 1.0)
    assert any(hop.speech for hop in hops)
    assert not hops[0].speech
    assert not hops[-1].speech
    assert not any(hop.edges for hop in hops)  # those tell of the user


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=8),
)
def test_any_rate_and_any_chunks_give_the_same_speech(rate_hz: int, lengths: list[int]) -> None:
    seconds = sum(lengths) / rate_hz
    pcm = hum(seconds, rate_hz)[: sum(lengths)]

    def spoken(chunks: list[NDArray[np.int16]]) -> NDArray[np.int16]:
        source = started(rate_hz)
        for chunk in chunks:
            source.push(chunk, T0)
        source.commit()
        return voice(pull(source, seconds + 0.1))

    whole = spoken([pcm])
    assert np.array_equal(spoken(np.split(pcm, np.cumsum(lengths)[:-1])), whole)
    n = np.arange(len(whole))
    ideal = 8_000 * np.sin(2 * np.pi * 200 * n / 48_000)
    inside = slice(960, max(960, round(seconds * 48_000) - 960))
    assert np.abs(whole[inside] - ideal[inside]).max(initial=0) < 400
    assert not whole[round(seconds * 48_000) + 480 :].any()


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([8_000, 11_025, 24_000, 44_100, 48_000]),
    st.lists(st.integers(1, 20), min_size=1, max_size=40),
    st.integers(300, 4_000),
)
def test_pieces_of_a_few_samples_are_resampled_together(
    rate_hz: int, lengths: list[int], at_once: int
) -> None:
    """Pushed in bursts of `at_once` samples, each of pieces of so many, while hops are cut."""
    pcm, resampler = hum(0.5, rate_hz), av.AudioResampler
    calls = 0

    class Counted:
        def __init__(self, *args: Any) -> None:
            self._resampler = resampler(*args)

        def resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
            nonlocal calls
            calls += 1
            return self._resampler.resample(frame)

    def spoken(pieces: Iterator[int]) -> tuple[NDArray[np.int16], int]:
        source, hops = started(rate_hz), []
        for first in range(0, len(pcm), at_once):
            burst, at = pcm[first : first + at_once], 0
            while at < len(burst):
                length = next(pieces)
                source.push(burst[at : at + length], source.next_deadline())
                at += length
            hops += source.pull(source.next_deadline())
        source.commit()
        hops += pull(source, len(hops) * HOP_S + 1.0)
        return voice(hops), len(hops)

    with patch.object(av, "AudioResampler", Counted):
        small, hops = spoken(itertools.cycle(lengths))
        assert calls <= 2 * hops + 5  # one at a time for each hop, and at the end what is left
    assert np.array_equal(small, spoken(itertools.repeat(at_once))[0])


def test_speech_that_comes_as_fast_as_it_is_spoken_is_spoken_whole() -> None:
    source, pcm = started(), hum(2.0)
    hops: list[Hop] = []
    for n, chunk in enumerate(np.split(pcm, 100)):  # 20 ms each, with some jitter
        now = T0 + n * 0.02 + 0.009 * (n % 3)
        hops += source.pull(now)
        source.push(chunk, now)
    source.commit()
    hops += pull(source, 2.5)
    sound = voice(hops)
    first, last = np.flatnonzero(sound)[[0, -1]]
    assert last - first == pytest.approx(2.0 * 48_000, abs=100)


def test_less_than_a_hop_waits_for_the_rest_once() -> None:
    source = started()
    source.push(hum(0.03), T0)
    assert [bool(hop.voice.any()) for hop in pull(source, 0.13)] == [False, True, False, False]


def test_speech_waits_while_all_is_held_up() -> None:
    """As by a machine that was suspended: what it did not say then, it says afterwards."""
    source = started()
    source.push(hum(3.0), T0)
    source.commit()
    before = voice(pull(source, 1.0))
    held = list(source.pull(T0 + 11.0))  # nothing was asked for meanwhile
    assert len(held) == 250
    assert not voice(held[:-1]).any()
    after = voice(pull(source, 14.0))
    said = np.concatenate([before, voice(held), after])
    assert np.count_nonzero(said) == pytest.approx(3.0 * 48_000, rel=0.01)
    assert source.played(14 * 16_000)[-1] == Playback("stopped", 3_000)


def test_a_committed_end_does_not_wait() -> None:
    source = started()
    source.push(hum(0.03), T0)
    source.commit()
    (hop,) = source.pull(T0)
    assert np.flatnonzero(hop.voice)[-1] == pytest.approx(0.03 * 48_000, abs=50)


def test_utterances_are_told_when_they_are_heard() -> None:
    source = started()
    for seconds in (0.5, 0.25):
        source.push(hum(seconds), T0)
        source.commit()
    pull(source, 1.0)
    told = []
    for position in range(0, 16_000, 320):
        told += [(position, playback) for playback in source.played(position)]
    assert told == [
        (320, Playback("started", 0)),
        (8_000, Playback("stopped", 500)),
        (8_640, Playback("started", 0)),  # at the next hop
        (12_480, Playback("stopped", 250)),
    ]


def test_an_utterance_that_nobody_commits_ends_after_a_pause() -> None:
    source = started()
    source.push(hum(0.4), T0)
    pull(source, 2.0)
    told = list(source.played(round((0.4 + PAUSE_S + 0.2) * 16_000)))
    assert told == [Playback("started", 0), Playback("stopped", 400)]
    source.push(hum(0.4), T0 + 2.0)
    source.commit()
    pull(source, 3.0)
    assert [p.kind for p in source.played(48_000)] == ["started", "stopped"]


def test_clearing_forgets_what_waits_and_tells_how_much_was_heard() -> None:
    source = started()
    source.push(hum(3.0), T0)
    pull(source, 1.0)
    source.played(8_000)
    assert source.clear() == Playback("cleared", 500)
    assert not voice(pull(source, 2.0)).any()
    assert source.played(16_000) == []
    assert source.clear() == Playback("cleared", 0)
    source.push(hum(0.2), T0 + 2.0)
    source.commit()
    assert voice(pull(source, 3.0)).any()
    assert [p.played_ms for p in source.played(48_000)] == [0, 200]


@pytest.mark.parametrize("committed", [True, False])
def test_the_rest_of_what_was_interrupted_is_forgotten_when_it_comes(committed: bool) -> None:
    source = started()
    source.push(hum(3.0), T0)
    pull(source, 1.0)
    source.interrupt(T0 + 1.0)
    cleared = source.clear()
    source.push(hum(1.0), T0 + 1.1)
    if committed:
        interrupted = source.commit()
        assert interrupted is not None
        assert interrupted.id == cleared.utterance
    assert source.active is None
    assert not voice(pull(source, 1.15)).any()
    source.push(hum(0.2), T0 + 1.2 if committed else T0 + 1.1 + PAUSE_S + 0.1)
    source.commit()
    assert np.count_nonzero(voice(pull(source, 3.0))) == pytest.approx(0.2 * 48_000, abs=100)


def test_more_than_minutes_is_refused_in_words() -> None:
    source = started(8_000)
    minute = np.ones(60 * 8_000, np.int16)
    for _ in range(int(MAX_WAITING_S // 60)):
        source.push(minute, T0)
    with pytest.raises(TooMuchSpeech, match="at most 300 s are kept"):
        source.push(minute, T0)
    assert source.waiting_s == MAX_WAITING_S
    pull(source, 60.0)
    source.push(minute[:8_000], T0 + 60)


def test_what_is_no_speech_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="8000 to 48000 Hz, not 4000"):
        PushedSpeech(4_000)
    with pytest.raises(ValueError, match="int16"):
        started().push(np.zeros(10, np.float32), T0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[2, 10\]"):
        started().push(np.zeros((2, 10), np.int16), T0)
