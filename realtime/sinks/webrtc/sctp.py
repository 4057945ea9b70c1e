"""Whether aiortc 1.16.0 can take an SCTP packet of a data channel without harm to others.

Its association trusts the lengths that a peer writes: a parameter of length 0 is read for ever, and
every number inside the gaps of a SACK is counted, which are up to 20 million in one packet.
"""

from __future__ import annotations

import struct

MAX_STREAM = 256
"""Ids of streams from here on are not taken: each keeps some memory. Browsers begin at 0."""
MAX_GAPS = 1 << 14
"""Packets that a SACK may tell of: what we ever have under way is far less."""
_DATA, _INIT, _INIT_ACK, _SACK = 0, 1, 2, 3
_OF_PARAMETERS = frozenset({4, 5, 6, 9, 130})  # HEARTBEAT, its ACK, ABORT, ERROR, RE-CONFIG
_HEADER_BYTES = 12


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
        return len(body) >= 12 and int.from_bytes(body[4:6]) < MAX_STREAM
    if kind in (_INIT, _INIT_ACK):
        return len(body) >= 16 and _are_parameters(body[16:])
    if kind == _SACK:
        return len(body) >= 12 and _gaps(body) <= MAX_GAPS
    return kind not in _OF_PARAMETERS or _are_parameters(body)


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
