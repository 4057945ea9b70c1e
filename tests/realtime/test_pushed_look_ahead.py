"""Pushed speech is there before its time: no pipeline's look-ahead is waited for, and each picture
still leaves with the sound that it was drawn for. On a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines import weights
from pipelines.identity import IdentityStore
from pipelines.pipeline import Material, QuietProgress
from pipelines.registry import find_system
from realtime.avatar_stream import MARGIN_S, AvatarStream
from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.media import HOP_S, HOP_SAMPLES, PACKET_SAMPLES, Frame, Hop
from realtime.sources.pushed import RESERVE_S, PushedSpeech
from tests.support import small, tiny_swaptalk
from tests.support.fakes import ManualClock
from tests.support.streams import FakeHandle, Viewer, grey
from tests.support.videos import drawn_clip, write_clip

RATE_HZ = 48_000
FASTER = 10
SPARE_HOPS = round((FASTER * HOP_S - RESERVE_S) / HOP_S) - 1
"""Of the first piece, besides the hop with which an utterance begins."""
SHIPPED = Path(__file__).parents[2] / "weights"
CAST = sorted((SHIPPED.parent / "cast").glob("*.png"))


@dataclass(frozen=True)
class Said:
    """An utterance: after how long a pause, how long, and whether it came in one piece or in many,
    ten times as fast as it is spoken."""

    pause_s: float
    seconds: float
    whole: bool


@dataclass
class Talk:
    """A stream that speaks, with a note of all that its engine heard and drew."""

    handle: Any
    clock: ManualClock
    heard: list[Hop] = field(default_factory=list)
    drawn: list[Frame] = field(default_factory=list)
    pushed: list[float] = field(default_factory=list)
    told: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = PushedSpeech(RATE_HZ)
        submit: Callable[[Hop], None] = self.handle.submit

        def hear(hop: Hop) -> None:
            self.heard.append(hop)
            submit(hop)

        self.handle.submit = hear
        self.stream = AvatarStream(self.source, self.handle, self.clock)
        take = self.handle.on_frame

        def draw(frame: Frame) -> None:
            self.drawn.append(frame)
            take(frame)

        self.handle.on_frame = draw
        self.stream.on_frame = self.told.append
        self.viewer = Viewer(self.stream, self.clock)
        self._begin = self.clock.now()

    async def say(self, said: list[Said]) -> None:
        self.stream.start()
        tasks = [asyncio.create_task(self.stream.run()), asyncio.create_task(self.viewer.read())]
        for number, each in enumerate(said):
            await self.clock.advance(each.pause_s)
            self.pushed.append(self.clock.now() - self._begin)
            await self._push(np.full(round(each.seconds * RATE_HZ), number + 1, np.int16), each)
        await self.clock.advance(sum(each.seconds for each in said) + 0.6)
        self.stream.close()
        await asyncio.gather(*tasks)

    async def _push(self, pcm: NDArray[np.int16], said: Said) -> None:
        chunk = len(pcm) if said.whole else round(FASTER * HOP_S * RATE_HZ)
        for at in range(0, len(pcm), chunk):
            self.source.push(pcm[at : at + chunk], self.clock.now())
            if at + chunk < len(pcm):
                await self.clock.advance(HOP_S)
        self.source.commit()

    @property
    def voice(self) -> NDArray[np.int16]:
        """All that viewers heard, in packets, int16 [n, 960]."""
        return np.stack([voice.pcm for _, voice in self.viewer.voice])

    def check_whole(self, said: list[Said]) -> None:
        """Every sample is heard once, in order, and time goes on without a gap or a jump."""
        starts = [voice.start for _, voice in self.viewer.voice]
        assert starts == [n * PACKET_SAMPLES for n in range(len(starts))]
        shown = [picture.start for _, picture in self.viewer.pictures]
        assert shown == [n * HOP_SAMPLES for n in range(len(shown))]
        left = [at - voice.start / 16_000 for at, voice in self.viewer.voice]
        assert np.ptp(left) < 1e-6
        voice = self.voice.ravel()
        for number, each in enumerate(said):
            (where,) = np.nonzero(voice == number + 1)
            assert len(where) == np.ptp(where) + 1 == round(each.seconds * RATE_HZ)

    def check_together(self) -> int:
        """Each picture leaves with the sound that it was drawn for; how many were new."""
        hops = {hop.start: hop for hop in self.heard}
        starts = {id(frame.picture): frame.start for frame in self.drawn}
        new = 0
        for _, picture in self.viewer.pictures:
            if not picture.fresh:
                continue
            sound = hops[starts[id(picture.image)]].voice
            first = picture.start // PACKET_SAMPLES
            given = self.voice[first : first + 2].ravel()
            assert np.array_equal(given, sound[: len(given)])
            new += 1
        return new

    def sounds(self, number: int) -> list[float]:
        """When the packets of an utterance left."""
        return [at for at, voice in self.viewer.voice if (voice.pcm == number + 1).any()]


utterances = st.lists(
    st.builds(
        Said,
        pause_s=st.sampled_from([0.0, 0.07, 0.3, 0.513, 1.0]),
        seconds=st.sampled_from([0.02, 0.3, 0.7, 1.3]),
        whole=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=20)
@given(utterances, st.integers(0, 9), st.sampled_from([0.0, 0.010, 0.025]))
def test_sound_is_whole_and_has_its_own_pictures(
    said: list[Said], ahead: int, latency_s: float
) -> None:
    async def talk() -> None:
        handle = FakeHandle(
            clock := ManualClock(),
            latency_s=latency_s,
            look_ahead=ahead * HOP_SAMPLES,
            expected_latency_s=latency_s,
            draw=lambda number: grey(number % 200),
        )
        talk = Talk(handle, clock)
        await talk.say(said)
        await handle.close()
        talk.check_whole(said)
        assert talk.check_together() == len(talk.viewer.pictures)
        assert [frame.start for frame in talk.told] == [
            picture.start for _, picture in talk.viewer.pictures
        ]
        engine_starts = [hop.start for hop in talk.heard]
        assert engine_starts == [n * HOP_SAMPLES for n in range(len(engine_starts))]
        delay_s = ahead * HOP_S + latency_s + MARGIN_S
        for number, at in enumerate(talk.pushed):
            silent_since = talk.sounds(number - 1)[-1] if number else delay_s
            if at > silent_since + delay_s + HOP_S:  # silence is all that waits to be played
                spare = ahead if said[number].whole else SPARE_HOPS
                most = HOP_S + latency_s + MARGIN_S + max(0, ahead - spare) * HOP_S
                assert talk.sounds(number)[0] - at <= most + 1e-6

    asyncio.run(talk())


@pytest.mark.parametrize("pieces_s", [0.02, 0.1, 0.2])
async def test_pieces_as_fast_as_they_are_spoken_never_run_dry(pieces_s: float) -> None:
    handle = FakeHandle(clock := ManualClock(), look_ahead=4 * HOP_SAMPLES)
    talk = Talk(handle, clock)
    talk.stream.start()
    tasks = [asyncio.create_task(talk.stream.run()), asyncio.create_task(talk.viewer.read())]
    await clock.advance(1.0)
    assert pieces_s <= RESERVE_S
    for _ in range(round(1.2 / pieces_s)):
        talk.source.push(np.full(round(pieces_s * RATE_HZ), 7, np.int16), clock.now())
        await clock.advance(pieces_s)
    talk.source.commit()
    await clock.advance(1.0)
    talk.stream.close()
    await asyncio.gather(*tasks)
    (where,) = np.nonzero(talk.voice.ravel())
    assert len(where) == np.ptp(where) + 1 == round(1.2 * RATE_HZ)


async def test_frames_that_nobody_will_see_are_not_to_be_drawn() -> None:
    ahead = 5
    handle = FakeHandle(clock := ManualClock(), look_ahead=ahead * HOP_SAMPLES)
    talk = Talk(handle, clock)
    await talk.say([Said(1.0, 0.7, True), Said(2.0, 0.7, True)])
    unseen = [hop.start - handle.look_ahead for hop in talk.heard if hop.unseen]
    given = {start for start in unseen if start >= 0}
    assert len(given) == 2 * ahead
    images = {id(picture.image) for _, picture in talk.viewer.pictures}
    assert not [f for f in talk.drawn if id(f.picture) in images and f.start in given]
    stats = talk.stream.pictures.stats
    assert (stats.dropped, stats.repeated, stats.skipped) == (0, 0, 0)


# Through real pipelines of small, untrained networks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of weights; the motion of `portrait` is the one that ships."""
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    folder: Path = tmp_path_factory.mktemp("small")
    small.write_weights(folder)
    tiny_swaptalk.write_weights(folder)
    for part in ("renderer", "motion"):
        (folder / f"anitalker-{part}.safetensors").rename(folder / f"small-{part}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        assert weights.shipped_weights_dir() == SHIPPED
        yield folder


def _material(pipeline: str, folder: Path) -> Material:
    if pipeline == "anitalker":
        return Material(photo=CAST[0])
    clip = drawn_clip()
    return Material(video=write_clip(folder / "clip.mp4", clip.pictures, clip.sound))


def _options(pipeline: str) -> Any:
    if pipeline == "swaptalk":
        return tiny_swaptalk.TINY
    options = find_system("anitalker").Options
    return options(renderer_weights="small-renderer", motion_weights="small-motion")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("pipeline", ["anitalker", "swaptalk"])
async def test_other_pipelines_do_not_wait_for_their_look_ahead(
    pipeline: str, folder: Path, tmp_path: Path
) -> None:
    system, options = find_system(pipeline), _options(pipeline)
    (tmp_path / "made").mkdir()
    progress = QuietProgress(tmp_path / "made")
    identity = await asyncio.to_thread(
        system.enrol, _material(pipeline, tmp_path), options, progress
    )
    IdentityStore(tmp_path).save(identity)
    engine = LocalEngine(pipeline, options, tmp_path)
    handle = await engine.open(StreamRequest(pipeline, identity.key, (256, 256), seed=3))
    assert handle.look_ahead >= 2 * HOP_SAMPLES
    said = [Said(0.5, 0.6, True), Said(1.2, 0.7, False)]
    talk = Talk(handle, ManualClock())
    await talk.say(said)
    await handle.close()
    talk.check_whole(said)
    assert talk.check_together() > 40
    for number, at in enumerate(talk.pushed):
        assert talk.sounds(number)[0] - at <= HOP_S + MARGIN_S + 1e-6
