"""Whole sessions with a real aiortc peer: voice and face out, in sync, and clean ends."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal

import httpx
import numpy as np
import pytest

from benchmarks.service.peer import AvatarClient
from realtime import endings
from realtime.session import GONE_S
from tests.realtime.conftest import URL, running
from tests.support.peers import Client, until
from tests.support.sounds import SPEECH, hum

pytestmark = pytest.mark.asyncio(loop_scope="module")


def ended(server, reason) -> float:
    """How many sessions have ended for that reason."""
    return server.service.metrics.sessions_ended.labels(reason)._value.get()


def shown(client) -> np.ndarray:
    """The newest picture."""
    return client.pictures[-1].to_ndarray(format="rgb24").astype(int)


def vanish(client) -> None:
    """Cut off without a word, as by a power failure: nothing is sent or answered any more."""
    for transceiver in client.connection.getTransceivers():
        for protocol in transceiver.receiver.transport.transport._connection._protocols:
            protocol.transport.sendto = lambda *datagram: None
            protocol.datagram_received = lambda *datagram: None


def strongest_hz(voice) -> float:
    sound = np.concatenate(voice).astype(np.float64)[-48_000:]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * 48_000 / len(sound))


async def test_a_face_and_the_voice_come_back_together(server):
    async with server.client(SPEECH) as client:
        await until(lambda: len(client.pictures) > 75)
        picture = client.pictures[-1]
        assert (picture.width, picture.height) == (256, 256)
        await until(lambda: client.audio.clock.reports and client.video.clock.reports)
        [party] = server.service.sessions[client.session["id"]].parties
        zeros = [
            stream.clock.wall_s(party.peer._senders[kind]._origin)
            for kind, stream in (("audio", client.audio), ("video", client.video))
        ]
        assert abs(zeros[0] - zeros[1]) < 0.001  # wall time of media time 0, s
        await until(lambda: np.abs(client.voice[-1]).max() > 2_000)  # pauses are silent
        session = (await server.http.get(f"/v1/sessions/{client.session['id']}")).json()
        assert session["connected"]
        assert session["measurements"]["playout_delay_ms"] > 80


async def test_events_tell_of_the_session_and_of_speech(server):
    async with server.client(SPEECH) as client:
        await until(lambda: client.channel.readyState == "open")
        kinds = lambda: [event["type"] for event in client.events]  # noqa: E731
        await until(lambda: "input_audio_buffer.speech_stopped" in kinds() and "stats" in kinds())
        created = client.events[0]
        assert created["type"] == "session.created"
        assert created["session"]["id"] == client.session["id"]
        assert "input_audio_buffer.speech_started" in kinds()
        states = [e["state"] for e in client.events if e["type"] == "avatar.state"]
        assert "speaking" in states

        client.send(type="ping", event_id="p1")
        await until(lambda: "pong" in kinds())
        client.channel.send("garbage")
        client.channel.send(b"\x00\xff")
        client.send(type="session.update", event_id="u1", avatar="nobody")
        await until(lambda: kinds().count("error") == 3)
        errors = [e["error"] for e in client.events if e["type"] == "error"]
        assert [e["code"] for e in errors] == ["bad_event", "bad_event", "unknown_avatar"]
        assert errors[2]["event_id"] == "u1"

        client.send(type="session.update", controls={"blink_rate": 0.0}, motion_events=True)
        await until(lambda: {"avatar.motion", "session.updated"} <= set(kinds()))
        updated = next(e for e in client.events if e["type"] == "session.updated")
        assert updated["session"]["controls"]["blink_rate"] == 0.0
        motion = next(e for e in client.events if e["type"] == "avatar.motion")
        assert {"jawOpen", "headYaw", "eyeBlinkLeft"} <= set(motion["values"])


async def test_the_face_changes_live(server):
    first, second = (a["id"] for a in (await server.http.get("/v1/avatars")).json()["avatars"])
    async with server.client(SPEECH, avatar=first) as client:
        await until(lambda: len(client.pictures) > 10)
        before = shown(client)
        where = f"/v1/sessions/{client.session['id']}"
        response = await server.http.patch(where, json={"avatar": second})
        assert response.json()["avatar"] == second
        await until(lambda: np.abs(shown(client) - before).mean() > 8)
        response = await server.http.patch(where, json={"avatar": "nobody"})
        assert response.status_code == 404


async def test_a_session_in_16_9(server):
    first, second = (a["id"] for a in (await server.http.get("/v1/avatars")).json()["avatars"])
    async with server.client(SPEECH, avatar=first, frame="16:9", size=720) as client:
        await until(lambda: len(client.pictures) > 10)
        size = lambda picture: (picture.width, picture.height)  # noqa: E731
        still = server.service.sessions[client.session["id"]].media.handle.still
        assert size(still) == (1280, 720)  # what is shown until the first picture is drawn
        sizes = {(1280, 720), (848, 480), (640, 360)}  # as the machine can
        assert {size(picture) for picture in client.pictures} <= sizes
        where = f"/v1/sessions/{client.session['id']}"
        session = (await server.http.get(where)).json()
        assert (session["frame"], session["width"], session["height"]) == ("16:9", 1280, 720)
        assert (await server.http.patch(where, json={"avatar": second})).json()["width"] == 1280
        count = len(client.pictures)
        await until(lambda: len(client.pictures) > count + 10)
        assert size(client.pictures[-1]) in sizes


async def test_nothing_crosses_between_sessions_and_one_too_many_is_refused(server):
    tones = (300.0, 500.0)
    faces = [a["id"] for a in (await server.http.get("/v1/avatars")).json()["avatars"]]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(server.client(hum(tone), avatar=face))
            for tone, face in zip(tones, faces, strict=True)
        ]
        await until(lambda: all(len(c.voice) > 120 for c in clients))
        for client, tone in zip(clients, tones, strict=True):
            assert abs(strongest_hz(client.voice) - tone) < 5
        await until(lambda: all(c.pictures for c in clients))
        assert np.abs(shown(clients[0]) - shown(clients[1])).mean() > 8

        await stack.enter_async_context(server.client(hum(900.0)))  # takes the last place
        refused = AvatarClient(hum(900.0))
        stack.push_async_callback(refused.close)
        offer = await refused.body()
        answer = await server.http.post("/v1/sessions", json=offer)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "at_capacity"
        assert int(answer.headers["retry-after"]) > 0
        assert (await server.http.get("/ready")).status_code == 503
        count = len(clients[0].pictures)
        await until(lambda: len(clients[0].pictures) > count + 20)


async def test_a_call_of_openais_speaks_its_dialect(server):
    client, told = Client(channel="oai-events"), []
    client.channel.on("message", lambda text: told.append(json.loads(text)))
    headers = {"content-type": "application/sdp"}
    try:
        answer = await server.http.post(
            "/v1/realtime/calls", content=await client.offer(), headers=headers
        )
        assert answer.status_code == 201, answer.text
        await client.accept(answer.text)
        await until(lambda: told)
        assert (told[0]["type"], told[0]["session"]["type"]) == ("session.created", "realtime")
        assert (await server.http.delete(answer.headers["location"])).status_code == 200
    finally:
        await client.close()


async def test_delete_ends_the_session(server):
    async with server.client(SPEECH) as client:
        await until(lambda: client.pictures)
        where = f"/v1/sessions/{client.session['id']}"
        assert (await server.http.delete(where)).status_code == 204
        assert (await server.http.get(where)).status_code == 404
        assert not server.service.sessions


async def test_a_microphone_that_stops_leaves_a_living_face(server):
    async with server.client(SPEECH) as client:
        await until(lambda: len(client.pictures) > 25)
        client.microphone.stop()
        count = len(client.pictures)
        await until(lambda: len(client.pictures) > count + 25)  # a second of it is over
        still = shown(client)
        await until(lambda: np.abs(shown(client) - still).max() > 10)  # it moves


async def test_a_peer_that_hangs_up_is_gone_at_once(server):
    async with server.client(SPEECH) as client:
        await until(lambda: client.pictures)
        before = ended(server, "connection_lost")
        await client.close()
        await until(lambda: not server.service.sessions)
        assert ended(server, "connection_lost") == before + 1  # and not for want of pings


async def test_a_peer_that_never_connects_is_given_up(config):
    impatient = dataclasses.replace(config, connect_timeout_s=1.0)
    async with running(impatient) as server:
        client = AvatarClient(SPEECH)
        answer = await server.post_offer(await client.body())
        assert answer["id"] in server.service.sessions
        await until(lambda: not server.service.sessions)
        assert ended(server, "never_connected") == 1
        await client.close()


async def test_whoever_does_not_come_gives_way_and_whoever_is_there_does_not(config):
    hasty = dataclasses.replace(config, max_sessions=2, unclaimed_s=0.0)
    async with running(hasty) as server, server.client(SPEECH) as there:
        await until(lambda: there.pictures)
        offers = [AvatarClient(SPEECH) for _ in range(4)]
        made = [(await server.post_offer(await one.body()))["id"] for one in offers]
        assert set(server.service.sessions) == {there.session["id"], made[-1]}
        assert ended(server, "gave_way") == 3
        async with server.client(SPEECH) as second:
            await until(lambda: second.pictures)
            refused = await server.http.post("/v1/sessions", json=await offers[0].body())
            assert refused.json()["error"]["code"] == "at_capacity"
        for one in offers:
            await one.close()


async def test_an_address_has_no_more_sessions_than_it_may(config):
    one_each = dataclasses.replace(config, sessions_per_address=1, unclaimed_s=0.0)
    async with running(one_each) as server:
        late = AvatarClient(SPEECH)
        async with server.client(SPEECH) as client:
            await until(lambda: client.pictures)
            refused = await server.http.post("/v1/sessions", json=await late.body())
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "too_many_sessions"
            assert int(refused.headers["retry-after"]) > 0
            elsewhere = httpx.ASGITransport(server.transport.app, client=("127.0.0.2", 1))
            async with httpx.AsyncClient(transport=elsewhere, base_url=URL) as other:
                neighbour = await other.post("/v1/sessions", json={"audio": "push"})
            assert neighbour.status_code == 201
        await until(lambda: client.session["id"] not in server.service.sessions)
        left = await server.post_offer(await late.body())
        async with server.client(SPEECH) as again:  # in place of the one that nobody came to
            await until(lambda: again.pictures)
            assert left["id"] not in server.service.sessions
            assert neighbour.json()["id"] in server.service.sessions
        await late.close()
        refusals = server.service.metrics.refused.labels("too_many_sessions")._value.get()
        assert refusals == 1


async def test_whoever_has_vanished_gives_way_long_before_consent_is_over(config):
    """Its sockets are gone, and nobody said goodbye: what is left of it is kept for half a minute,
    but not from whoever comes."""
    full = dataclasses.replace(config, max_sessions=2)
    async with running(full) as server, server.client(SPEECH) as there:
        gone, late = AvatarClient(SPEECH), AvatarClient(SPEECH)
        await gone.connect(server.post_offer)
        await until(lambda: gone.pictures and there.pictures)
        offer = await late.body()
        assert (await server.http.post("/v1/sessions", json=offer)).status_code == 503
        vanish(gone)
        session = server.service.sessions[gone.session["id"]]
        [party] = session.parties
        await until(lambda: party.silent_s >= GONE_S)
        assert not session.closing
        late.session = await server.post_offer(offer)
        assert gone.session["id"] not in server.service.sessions
        assert there.session["id"] in server.service.sessions
        assert ended(server, "gave_way") == 1
        for client in (gone, late):
            await client.close()


async def test_whoever_is_silent_is_told_and_makes_room_and_whoever_speaks_stays(
    config, monkeypatch
):
    monkeypatch.setattr(endings, "IDLE_NOTICE_S", 3.0)
    async with running(config) as server:
        short = dataclasses.replace(server.service._session_config, idle_limit_s=8.0)
        server.service._session_config = short
        async with (
            server.client(SPEECH) as speaking,
            server.client(np.zeros(48_000, np.int16)) as silent,
        ):
            await until(lambda: server.service.sessions.keys() == {speaking.session["id"]})
            words = [e["error"] for e in silent.events if e["type"] == "error"]
            assert [word["code"] for word in words] == ["session_idle", "session_ending"]
            assert "unless somebody speaks" in words[0]["message"]
            assert "nothing was said or done for 8 seconds" in words[1]["message"]
            assert ended(server, "idle") == 1
            count = len(speaking.voice)
            await until(lambda: len(speaking.voice) > count + 500)  # ten seconds more
            assert not any(e["type"] == "error" for e in speaking.events)
            assert speaking.session["id"] in server.service.sessions


async def test_a_peer_whose_pings_stop_is_gone(config):
    strict = dataclasses.replace(config, ping_timeout_s=3.0)
    async with running(strict) as server, server.client(SPEECH) as client:
        await until(lambda: client.channel.readyState == "open")
        client.send(type="ping")
        await until(lambda: not server.service.sessions)
        assert ended(server, "peer_gone") == 1


async def test_inference_that_dies_is_started_anew(config):
    async with running(config) as server:
        async with server.client(SPEECH) as client:
            await until(lambda: client.pictures)
            assert server.service.engine.pid is not None
            os.kill(server.service.engine.pid, signal.SIGKILL)
            await until(lambda: not server.service.sessions)
            assert any(
                e["type"] == "error" and e["error"]["code"] == "engine_unavailable"
                for e in client.events
            )
            assert (await server.http.get("/ready")).status_code == 503
        await until(lambda: server.service.engine.state == "ready")
        assert (await server.http.get("/health")).json()["engine"]["restarts"] == 1
        async with server.client(SPEECH) as client:
            await until(lambda: client.pictures)


async def test_draining_takes_no_new_sessions_and_waits_for_the_old(config):
    async with running(config) as server, server.client(SPEECH) as client:
        await until(lambda: client.channel.readyState == "open" and client.pictures)
        draining = asyncio.create_task(server.service.drain())
        await asyncio.sleep(0)
        assert (await server.http.get("/ready")).json()["error"]["code"] == "draining"
        late = AvatarClient(SPEECH)
        response = await server.http.post("/v1/sessions", json=await late.body())
        assert response.status_code == 503
        refused = server.service.metrics.refused.labels("draining")._value.get()
        assert refused == 1
        await late.close()
        await until(lambda: any(e["type"] == "error" for e in client.events))
        await client.close()
        await draining
