"""One WebRTC peer: aiortc's connection with our own sender and receiver in it.

aiortc 1.16.0 and aioice 0.13.0 are adapted from outside, per connection, nothing global:
`RTCRtpTransceiver.__sender` and `__receiver` are replaced. `negotiation` and `door` have the rest.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, cast

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from realtime.clock import Clock
from realtime.errors import BadOffer
from realtime.sinks.webrtc.channel import EventChannel
from realtime.sinks.webrtc.codecs import VideoCodec
from realtime.sinks.webrtc.door import Door, bind_to
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sinks.webrtc.negotiation import (
    Unwatched,
    accept_rsa,
    complete_answer,
    complete_negotiation,
)
from realtime.sinks.webrtc.offer import Offer, audio_preferences, video_preferences
from realtime.sinks.webrtc.pictures import VideoViewer
from realtime.sinks.webrtc.receive import MicrophoneReceiver, PacketSink
from realtime.sinks.webrtc.send import MediaClock, MediaSender, SenderStats
from realtime.sinks.webrtc.settings import RtcConfig
from realtime.sinks.webrtc.viewer import Viewer

logger = logging.getLogger(__name__)

PeerState = Literal["connecting", "connected", "failed", "closed"]
_AUTO: VideoCodec = "VP8"
"""At 1 Mbit/s and 512 px as good as H.264 (47.7 and 47.5 dB) for two thirds of its CPU time:
1.5 and 2.2 ms a frame (benchmarks/results/encoders.json)."""


@dataclass(frozen=True, kw_only=True)
class PeerStats:
    """Numbers of a peer since it was connected, as they are now."""

    state: PeerState = "connecting"
    video_codec: str = ""
    frames_sent: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    keyframe_requests: int = 0
    retransmitted: int = 0
    rtt_s: float | None = None
    remote_loss: float = 0.0
    """Share of our video packets that the peer missed in its last report."""
    remb_bps: int | None = None
    """What the peer says it can receive."""
    target_bps: int | None = None
    """What the video encoder aims at."""


class Peer:
    """A connected (or connecting) peer. `close` leaves nothing behind."""

    def __init__(
        self,
        offer: Offer,
        config: RtcConfig,
        clock: Clock,
        on_state: Callable[[PeerState], None],
    ) -> None:
        self._offer = offer
        self._config = config
        self._clock = clock
        self._on_state = on_state
        servers = list(config.ice_servers)
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        accept_rsa(self._connection)
        self._senders: dict[str, MediaSender] = {}
        self._receiver: MicrophoneReceiver | None = None
        self._viewer: VideoViewer | None = None
        self._doors: dict[RTCDtlsTransport, Door] = {}
        self._watchdog: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.id = secrets.token_urlsafe(16)
        """128 bits: who knows it may end the connection."""
        self.state: PeerState = "connecting"
        self.answer_sdp = ""
        self.video_codec = ""

    def stats(self) -> PeerStats:
        """Numbers of the connection."""
        audio, video = (
            self._senders[kind].stats if kind in self._senders else SenderStats()
            for kind in ("audio", "video")
        )
        return PeerStats(
            state=self.state,
            video_codec=self.video_codec,
            frames_sent=video.frames,
            packets_sent=video.packets + audio.packets,
            bytes_sent=video.payload_bytes + audio.payload_bytes,
            keyframe_requests=video.keyframe_requests,
            retransmitted=video.retransmitted,
            rtt_s=audio.rtt_s if video.rtt_s is None else video.rtt_s,
            remote_loss=video.remote_loss,
            remb_bps=video.remb_bps,
            target_bps=None if self._viewer is None else self._viewer.target_bps,
        )

    @property
    def heard(self) -> bool:
        """Whether it has shown, by a signed check, that it got the answer and can be reached."""
        return any(door.open for door in self._doors.values())

    @property
    def datagrams(self) -> int:
        """How many have come from it."""
        return sum(door.taken for door in self._doors.values())

    def shares(self, credentials: set[tuple[str, str]]) -> bool:
        """Whether these ICE user fragments and passwords are those of its offer."""
        return credentials <= self._offer.credentials

    async def close(self) -> None:
        """End the connection; returns when all its tasks and sockets are gone."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close-peer")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            if self._watchdog is not None:
                self._watchdog.cancel()
                await asyncio.gather(self._watchdog, return_exceptions=True)
            await self._connection.close()
            # Closing stops our halves first and the transport last: a connection that comes up in
            # between has started them again.
            for sender in self._senders.values():
                await sender.stop()
            if self._receiver is not None:
                await self._receiver.stop()
        finally:
            self._set_state("closed")

    # Building it

    def _set_up(self, encodings: Encodings, microphone: PacketSink | None) -> None:
        media_clock = MediaClock(encodings.stream.playout, self._clock)
        first = _AUTO if self._config.video_codec == "auto" else self._config.video_codec
        preferences = {"audio": audio_preferences(), "video": video_preferences(first)}

        def watch(codec: RTCRtpCodecParameters) -> Viewer:
            self.video_codec = codec.name
            self._viewer = encodings.video(codec)
            return self._viewer

        watches = {"audio": encodings.voice, "video": watch}
        for kind in self._offer.kinds:
            heard = kind == "audio" and microphone is not None and self._offer.microphone
            receives = heard or not self._offer.sends
            direction = ("send" if self._offer.sends else "") + ("recv" if receives else "")
            transceiver = self._connection.addTransceiver(
                kind, direction if direction == "sendrecv" else f"{direction}only"
            )
            transceiver.setCodecPreferences(preferences[kind])
            self._put_sender(transceiver, media_clock, watches[kind])
            if receives:
                self._put_receiver(transceiver, microphone)

    def _put_sender(
        self,
        transceiver: RTCRtpTransceiver,
        media_clock: MediaClock,
        watch: Callable[[RTCRtpCodecParameters], Viewer],
    ) -> None:
        sender = MediaSender(
            transceiver.kind,
            transceiver.sender.transport,
            stream_id=transceiver.sender._stream_id,
            clock=self._clock,
            media_clock=media_clock,
            watch=watch,
            playout_delay=self._config.playout_delay,
        )
        transceiver._RTCRtpTransceiver__sender = sender  # type: ignore[attr-defined]
        transceiver.receiver._set_rtcp_ssrc(sender._ssrc)
        self._senders[transceiver.kind] = sender

    def _put_receiver(self, transceiver: RTCRtpTransceiver, microphone: PacketSink | None) -> None:
        transport = transceiver.receiver.transport
        receiver: MicrophoneReceiver | Unwatched
        if transceiver.kind == "video" or microphone is None:
            receiver = Unwatched(transport)
        else:
            receiver = self._receiver = MicrophoneReceiver(transport, microphone, self._clock)
        receiver._set_rtcp_ssrc(self._senders[transceiver.kind]._ssrc)
        transceiver._RTCRtpTransceiver__receiver = receiver  # type: ignore[attr-defined]

    def _listen(self, on_channel: Callable[[EventChannel], None]) -> None:
        def on_datachannel(channel: RTCDataChannel) -> None:
            on_channel(EventChannel(channel))

        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", on_datachannel)

    async def _answer(self, offer: Offer) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        transports: set[RTCDtlsTransport] = set()
        for transceiver in self._connection.getTransceivers():
            complete_negotiation(transceiver, offer)
            ours: list[object] = list(self._senders.values())
            if transceiver.sender not in ours:
                transceiver.direction = "inactive"  # a line that we have no use for
            transports.add(transceiver.receiver.transport)
        sctp = self._connection.sctp
        if sctp is not None:
            transports.add(sctp.transport)
        self._put_up_doors(transports, self._config.addresses())
        if sctp is not None:
            self._doors[sctp.transport].watch(sctp)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        self.answer_sdp = complete_answer(self._connection.localDescription.sdp, offer)
        self._watchdog = asyncio.create_task(self._watch(), name="watch-peer")

    def _put_up_doors(
        self, transports: Iterable[RTCDtlsTransport], addresses: list[str] | None
    ) -> None:
        for transport in transports:
            if addresses is not None:
                bind_to(transport, addresses)
            self._doors[transport] = Door(transport)

    async def _watch(self) -> None:
        await self._clock.sleep_until(self._clock.now() + self._config.connect_timeout_s)
        if self.state == "connecting":
            logger.info("not connected after %.0f s", self._config.connect_timeout_s)
            self._set_state("failed")

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "closed" and self._closing is None:
            # The peer said goodbye and aiortc closes by itself; join in.
            self._closing = asyncio.create_task(self._close(), name="close-peer")
        elif state in ("connected", "failed"):
            self._set_state(cast(PeerState, state))

    def _set_state(self, state: PeerState) -> None:
        if self.state in ("closed", state):
            return
        self.state = state
        self._on_state(state)


async def connect(
    offer: Offer,
    *,
    encodings: Encodings,
    microphone: PacketSink | None,
    on_channel: Callable[[EventChannel], None],
    on_state: Callable[[PeerState], None],
    config: RtcConfig,
) -> Peer:
    """Answer an offer (see `parse_offer`) with what `encodings` give; the peer's own microphone, if
    it has one, goes to `microphone`, or else nowhere.

    `on_state` hears "connected", "failed" and, once everything is released, "closed".

    Raises:
        BadOffer: the offer cannot be used after all, or the connection is over before it is
            answered; nothing stays allocated for it.
    """
    peer = Peer(offer, config, encodings.stream.clock, on_state)
    try:
        peer._set_up(encodings, microphone)
        peer._listen(on_channel)
        await peer._answer(offer)
        if peer.state in ("failed", "closed"):
            raise ValueError("the connection ended meanwhile")
    except (ValueError, OperationError, InvalidAccessError, InvalidStateError) as error:
        await peer.close()
        raise BadOffer(f"the offer cannot be answered: {error}") from error
    except BaseException:
        await peer.close()
        raise
    return peer
