"""Hostile datagrams: of strangers, who are not heard, and of peers, who harm but themselves."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from aioice import stun
from aiortc import rtp
from aiortc.rtcsctptransport import InitChunk, SackChunk, serialize_packet

from realtime.sinks.webrtc import door, sctp
from tests.support.peers import PATIENCE_S, Client, Server, connected, until

MEMORY_BYTES = 1 << 20  # of what strangers sent, far more than is kept


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        yield one


def ports(answer: str) -> set[tuple[str, int]]:
    found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer)
    return {(host, int(port)) for host, port in found}


def attribute(kind: int, value: bytes, length: int | None = None) -> bytes:
    told = len(value) if length is None else length
    return struct.pack("!HH", kind, told) + value + bytes(-len(value) % 4)


def request(*attributes: bytes, cookie: int = stun.COOKIE, kind: int = 1) -> bytes:
    body = b"".join(attributes)
    return struct.pack("!HHI", kind, len(body), cookie) + os.urandom(12) + body


def hostile(ufrag: str = "") -> list[bytes]:
    """Datagrams; STUN ones say that they are for `ufrag`."""
    name = attribute(0x0006, f"{ufrag}:peer".encode())
    broken = [
        attribute(0x0024, b"\x01"),  # PRIORITY of one byte
        attribute(0x0024, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
        attribute(0x802A, b"\x01\x02\x03\x04"),  # ICE-CONTROLLING of four
        attribute(0x8028, b""),  # FINGERPRINT of none
        attribute(0x0008, b"short"),  # MESSAGE-INTEGRITY
        attribute(0x0008, os.urandom(20)),
        attribute(0x0020, b"\x00\x01\x00\x00"),  # XOR-MAPPED-ADDRESS cut short
        attribute(0x000C, b"\x01"),  # CHANNEL-NUMBER
        attribute(0x0024, b"", 0xFFFF),  # longer than the message
        attribute(0x0006, b"\xff\xfe\xff"),  # USERNAME that is no text
    ]
    requests = [request(name, one) for one in broken] + [request(one, name) for one in broken]
    return [
        b"",
        *requests,
        *(request(one) for one in broken),
        request(name),
        request(*[attribute(0x7001, b"")] * 300, name),
        request(name, kind=0x0011),
        request(name, kind=0x0101),
        request(name, kind=0x0111),
        request(name, kind=0x3EEF),
        request(name)[:-3],
        request(name, cookie=0),
        b"\x16\xfe\xff" + os.urandom(60),  # a handshake of DTLS
        b"\x80\x6f" + os.urandom(100),  # sound
        b"\x80\xc8\x00\x06" + os.urandom(24),  # a report
        b"\x40" + os.urandom(40),
        os.urandom(1),
        os.urandom(1400),
    ]


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info]


async def send(one: socket.socket, datagrams: list[bytes], answer: str, times: int = 1) -> int:
    """How many were sent; each burst is given time to arrive."""
    sent = 0
    for _ in range(times):
        for datagram in datagrams:
            for where in ports(answer):
                one.sendto(datagram, where)
                sent += 1
            if sent % 50 == 0:
                await asyncio.sleep(0.002)
    await asyncio.sleep(0.05)
    return sent


async def test_what_a_stranger_sends_is_neither_kept_nor_answered_nor_told(
    stranger: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = Server(), Client()
    answer = await server.answer(await client.offer())
    ice: Any = next(iter(server.peer._doors))._transport._connection
    [one] = server.peer._doors.values()
    junk = [datagram for datagram in hostile("nobody") if datagram]
    sent = await send(stranger, [*junk, *[bytes([17]) * 1400] * 100], answer, times=10)
    assert sent * 1000 > MEMORY_BYTES
    await until(lambda: one.dropped > sent / 2)  # a full socket may lose some
    assert ice._queue.empty()
    assert not ice._early_checks
    with pytest.raises(BlockingIOError):
        stranger.recv(2_000)
    assert not tracebacks(caplog)
    assert len(caplog.records) < 6  # by the power of ten, not by the datagram
    await client.accept(answer)
    await until(lambda: "connected" in server.states)
    await client.close()
    await server.close()


async def test_a_session_goes_on_whatever_strangers_send(
    stranger: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """Even those who know the user fragment, which only the peer and the way to it do."""
    async with connected() as (server, client):
        answer = server.peer.answer_sdp
        ufrag = re.findall(r"a=ice-ufrag:(\S+)", answer)[0]
        [one] = server.peer._doors.values()
        sent = await send(stranger, hostile(ufrag) + hostile("nobody"), answer, times=5)
        await until(lambda: one.dropped > sent / 4)
        hops, frames = len(server.hops), len(client.received["video"].frames)
        await until(lambda: len(server.hops) > hops + 10)
        await until(lambda: len(client.received["video"].frames) > frames + 10)
        assert server.states == ["connected"]
        assert not tracebacks(caplog)


async def test_nothing_of_an_honest_peer_is_dropped() -> None:
    async with connected() as (server, client):
        await until(lambda: server.channels and len(client.received["video"].frames) > 20)
        heard: list[str | bytes] = []
        server.channels[0].on_message = heard.append
        await until(lambda: client.channel.readyState == "open")
        for size in (0, 1, 1_500, 60_000, 200_000):
            client.channel.send("x" * size)
        await until(lambda: len(heard) == 5)
        assert [len(text) for text in heard] == [0, 1, 1_500, 60_000, 200_000]
        assert server.channels[0].send("y" * 100_000)
        [one] = server.peer._doors.values()
        # Responses to a check that was sent twice come twice; the second is expected by nobody.
        assert one.dropped <= 5


async def test_a_peer_is_heard_from_a_few_addresses_only(stranger: socket.socket) -> None:
    """Else the server would send checks to as many as one peer says that it has."""
    async with connected() as (server, client):
        ice: Any = next(iter(server.peer._doors))._transport._connection
        theirs = client.transport.transport._connection
        for _ in range(3 * door.MAX_ADDRESSES):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                check = theirs.build_request(theirs._check_list[0], nominate=False)
                check.add_message_integrity(ice.local_password.encode())
                one.bind(("127.0.0.1", 0))
                for where in ports(server.peer.answer_sdp):
                    one.sendto(bytes(check), where)
            await asyncio.sleep(0)
        [guard] = server.peer._doors.values()
        await until(lambda: guard.dropped >= door.MAX_ADDRESSES)
        assert len(ice._remote_candidates) <= door.MAX_ADDRESSES


def packets(tag: int) -> dict[str, bytes]:
    """Of SCTP, each valid by its checksum."""

    def packet(kind: int, body: bytes, tag: int = tag) -> bytes:
        class Raw:
            def __bytes__(self) -> bytes:
                head = struct.pack("!BBH", kind, 3, 4 + len(body))
                return head + body + bytes(-len(body) % 4)

        return serialize_packet(5000, 5000, tag, Raw())  # type: ignore[arg-type]

    endless = struct.pack("!HH", 0x8008, 0) + bytes(4)
    begin = struct.pack("!LLHHL", 1, 1 << 20, 10, 10, 1)
    sack = struct.pack("!LLHH", 2**32 - 2, 1 << 20, 300, 0) + struct.pack("!HH", 0, 65535) * 300
    far = struct.pack("!LHH", 2**31, 60_000, 0)
    return {
        "endless parameters": packet(1, begin + endless, tag=0),
        "endless heartbeat": packet(4, endless),
        "endless abort": packet(6, endless),
        "endless reconfiguration": packet(130, endless),
        "gaps": packet(3, sack),
        "a stream far out": packet(0, struct.pack("!LHHL", 1, 60_000, 0, 51) + b"x"),
        "nothing in it": packet(0, struct.pack("!LHHL", 1, 1, 0, 51)),
        "a forward far out": packet(192, far),
        "a forward of one stream again and again": packet(192, far[:4] + bytes(4) * 250),
        "an init cut short": packet(1, b"\x00\x01", tag=0),
        "a forward cut short": packet(192, bytes(5)),
        "two inits": packet(1, begin, tag=0) + bytes(packet(1, begin, tag=0))[12:],
    }


@pytest.mark.parametrize("name", packets(0))
async def test_a_hostile_data_channel_harms_nobody(name: str) -> None:
    async with connected() as (server, client):
        await until(lambda: server.channels)
        association: Any = server.peer._connection.sctp
        packet = packets(association._local_verification_tag)[name]
        [one] = server.peer._doors.values()
        before = one.dropped
        await client.transport._send_data(packet)
        await until(lambda: one.dropped > before or name == "two inits")
        hops = len(server.hops)
        await until(lambda: len(server.hops) > hops + 10)
        assert server.states == ["connected"]


class Piece:
    """A chunk of a message that has no end."""

    def __init__(self, tsn: int, size: int = 1_100, flags: int = 0) -> None:
        self._body = struct.pack("!LHHL", tsn % 2**32, 1, 0, 51) + bytes(size)
        self._flags = flags

    def __bytes__(self) -> bytes:
        return struct.pack("!BBH", 0, self._flags, 4 + len(self._body)) + self._body


class Pieces:
    """As many small ones as a packet holds; each is four bytes, so that none is padded."""

    def __init__(self, tsns: Iterable[int], flags: int) -> None:
        self._all = [Piece(tsn, 4, flags) for tsn in tsns]

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self._all))


@pytest.mark.parametrize("flags", [0, 4], ids=["ordered", "unordered"])
@pytest.mark.parametrize("gap", [0, 1], ids=["of a message without an end", "after a missing one"])
async def test_what_cannot_be_read_yet_is_little_however_small_its_pieces(
    gap: int, flags: int
) -> None:
    """Each of them had all others looked at: three thousand in sixty packets stopped the process
    for seconds."""
    async with connected() as (server, client), asyncio.timeout(PATIENCE_S):
        await until(lambda: server.channels)
        association: Any = server.peer._connection.sctp
        [one] = server.peer._doors.values()
        tag, tsn = association._local_verification_tag, association._last_received_tsn + 1 + gap
        before = one.dropped
        for _ in range(60):
            pieces = Pieces(range(tsn, tsn := tsn + 50), flags)
            await client.transport._send_data(serialize_packet(5000, 5000, tag, pieces))  # type: ignore[arg-type]
            await asyncio.sleep(0.001)
        await until(lambda: one.dropped - before >= 60 * 50 - sctp.MAX_UNFINISHED)
        assert len(association._sack_misordered) <= sctp.MAX_AHEAD
        assert len(association._inbound_streams[1].reassembly) <= sctp.MAX_UNFINISHED
        assert server.states == ["connected"]


async def test_what_a_peer_sends_at_once_is_handled_in_turns_with_others() -> None:
    async with connected() as (server, client), asyncio.timeout(PATIENCE_S):
        await until(lambda: server.channels and client.channel.readyState == "open")
        association: Any = server.peer._connection.sctp
        [one] = server.peer._doors.values()
        held: list[bytes] = []
        send = client.transport.transport._send

        async def hold(data: bytes) -> None:
            held.append(data)

        client.transport.transport._send = hold
        packet = packets(association._local_verification_tag)["nothing in it"]
        for _ in range(300):
            await client.transport._send_data(packet)
        client.transport.transport._send = send
        turns, before = 0, one.dropped
        for data in held:
            one._keep(data, 1)
        while one.dropped < before + 300:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 300


async def test_what_comes_in_any_order_is_read_in_its_own() -> None:
    async with connected() as (server, client):
        await until(lambda: server.channels and client.channel.readyState == "open")
        heard: list[str | bytes] = []
        server.channels[0].on_message = heard.append
        chance, send, late = random.Random(3), client.transport._send_data, asyncio.TaskGroup()

        async def send_late(data: bytes) -> None:
            await asyncio.sleep(0.02 * chance.random())
            await send(data)

        async def shuffle(data: bytes) -> None:
            late.create_task(send_late(data))

        said = [f"{n}" * chance.choice((1, 700, 9_000)) for n in range(100)]
        async with late:
            client.transport._send_data = shuffle
            for text in said:
                client.channel.send(text)
            await until(lambda: len(heard) == len(said))
            client.transport._send_data = send
        assert heard == said


async def test_a_peer_that_ignores_the_window_is_not_kept() -> None:
    async with connected() as (server, client), asyncio.timeout(PATIENCE_S):
        await until(lambda: server.channels)
        association: Any = server.peer._connection.sctp
        [one] = server.peer._doors.values()
        tag, tsn = association._local_verification_tag, association._last_received_tsn + 2
        before = one.dropped
        while one.dropped <= before + 10:
            await client.transport._send_data(serialize_packet(5000, 5000, tag, Piece(tsn)))  # type: ignore[arg-type]
            tsn += 1
            await asyncio.sleep(0.001)
        streams = association._inbound_streams.values()
        kept = sum(len(piece.user_data) for stream in streams for piece in stream.reassembly)
        assert kept < 2 * MEMORY_BYTES
        assert server.states == ["connected"]


@pytest.mark.parametrize(
    "fci", [b"REMB\x05\x00\x00\x00", b"REMB\xff\x00\x00\x00\x00\x00\x00\x01", b"REMB", b""]
)
async def test_a_report_cut_short_ends_nothing(fci: bytes) -> None:
    async with connected() as (server, client):
        packet = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci)
        await client.transport._send_rtp(bytes(packet))
        frames = len(client.received["video"].frames)
        await until(lambda: len(client.received["video"].frames) > frames + 10)
        assert server.states == ["connected"]


async def test_a_peer_of_endless_streams_is_left() -> None:
    async with connected() as (server, client):
        kind = client._audio_type()
        for ssrc in range(2 * door.MAX_SSRCS):
            packet = rtp.RtpPacket(payload_type=kind, ssrc=ssrc, payload=b"\xfc\xff\xfe")
            try:
                await client.transport._send_rtp(packet.serialize())
            except ConnectionError:
                break
            await asyncio.sleep(0.001)
        await until(lambda: server.states[-1] == "closed")


def test_what_aiortc_says_is_harmless() -> None:
    chunk = InitChunk()
    chunk.initiate_tag, chunk.outbound_streams, chunk.inbound_streams = 1, 2, 3
    chunk.initial_tsn = 4
    chunk.params = [(0xC000, b""), (0x8008, b"\xc0\x82"), (0x0007, bytes(24))]
    assert sctp.is_harmless(serialize_packet(5000, 5000, 0, chunk))
    sack = SackChunk()
    sack.gaps = [(2, 900), (903, 903)]
    sack.duplicates = [5]
    assert sctp.is_harmless(serialize_packet(5000, 5000, 7, sack))
    assert not sctp.is_harmless(packets(0)["gaps"])


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_raise_anything(seed: int) -> None:
    chance = random.Random(seed)
    for packet in packets(1).values():
        for _ in range(50):
            damaged = bytearray(packet)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            sctp.is_harmless(bytes(damaged[: chance.randint(0, len(damaged))]))
