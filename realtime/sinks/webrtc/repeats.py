"""Which packets of a stream are sent again, when a receiver says that it misses them. No I/O."""

from __future__ import annotations

from aiortc import rtp
from aiortc.utils import random16, uint16_add

KEPT = 512
"""Packets kept for retransmission."""
_RTT_SHARE = 0.7
"""The same packet is not sent again within this share of the round trip: it is on its way."""
_FIRST_RTT_S = 0.05  # until one was measured
_MOST = 0.3
"""Retransmissions may take this share of all packets; more would feed the congestion."""


class Repeats:
    """The last packets of a stream.

    Args:
        ssrc: of the stream of repeated packets (RFC 4588), which is used if it has a
            `payload_type`; otherwise they are sent as they were.
    """

    def __init__(self, ssrc: int) -> None:
        self.payload_type: int | None = None
        self._ssrc = ssrc
        self._sequence = random16() % 32768
        self._kept: dict[int, rtp.RtpPacket] = {}
        self._sent: dict[int, float] = {}  # by sequence number: when last
        self._count = 0

    def keep(self, packet: rtp.RtpPacket) -> None:
        """It is sent for the first time."""
        self._kept[packet.sequence_number % KEPT] = packet

    def forget(self) -> None:
        """Nothing is sent any more."""
        self._kept.clear()

    def ask(
        self, sequence: int, now: float, rtt_s: float | None, packets: int
    ) -> rtp.RtpPacket | None:
        """What to send where the packet of this number is missed; None: nothing.

        rtt_s: the round trip's time, if it is known.
        packets: sent so far for the first time.
        """
        packet = self._kept.get(sequence % KEPT)
        if packet is None or packet.sequence_number != sequence:
            return None
        under_way_s = _RTT_SHARE * (rtt_s or _FIRST_RTT_S)
        recent = now - self._sent.get(sequence, float("-inf")) < under_way_s
        if recent or self._count >= KEPT / 4 + _MOST * packets:
            return None
        self._sent = {k: t for k, t in self._sent.items() if now - t < under_way_s}
        self._sent[sequence] = now
        self._count += 1
        if self.payload_type is None:
            return packet
        wrapped = rtp.wrap_rtx(
            packet,
            payload_type=self.payload_type,
            sequence_number=self._sequence,
            ssrc=self._ssrc,
        )
        self._sequence = uint16_add(self._sequence, 1)
        return wrapped
