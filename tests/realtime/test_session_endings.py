"""How a session ends by itself, on a clock turned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.life import Life
from realtime.session import GONE_S
from realtime.sources.pushed import PushedSpeech
from tests.support.fakes import microphone, opus_packets, settle
from tests.support.sessions import PING, FakeOffer, Stage, staged
from tests.support.sounds import SPEECH


async def test_a_session_that_nobody_comes_to_ends():
    async with staged() as stage:
        await stage.clock.advance(19.0)
        assert stage.session.life is Life.OPEN
        await stage.clock.advance(2.0)
        assert stage.session.life is Life.CLOSED
    assert stage.ended() == {"nobody_came": 1.0}


async def test_its_time_may_be_limited_and_then_it_says_so():
    async with staged(limit_s=60.0) as stage:
        _, channel = await stage.watch()
        await stage.clock.advance(49.0)
        assert not channel.told("error")
        await stage.clock.advance(2.0)
        [word] = channel.told("error")
        assert word["error"]["code"] == "session_ending"
        assert "after 1 minutes" in word["error"]["message"]
        assert stage.session.life is Life.RUNNING
        await stage.clock.advance(10.0)
        assert stage.session.life is Life.CLOSED
    assert stage.ended() == {"time_limit": 1.0}


async def test_a_peer_from_which_nothing_comes_has_gone():
    async with staged() as stage:
        first, _ = await stage.watch()
        second, _ = await stage.watch()
        presence = lambda: stage.session.presence(stage.clock.now(), 5.0)  # noqa: E731
        for _ in range(30):
            first.datagrams += 1
            await stage.clock.advance(1.0)
        assert presence() == "held"
        await stage.clock.advance(GONE_S - 0.5)
        assert presence() == "held"
        await stage.clock.advance(2.0)
        assert presence() == "left"
        second.datagrams += 1
        await stage.clock.advance(1.0)
        assert presence() == "held"  # its path has healed
        party = stage.session.attach(lambda text: True)
        await stage.clock.advance(20.0)
        assert presence() == "held"  # somebody is there by a socket
        stage.session.parties.leave(party, "hung_up")
        assert presence() == "left"


async def test_nobody_has_gone_because_we_were_held_up():
    async with staged() as stage:
        await stage.watch()
        for _ in range(20):
            stage.clock.jump(5.0)
            await stage.clock.advance(0.5)
        assert stage.session.presence(stage.clock.now(), 5.0) == "held"


class Silence:
    """What ends a session in which nothing happens, on a stage where that is after a minute."""

    def __init__(self, stage: Stage, channel) -> None:
        self.stage, self._channel = stage, channel

    def words(self) -> list[str]:
        return [each["error"]["code"] for each in self._channel.told("error")]

    async def is_over_in_a_minute(self) -> None:
        before = len(self.words())
        await self.stage.clock.advance(29.0)
        assert self.words()[before:] == []
        await self.stage.clock.advance(2.0)
        assert self.words()[before:] == ["session_idle"]
        await self.stage.clock.advance(28.0)
        assert self.stage.session.life is Life.RUNNING
        await self.stage.clock.advance(1.5)
        assert self.words()[before:] == ["session_idle", "session_ending"]
        assert self.stage.session.life is Life.RUNNING  # the word needs time to arrive
        await self.stage.clock.advance(1.0)
        assert self.stage.session.life is Life.CLOSED


async def test_a_session_in_which_nothing_happens_ends_with_two_words_before():
    async with staged(idle_limit_s=60.0) as stage:
        _, channel = await stage.watch()
        await Silence(stage, channel).is_over_in_a_minute()
        soon, now = (each["error"]["message"] for each in channel.told("error"))
        assert soon == (
            "nothing was said or done for 30 seconds: "
            "this session ends in 30 seconds unless somebody speaks"
        )
        assert (
            now == "nothing was said or done for 60 seconds: the session ends, and leaves its seat"
        )
    assert stage.ended() == {"idle": 1.0}


async def test_pings_keep_no_session():
    async with staged(idle_limit_s=60.0) as stage:
        _, channel = await stage.watch()
        for _ in range(15):
            channel.on_message(PING)
            await stage.clock.advance(4.0)
        await stage.clock.advance(2.0)
        assert stage.session.life is Life.CLOSED
    assert stage.ended() == {"idle": 1.0}


@pytest.mark.parametrize("sign", ["voice", "speech", "event", "viewer", "come and gone", "socket"])
async def test_whatever_happens_in_it_keeps_a_session(sign):
    speech = PushedSpeech(24_000) if sign == "speech" else None
    async with staged(idle_limit_s=60.0, speech=speech) as stage:
        peer, channel = await stage.watch()
        for _ in range(3):
            await stage.clock.advance(50.0)  # one word by now
            match sign:
                case "voice":
                    packets = microphone(opus_packets(SPEECH), start=stage.clock.now())
                    for packet in packets:
                        await stage.clock.advance(packet.arrival - stage.clock.now())
                        at = packet.rtp_timestamp, packet.sequence
                        peer.microphone.push(*at, packet.payload, stage.clock.now(), ssrc=1)
                    await stage.clock.advance(1.0)
                case "speech":
                    speech.push(np.full(24_000, 99, np.int16), stage.clock.now())
                    speech.commit()
                case "event":
                    channel.say(type="session.update", controls={"gaze": 0.5})
                case "viewer" | "come and gone":
                    await stage.session.connect(FakeOffer(microphone=False, channel=False))
                    stage.peers[-1].become("connected")
                    if sign == "come and gone":
                        await stage.clock.advance(1.0)
                        stage.peers[-1].become("closed")
                case "socket":
                    stage.session.attach(lambda text: True)
            await settle()
        assert channel.told("error")[-1]["error"]["code"] == "session_idle"
        if sign == "viewer":
            for _ in range(120):
                stage.peers[-1].datagrams += 1
                await stage.clock.advance(1.0)
            assert stage.session.life is Life.RUNNING  # as long as somebody looks
        elif sign in ("voice", "speech"):
            await stage.clock.advance(55.0)  # it lasts a while
            assert stage.session.life is Life.RUNNING
            await stage.clock.advance(8.0)
            assert stage.session.life is Life.CLOSED
        else:
            await Silence(stage, channel).is_over_in_a_minute()
