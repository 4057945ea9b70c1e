"""Is an SDP offer one we can answer? Checked before anything is allocated for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiortc import RTCRtpSender
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.sdp import MediaDescription, SessionDescription

from realtime.errors import BadOffer, UnsuitableOffer
from realtime.sinks.webrtc.codecs import VideoCodec
from realtime.sinks.webrtc.excess import without_excess

MAX_OFFER_BYTES = 64 * 1024
_DIGESTS = {"sha-256", "sha-384", "sha-512"}  # what aiortc 1.16.0 can check
_VIDEO = "VP8, or H.264 with profile-level-id=42e01f and packetization-mode=1"
# Whatever aiortc's parser may raise on input it did not expect.
_PARSE_ERRORS = (
    ValueError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    OverflowError,
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an interface lets an offer ask for. Directions are the peer's."""

    audio: frozenset[str]
    video: frozenset[str]
    needs_audio: bool
    listens: bool
    """We take the peer's voice."""
    sends: bool
    """We send voice and picture."""
    channel: bool = False
    """The offer may have a data channel: whoever has it may steer the session."""
    spare_video: bool = False
    """A second video line may be there; nothing is ever sent over it."""
    refusal: type[BadOffer] = UnsuitableOffer
    """Of an offer that can be read but asks for something else."""


CALL = Terms(
    audio=frozenset({"sendrecv", "sendonly", "recvonly"}),
    video=frozenset({"sendrecv", "recvonly"}),
    needs_audio=True,
    listens=True,
    sends=True,
    channel=True,
    refusal=BadOffer,
)
"""Microphone in, avatar out, in one connection; without video it is a telephone."""
CALL_WITH_SCREEN = replace(CALL, spare_video=True)
"""From a client that keeps a line ready for a screen that its user may show."""
PUBLISH = Terms(
    audio=frozenset({"sendrecv", "sendonly"}),
    video=frozenset({"sendrecv", "sendonly"}),
    needs_audio=True,
    listens=True,
    sends=False,
)
"""WHIP: a microphone. A picture that comes with it is taken, for OBS cannot do without, and
thrown away."""
WATCH = Terms(
    audio=frozenset({"sendrecv", "recvonly"}),
    video=frozenset({"sendrecv", "recvonly"}),
    needs_audio=False,
    listens=False,
    sends=True,
)
"""WHEP: a viewer, of picture and voice or of one of them."""


@dataclass(frozen=True)
class Offer:
    """A checked offer."""

    sdp: str
    """Without candidates, and with the transport written out in every m-line."""
    description: SessionDescription
    microphone: bool
    """It sends audio that we take."""
    sends: bool
    """We send what it asks for."""
    channel: bool
    """It has a data channel."""

    def media(self, kind: str) -> MediaDescription | None:
        """Its one m-line of this kind, if it has one."""
        return next((m for m in self.description.media if m.kind == kind), None)

    @property
    def kinds(self) -> list[str]:
        """Of its m-lines of media, audio first."""
        return [kind for kind in ("audio", "video") if self.media(kind) is not None]

    @property
    def credentials(self) -> set[tuple[str, str]]:
        """The ICE user fragments and passwords it names; others would be an ICE restart."""
        named = (m.ice for m in self.description.media if m.ice is not None)
        return {(ice.usernameFragment or "", ice.password or "") for ice in named}


def parse_offer(text: str, terms: Terms = CALL, *, max_bytes: int = MAX_OFFER_BYTES) -> Offer:
    """Parse and check an offer: at most one audio line, one video line and one data channel,
    bundled, in any order, and what `terms` say.

    Its candidates are passed over. We only answer a peer's connectivity checks, which tell us its
    address, and send nothing to an address because an offer names it. So it does not matter
    whether they are ones that we could use, nor whether there are any.

    Raises `BadOffer`, or `terms.refusal`, with a message that tells the sender what to change.
    """
    if len(text) > max_bytes or len(text.encode(errors="replace")) > max_bytes:
        raise BadOffer(f"the offer is larger than {max_bytes} bytes")
    if not text.startswith("v=0"):
        raise BadOffer("the offer is not SDP: it must begin with v=0")
    text = without_excess(text)
    try:
        description = SessionDescription.parse(text)
        description.type = "offer"
        _check_lines(description, terms)
        spare = [media for media in description.media if media.kind == "video"][1:]
        for media in description.media:
            _check_transport(media)
            if media.kind != "application" and media not in spare:
                _check_media(media, terms)
    except _PARSE_ERRORS as error:
        raise BadOffer(f"the offer cannot be parsed: {error or type(error).__name__}") from error
    return Offer(
        sdp=text,
        description=description,
        microphone=terms.listens
        and any(m.kind == "audio" and m.direction != "recvonly" for m in description.media),
        sends=terms.sends,
        channel=any(m.kind == "application" for m in description.media),
    )


def audio_preferences() -> list[RTCRtpCodecCapability]:
    """Opus and nothing else: every WebRTC client has it."""
    return [c for c in _capabilities("audio") if c.mimeType.lower() == "audio/opus"]


def video_preferences(first: VideoCodec) -> list[RTCRtpCodecCapability]:
    """All we can encode, `first` in front, with retransmission."""
    return sorted(_capabilities("video"), key=lambda c: c.mimeType != f"video/{first}")


def _capabilities(kind: str) -> list[RTCRtpCodecCapability]:
    capabilities: list[RTCRtpCodecCapability] = RTCRtpSender.getCapabilities(kind).codecs
    return capabilities


def _check_lines(description: SessionDescription, terms: Terms) -> None:
    kinds = [m.kind for m in description.media]
    audio, video = kinds.count("audio"), kinds.count("video")
    most = 1 + terms.spare_video
    if audio > 1 or video > most or not audio + video or (terms.needs_audio and not audio):
        least = "exactly one" if terms.needs_audio else "at most one"
        raise (terms.refusal if kinds else BadOffer)(
            f"the offer needs {least} audio and at most one video m-line, "
            f"it has {audio} and {video}"
        )
    if kinds.count("application") > 1 or len(set(kinds) - {"audio", "video", "application"}) > 0:
        raise terms.refusal(
            "beside audio and video the offer may have one data channel, nothing else"
        )
    if "application" in kinds and not terms.channel:
        raise terms.refusal("there is no data channel here; leave it out of the offer")
    streams = {m.msid.split()[0] for m in description.media if m.msid} - {"-"}
    if len(streams) > 1 and not terms.channel:
        raise terms.refusal("all m-lines must be of one MediaStream")
    mids = [m.rtp.muxId for m in description.media]
    if not all(mids) or len(set(mids)) != len(mids):
        raise BadOffer("every m-line needs its own a=mid")
    bundles = [g for g in description.group if g.semantic == "BUNDLE"]
    if len(bundles) != 1 or set(bundles[0].items) != set(mids):
        raise BadOffer("all m-lines must be in one a=group:BUNDLE")


def _check_transport(media: MediaDescription) -> None:
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise BadOffer(f"the {media.kind} m-line has no a=ice-ufrag or a=ice-pwd")
    if media.ice.iceLite:
        raise BadOffer("the offer is of an ICE lite agent; we only answer connectivity checks")
    if media.dtls is None or not media.dtls.fingerprints:
        raise BadOffer(f"the {media.kind} m-line has no a=fingerprint or no a=setup")
    if not any(f.algorithm.lower() in _DIGESTS for f in media.dtls.fingerprints):
        raise BadOffer("a=fingerprint must use sha-256, sha-384 or sha-512")
    if media.dtls.role == "server":
        raise BadOffer("a=setup must be actpass or active in an offer")
    if media.kind == "application" and media.sctp_port is None and media.profile != "DTLS/SCTP":
        raise BadOffer("the data channel's m-line has no a=sctp-port")


def _check_media(media: MediaDescription, terms: Terms) -> None:
    if not media.rtcp_mux:
        raise BadOffer(f"the {media.kind} m-line has no a=rtcp-mux")
    directions = terms.audio if media.kind == "audio" else terms.video
    if media.direction not in directions:
        raise terms.refusal(
            f"the {media.kind} m-line must be one of {', '.join(sorted(directions))}, "
            f"it is {media.direction}"
        )
    common = find_common_codecs(CODECS[media.kind], media.rtp.codecs)
    names = {c.mimeType.lower() for c in common}
    wanted = {"audio/opus"} if media.kind == "audio" else {"video/vp8", "video/h264"}
    if not names & wanted:
        codecs = "Opus" if media.kind == "audio" else _VIDEO
        raise terms.refusal(f"the {media.kind} m-line has no codec we share; offer {codecs}")
