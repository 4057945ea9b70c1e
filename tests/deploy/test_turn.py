"""coturn by deploy/coturn.conf takes the credentials that the server hands out, for a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import aioice.ice
import pytest
from aioice import Candidate
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection

from realtime.access.turn import IceServers, turn_password
from tests.support.proxies import SECRET, coturn

PATIENCE_S = 60


@pytest.fixture(scope="module")
def turn(tmp_path_factory):
    with coturn(tmp_path_factory.mktemp("turn")) as running:
        yield running


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch, turn):
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(turn.certificate))


def given(url: str, ttl_s: int = 600, secret: str = SECRET) -> RTCIceServer:
    """What a client makes of the server's answer."""
    [server] = IceServers((url,), secret, ttl_s).describe()
    return RTCIceServer(server["urls"], server["username"], server["credential"])


async def relayed(server: RTCIceServer) -> list[Candidate]:
    """The relay candidates that a peer gets."""
    peer = RTCPeerConnection(RTCConfiguration([server]))
    peer.createDataChannel("x")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await peer.setLocalDescription(await peer.createOffer())
        lines = peer.localDescription.sdp.splitlines()
        found = [Candidate.from_sdp(x.split(":", 1)[1]) for x in lines if "a=candidate" in x]
        return [candidate for candidate in found if candidate.type == "relay"]
    finally:
        await peer.close()


async def speak_by_relay(server: RTCIceServer) -> str:
    """Send a word through the relay alone, from a peer with it to one without."""
    policy = RTCIceTransportPolicy.RELAY
    here = RTCPeerConnection(RTCConfiguration([server], iceTransportPolicy=policy))
    there = RTCPeerConnection()
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    channel = here.createDataChannel("x")
    channel.on("open", lambda: channel.send("hello"))
    there.on("datachannel", lambda c: c.on("message", heard.set_result))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await here.setLocalDescription(await here.createOffer())
            await there.setRemoteDescription(here.localDescription)
            await there.setLocalDescription(await there.createAnswer())
            await here.setRemoteDescription(there.localDescription)
            return await heard
    finally:
        await here.close()
        await there.close()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_relay_by(turn, transport):
    assert await speak_by_relay(given(turn.urls[transport])) == "hello"


@pytest.mark.parametrize(
    ("ttl_s", "secret"), [(-5, SECRET), (600, "another secret")], ids=["expired", "wrong"]
)
async def test_no_relay_for_credentials_that_are(turn, ttl_s, secret):
    assert await relayed(given(turn.urls["udp"])) != []
    assert await relayed(given(turn.urls["udp"], ttl_s, secret)) == []


def test_credentials_say_until_when_and_whose():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    servers = IceServers(("stun:s.example", "turn:t.example"), "s", 60, now=lambda: now)
    stun, turn = servers.describe()
    assert stun == {"urls": ["stun:s.example"]}
    expiry, _, name = turn["username"].partition(":")
    assert int(expiry) == int((now + timedelta(seconds=60)).timestamp())
    assert name.startswith("local-")
    assert turn["credential"] == turn_password("s", turn["username"])
    assert servers.describe()[1]["username"] != turn["username"]
    assert IceServers().describe() == []


def test_the_password_is_as_in_coturns_own_documentation():
    # printf 1433895918:ninefingers | openssl dgst -sha1 -hmac north -binary | base64
    assert turn_password("north", "1433895918:ninefingers") == "jy8hTxmOO7UtEKXqSkSlvakPVYA="


@pytest.mark.parametrize(
    ("urls", "secret", "named"),
    [
        (("turn:t.example",), "", "turn_secret_file"),
        (("https://t.example",), "s", "ice_urls"),
        (("turn:t.example?transport=sctp",), "s", "ice_urls"),
    ],
)
def test_servers_that_cannot_be(urls, secret, named):
    with pytest.raises(ValueError, match=named):
        IceServers(urls, secret)
