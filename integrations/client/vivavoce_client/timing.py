"""What aiortc knows of media times and does not tell. Checked with 1.14 to 1.16.

Two streams can be put together by their sender's reports alone (RFC 3550, 6.4.1); aiortc reads
those, but counts each track's time from its own first frame. All that reaches into it is here.
"""

from __future__ import annotations

from typing import Any

from aiortc.rtp import RtcpSrPacket


class SenderClock:
    """The sender's wall time of a stream's RTP times, by its reports."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.reports: list[tuple[int, int]] = []
        """(NTP time, RTP time), the newest last."""

    def wall_s(self, rtp_time: int) -> float:
        """Seconds; there must be a report."""
        ntp, at = self.reports[-1]
        delta = (rtp_time - at + 2**31) % 2**32 - 2**31
        return ntp / 2**32 + delta / self.rate_hz

    def listen(self, receiver: Any) -> None:
        """Read the reports that an `RTCRtpReceiver` gets."""
        handle = receiver._handle_rtcp_packet

        async def read(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                self.reports.append((info.ntp_timestamp, info.rtp_timestamp))
            await handle(packet)

        receiver._handle_rtcp_packet = read


def first_rtp_time(receiver: Any) -> int:
    """The RTP time that a receiver's frames count from; it must have given one."""
    return int(receiver._RTCRtpReceiver__timestamp_mapper._origin)


def wait_for_packets(receiver: Any, count: int) -> None:
    """Have an audio receiver put packets in order over so many, not over four (80 ms)."""
    receiver._RTCRtpReceiver__jitter_buffer._prefetch = count
