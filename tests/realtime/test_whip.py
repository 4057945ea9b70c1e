"""WHIP (RFC 9725) and WHEP (draft 03): one test for each thing that either asks of a server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator

import numpy as np
import pytest

from realtime.errors import AtCapacity
from tests.support.peers import until
from tests.support.whip import FRAGMENT, SDP, HttpPeer, player, publisher

pytestmark = pytest.mark.asyncio(loop_scope="module")
TURN = {"urls": ["turn:a:3478?transport=udp", "turns:a:443"], "username": "9:u", "credential": "s="}


@contextlib.asynccontextmanager
async def published(server, **how) -> AsyncIterator[tuple[HttpPeer, str]]:
    """A publisher that was answered, and where its session can be watched."""
    avatar = server.service.avatars.list()[0].id
    async with publisher(**how) as microphone:
        answer = await microphone.post(server.http, f"/whip/{avatar}")
        assert answer.status_code == 201, answer.text
        session = microphone.location.split("/")[2]
        try:
            yield microphone, f"/whep/{session}"
        finally:
            if session in server.service.sessions:
                await server.service.sessions[session].close("test_over")


def loudness(frame) -> int:
    return int(np.abs(frame.to_ndarray()).max())


async def test_a_microphone_goes_in_and_the_avatar_comes_out(server):
    async with published(server, video=True) as (microphone, where), player() as viewer:
        answer = microphone.answer
        assert answer.headers["content-type"] == "application/sdp"
        assert re.fullmatch(r"/whip/[\w-]{22}/[\w-]{22}", microphone.location)
        assert f'<{where}>; rel="urn:ietf:params:whip:ext:vivavoce:whep"' in answer.headers["link"]
        assert (await viewer.post(server.http, where)).status_code == 201
        assert re.fullmatch(rf"{where}/[\w-]{{22}}", viewer.location)
        assert viewer.location.rpartition("/")[2] != microphone.location.rpartition("/")[2]
        await until(lambda: any(loudness(f) > 2_000 for f in viewer.frames["audio"]))
        await until(lambda: len(viewer.frames["video"]) > 5)
        assert viewer.frames["video"][-1].width == 256
        assert microphone.frames == {"audio": [], "video": []}
        for peer in (viewer, microphone):
            assert (await server.http.delete(peer.location)).status_code == 200
        await until(lambda: not server.service.sessions)


@pytest.mark.parametrize("direction", ["sendonly", "sendrecv"])
async def test_a_publisher_is_only_listened_to(server, direction):
    async with published(server, video=True, direction=direction) as (microphone, _):
        sections = microphone.answer.text.split("m=")[1:]
        assert [s.split()[0] for s in sections] == ["audio", "video"]
        assert all("\r\na=recvonly\r\n" in section for section in sections)
        assert "b=AS:32" in sections[1]  # nobody looks at it


@pytest.mark.parametrize("direction", ["recvonly", "sendrecv"])
async def test_a_viewer_is_only_sent_to(server, direction):
    async with published(server) as (_, where), player(direction=direction) as viewer:
        answer = await viewer.post(server.http, where)
        sections = answer.text.split("m=")[1:]
        assert all("\r\na=sendonly\r\n" in section for section in sections)
        [(session, party)] = [
            (s, p) for s in server.service.sessions.values() for p in s.parties if p.peer
        ][1:]
        assert not party.has_microphone
        assert len(session.parties) == 2


async def test_a_call_without_a_picture_is_a_telephone(server):
    async with HttpPeer(("audio", "sendrecv")) as caller:
        caller.connection.createDataChannel("events")
        answer = await caller.post(server.http, "/v1/sessions")
        assert answer.status_code == 201
        await until(lambda: any(loudness(f) > 2_000 for f in caller.frames["audio"]))
        assert (await server.http.delete(caller.location)).status_code == 204


@pytest.mark.parametrize("kinds", [("video", "audio"), ("video",), ("audio",)])
async def test_a_viewer_takes_what_it_likes_in_any_order(server, kinds):
    async with published(server) as (_, where), player(*kinds) as viewer:
        answer = await viewer.post(server.http, where)
        assert re.findall("m=(audio|video)", answer.text) == list(kinds)
        await until(lambda: all(viewer.frames[kind] for kind in kinds))


async def test_the_answer_is_complete_and_bundled(server):
    async with published(server) as (_, where), player() as viewer:
        answer = (await viewer.post(server.http, where)).text
        assert len(re.findall(r"a=group:BUNDLE 0 1\r\n", answer)) == 1
        streams = re.findall(r"a=msid:(\S+)", answer)
        assert len(streams) == 2
        assert len(set(streams)) == 1
        for section in answer.split("m=")[1:]:
            lines = section.splitlines()
            assert {"a=rtcp-mux", "a=rtcp-mux-only", "a=end-of-candidates"} <= set(lines)
            assert any(line.startswith("a=candidate:") for line in lines)


def both(server) -> list[tuple[str, HttpPeer]]:
    """The two endpoints with somebody whom each would take."""
    [session] = server.service.sessions
    avatar = server.service.avatars.list()[0].id
    return [(f"/whip/{avatar}", publisher()), (f"/whep/{session}", player())]


async def test_what_is_no_offer_is_refused(server):
    async with published(server):
        for where, peer in both(server):
            async with peer:
                offer = await peer.offer()
            for kind, body, status in [
                ("text/plain", offer, 415),
                ("application/json", "{}", 415),
                ("application/sdp", "", 400),
                ("application/sdp", b"\xff\xfe", 400),
                ("application/sdp", "v=0\r\nnonsense", 400),
                ("application/sdp", offer.replace("a=mid:0", "a=mid:7"), 400),
                ("application/sdp", "x" * 70_000, 413),
            ]:
                answer = await server.http.post(where, content=body, headers={"content-type": kind})
                assert answer.status_code == status, body[:80]
                assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("protocol", "lines"),
    [
        ("whip", [("audio", "recvonly")]),
        ("whip", [("audio", "inactive")]),
        ("whip", [("video", "sendonly")]),
        ("whip", [("audio", "sendonly"), ("video", "recvonly")]),
        ("whip", [("audio", "sendonly"), ("audio", "sendonly")]),
        ("whep", [("audio", "sendonly"), ("video", "sendonly")]),
        ("whep", [("video", "inactive")]),
        ("whep", [("video", "recvonly"), ("video", "recvonly")]),
    ],
)
async def test_offers_of_the_wrong_kind_are_refused(server, protocol, lines):
    async with published(server), HttpPeer(*lines) as peer:
        where = dict(zip(("whip", "whep"), (w for w, _ in both(server)), strict=True))[protocol]
        answer = await peer.post(server.http, where)
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "bad_offer"
        assert len(server.service.sessions) == 1


async def test_two_streams_and_data_channels_are_refused(server):
    async with published(server), publisher(video=True) as peer:
        (where, _), _ = both(server)
        offer = await peer.offer()
        two = re.sub(r"a=msid:\S+", "a=msid:other", offer, count=1)
        assert (await server.http.post(where, content=two, headers=SDP)).status_code == 422
        channel = HttpPeer(("audio", "sendonly"))
        async with channel:
            channel.connection.createDataChannel("events")
            assert (await channel.post(server.http, where)).status_code == 422


async def test_get_and_head_say_that_it_is_there(server):
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        for path in (both(server)[0][0], where, microphone.location, viewer.location):
            for call in (server.http.get, server.http.head):
                answer = await call(path)
                assert (answer.status_code, answer.content) == (200, b"")
        head = await server.http.head(where)
        assert head.headers["content-type"] == "application/sdp"
        for path in ("/whip/nobody", "/whep/none", "/whep/none/none", f"{where}/none"):
            assert (await server.http.get(path)).status_code == 404


async def test_options_say_what_can_be_done(server, monkeypatch):
    monkeypatch.setattr(server.service, "ice_servers", lambda *args: [TURN])
    async with published(server) as (microphone, _):
        for path, _ in both(server):
            answer = await server.http.options(path)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["accept-post"] == "application/sdp"
            assert "PATCH" in answer.headers["access-control-allow-methods"]
            assert "turn:a" in answer.headers["link"]
            preflight = {"access-control-request-method": "POST"}
            assert "link" not in (await server.http.options(path, headers=preflight)).headers
        answer = await server.http.options(microphone.location)
        assert "DELETE" in answer.headers["allow"]
        allowed = answer.headers["access-control-allow-headers"]
        assert {"If-Match", "ETag", "Authorization", "Content-Type"} == set(allowed.split(", "))


async def test_every_ice_server_has_a_link_of_its_own(server, monkeypatch):
    stun = {"urls": "stun:a:3478"}
    monkeypatch.setattr(server.service, "ice_servers", lambda *args: [stun, TURN])
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        password = '; username="9:u"; credential="s="; credential-type="password"'
        wanted = [
            '<stun:a:3478>; rel="ice-server"',
            f'<turn:a:3478?transport=udp>; rel="ice-server"{password}',
            f'<turns:a:443>; rel="ice-server"{password}',
        ]
        for peer in (microphone, viewer):
            links = peer.answer.headers.get_list("link")
            assert [link for link in links if "ice-server" in link] == wanted
            exposed = peer.answer.headers["access-control-expose-headers"]
            assert {"Location", "Link"} <= set(exposed.split(", "))
            assert "etag" not in peer.answer.headers


CANDIDATES = """a=candidate:1 1 UDP 2013266431 203.0.113.7 51234 typ host
a=candidate:2 0 UDP 2013266430 [2001:db8::1] 51234 typ host
a=candidate:3 1 TCP 1015021823 203.0.113.7 9 typ host tcptype active
a=candidate:4 1 TCP 1010827519 203.0.113.7 0 typ host tcptype passive
a=candidate:5 1 UDP 2013266431 d2f0.local 51234 typ host
a=candidate:nonsense
"""


async def test_candidates_come_later_in_any_shape(server):
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        session = server.service.sessions[where.rpartition("/")[2]]
        for peer in (microphone, viewer):
            for body in (
                peer.fragment + CANDIDATES,
                peer.fragment.replace("m=audio 9 RTP/AVP 0\r\n", "") + CANDIDATES,
                peer.fragment.replace("a=mid:0", "a=mid:video7") + "a=end-of-candidates\r\n",
                "a=end-of-candidates\r\n",
            ):
                for path in (peer.location, f"/v1/sessions/{session.id}"):
                    for more in ({}, {"if-match": '"anything"'}, {"etag": '"x"'}):
                        headers = FRAGMENT | more
                        answer = await server.http.patch(path, content=body, headers=headers)
                        assert (answer.status_code, answer.content) == (204, b""), answer.text
                        assert "etag" not in answer.headers
        await until(lambda: viewer.frames["video"] and viewer.frames["audio"])


async def test_candidates_may_overtake_each_other(server):
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        asked = [
            server.http.patch(peer.location, content=peer.fragment + line, headers=FRAGMENT)
            for line in (*CANDIDATES.splitlines(keepends=True), "a=end-of-candidates\r\n")
            for peer in (microphone, viewer)
        ]
        answers = await asyncio.gather(*asked, *[server.http.get(where) for _ in asked])
        assert {answer.status_code for answer in answers[: len(asked)]} == {204}
        await until(lambda: viewer.frames["video"] and viewer.frames["audio"])


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/sdp", "a=end-of-candidates", 415),
        ("", "a=end-of-candidates", 415),
        (FRAGMENT["content-type"], "", 400),
        (FRAGMENT["content-type"], "hello", 400),
        (FRAGMENT["content-type"], b"\xff\xfe", 400),
        (FRAGMENT["content-type"], "a=ice-ufrag:!\r\n", 400),
        (FRAGMENT["content-type"], "a=ice-pwd:0123456789012345678901\r\n", 400),
        (FRAGMENT["content-type"], "a=" + "x" * 70_000, 413),
    ],
)
async def test_what_is_no_fragment_is_refused(server, kind, body, status):
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        headers = {"content-type": kind} if kind else {}
        for peer in (microphone, viewer):
            answer = await server.http.patch(peer.location, content=body, headers=headers)
            assert answer.status_code == status, answer.text


async def test_ice_is_not_restarted_and_the_session_goes_on(server):
    async with published(server) as (_, where), player() as viewer:
        await viewer.post(server.http, where)
        body = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
        for path in (viewer.location, f"/v1/sessions/{where.rpartition('/')[2]}"):
            answer = await server.http.patch(
                path, content=body, headers=FRAGMENT | {"if-match": "*"}
            )
            assert answer.status_code == 422
            assert answer.json()["error"]["code"] == "ice_restart"
        await until(lambda: len(viewer.frames["video"]) > 3)


async def test_what_was_deleted_is_gone_at_once(server):
    async with published(server) as (microphone, where), player() as viewer:
        await viewer.post(server.http, where)
        await until(lambda: viewer.frames["video"])
        for peer in (viewer, microphone):
            headers = {"if-match": '"stale"'}
            answer = await server.http.delete(peer.location, headers=headers)
            assert answer.status_code == 200
            assert (await server.http.delete(peer.location)).status_code == 404
            patched = await server.http.patch(
                peer.location, content="a=end-of-candidates", headers=FRAGMENT
            )
            assert patched.status_code == 404
        await until(lambda: viewer.connection.connectionState == "closed")
        await until(lambda: not server.service.sessions)


async def test_a_viewer_that_never_connects_is_not_waited_for(server):
    async with published(server) as (_, where), player() as viewer, player() as other:
        session = server.service.sessions[where.rpartition("/")[2]]
        await other.post(server.http, where)
        await until(lambda: other.frames["video"])
        usual = session.media._config  # of peers that come from now on
        webrtc = dataclasses.replace(usual.webrtc, connect_timeout_s=0.1)
        session.media._config = dataclasses.replace(usual, webrtc=webrtc)
        answer = await server.http.post(where, content=await viewer.offer(), headers=SDP)
        assert answer.status_code == 201
        await until(lambda: len(session.parties) == 2)
        assert (await server.http.get(answer.headers["location"])).status_code == 404
        seen = len(other.frames["video"])
        await until(lambda: len(other.frames["video"]) > seen + 3)


async def test_a_viewer_that_vanishes_is_not_sent_to_for_ever(server, monkeypatch):
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.5)  # seconds, of the six that may fail
    async with published(server) as (_, where), player() as viewer, player() as other:
        session = server.service.sessions[where.rpartition("/")[2]]
        for peer in (viewer, other):
            await peer.post(server.http, where)
            await until(lambda peer=peer: peer.frames["video"])
        transport = viewer.connection.getTransceivers()[0].receiver.transport.transport
        await transport._connection.close()  # its sockets, without a word
        await until(lambda: len(session.parties) == 2)
        seen = len(other.frames["video"])
        await until(lambda: len(other.frames["video"]) > seen + 3)


async def test_a_session_that_ends_is_not_watched(server):
    async with published(server) as (_, where), player() as viewer:
        session = server.service.sessions[where.rpartition("/")[2]]
        life, session.life = session.life, type(session.life).CLOSING
        answer = await viewer.post(server.http, where)
        session.life = life
        assert answer.status_code == 409
        assert int(answer.headers["retry-after"]) > 0
        assert (await server.http.post("/whep/none", content="x", headers=SDP)).status_code == 404


async def test_a_full_server_says_when_to_come_again(server, monkeypatch):
    async def full(*args):
        raise AtCapacity("full")

    monkeypatch.setattr(server.service.engine, "check", full)
    async with publisher() as peer:
        avatar = server.service.avatars.list()[0].id
        answer = await peer.post(server.http, f"/whip/{avatar}")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    assert not server.service.sessions


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("size=300", 400),
        ("frame=round", 400),
        ("frame=16:9", 201),
        ("size=512&pipeline=portrait", 201),
        ("pipeline=dreams", 404),
        ("unknown=1", 201),
    ],
)
async def test_a_publisher_says_what_is_to_be_seen(server, query, status):
    async with publisher() as peer:
        avatar = server.service.avatars.list()[0].id
        answer = await peer.post(server.http, f"/whip/{avatar}?{query}")
        assert answer.status_code == status, answer.text
        if status == 201:
            assert "?" not in peer.location
            [session] = server.service.sessions.values()
            assert session.frame == ("16:9" if "frame" in query else "square")
            await session.close("test_over")


async def test_a_peer_with_an_rsa_certificate_is_served(server):
    from datetime import UTC, datetime, timedelta

    from aiortc.rtcdtlstransport import RTCCertificate
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65_537, 2_048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=9))
    certificate = RTCCertificate(key, builder.sign(key, hashes.SHA256()))
    create = certificate._create_ssl_context

    def rsa_only(*args, **named):
        context = create(*args, **named)
        context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256")
        return context

    certificate._create_ssl_context = rsa_only
    async with published(server) as (_, where), player() as viewer:
        viewer.connection._RTCPeerConnection__certificates[:] = [certificate]
        for transceiver in viewer.connection.getTransceivers():
            transport = transceiver.receiver.transport
            transport._RTCDtlsTransport__local_certificate = certificate
        await viewer.post(server.http, where)
        await until(lambda: viewer.frames["video"])
