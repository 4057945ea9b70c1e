"""One WebRTC peer: aiortc's connection with our own sender and receiver in it.

aiortc 1.16.0 and aioice 0.13.0 are adapted from outside, per connection, nothing global:
`RTCRtpTransceiver.__sender` and `__receiver` are replaced, `_codecs` and `_headerExtensions` are
completed before the answer is made, and `Connection.get_component_candidates` of the connection's
own ICE agents is wrapped to choose the addresses they bind.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import ifaddr
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters
from aiortc.sdp import candidate_from_sdp

from realtime.encoders import BitrateConfig, OpusEncoder, VideoCodec, video_encoder
from realtime.errors import BadOffer
from realtime.offer import Offer, audio_preferences, check_offer, video_preferences
from realtime.playout import PlayoutClock
from realtime.rtp_receive import MicrophoneReceiver, PacketSink
from realtime.rtp_send import (
    PLAYOUT_DELAY_URI,
    AudioFrameEncoder,
    FrameEncoder,
    MediaClock,
    MediaSender,
    VideoFrameEncoder,
)

logger = logging.getLogger(__name__)

PeerState = Literal["connecting", "connected", "failed", "closed"]
_AUTO: VideoCodec = "VP8"


@dataclass(frozen=True, kw_only=True)
class RtcConfig:
    """How peers are connected and what is sent to them."""

    video_codec: Literal["auto", "VP8", "H264"] = "auto"
    bitrate: BitrateConfig = field(default_factory=BitrateConfig)
    host_addresses: tuple[str, ...] | None = None
    """Addresses to receive media on; None: all of the machine's but loopback."""
    ice_servers: tuple[RTCIceServer, ...] = ()
    connect_timeout_s: float = 20.0
    """A peer that is not connected by then has failed."""


def host_addresses(listen_host: str) -> tuple[str, ...]:
    """Addresses on which a server listening on `listen_host` should offer media.

    A browser on the same machine may reach us from any of its addresses, so loopback always
    comes with the machine's own; a particular address is offered alone.
    """
    try:
        address = ipaddress.ip_address(listen_host)
    except ValueError:  # a name, such as localhost
        address = ipaddress.ip_address("127.0.0.1")
    if not address.is_loopback and not address.is_unspecified:
        return (str(address),)
    own = [
        str(ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str)
    ]
    return tuple(dict.fromkeys(["127.0.0.1", *own]))


class Peer:
    """A connected (or connecting) peer. `close` leaves nothing behind."""

    def __init__(self, config: RtcConfig, on_state: Callable[[PeerState], None]) -> None:
        self._config = config
        self._on_state = on_state
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(config.ice_servers)))
        self._senders: dict[str, MediaSender] = {}
        self._receiver: MicrophoneReceiver | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.state: PeerState = "connecting"
        self.answer_sdp = ""
        self.video_codec = ""

    def force_keyframe(self) -> None:
        """Make the next video frame complete in itself."""
        self._senders["video"].force_keyframe()

    def stats(self) -> dict[str, Any]:
        """Numbers of the connection as it is now."""
        report: dict[str, Any] = {k: asdict(s.stats) for k, s in self._senders.items()}
        video = self._senders.get("video")
        if video is not None and isinstance(video.encoder, VideoFrameEncoder):
            report["video"]["target_bps"] = video.encoder.encoder.target_bps
        if self._receiver is not None:
            report["microphone"] = {"undecodable": self._receiver.undecodable}
        return report | {"state": self.state, "video_codec": self.video_codec}

    async def add_ice_candidate(self, candidate: str | None, mid: str | None = None) -> None:
        """Add a trickled candidate ("candidate:..." or its value); None: there are no more."""
        if candidate is None:
            await self._connection.addIceCandidate(None)
            return
        try:
            parsed = candidate_from_sdp(candidate.removeprefix("a=").removeprefix("candidate:"))
            parsed.sdpMid = mid
            if mid is None:
                parsed.sdpMLineIndex = 0
            await self._connection.addIceCandidate(parsed)
        except (ValueError, AssertionError, IndexError) as error:
            raise BadOffer(f"this is no ICE candidate: {candidate[:100]!r}") from error

    async def close(self) -> None:
        """End the connection; returns when all its tasks and sockets are gone."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close-peer")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watchdog is not None and self._watchdog is not asyncio.current_task():
            self._watchdog.cancel()
            await asyncio.gather(self._watchdog, return_exceptions=True)
        await self._connection.close()
        self._set_state("closed")

    # Building it

    def _set_up(
        self,
        offer: Offer,
        sink: PacketSink,
        audio_track: MediaStreamTrack,
        video_track: MediaStreamTrack,
        playout_clock: PlayoutClock,
        on_channel: Callable[[RTCDataChannel], None],
    ) -> None:
        media_clock = MediaClock(playout_clock)
        audio = self._connection.addTransceiver(audio_track, "sendrecv")
        audio.setCodecPreferences(audio_preferences())
        self._put_sender(audio, audio_track, media_clock, _audio_encoder)
        if offer.microphone:
            self._put_receiver(audio, sink, playout_clock)
        first = _AUTO if self._config.video_codec == "auto" else self._config.video_codec
        video = self._connection.addTransceiver(video_track, "sendonly")
        video.setCodecPreferences(video_preferences(first))
        self._put_sender(video, video_track, media_clock, self._video_encoder)
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", on_channel)

    def _put_sender(
        self,
        transceiver: RTCRtpTransceiver,
        track: MediaStreamTrack,
        media_clock: MediaClock,
        encoder: Callable[[RTCRtpCodecParameters], FrameEncoder],
    ) -> None:
        sender = MediaSender(
            track,
            transceiver.sender.transport,
            stream_id=transceiver.sender._stream_id,
            media_clock=media_clock,
            encoder=encoder,
        )
        transceiver._RTCRtpTransceiver__sender = sender  # type: ignore[attr-defined]
        transceiver.receiver._set_rtcp_ssrc(sender._ssrc)
        self._senders[track.kind] = sender

    def _put_receiver(
        self, transceiver: RTCRtpTransceiver, sink: PacketSink, playout_clock: PlayoutClock
    ) -> None:
        receiver = MicrophoneReceiver(transceiver.receiver.transport, sink, playout_clock.clock)
        receiver._set_rtcp_ssrc(self._senders["audio"]._ssrc)
        transceiver._RTCRtpTransceiver__receiver = receiver  # type: ignore[attr-defined]
        self._receiver = receiver

    def _video_encoder(self, codec: RTCRtpCodecParameters) -> FrameEncoder:
        self.video_codec = codec.name
        return VideoFrameEncoder(video_encoder(codec, self._config.bitrate))

    async def _answer(self, offer: Offer) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        transports: set[RTCDtlsTransport] = set()
        for transceiver in self._connection.getTransceivers():
            _complete_negotiation(transceiver, offer)
            transports.add(transceiver.receiver.transport)
        if self._connection.sctp is not None:
            transports.add(self._connection.sctp.transport)
        if self._config.host_addresses is not None:
            for transport in transports:
                _bind_to(transport, list(self._config.host_addresses))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        self.answer_sdp = self._connection.localDescription.sdp
        self._watchdog = asyncio.create_task(self._watch(), name="watch-peer")

    async def _watch(self) -> None:
        await asyncio.sleep(self._config.connect_timeout_s)
        if self.state == "connecting":
            logger.info("peer not connected after %.0f s", self._config.connect_timeout_s)
            self._set_state("failed")

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state in ("connected", "failed", "closed"):
            self._set_state(state)

    def _set_state(self, state: PeerState) -> None:
        if self.state in ("closed", state):
            return
        self.state = state
        self._on_state(state)


async def connect(
    offer_sdp: str,
    *,
    ingest: PacketSink,
    audio_track: MediaStreamTrack,
    video_track: MediaStreamTrack,
    playout_clock: PlayoutClock,
    on_channel: Callable[[RTCDataChannel], None],
    on_state: Callable[[PeerState], None],
    config: RtcConfig,
) -> Peer:
    """Answer an offer. Raises `BadOffer` before anything is allocated if it cannot be used.

    `on_state` hears "connected", "failed" and, once everything is released, "closed".
    """
    offer = check_offer(offer_sdp)
    peer = Peer(config, on_state)
    try:
        peer._set_up(offer, ingest, audio_track, video_track, playout_clock, on_channel)
        await peer._answer(offer)
    except (ValueError, OperationError, InvalidAccessError, InvalidStateError) as error:
        await peer.close()
        raise BadOffer(f"the offer cannot be answered: {error}") from error
    except BaseException:
        await peer.close()
        raise
    return peer


def _audio_encoder(codec: RTCRtpCodecParameters) -> FrameEncoder:
    return AudioFrameEncoder(OpusEncoder())


def _complete_negotiation(transceiver: RTCRtpTransceiver, offer: Offer) -> None:
    """What aiortc leaves out of the answer."""
    if transceiver.kind == "audio":
        for codec in transceiver._codecs:
            codec.parameters = {"minptime": 10, "useinbandfec": 1}
        return
    for extension in offer.media("video").rtp.headerExtensions:
        if extension.uri == PLAYOUT_DELAY_URI:
            transceiver._headerExtensions.append(
                RTCRtpHeaderExtensionParameters(id=extension.id, uri=extension.uri)
            )


def _bind_to(transport: RTCDtlsTransport, addresses: list[str]) -> None:
    """Gather host candidates on these addresses instead of on all but loopback."""
    ice = transport.transport._connection
    gather = ice.get_component_candidates

    @functools.wraps(gather)
    async def gather_here(component: int, addresses_: list[str] = addresses, **kwargs: Any) -> Any:
        kwargs.pop("addresses", None)
        return await gather(component=component, addresses=addresses_, **kwargs)

    ice.get_component_candidates = gather_here  # type: ignore[method-assign]
