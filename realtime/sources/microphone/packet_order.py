"""Packets put back into the order in which they were sent. Sans I/O, and knows no time.

A decoder has a memory, so it must see packets in order: one that was overtaken harms more than
its own sound when it is decoded after its successors. Whoever knows how long a packet may be
waited for says when to go on without it.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 50
"""Packets between the one expected and the last one held: one second of 20 ms packets."""


@dataclass(frozen=True)
class Packet:
    """One packet of one stream."""

    sequence: int
    """Unwrapped: it does not start over after 65,535."""
    time: int
    """RTP time of its first sample, unwrapped."""
    samples: int
    """Length of its sound at 48 kHz."""
    payload: bytes


class PacketOrder:
    """Holds packets back until those before them came, or were given up."""

    def __init__(self) -> None:
        self._held: dict[int, Packet] = {}
        self._next = 0  # sequence number expected

    @property
    def first(self) -> Packet | None:
        """The earliest packet held."""
        return self._held[min(self._held)] if self._held else None

    @property
    def missing(self) -> int:
        """Packets that did not come and are before the first one held."""
        return min(self._held, default=self._next) - self._next

    @property
    def full(self) -> bool:
        """No more can be held: the first must be taken."""
        return max(self._held, default=self._next) - self._next >= _MOST

    def start(self, sequence: int) -> None:
        """Expect `sequence` next and forget what is held."""
        self._held.clear()
        self._next = sequence

    def put(self, packet: Packet) -> bool:
        """Hold a packet; False if its turn has passed. One from far back starts the order anew."""
        if packet.sequence <= self._next - _MOST:
            self.start(packet.sequence)
        if packet.sequence < self._next:
            return False
        self._held[packet.sequence] = packet
        return True

    def take(self) -> Packet:
        """Remove the first packet held; those missing before it are given up."""
        packet = self._held.pop(min(self._held))
        self._next = packet.sequence + 1
        return packet
