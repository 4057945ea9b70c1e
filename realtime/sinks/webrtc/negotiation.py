"""What aiortc 1.16.0 leaves out of an answer, and whom it would not shake hands with.

Adapted from outside, per connection: `RTCRtpTransceiver._codecs` and `_headerExtensions` are
completed before the answer is made, its text after that; `_create_ssl_context` of the connection's
own certificate is wrapped.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCStatsReport
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpReceiveParameters

from realtime.sinks.webrtc.extensions import PLAYOUT_DELAY_URI
from realtime.sinks.webrtc.offer import Offer

_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
)
"""aiortc has only the first four. GStreamer up to 1.22 has an RSA certificate: without the others
ICE completes, then the handshake fails."""
_UNUSED_KBPS = 32
"""Of a picture that nobody looks at; browsers send no less than 30."""


def accept_rsa(connection: RTCPeerConnection) -> None:
    """Shake hands with peers that have an RSA certificate, too; ours stays ECDSA."""
    for certificate in connection._RTCPeerConnection__certificates:  # type: ignore[attr-defined]
        create = certificate._create_ssl_context

        def with_rsa(*args: Any, create: Any = create, **named: Any) -> Any:
            context = create(*args, **named)
            context.set_cipher_list(_SUITES)
            return context

        certificate._create_ssl_context = with_rsa


def complete_negotiation(transceiver: RTCRtpTransceiver, offer: Offer) -> None:
    """Opus with its own error correction; pictures with a playout delay, where that is known."""
    if transceiver.kind == "audio":
        for codec in transceiver._codecs:
            codec.parameters = {"minptime": 10, "useinbandfec": 1}
        return
    media = offer.media("video")
    assert media is not None
    for extension in media.rtp.headerExtensions:
        if extension.uri == PLAYOUT_DELAY_URI:
            transceiver._headerExtensions.append(
                RTCRtpHeaderExtensionParameters(id=extension.id, uri=extension.uri)
            )


def complete_answer(sdp: str, offer: Offer) -> str:
    """The answer with `rtcp-mux-only` in every bundled m-line (RFC 9725, 4.4.1), and with a request
    to keep small what is not looked at."""
    lines: list[str] = []
    unused = False
    for line in sdp.splitlines():
        if line.startswith("m="):
            unused = line.startswith("m=video") and not offer.sends
        lines.append(line)
        if line.startswith("c=") and unused:
            lines.append(f"b=AS:{_UNUSED_KBPS}")
        if line == "a=rtcp-mux":
            lines.append("a=rtcp-mux-only")
    return "".join(f"{line}\r\n" for line in lines)


class Unwatched:
    """The receiver of a picture that nobody looks at, in place of aiortc's `RTCRtpReceiver`, which
    would decode it: its packets are not even registered for."""

    kind = "video"

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport
        self._track: Any = None

    @property
    def track(self) -> Any:
        return self._track

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        pass

    async def getStats(self) -> RTCStatsReport:
        return RTCStatsReport()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Called by aiortc once DTLS is up."""

    async def stop(self) -> None:
        """Nothing was started."""
