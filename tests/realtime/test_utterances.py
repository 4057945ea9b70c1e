"""Ten utterances pushed at ten times real time, three of them interrupted, through the real
pipeline: positions, what is left of them, how the face moves. On a clock turned by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.motion.space import MOTION_INDEX
from realtime.avatar_stream import AvatarStream
from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.media import HOP_S, Frame
from realtime.render import find_identity
from realtime.sources.pushed import PushedSpeech
from realtime.sources.source import Playback
from tests.support.babble import babble
from tests.support.fakes import ManualClock
from tests.support.streams import Viewer

RATE_HZ = 24_000
FASTER = 10
SECONDS = (0.8, 1.2, 0.5, 1.5, 0.9, 1.1, 0.6, 1.4, 0.7, 1.0)
CUT_AFTER_S = {2: 0.25, 5: 0.6, 7: 0.9}
PAUSE_S = 0.4
MOUTH = [MOTION_INDEX[name] for name in ("jawOpen", "mouthFunnel", "mouthPucker")]
HEAD = [MOTION_INDEX[name] for name in MOTION_INDEX if "head" in name.lower()]


@dataclass
class Told:
    """What happened to the ten, in seconds since the beginning."""

    voice: list[tuple[float, NDArray[np.int16]]] = field(default_factory=list)
    pictures: list[tuple[float, int, NDArray[np.int16]]] = field(default_factory=list)
    motion: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    ends: list[Playback] = field(default_factory=list)
    pushed: list[float] = field(default_factory=list)
    cleared: list[float] = field(default_factory=list)

    def heard(self, begin: float, end: float) -> NDArray[np.int16]:
        """The sound that left in a span of time."""
        parts = [pcm for at, pcm in self.voice if begin <= at < end]
        return np.concatenate([np.zeros(0, np.int16), *parts])


async def _push(
    source: PushedSpeech, clock: ManualClock, pcm: NDArray[np.int16], for_s: float
) -> None:
    """As it comes from a fast engine: 400 ms each 40, for so long at most."""
    chunk = round(FASTER * HOP_S * RATE_HZ)
    spent = 0.0
    for at in range(0, len(pcm), chunk):
        if spent >= for_s:
            return
        source.push(pcm[at : at + chunk], clock.now())
        if at + chunk >= len(pcm):
            source.commit()
        step = min(HOP_S, for_s - spent)
        await clock.advance(step)
        spent += step
    await clock.advance(for_s - spent)


async def _speak(handle: Any) -> Told:
    clock, source, told = ManualClock(), PushedSpeech(RATE_HZ), Told()
    stream = AvatarStream(source, handle, clock)
    viewer = Viewer(stream, clock)
    begin = clock.now()

    def keep(frame: Frame) -> None:
        told.motion[frame.start] = frame.motion

    stream.on_frame = keep
    stream.on_playback = lambda p: told.ends.append(p) if p.kind != "started" else None
    stream.start()
    tasks = [asyncio.create_task(stream.run()), asyncio.create_task(viewer.read())]
    await clock.advance(0.4)
    for number, seconds in enumerate(SECONDS):
        pcm = (babble(seconds, seed=number, pitch_hz=130) * 3_000).astype(np.int16)[::2]
        told.pushed.append(clock.now() - begin)
        if number in CUT_AFTER_S:
            await _push(source, clock, pcm, CUT_AFTER_S[number])
            told.cleared.append(clock.now() - begin)
            stream.clear()
            await clock.advance(PAUSE_S)
        else:
            await _push(source, clock, pcm, seconds + PAUSE_S)
    stream.close()
    await asyncio.gather(*tasks)
    told.voice = [(at, voice.pcm) for at, voice in viewer.voice]
    told.pictures = [
        (at, picture.start, picture.image.to_ndarray()[: picture.image.height].astype(np.int16))
        for at, picture in viewer.pictures
    ]
    return told


@pytest.fixture(scope="module")
def told(config: Any) -> Told:
    avatar = sorted(path.stem for path in config.cast_dir.glob("*.png"))[0]

    async def speak() -> Told:
        key = await find_identity(avatar, config)
        identities = config.data_dir / "identities"
        engine = LocalEngine("portrait", config.options_of("portrait"), identities)
        handle = await engine.open(StreamRequest("portrait", key, (256, 256), seed=3))
        try:
            return await _speak(handle)
        finally:
            await handle.close()

    return asyncio.run(speak())


def test_positions_are_right(told: Told) -> None:
    assert len(told.ends) == len(SECONDS)
    for number, (playback, at) in enumerate(zip(told.ends, told.pushed, strict=True)):
        sound = told.heard(at, at + SECONDS[number] + PAUSE_S)
        if number in CUT_AFTER_S:
            cut = told.cleared[sorted(CUT_AFTER_S).index(number)]
            sound = told.heard(at, cut + 0.1)
            assert playback.kind == "cleared"
            first = np.flatnonzero(sound)[0]
            assert playback.played_ms == pytest.approx((len(sound) - first) / 48 - 100, abs=60)
            assert playback.played_ms < SECONDS[number] * 1000
        else:
            assert (playback.kind, playback.played_ms) == ("stopped", round(SECONDS[number] * 1000))


def test_no_old_sound_is_left(told: Told) -> None:
    assert len(told.cleared) == len(CUT_AFTER_S)
    for cut in told.cleared:
        after = told.heard(cut, cut + PAUSE_S)
        assert not after[48_000 * 25 // 1000 :].any()  # 20 ms that begin now, 5 of them fade


def test_the_first_frame_of_an_utterance_leaves_with_its_sound(told: Told) -> None:
    """Within a hop to begin at and a margin; what drawing takes comes on top."""
    for at in told.pushed:
        first = next(t for t, pcm in told.voice if t >= at and np.abs(pcm).max() > 100)
        assert first - at <= 0.065
        media = next(v for v in told.voice if v[0] == first)
        assert any(abs(t - media[0]) <= HOP_S for t, _, _ in told.pictures)


def test_the_mouth_is_shut_200_ms_after_an_interruption(told: Told) -> None:
    opened = {start: float(motion[MOUTH].sum()) for start, motion in told.motion.items()}
    widest = max(opened.values())
    assert widest > 0.2  # it spoke
    for cut in told.cleared:
        shown = [start for at, start, _ in told.pictures if cut + 0.2 <= at < cut + PAUSE_S]
        assert shown
        assert max(opened[start] for start in shown if start in opened) < 0.1 * widest


def test_the_face_does_not_jump(told: Told) -> None:
    """Where it is interrupted it moves no more from one picture to the next than in speech."""
    planes = np.stack([plane for _, _, plane in told.pictures])
    times = np.array([at for at, _, _ in told.pictures[1:]])
    moved = np.abs(np.diff(planes, axis=0)).mean((1, 2))
    near = np.any([(times >= cut) & (times < cut + 0.3) for cut in told.cleared], axis=0)
    settled = times > 1.0  # before, the still gives way to the first frame
    assert moved[near].max() <= 1.2 * moved[~near & settled].max()
    heads = np.stack([told.motion[start][HEAD] for start in sorted(told.motion)])
    assert np.abs(np.diff(heads, axis=0)).max() < 2.0  # degrees
