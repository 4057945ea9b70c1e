"""What aiortc 1.16.0 can take of a peer's data channels without harm to others.

Its association trusts the lengths that a peer writes: a parameter of length 0 is read for ever, and
every number inside the gaps of a SACK is counted, which are up to 20 million in one packet. And it
looks at all that waits for what is missing whenever one more chunk comes: `_mark_received` and
`_receive_data_chunk` of an association are replaced.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport

MAX_STREAM = 256
"""Ids of streams from here on are not taken: each keeps some memory. Browsers begin at 0."""
MAX_GAPS = 1 << 14
"""Packets that a SACK may tell of: what we ever have under way is far less."""
MAX_AHEAD = 256
"""Chunks from the first that is missing: a third of a megabyte. Later ones are not acknowledged, so
they come again."""
MAX_UNFINISHED = 512
"""Chunks of one stream that wait for more: half a megabyte, where a message has 64 KB at most."""
_DATA, _INIT, _INIT_ACK, _SACK, _FORWARD = 0, 1, 2, 3, 192
_DATA_BYTES = 12  # before what it carries
_OF_PARAMETERS = frozenset({4, 5, 6, 9, 130})  # HEARTBEAT, its ACK, ABORT, ERROR, RE-CONFIG
_HEADER_BYTES = 12
_HALF = 1 << 31  # of all numbers of chunks


def is_harmless(packet: bytes) -> bool:
    """Whether each chunk of the packet is such that it can be taken in little time and memory."""
    position = _HEADER_BYTES
    while position <= len(packet) - 4:
        kind, _, length = struct.unpack_from("!BBH", packet, position)
        if length < 4 or not _is_harmless_chunk(kind, packet[position + 4 : position + length]):
            return False
        position += length + -length % 4
    return True


def _is_harmless_chunk(kind: int, body: bytes) -> bool:
    if kind == _DATA:
        # One that carries nothing takes no room in the window (RFC 9260, 3.3.1: it is an error).
        return len(body) > _DATA_BYTES and int.from_bytes(body[4:6]) < MAX_STREAM
    if kind in (_INIT, _INIT_ACK):
        return len(body) >= 16 and _are_parameters(body[16:])
    if kind == _SACK:
        return len(body) >= 12 and _gaps(body) <= MAX_GAPS
    if kind == _FORWARD:
        return len(body) % 4 == 0 and _are_streams(body[4:])
    return kind not in _OF_PARAMETERS or _are_parameters(body)


def _are_streams(body: bytes) -> bool:
    """Of a FORWARD TSN: each is looked through, and kept."""
    streams = struct.unpack(f"!{len(body) // 2}H", body)[::2]
    return len(set(streams)) == len(streams) and max(streams, default=0) < MAX_STREAM


def _are_parameters(body: bytes) -> bool:
    position = 0
    while position <= len(body) - 4:
        length = int.from_bytes(body[position + 2 : position + 4])
        if length < 4:
            return False
        position += length + -length % 4
    return True


def _gaps(body: bytes) -> int:
    """Packets inside the gaps of a SACK."""
    count = min(int.from_bytes(body[8:10]), (len(body) - 12) // 4)
    ends = struct.unpack_from(f"!{2 * count}H", body, 12)
    return sum(max(0, end - begin + 1) for begin, end in zip(ends[::2], ends[1::2], strict=True))


def bound_waiting(association: RTCSctpTransport, on_drop: Callable[[], None]) -> None:
    """Keep little of what cannot be read yet, and have each chunk cost the same however much that
    is. `on_drop` is called for each that is not kept."""
    whole: Any = association
    take = whole._receive_data_chunk

    async def receive(chunk: DataChunk) -> None:
        stream = whole._inbound_streams.get(chunk.stream_id)
        unfinished = 0 if stream is None else len(stream.reassembly)
        if unfinished >= MAX_UNFINISHED or _ahead(whole, chunk.tsn) > MAX_AHEAD:
            whole._sack_needed = True  # it is told what is missing
            on_drop()
        else:
            await take(chunk)

    whole._receive_data_chunk = receive
    whole._mark_received = lambda tsn: _mark_received(whole, tsn)


def _ahead(association: Any, tsn: int) -> int:
    """How far a chunk is beyond the last before which none is missing; 0 or less: it was here."""
    return int((tsn - association._last_received_tsn + _HALF) % (2 * _HALF)) - _HALF


def _mark_received(association: Any, tsn: int) -> bool:
    """In place of aiortc's, which sorts all that came out of order; True for a duplicate."""
    early: set[int] = association._sack_misordered
    if _ahead(association, tsn) <= 0 or tsn in early:
        association._sack_duplicates.append(tsn)
        return True
    early.add(tsn)
    while (following := (association._last_received_tsn + 1) % (2 * _HALF)) in early:
        early.remove(following)
        association._last_received_tsn = following
    return False
