"""A session's life, its parties and its events, on a clock turned by hand."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from realtime.engine.handle import StreamFacts, StreamRequest
from realtime.errors import AtCapacity, BadOffer, SessionError, UnknownSession, VivavoceError
from realtime.life import Life
from realtime.sources.pushed import PushedSpeech
from tests.support.fakes import microphone, opus_packets, settle
from tests.support.sessions import PING, FakeOffer, Stage, staged
from tests.support.sounds import SPEECH
from tests.support.streams import Viewer

# Life


async def test_it_takes_its_place_waits_for_somebody_and_runs() -> None:
    async with staged() as stage:
        session = stage.session
        assert session.life is Life.OPEN
        controls = {"gaze": 1.0, "warmth": 5.0}
        assert stage.opener.asked == [
            StreamRequest("fake", "ANNA", (32, 18), "square", 7, controls)
        ]
        await session.connect(FakeOffer())  # type: ignore[arg-type]
        await stage.clock.advance(5.0)
        assert session.life is Life.OPEN
        assert stage.handle.heard == []
        stage.peers[0].become("connected")
        await stage.clock.advance(1.0)
        assert session.life is Life.RUNNING
        assert len(stage.handle.heard) == 25
        assert session.describe()["connected"]
        assert session.describe()["age_s"] == 6.0
    assert session.life is Life.CLOSED
    assert stage.peers[0].closed
    assert stage.ended() == {"ended": 1.0}


async def test_transitions_are_checked() -> None:
    stage = Stage()
    stage.session.begin()  # nothing to run yet
    assert stage.session.life is Life.NEW
    await stage.session.open()
    await stage.session.close("over")
    with pytest.raises(SessionError, match="CLOSED: it cannot be OPEN"):
        await stage.session.open()
    await stage.session.close("again")
    assert stage.closed == [stage.session]
    assert stage.ended() == {"over": 1.0}


@pytest.mark.parametrize("refusal", [AtCapacity("full"), VivavoceError("no such weights")])
async def test_a_session_that_gets_no_place_leaves_nothing(refusal: VivavoceError) -> None:
    stage = Stage()
    stage.opener.error = refusal
    with pytest.raises(type(refusal)):
        await stage.session.open()
    assert stage.session.life is Life.CLOSED
    assert stage.ended() == {}
    stage = Stage()
    stage.faces.error = refusal
    with pytest.raises(type(refusal)):
        await stage.session.open()
    assert stage.opener.asked == []


async def test_an_offer_that_cannot_be_answered_ends_a_session_without_others() -> None:
    stage = Stage()
    await stage.session.open()

    async def refuse(*args: object, **options: object) -> None:
        raise BadOffer("no video")

    object.__setattr__(stage.session._config, "connect", refuse)
    with pytest.raises(BadOffer):
        await stage.session.connect(FakeOffer())  # type: ignore[arg-type]
    await settle()
    assert stage.ended() == {"failed": 1.0}


async def test_a_failing_task_ends_the_session() -> None:
    stage = Stage()
    await stage.session.open()
    peer, _ = await stage.watch()
    stage.handle.submit = lambda hop: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    await stage.clock.advance(0.1)
    assert stage.ended() == {"error": 1.0}
    assert peer.closed
    assert stage.closed == [stage.session]


async def test_it_tells_when_the_engine_gives_it_up() -> None:
    stage = Stage()
    await stage.session.open()
    _, channel = await stage.watch()
    stage.handle.on_end("the engine had to be restarted; please connect again")
    await settle()
    (error,) = channel.told("error")
    assert error["error"]["code"] == "engine_unavailable"
    assert "restarted" in error["error"]["message"]
    assert stage.ended() == {"engine_died": 1.0}


# Parties


async def test_it_ends_with_its_last_party() -> None:
    stage = Stage()
    await stage.session.open()
    first, _ = await stage.watch()
    second, _ = await stage.watch(microphone=False)
    heard: list[str] = []
    socket = stage.session.attach(heard.append)
    first.become("failed")
    await stage.clock.advance(1.0)
    assert first.closed
    second.become("closed")
    await stage.clock.advance(1.0)
    assert stage.session.life is Life.RUNNING
    stage.session.parties.leave(socket, "left")
    await settle()
    assert stage.ended() == {"left": 1.0}


@pytest.mark.parametrize(
    ("connected", "reason"), [(False, "never_connected"), (True, "connection_lost")]
)
async def test_a_lost_peer_says_why(connected: bool, reason: str) -> None:
    stage = Stage()
    await stage.session.open()
    await stage.session.connect(FakeOffer())  # type: ignore[arg-type]
    if connected:
        stage.peers[0].become("connected")
    stage.peers[0].become("failed")
    await settle()
    assert stage.ended() == {reason: 1.0}


async def test_whoever_stops_pinging_is_gone() -> None:
    stage = Stage(ping_timeout_s=3.0)
    await stage.session.open()
    lively, channel = await stage.watch()
    quiet, _ = await stage.watch()  # never pings: nothing is expected of it
    stopping, stopped = await stage.watch()
    stopped.on_message(PING)
    assert stopped.told("pong")[0]["client_event_id"] == "p"
    for _ in range(6):
        channel.on_message(PING)
        await stage.clock.advance(1.0)
    assert stopping.closed
    assert not lively.closed
    assert not quiet.closed
    await stage.clock.advance(5.0)
    assert lively.closed
    quiet.become("closed")
    await settle()
    assert stage.ended() == {"connection_lost": 1.0}


async def test_time_in_which_the_server_was_held_up_is_no_silence_of_a_peer() -> None:
    async with staged(ping_timeout_s=3.0) as stage:
        peer, channel = await stage.watch()
        channel.on_message(PING)
        stage.clock.jump(60.0)
        await stage.clock.advance(0.5)
        assert len(channel.told("stats")) == 1
        channel.on_message(PING)  # it had waited to be read
        await stage.clock.advance(2.0)
        assert not peer.closed
        await stage.clock.advance(3.0)
        assert peer.closed


async def test_the_first_microphone_is_heard() -> None:
    async with staged() as stage:
        await stage.watch(microphone=False)
        await stage.watch()
        await stage.watch()
        wanted = [None, stage.session.microphone, None]
        assert [peer.microphone for peer in stage.peers] == wanted
        stage.peers[1].become("closed")
        await stage.watch()
        assert stage.peers[3].microphone is stage.session.microphone
        assert len({id(peer.encodings) for peer in stage.peers}) == 1


async def test_a_peer_that_gives_up_while_it_is_answered_is_closed() -> None:
    stage = Stage()
    await stage.session.open()
    answer = stage._connect

    async def answer_slowly(offer: FakeOffer, **options: object) -> object:
        peer = await answer(offer, **options)
        peer.become("failed")
        await settle()
        return peer

    object.__setattr__(stage.session._config, "connect", answer_slowly)
    with pytest.raises(BadOffer, match="over before"):
        await stage.session.connect(FakeOffer())  # type: ignore[arg-type]
    assert stage.session.closing
    assert stage.peers[0].closed


async def test_nobody_joins_a_session_that_is_ending() -> None:
    stage = Stage()
    await stage.session.open()
    await stage.session.close("deleted")
    with pytest.raises(BadOffer, match="over before"):
        await stage.session.connect(FakeOffer())  # type: ignore[arg-type]
    assert stage.peers == []
    assert len(stage.session.parties) == 0


# Events


async def test_everybody_is_told_and_only_those_who_ask_of_motion() -> None:
    async with staged() as stage:
        _, first = await stage.watch()
        _, second = await stage.watch()
        other = stage.peers[0].open_channel("chat")
        assert first.sent[0]["type"] == second.sent[0]["type"] == "session.created"
        assert first.sent[0]["session"] == stage.session.info().model_dump()
        second.say(type="session.update", motion_events=True)
        await stage.clock.advance(2.0)
        assert not first.told("avatar.motion")
        motions = second.told("avatar.motion")
        assert motions[3]["t"] == 0.12
        assert motions[3]["values"] == {"number": 3.0}
        assert [e["state"] for e in first.told("avatar.state")] == ["listening"]
        (stats,) = first.told("stats")[1:]
        assert stats["fps"] == stats["drawn_fps"] == 25
        assert stats["size"] == 32
        # A hop, two of look-ahead, a step of 10 ms; what is late, packets or steps.
        assert stats["playout_delay_ms"] == round(40 + 80 + 10 + math.hypot(10, 20), 1)
        assert other.sent == []


async def test_speech_at_the_microphone_is_told() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        signal = SPEECH[: len(SPEECH) // 960 * 960]
        for packet in microphone(opus_packets(signal), start=stage.clock.now()):
            await stage.clock.advance(packet.arrival - stage.clock.now())
            stage.session.microphone.push(
                packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival
            )
        kinds = [e["type"] for e in channel.sent if e["type"].startswith("input_audio")]
        assert kinds[:2] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
        ]
        assert channel.told("stats")[-1]["concealed_ms"] == 0
        assert stage.session.describe()["microphone"]["received"] == len(signal) // 960


async def test_pushed_speech_is_reported_and_cut_short() -> None:
    async with staged(speech=PushedSpeech(48_000)) as stage:
        _, channel = await stage.watch()
        viewer = Viewer(stage.session.stream, stage.clock)
        reading = asyncio.create_task(viewer.read())
        speech = stage.session.speech
        assert speech is not None
        await stage.clock.advance(0.5)
        speech.push(np.full(24_000, 9, np.int16), stage.clock.now())
        speech.commit()
        await stage.clock.advance(1.0)
        speech.push(np.full(96_000, 9, np.int16), stage.clock.now())
        await stage.clock.advance(0.5)
        channel.say(type="output_audio_buffer.clear")
        await stage.clock.advance(0.5)
        told = [
            (e["type"].rsplit(".")[1], e.get("played_ms"))
            for e in channel.sent
            if e["type"].startswith("output_audio")
        ]
        heard = sum(bool(voice.pcm.any()) for _, voice in viewer.voice) * 20
        assert told[:3] == [("started", None), ("stopped", 500), ("started", None)]
        assert told[3][0] == "cleared"
        assert told[3][1] == pytest.approx(heard - 500, abs=20)  # some of the last 20 ms fades
        assert len(stage.handle.cleared) == 1
        viewer.cursor.close()
        await reading


async def test_a_clear_of_the_microphones_echo_is_told_in_session_time() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        await stage.clock.advance(1.0)
        channel.say(type="output_audio_buffer.clear")
        (cleared,) = channel.told("output_audio_buffer.cleared")
        assert cleared["played_ms"] == 860
        assert (cleared["response_id"], cleared["item_id"]) == ("", "")  # it has no utterances


async def test_hops_that_went_unheard_are_counted() -> None:
    async with staged() as stage:
        await stage.watch()
        for dropped in (3, 5, 5):
            facts = StreamFacts(size=(32, 18), dropped_hops=dropped)
            stage.handle.facts = lambda facts=facts: facts  # type: ignore[method-assign,misc]
            await stage.clock.advance(1.0)
        (family,) = stage.metrics.hops_dropped.collect()
        assert family.samples[0].value == 5


async def test_the_end_is_announced() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        stage.session.announce_end("the server is shutting down")
        assert channel.told("error")[0]["error"]["code"] == "session_ending"


# Wishes


async def test_the_last_of_several_faces_wins_though_the_first_is_slow() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        stage.handle.gate = asyncio.Event()
        for name in ("berta", "clara", "dora", "Nobody", "emma"):
            channel.say(type="session.update", avatar=name, event_id=name)
            await stage.clock.advance(0.2)
        assert stage.handle.identities == []
        stage.handle.gate.set()
        await settle()
        assert stage.handle.identities == ["BERTA", "EMMA"]
        assert stage.session.appearance.avatar.id == "emma"
        updated = [e["session"]["avatar"] for e in channel.told("session.updated")]
        assert updated == ["berta", "emma"]
        (error,) = channel.told("error")
        assert (error["error"]["code"], error["error"]["event_id"]) == ("unknown_avatar", "Nobody")


async def test_changes_of_controls_add_up_while_the_engine_is_busy() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        stage.handle.gate = asyncio.Event()
        channel.say(type="session.update", avatar="berta")
        await settle()
        channel.say(type="session.update", controls={"gaze": 0.5})
        channel.say(type="session.update", controls={"warmth": 7, "gaze": 0.25})
        await settle()
        assert stage.handle.controls == []
        stage.handle.gate.set()
        await settle()
        assert stage.handle.controls == [{"gaze": 0.25, "warmth": 7.0}]
        assert stage.session.info().controls == {"gaze": 0.25, "warmth": 7.0}


async def test_a_face_that_cannot_be_shown_fails_for_those_who_asked_for_it() -> None:
    async with staged() as stage:
        _, channel = await stage.watch()
        stage.handle.refused = VivavoceError("its features are damaged")
        channel.say(type="session.update", avatar="berta", controls={"gaze": 0}, event_id="e1")
        channel.say(type="session.update", controls={"warmth": 1}, event_id="e2")
        await settle()
        (error,) = channel.told("error")
        assert error["error"]["event_id"] == "e1"
        assert "damaged" in error["error"]["message"]
        assert stage.session.appearance.avatar.id == "anna"
        assert channel.told("session.updated")[-1]["session"]["controls"] == {
            "gaze": 0.0,
            "warmth": 1.0,
        }
        stage.handle.refused = None
        await stage.session.set_avatar("clara")
        assert stage.handle.identities == ["CLARA"]


async def test_a_wish_that_the_end_overtakes_is_answered() -> None:
    stage = Stage()
    await stage.session.open()
    stage.handle.gate = asyncio.Event()
    asked = [asyncio.create_task(stage.session.set_avatar(name)) for name in ("berta", "clara")]
    await settle()
    await stage.session.close("deleted")
    for task in asked:
        with pytest.raises(UnknownSession, match="ended"):
            await task


async def test_a_wish_that_comes_after_the_end_is_answered() -> None:
    """A session can be found by its name until its peers are closed."""
    stage = Stage()
    await stage.session.open()
    await settle()
    await stage.session.close("deleted")
    with pytest.raises(UnknownSession, match="ended"):
        await asyncio.wait_for(stage.session.set_avatar("berta"), 60)
