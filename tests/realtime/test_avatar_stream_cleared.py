"""A stream that is interrupted, and one whose speech is pushed, on a clock turned by hand."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from pipelines.audio.vad import SpeechEdge
from realtime.avatar_stream import AvatarStream
from realtime.media import HOP_S, Frame, Voice
from realtime.sources.microphone.source import Microphone
from realtime.sources.pushed import PushedSpeech
from realtime.sources.source import Playback
from tests.support.fakes import ManualClock, microphone, opus_packets
from tests.support.sounds import SPEECH
from tests.support.stream_bench import DELAY_S, Bench, lateness, running
from tests.support.streams import FakeHandle, NumberedSource, Viewer

# Barge-in


async def test_clearing_silences_what_was_not_played_and_goes_on_without_a_jump() -> None:
    async with running() as bench:
        await bench.clock.advance(2.0)
        at, (_, last) = bench.now, bench.viewer.voice[-1]
        played = last.start + 320
        assert bench.stream.clear() == Playback("cleared", played // 16)
        assert bench.playbacks == [(at, Playback("cleared", played // 16))]
        heard_by_then = len(bench.handle.heard)
        assert bench.handle.cleared == [heard_by_then]
        await bench.clock.advance(1.0)
    voice, pictures = bench.viewer.voice, bench.viewer.pictures
    assert [v.start for _, v in voice] == [n * 320 for n in range(len(voice))]
    assert np.abs(lateness(voice)).max() < 1e-6
    assert [p.start for _, p in pictures] == [n * 640 for n in range(len(pictures))]
    silent = [v.start for _, v in voice if not v.pcm[-1]]
    assert silent == list(range(played, heard_by_then * 640, 320))
    assert bench.viewer.heard[-1] == voice[-1][1].start // 640 + 1
    after = [n for (left, _), n in zip(pictures, bench.viewer.seen, strict=True) if left > at]
    drawn_after = heard_by_then - 2  # the first frame that knows of the silence
    assert after[after.index(drawn_after) :] == list(range(drawn_after, len(pictures)))
    frozen = set(after[: after.index(drawn_after)])
    assert frozen == {round((at - DELAY_S) / HOP_S)}
    first_new = next(
        left for (left, _), n in zip(pictures, bench.viewer.seen, strict=True) if n == drawn_after
    )
    assert first_new - at < 0.1


async def test_cleared_sound_fades_instead_of_clicking() -> None:
    async with running() as bench:
        bench.source.hop = lambda n, now: loud(n, now)  # type: ignore[attr-defined]
        await bench.clock.advance(1.0)
        bench.stream.clear()
        await bench.clock.advance(0.021)
    fading = bench.viewer.voice[-1][1].pcm
    assert fading[0] == 10_000
    assert np.abs(np.diff(fading.astype(int))).max() < 100
    assert not fading[240:].any()


def loud(n: int, now: float) -> object:
    hop = NumberedSource().hop(n, now)
    hop.voice[:] = 10_000
    return hop


# Pushed speech


def pushed_by(bench: Bench) -> PushedSpeech:
    assert isinstance(bench.source, PushedSpeech)
    return bench.source


def voiced(viewer: Viewer) -> list[tuple[float, Voice]]:
    return [(left, voice) for left, voice in viewer.voice if voice.pcm.any()]


async def test_speech_given_at_once_is_spoken_in_real_time_and_begins_soon() -> None:
    pcm = np.resize(SPEECH[::2] | 1, 3 * 24_000)  # at 24 kHz, never silent
    async with running(PushedSpeech(24_000)) as bench:
        for pause in (1.0, 4.013):  # a second utterance, after the first and a silence
            await bench.clock.advance(pause)
            at = bench.now
            pushed_by(bench).push(pcm, bench.clock.now())
            pushed_by(bench).commit()
            before = len(bench.viewer.voice)
            await bench.clock.advance(0.2)
            left, voice = next(x for x in bench.viewer.voice[before:] if x[1].pcm.any())
            assert left - at < 0.2
            pictures = {p.start: left for left, p in bench.viewer.pictures if p.fresh}
            assert pictures[voice.start] == pytest.approx(left)  # its own picture, with it
        await bench.clock.advance(4.0)
    assert [v.start for _, v in bench.viewer.voice] == [
        n * 320 for n in range(len(bench.viewer.voice))
    ]
    assert np.ptp([left - v.start / 16_000 for left, v in bench.viewer.voice]) < 1e-6
    assert [p.start for _, p in bench.viewer.pictures if p.fresh] == [
        n * 640 for n in range(len(bench.viewer.pictures))
    ]
    assert [p for _, p in bench.playbacks] == [
        Playback("started", 0),
        Playback("stopped", 3_000),
    ] * 2
    (begun, _), (over, _) = bench.playbacks[:2]
    assert over - begun == pytest.approx(2.98, abs=0.001)  # to the last packet's beginning


async def test_pushed_speech_is_cut_short_and_the_next_follows() -> None:
    pcm = np.resize(SPEECH | 1, 3 * 48_000)
    async with running(PushedSpeech(48_000)) as bench:
        await bench.clock.advance(0.5)
        source = pushed_by(bench)
        source.push(pcm, bench.clock.now())
        await bench.clock.advance(1.5)
        at = bench.now
        played = len(voiced(bench.viewer)) * 20
        assert bench.stream.clear() == Playback("cleared", played)
        await bench.clock.advance(0.3)
        assert max(left for left, _ in voiced(bench.viewer)) - at < 0.1
        source.push(pcm[:48_000], bench.clock.now())
        source.commit()
        await bench.clock.advance(2.0)
    assert [p for _, p in bench.playbacks] == [
        Playback("started", 0),
        Playback("cleared", played),
        Playback("started", 0),
        Playback("stopped", 1_000),
    ]
    starts = [v.start for _, v in bench.viewer.voice]
    assert starts == [n * 320 for n in range(len(starts))]
    assert np.ptp([left - v.start / 16_000 for left, v in bench.viewer.voice]) < 1e-6
    numbers = [n for n, (_, p) in zip(bench.viewer.seen, bench.viewer.pictures, strict=True)]
    assert all(0 <= step <= 4 for step in np.diff(numbers))


async def test_a_user_speaks_beside_pushed_speech() -> None:
    clock = ManualClock()
    speaking, user = PushedSpeech(48_000), Microphone()
    handle = FakeHandle(clock)
    stream = AvatarStream(speaking, handle, clock, listening=user)
    viewer = Viewer(stream, clock)
    edges: list[SpeechEdge] = []
    frames: list[Frame] = []
    stream.on_edge, stream.on_frame = edges.append, frames.append
    stream.start()
    tasks = [asyncio.create_task(stream.run()), asyncio.create_task(viewer.read())]
    tone = np.full(48_000, 5, np.int16)
    speaking.push(tone, clock.now())
    signal = SPEECH[: len(SPEECH) // 960 * 960]
    for packet in microphone(opus_packets(signal), start=clock.now()):
        await clock.advance(packet.arrival - clock.now())
        user.push(packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival)
    await clock.advance(1.0)
    stream.close()
    await asyncio.gather(*tasks)
    assert [edge.kind for edge in edges][:2] == ["started", "stopped"]
    assert set(viewer.heard) == {0, 5}  # nothing of the user
    assert viewer.heard.count(5) == 50
    assert {float(np.abs(hop.voice).max()) for hop in handle.heard} == {0, 5}
    assert len(frames) >= 40
