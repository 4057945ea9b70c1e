"""Which of what was pushed belongs to which picture, by what comes back of it."""

from __future__ import annotations

import numpy as np
import pytest
from vivavoce_client.script import Script

RATE = 24_000
HOP = RATE // 25
DELAY = 312  # samples at 48 kHz that Opus comes later


def voice(hops: int, level: int = 4_000) -> np.ndarray:
    """A tone."""
    return (level * np.sin(np.arange(hops * HOP) / 9)).astype(np.int16)


def quiet(hops: int) -> np.ndarray:
    return np.zeros(hops * HOP, np.int16)


def returned(pcm: np.ndarray, before: int = 0, after: int = 0) -> list[np.ndarray]:
    """What comes back of it: at 48 kHz, a little later, with so many silent frames around it."""
    noise = np.random.default_rng(0).normal(0, 2, (before + after) * 1920 + 2 * len(pcm) + 1920)
    noise[before * 1920 + DELAY :][: 2 * len(pcm)] += np.repeat(pcm, 2)
    frames = noise[: len(noise) // 1920 * 1920].astype(np.int16).reshape(-1, 1920)
    return list(frames[: before + len(pcm) // HOP + after])


def follow(script: Script, frames: list[np.ndarray]) -> list:
    return [script.hear(frame) for frame in frames]


def given(said: list) -> np.ndarray:
    return np.concatenate([one.pcm for one in said])


def test_what_was_pushed_is_given_with_the_frames_it_comes_back_in():
    pcm = np.concatenate([voice(10), quiet(5), voice(10)[:-100]])
    script = Script()
    script.push(pcm, RATE)
    assert script.commit()
    script.started("a")
    said = follow(script, returned(np.pad(pcm, (0, 100)), before=7, after=3))
    assert np.array_equal(given(said), pcm)
    assert [len(one.pcm) for one in said[:8]] == [0] * 7 + [HOP]
    assert [n for n, one in enumerate(said) if one.ended] == [7 + 25 - 1]
    assert not script.waiting_s


def test_silence_at_the_beginning_waits_for_the_server_to_begin():
    pcm = np.concatenate([quiet(5), voice(5)])
    script = Script()
    script.push(pcm, RATE)
    script.commit()
    assert not len(given(follow(script, returned(quiet(0), before=10))))
    script.started("a")
    assert np.array_equal(given(follow(script, returned(pcm))), pcm)


def test_what_comes_too_slowly_waits_where_the_server_does():
    script = Script()
    script.push(voice(5), RATE)
    script.started("a")
    said = follow(script, returned(voice(5)))
    script.push(voice(5), RATE)  # the server hears of it some frames later
    script.commit()
    said += follow(script, returned(voice(5), before=4, after=2))
    assert len(given(said)) == 10 * HOP
    assert [n for n, one in enumerate(said) if not len(one.pcm)] == [5, 6, 7, 8, 14, 15]
    assert said[13].ended


@pytest.mark.parametrize("lost", [1, 3])
def test_frames_that_were_missed_are_made_up_for_at_the_next_pause(lost):
    pcm = np.concatenate([voice(5), quiet(6), voice(5)])
    script = Script()
    script.push(pcm, RATE)
    script.commit()
    script.started("a")
    frames = returned(pcm, after=2)
    said = follow(script, frames[:5] + frames[5 + lost :])
    assert len(given(said)) == len(pcm)
    assert said[-1].ended or not script.waiting_s


def test_after_a_clear_nothing_is_given_until_the_next_utterance_is_heard():
    script = Script()
    script.push(voice(50), RATE)
    script.commit()
    script.started("a")
    assert len(given(follow(script, returned(voice(10))))) == 10 * HOP
    script.clear()
    assert not script.commit()
    script.push(voice(4), RATE)
    script.commit()
    script.cleared("a")
    script.started("b")
    residue = returned(voice(3), after=2)  # on its way when it was cleared
    said = follow(script, residue + returned(voice(4), after=2))
    assert [n for n, one in enumerate(said) if len(one.pcm)] == [5, 6, 7, 8]
    assert [n for n, one in enumerate(said) if one.ended] == [8]


def test_an_utterance_that_somebody_else_cut_short_ends():
    script = Script()
    script.push(voice(50), RATE)
    script.commit()
    script.started("a")
    follow(script, returned(voice(10)))
    script.cleared("a")
    said = follow(script, returned(quiet(3)))
    assert [one.ended for one in said] == [True, False, False]
    assert said[0].cut


def test_what_never_comes_back_ends_all_the_same():
    script = Script()
    script.push(voice(10), RATE)
    script.commit()
    script.started("a")
    script.stopped("a")
    said = follow(script, returned(quiet(40)))
    assert len(given(said)) == 10 * HOP
    assert sum(one.ended for one in said) == 1


def test_utterances_follow_each_other_at_rates_of_their_own():
    script = Script()
    script.push(voice(5), RATE)
    script.commit()
    script.push(voice(5)[::2], RATE // 2)
    script.commit()
    script.started("a")
    script.started("b")
    said = follow(script, returned(np.concatenate([voice(5), voice(5)]), after=1))
    assert [one.rate_hz for one in said] == [RATE] * 5 + [RATE // 2] * 5 + [0]
    assert [n for n, one in enumerate(said) if one.ended] == [4, 9]
