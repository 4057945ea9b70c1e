"""Interrupting: whatever was pushed in whatever pieces, old sound ends, positions are right, and
what comes next is whole. All on a clock turned by hand."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.client_events import TurnDetection
from realtime.intake import Refused
from realtime.media import HOP_SAMPLES
from realtime.sources.pushed import PushedSpeech
from tests.support.babble import babble
from tests.support.fakes import microphone, opus_packets
from tests.support.sessions import FakeChannel, Stage, staged
from tests.support.streams import Viewer

RATE_HZ = 48_000
HOP_MS = HOP_SAMPLES * 1000 // 16_000


@dataclass(frozen=True)
class Turn:
    """An utterance: how long, in which pieces, and when it is cut short after its start."""

    seconds: float
    pieces: tuple[int, ...]
    cut_s: float | None


turns = st.builds(
    Turn,
    seconds=st.sampled_from([0.05, 0.3, 1.0]),
    pieces=st.lists(st.integers(1, 30_000), min_size=1, max_size=4).map(tuple),
    cut_s=st.none() | st.floats(0.0, 1.0),
)


def tone(turn: Turn, number: int) -> NDArray[np.int16]:
    """An utterance that can be told from its neighbours: of constant level."""
    return np.full(round(turn.seconds * RATE_HZ), 1_000 * (number + 1), np.int16)


def push(speech: PushedSpeech, pcm: NDArray[np.int16], turn: Turn, now: float) -> None:
    at = n = 0
    while at < len(pcm):
        piece = turn.pieces[n % len(turn.pieces)]
        speech.push(pcm[at : at + piece], now)
        at, n = at + piece, n + 1
    speech.commit()


@settings(deadline=None, max_examples=8)
@given(st.lists(turns, min_size=1, max_size=3))
def test_old_sound_ends_within_a_packet_and_positions_are_right(said: list[Turn]) -> None:
    asyncio.run(_converse(said))


async def _converse(said: list[Turn]) -> None:
    speech = PushedSpeech(RATE_HZ)
    async with staged(speech=speech) as stage:
        _, channel = await stage.watch()
        viewer = Viewer(stage.session.stream, stage.clock)
        reading = asyncio.create_task(viewer.read())
        await stage.clock.advance(0.3)
        for number, turn in enumerate(said):
            await _say(stage, viewer, channel, number, turn)
        viewer.cursor.close()
        await reading


async def _say(stage: Stage, viewer: Viewer, channel: FakeChannel, number: int, turn: Turn) -> None:
    speech = stage.session.speech
    assert isinstance(speech, PushedSpeech)
    heard_before, told_before = len(viewer.voice), len(channel.sent)
    push(speech, tone(turn, number), turn, stage.clock.now())
    if turn.cut_s is not None:
        await stage.clock.advance(turn.cut_s)
        frames_before = len(stage.handle.heard)
        heard_until = len(viewer.voice)
        channel.say(type="output_audio_buffer.clear")
        await stage.clock.advance(0.5)
        late = [voice.pcm for _, voice in viewer.voice[heard_until:]]
        assert not any(pcm.any() for pcm in late[1:])  # one packet at most, and that fades
        if late and late[0].any():
            assert not late[0][240:].any()
        assert stage.handle.cleared[-1] == frames_before
    await stage.clock.advance(turn.seconds + 0.5)
    played_ms = sum(np.count_nonzero(v.pcm) for _, v in viewer.voice[heard_before:]) / 48
    told = [e for e in channel.sent[told_before:] if e["type"].startswith("output_audio")]
    kinds = [event["type"].rsplit(".")[1] for event in told]
    whole = turn.cut_s is None
    ended = next(event for event in told if "played_ms" in event)
    if whole:
        assert kinds == ["started", "stopped"]
        assert played_ms == pytest.approx(turn.seconds * 1000, abs=1)
    assert ended["played_ms"] == pytest.approx(played_ms, abs=HOP_MS)
    assert speech.active is None
    level = 1_000 * (number + 1)
    loudest = max((int(v.pcm.max()) for _, v in viewer.voice[heard_before:]), default=0)
    assert loudest <= level + 60  # the resampler overshoots where sound begins


async def test_the_users_voice_interrupts_if_wished_and_echo_does_not() -> None:
    speech = PushedSpeech(RATE_HZ)
    async with staged(speech=speech) as stage:
        _, channel = await stage.watch()
        stage.session.turn_detection = TurnDetection()
        viewer = Viewer(stage.session.stream, stage.clock)
        reading = asyncio.create_task(viewer.read())
        voice = np.clip(babble(8.0, 1, 190) * 2_500, -32_000, 32_000).astype(np.int16)
        speech.push(voice, stage.clock.now())
        speech.commit()
        echo = np.concatenate([np.zeros(14_400, np.int16), voice // 10])
        user = np.zeros(len(echo))
        user[5 * RATE_HZ : 7 * RATE_HZ] = babble(2.0, 5, 110) * 2_500
        echo[round(5.7 * RATE_HZ) :] = 0  # it fell silent
        heard = np.clip(echo + user, -32_000, 32_000).astype(np.int16)
        heard = heard[: len(heard) // 960 * 960]
        cleared_at = None
        for packet in microphone(opus_packets(heard), start=stage.clock.now()):
            await stage.clock.advance(packet.arrival - stage.clock.now())
            stage.session.microphone.push(
                packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival
            )
            if cleared_at is None and channel.told("output_audio_buffer.cleared"):
                cleared_at = packet.arrival - 1_000.0
        assert cleared_at == pytest.approx(5.4, abs=0.4)
        started = channel.told("input_audio_buffer.speech_started")
        assert 5_000 <= started[0]["audio_start_ms"] < 5_700
        assert started[0]["item_id"]
        states = [event["state"] for event in channel.told("avatar.state")]
        assert "listening" in states
        told = [hop.start / 16_000 for hop in stage.handle.heard if hop.listens]
        assert 5.0 < told[0] < 5.8
        assert 6.5 < told[-1] < 7.8
        viewer.cursor.close()
        await reading


@pytest.mark.parametrize(
    "word",
    [
        {"type": "input_audio_buffer.clear"},
        {"type": "output_audio_buffer.clear"},
        {"type": "response.cancel"},
        {"type": "conversation.item.truncate", "item_id": "item_", "audio_end_ms": 0},
    ],
    ids=lambda word: word["type"],
)
async def test_a_program_that_heeds_an_interruption_is_heard_at_once(word: dict[str, Any]) -> None:
    """It would take half a second of silence, or a commit, else: its next sentence was forgotten
    as the rest of the last."""
    speech = PushedSpeech(RATE_HZ)
    async with staged(speech=speech) as stage:
        _, channel = await stage.watch()
        stage.session.turn_detection = TurnDetection()

        def append(seconds: float) -> None:
            sound = np.full(round(seconds * RATE_HZ), 2_000, np.int16).tobytes()
            audio = base64.b64encode(sound).decode()
            channel.say(type="input_audio_buffer.append", audio=audio)

        append(0.5)
        await stage.clock.advance(0.5)
        [started] = channel.told("output_audio_buffer.started")
        stage.session._user_began()
        append(0.1)  # it does not know yet
        assert speech.active is None
        if "item_id" in word:
            word = word | {"item_id": started["item_id"]}
        channel.say(**word)
        append(0.3)
        channel.say(type="input_audio_buffer.commit")
        await stage.clock.advance(1.0)
        assert channel.told("output_audio_buffer.stopped")[-1]["played_ms"] == 300


@pytest.mark.parametrize("why", ["cleared", "full", "a pause", "cleared by another"])
async def test_half_a_sample_stays_with_its_own_speech(why: str) -> None:
    """All that came after it was read a byte too late: as noise at full level."""
    speech = PushedSpeech(8_000)
    half = np.full(4_001, 257, np.int16).tobytes()[:-1]
    async with staged(speech=speech) as stage:
        _, channel = await stage.watch()
        viewer = Viewer(stage.session.stream, stage.clock)
        reading = asyncio.create_task(viewer.read())
        [listener] = stage.session.hub.listeners
        listener.intake.append(half)
        if why == "cleared":
            channel.say(type="output_audio_buffer.clear")
        elif why == "full":
            with pytest.raises(Refused):
                listener.intake.append(bytes(8_000 * 2 * 300))
            await stage.clock.advance(5.0)
        elif why == "a pause":
            await stage.clock.advance(3.0)
        else:
            stage.session.clear()
        rest = b"\x01" if why == "cleared by another" else b""  # it knows nothing, and goes on
        listener.intake.append(rest + np.full(4_000, 64, np.int16).tobytes())
        channel.say(type="input_audio_buffer.commit")
        await stage.clock.advance(2.0)
        heard = np.concatenate([voice.pcm for _, voice in viewer.voice])
        assert np.abs(heard).max() < 400  # askew it is 16,384
        assert np.count_nonzero(heard == 64) > 10_000
        viewer.cursor.close()
        await reading


async def test_without_the_wish_the_user_may_talk_over_the_avatar() -> None:
    speech = PushedSpeech(RATE_HZ)
    async with staged(speech=speech) as stage:
        _, channel = await stage.watch()
        speech.push(np.full(3 * RATE_HZ, 2_000, np.int16), stage.clock.now())
        speech.commit()
        user = (babble(2.0, 5, 110) * 5_000).astype(np.int16)
        for packet in microphone(opus_packets(user), start=stage.clock.now()):
            await stage.clock.advance(packet.arrival - stage.clock.now())
            stage.session.microphone.push(
                packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival
            )
        await stage.clock.advance(2.0)
        assert channel.told("output_audio_buffer.stopped")[0]["played_ms"] == 3_000
        assert not channel.told("output_audio_buffer.cleared")
