"""RTP header extensions that we send, the playout-delay extension among them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from aiortc import clock, rtp
from aiortc.rtcrtpparameters import RTCRtpSendParameters

PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
_MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
_ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"


@dataclass(frozen=True, kw_only=True)
class PlayoutDelay:
    """What the playout-delay header extension asks of the receiver, in milliseconds.

    Chromium plays voice about 60 ms after it arrives, whatever it is asked. Pictures that must
    wait as long are in step with it from the first second on; with a minimum of 0 Chromium shows
    them at once, 63 ms early, and does not align the tracks at all. The large maximum leaves it
    free to hold pictures back further when the voice needs more.
    """

    min_ms: int = 60
    max_ms: int = 2_000

    def __post_init__(self) -> None:
        if not 0 <= self.min_ms <= self.max_ms <= 40_950:
            raise ValueError(f"0 <= {self.min_ms} <= {self.max_ms} <= 40950 does not hold")

    def __bytes__(self) -> bytes:
        """12 bit each, in units of 10 ms."""
        return (self.min_ms // 10 << 12 | self.max_ms // 10).to_bytes(3, "big")


class SentExtensions(rtp.HeaderExtensionsMap):
    """Serialises the extensions that were negotiated; stands in for aiortc's map on sending."""

    def __init__(
        self, parameters: RTCRtpSendParameters, mid: str, playout_delay: PlayoutDelay
    ) -> None:
        super().__init__()
        self._playout_delay = bytes(playout_delay)
        self._ids = {x.uri: x.id for x in parameters.headerExtensions}
        self._mid = mid.encode()

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        """What `RtpPacket.serialize` calls."""
        extensions = []
        if (x_id := self._ids.get(_MID_URI)) is not None and self._mid:
            extensions.append((x_id, self._mid))
        if (x_id := self._ids.get(_ABS_SEND_TIME_URI)) is not None:
            sent = (clock.current_ntp_time() >> 14) & 0x00FFFFFF
            extensions.append((x_id, struct.pack("!L", sent)[1:]))
        if (x_id := self._ids.get(PLAYOUT_DELAY_URI)) is not None:
            extensions.append((x_id, self._playout_delay))
        if (x_id := self._ids.get(_AUDIO_LEVEL_URI)) is not None and values.audio_level:
            voiced, level = values.audio_level
            extensions.append((x_id, bytes([0x80 * voiced | level])))
        packed: tuple[int, bytes] = rtp.pack_header_extensions(extensions)
        return packed
