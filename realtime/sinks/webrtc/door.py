"""What comes in at a connection's ports: who is heard before it is known who it is, and what a peer
may send then.

aioice 0.13.0 parses, answers and keeps whatever arrives, and ends in a traceback where it did not
foresee it; aiortc 1.16.0 ends a connection on an error in what its peer sent. Both are adapted from
outside, per connection: `Connection.get_component_candidates` and `data_received` of its ICE agent,
`datagram_received` of that agent's protocols, and what the DTLS transport takes and hands on.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aioice import Candidate
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpTransport

from realtime.sinks.webrtc.sctp import bound_waiting, is_harmless

logger = logging.getLogger(__name__)

MAX_WAITING = 1024
"""Datagrams of a peer that wait to be read: more than two seconds of media."""
MAX_ADDRESSES = 32
"""From which one peer can be heard: each is checked, and so is sent something."""
MAX_SSRCS = 256
"""Of one peer: each keeps some memory for as long as it is connected."""
_FIRST_WORD = 100  # datagrams that are dropped before the log says so
_COOKIE = 0x2112A442
_USERNAME = 0x0006
_MAX_ATTRIBUTES = 16  # of a check; browsers send eight
_Handler = Callable[..., Awaitable[None]]


def bind_to(transport: RTCDtlsTransport, addresses: list[str]) -> None:
    """Gather host candidates on these addresses instead of on all but loopback."""
    ice: Any = transport.transport._connection
    gather = ice.get_component_candidates

    async def gather_here(component: int, addresses: object, timeout: int = 5) -> list[Candidate]:
        found: list[Candidate] = await gather(component, chosen, timeout)
        return found

    chosen = addresses
    ice.get_component_candidates = gather_here


class Door:
    """Of one ICE agent, which answers checks and has no candidates but those that these tell.

    Nothing of a stranger is parsed, answered or kept: a STUN request must name our user fragment, a
    response a request of ours, and everything else must come from where a check that was signed
    came from. What is dropped is counted, and logged whenever it is ten times as much as before.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self.dropped = 0
        self.taken = 0
        self._transport = transport
        self._ice: Any = transport.transport._connection
        self._ufrag = f"{self._ice.local_username}:".encode()
        self._known: set[tuple[str, int]] = set()
        self._ssrcs: set[bytes] = set()
        self._next_word = _FIRST_WORD
        self._put_up()

    def _put_up(self) -> None:
        gather = self._ice.get_component_candidates

        async def gather_behind(*args: Any, **named: Any) -> list[Candidate]:
            found: list[Candidate] = await gather(*args, **named)
            for protocol in self._ice._protocols:
                protocol.datagram_received = partial(
                    self._take, protocol, protocol.datagram_received
                )
            return found

        self._ice.get_component_candidates = gather_behind
        self._ice.data_received = self._keep
        transport: Any = self._transport
        transport.transport._recv = partial(self._in_turn, transport.transport._recv)
        transport._handle_rtp_data = partial(self._hear, transport._handle_rtp_data)
        transport._handle_rtcp_data = partial(self._foresee, transport._handle_rtcp_data)

    def watch(self, sctp: RTCSctpTransport) -> None:
        """Data channels go this way, too."""
        handle = sctp._handle_data
        bound_waiting(sctp, lambda: self._drop("of the peer"))

        async def receive(data: bytes) -> None:
            # Who ignores the window that we granted would have us keep all it sends.
            if sctp._advertised_rwnd < 0 or not is_harmless(data):
                self._drop("of the peer")
            else:
                await self._foresee(handle, data)

        sctp._handle_data = receive  # type: ignore[method-assign]

    @property
    def open(self) -> bool:
        """Whether somebody is known."""
        return bool(self._ice._remote_candidates or self._ice._early_checks)

    # Before it is known who sends

    def _take(
        self, protocol: Any, take: Callable[..., None], data: bytes, addr: tuple[Any, ...]
    ) -> None:
        """A datagram has arrived."""
        where = (addr[0], addr[1])
        stun = bool(data) and data[0] < 4
        if not (self._is_expected(protocol, data, where) if stun else self._is_known(where)):
            self._drop(f"the last from {where[0]}")
            return
        self.taken += 1
        try:
            take(data, addr)
        except Exception as error:  # noqa: BLE001 - whatever a wrong length leads to
            self._drop(f"the last from {where[0]}, {error!r}")

    def _is_expected(self, protocol: Any, message: bytes, where: tuple[str, int]) -> bool:
        if len(message) < 20:
            return False
        kind, length, cookie = struct.unpack_from("!HHI", message)
        if cookie != _COOKIE or length != len(message) - 20:
            return False
        if kind & 0x0110:  # no request
            return message[8:20] in protocol.transactions
        room = len(self._ice._remote_candidates) < MAX_ADDRESSES or self._is_known(where)
        return room and _username(message).startswith(self._ufrag)

    def _is_known(self, where: tuple[str, int]) -> bool:
        """Whether a check that was signed came from there."""
        if where not in self._known:
            checked = {(c._network_host, c.port) for c in self._ice._remote_candidates}
            self._known = checked | {early[1] for early in self._ice._early_checks}
        return where in self._known

    def _keep(self, data: bytes, component: int) -> None:
        """What is no STUN, or none that can be read, waits for DTLS and SRTP to look at it."""
        if data and data[0] > 19 and self._ice._queue.qsize() < MAX_WAITING:
            self._ice._queue.put_nowait((data, component))
        else:
            self._drop("of the peer")

    # Once it is known

    @staticmethod
    async def _in_turn(receive: Callable[[], Awaitable[bytes]]) -> bytes:
        """The next datagram, after everybody else's turn: what waits already would be handled in
        one, a thousand datagrams and half a second long."""
        await asyncio.sleep(0)
        return await receive()

    async def _hear(self, handle: _Handler, data: bytes, **named: Any) -> None:
        self._ssrcs.add(data[8:12])
        if len(self._ssrcs) > MAX_SSRCS:
            logger.warning("a peer sends more than %d streams: it is left", MAX_SSRCS)
            raise ConnectionError("too many streams")
        await self._foresee(handle, data, **named)

    async def _foresee(self, handle: _Handler, *args: Any, **named: Any) -> None:
        """An error in what a peer sent is the end of that packet, and of nothing else."""
        try:
            await handle(*args, **named)
        except ConnectionError:
            raise  # it is over
        except Exception as error:  # noqa: BLE001 - whatever a wrong length leads to
            self._drop(f"of the peer, {error!r}")

    def _drop(self, which: str) -> None:
        self.dropped += 1
        if self.dropped >= self._next_word:
            self._next_word *= 10
            logger.warning("%d datagrams to a connection were dropped, %s", self.dropped, which)


def _username(message: bytes) -> bytes:
    """What a STUN message says in USERNAME; empty where it is not among the first attributes."""
    position = 20
    for _ in range(_MAX_ATTRIBUTES):
        if position > len(message) - 4:
            break
        kind, length = struct.unpack_from("!HH", message, position)
        if kind == _USERNAME:
            return message[position + 4 : position + 4 + length]
        position += 4 + length + -length % 4
    return b""
