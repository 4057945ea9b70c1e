"""What one HTTP connection may take: slow, endless and silent ones against a real uvicorn.

Time is not waited for: whoever looks after connections is told that it is later.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from realtime.http.connections import Connections, Limits, limits_here
from realtime.http.limited import LimitedProtocol, limited
from realtime.http.limited_socket import MAX_FRAGMENTS, SLICE_BYTES, LimitedSocket
from tests.support.peers import until

SMALL = Limits(connections=6, per_address=3)
MIB = 1 << 20


class App:
    """Reads a body, if there is one, and tells its size; `/large` has a large answer."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await self.talk(receive, send)
            return
        size, more = 0, scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = bytes(16 * MIB) if scope["path"] == "/large" else str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), MIB):
            part = {"body": body[at : at + MIB], "more_body": at + MIB < len(body)}
            await send({"type": "http.response.body", **part})

    async def talk(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass


class Served:
    """A server on a port of its own."""

    def __init__(self, limits: Limits) -> None:
        self.port = 0
        self.app = App()
        self.connections = Connections(limits, lambda: time.monotonic() + self._later)

    _later = 0.0

    async def later(self, seconds: float) -> None:
        """So much time goes by, as far as connections are told; half a second at a look."""
        for _ in range(round(seconds / 0.5)):
            self._later += 0.5
            self.connections.look()
            await asyncio.sleep(0)

    async def open(self, *said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await say(writer, *said)
        return reader, writer


async def say(writer: asyncio.StreamWriter, *said: bytes) -> None:
    """Send, as far as the other end will have it."""
    try:
        for part in said:
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the end, however the connection ends."""
    told = b""
    try:
        async with asyncio.timeout(120):
            while part := await reader.read(1 << 16):
                told += part
    except ConnectionError:
        pass
    return told


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    here = Served(SMALL)
    protocol = limited(here.connections)
    server = uvicorn.Server(
        uvicorn.Config(
            here.app, port=0, http=protocol, ws=LimitedSocket, log_config=None, lifespan="off"
        )
    )
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    here.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.should_exit = server.force_exit = True
        await task


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ([b"GET /" + b"a" * 9_000], 414),
        ([b"GET /", *[b"a" * 10_000] * 20], 414),
        ([b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n"], 414),
        ([GET, *[b"x-%d: y\r\n" % n for n in range(5_000)]], 431),
        ([GET, b"x: ", *[b"y" * 10_000] * 20], 431),
        ([GET, *[b"y" * 10_000] * 20], 431),
        ([GET + b"x: " + b"y" * 40_000 + b"\r\n\r\n"], 431),
        ([b"\x16\x03\x01" + bytes(200)], 400),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
        ([GET + b"content-length: x\r\n\r\n"], 400),
        ([GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\n"], 400),
        ([CHUNKED + b"zz\r\n"], 400),
        ([CHUNKED + b"1\r\na\r\n" + b"f" * 200], 400),
        ([CHUNKED + b"0\r\nx: ", *[b"y" * 10_000] * 20], 431),
        ([CHUNKED + b"0\r\n", *[b"x: y\r\n" * 1_000] * 20], 431),
        ([CHUNKED + b"1;", *[b"y" * 10_000] * 20], 431),
        ([(GET + b"\r\n") * 2_000], 0),
    ],
)
async def test_what_is_too_large_or_no_request_is_refused(said: list[bytes], status: int) -> None:
    async with served() as server:
        reader, writer = await server.open(*said)
        told = await rest(reader)
        assert status_of(told) == status
        if status:
            assert json.loads(told.split(b"\r\n\r\n")[1])["error"]["message"]
        writer.close()
        await until(lambda: not len(server.connections))
        reader, writer = await server.open(GET + b"connection: close\r\n\r\n")
        assert status_of(await rest(reader)) == 200
        writer.close()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ([], 408),
        ([b"G"], 408),
        ([b"\r\n\r\n"], 408),
        ([GET], 408),
        ([POST + b"content-length: 100\r\n\r\n"], 408),
        ([POST + b"content-length: 100\r\n\r\nhalf"], 408),
        ([CHUNKED], 408),
        ([CHUNKED + b"4\r\nhalf"], 408),
        ([POST + b"expect: 100-continue\r\ncontent-length: 100\r\n\r\n"], 100),
        ([GET + b"\r\n"], 200),
        ([GET + b"\r\n", b"\r\n"], 200),
        ([b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"], 200),
    ],
)
async def test_what_does_not_come_is_not_waited_for(
    said: list[bytes], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, receive = bytearray(), LimitedProtocol.data_received

    def hear(protocol: LimitedProtocol, data: bytes) -> None:
        heard.extend(data)
        receive(protocol, data)

    monkeypatch.setattr(LimitedProtocol, "data_received", hear)
    async with served() as server:
        reader, writer = await server.open(*said)
        await until(lambda: len(server.connections) == 1 and heard == b"".join(said))
        told = asyncio.create_task(rest(reader))
        await server.later(30)
        assert status_of(await told) == status
        writer.close()
        await until(lambda: not len(server.connections))


async def test_a_dripping_request_has_an_end() -> None:
    """A byte whenever patience is about to end is no request that comes."""
    async with served() as server:
        for said in (GET, POST + b"content-length: 1000000\r\n\r\n"):
            reader, writer = await server.open(said)
            told = asyncio.create_task(rest(reader))
            await until(lambda: len(server.connections) == 1)
            for _ in range(4):
                await say(writer, b"x")
                await asyncio.sleep(0.05)
                await server.later(9.5)
            assert status_of(await told) == 408
            writer.close()
            await until(lambda: not len(server.connections))


async def test_a_slow_body_may_take_its_time() -> None:
    async with served() as server:
        reader, writer = await server.open(
            POST + b"connection: close\r\ncontent-length: 400000\r\n\r\n"
        )
        for _ in range(20):
            await say(writer, bytes(20_000))
            await asyncio.sleep(0.02)
            await server.later(5)
        assert (await rest(reader)).endswith(b"400000")
        writer.close()


async def test_who_takes_no_answer_is_let_go() -> None:
    async with served() as server:
        reader, writer = await server.open(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: any(one._full_since is not None for one in server.connections._held))
        await server.later(25)
        await until(lambda: not len(server.connections))
        assert len(await rest(reader)) < 16 * MIB
        writer.close()


async def test_an_endless_body_that_nobody_wants_is_not_read_for_ever() -> None:
    async with served() as server:
        head = b"POST /unread HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        reader, writer = await server.open(head)
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        try:
            for _ in range(1_000):  # 64 MB
                writer.write(piece)
                await writer.drain()
            raise AssertionError("all was read")
        except ConnectionError:
            pass
        assert status_of(await rest(reader)) in (0, 200)
        writer.close()


async def test_a_body_that_comes_after_its_answer_may_bring_the_next_request_along() -> None:
    head = b"POST /unread HTTP/1.1\r\nhost: here\r\ncontent-length: 40000\r\n\r\n"
    async with served() as here:
        reader, writer = await here.open(head)
        for _ in range(20):
            assert status_of(await reader.readuntil(b"\r\n\r\n0")) == 200
            await say(writer, bytes(40_000) + head)
        assert status_of(await reader.readuntil(b"\r\n\r\n0")) == 200
        writer.close()


async def test_the_longest_waiting_makes_room_for_a_newcomer() -> None:
    async with served() as server:
        silent = [await server.open(b"" if n % 2 else b"GET / HT") for n in range(40)]
        await until(lambda: len(server.connections) <= SMALL.connections)
        reader, writer = await server.open(GET + b"connection: close\r\n\r\n")
        assert status_of(await rest(reader)) == 200
        assert len(server.connections) <= SMALL.connections
        for _, one in [*silent, (reader, writer)]:
            one.close()


async def test_where_all_are_answered_the_newcomer_is_refused() -> None:
    async with served() as server:
        busy = [await server.open(POST + b"content-length: 10\r\n\r\n") for _ in range(6)]
        await until(lambda: sum(not one.waits for one in server.connections._held) == 6)
        reader, writer = await server.open(GET + b"\r\n")
        assert status_of(await rest(reader)) == 503
        await say(busy[0][1], b"1234567890")
        assert status_of(await busy[0][0].read(100)) == 200
        for _, one in [*busy, (reader, writer)]:
            one.close()


UPGRADE = (
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_a_websocket_counts_until_it_ends() -> None:
    async with served() as server:
        reader, writer = await server.open(GET + UPGRADE)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
        await server.later(60)
        assert len(server.connections) == 1
        writer.close()
        while len(server.connections):
            await server.later(1)
            await asyncio.sleep(0.01)
        assert await rest(reader) == b""


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """Of a client, masked by zeros."""
    return bytes([opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.mark.parametrize(
    ("first", "more", "reason"),
    [
        (b"", frame(0x89, b"p" * 125), b"too many pings"),
        (frame(0x01), frame(0x00), b"too many pieces"),
        (frame(0x02, b"x"), frame(0x00, b"y"), b"too many pieces"),
    ],
)
async def test_a_websocket_that_never_says_anything_whole_is_left(
    first: bytes, more: bytes, reason: bytes
) -> None:
    async with served() as server:
        reader, writer = await server.open(GET + UPGRADE)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
        await say(writer, first, *[more] * (2 * MAX_FRAGMENTS))
        assert reason in await rest(reader)
        writer.close()


async def test_pieces_and_pings_in_good_measure_are_taken() -> None:
    async with served() as server:
        reader, writer = await server.open(GET + UPGRADE)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
        await say(writer, frame(0x01), *[frame(0x00, b"y")] * (MAX_FRAGMENTS - 2), frame(0x80))
        for n in range(20):
            await say(writer, frame(0x89, b"%02d" % n))
            assert await reader.readexactly(4) == b"\x8a\x02%02d" % n
        writer.close()


async def test_a_great_many_messages_are_taken_apart_in_turns_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forty thousand empty ones have room in what is received at once."""
    pieces: list[bytes] = []
    waiting: list[int] = []
    receive = WebSocketsSansIOProtocol.data_received

    def hear(socket: LimitedSocket, data: bytes) -> None:
        pieces.append(data)
        receive(socket, data)
        waiting.append(socket.queue.qsize() + len(socket._unread))

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", hear)
    said = [frame(0x82, b"%d" % (n % 10)) * 10_000 for n in range(40)] + [frame(0x81, b"end")]
    async with served() as server:
        reader, writer = await server.open(GET + UPGRADE)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
        pieces.clear()
        await say(writer, *said)
        whole = b"".join(said)
        await until(lambda: sum(map(len, pieces)) == len(whole))
        assert b"".join(pieces) == whole
        assert max(map(len, pieces)) <= SLICE_BYTES
        assert max(waiting) < MIB  # 256 KiB come at once
        await say(writer, frame(0x88))
        assert (await rest(reader)).startswith(b"\x88")
        writer.close()


class Silent:
    """A connection in name only."""

    def __init__(self, address: str) -> None:
        self.address, self.waits, self.ended = address, True, False

    def look(self, now: float, passed_s: float) -> None: ...

    def make_room(self) -> None:
        self.ended = True


def test_one_address_has_no_more_than_its_share() -> None:
    limits = Limits(connections=30, per_address=3)
    connections = Connections(limits, time.monotonic, ("198.51.100.0/24",))
    many = [Silent("192.0.2.1") for _ in range(5)]
    assert all(map(connections.enter, many))
    assert [one.ended for one in many] == [True, True, False, False, False]
    for one in many:
        one.waits = False
    assert not connections.enter(Silent("192.0.2.1"))
    assert connections.enter(Silent("192.0.2.2"))
    together = [Silent(f"2001:db8::{n}") for n in range(4)]  # one line has a /64
    assert all(map(connections.enter, together))
    assert together[0].ended
    for address in ("127.0.0.1", "198.51.100.7"):
        apart = [Silent(address) for _ in range(4)]
        assert all(map(connections.enter, apart))
        assert not any(one.ended for one in apart)
        for one in apart:
            connections.leave(one)
            connections.leave(one)
    for one in [*many, *together]:
        connections.leave(one)
    assert len(connections) == 1


def test_limits_leave_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, room in ((64, 32), (1024, 512), (10, 8), (resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert limits_here().connections == room
