"""Offers as browsers make them pass; everything else is refused with a reason, and only that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import BadOffer, UnsuitableOffer
from realtime.sinks.webrtc.offer import (
    PUBLISH,
    WATCH,
    audio_preferences,
    parse_offer,
    video_preferences,
)

DIGEST = ":".join(["4A"] * 32)
TRANSPORT = f"""a=ice-ufrag:Ab1+
a=ice-pwd:0123456789abcdefghijklmn
a=fingerprint:sha-256 {DIGEST}
a=setup:actpass"""

AUDIO = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=ssrc:3735928559 cname:user3735928559@host
{TRANSPORT}"""

VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97 102
c=IN IP4 0.0.0.0
a=mid:1
a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
{TRANSPORT}"""

CHANNEL = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
{TRANSPORT}"""


def offer(*sections: str, bundle: str = "0 1 2") -> str:
    head = f"v=0\no=- 42 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {bundle}"
    return "\r\n".join("\n".join([head, *sections]).splitlines()) + "\r\n"


GOOD = offer(AUDIO, VIDEO, CHANNEL)


def test_a_browsers_offer_is_understood() -> None:
    parsed = parse_offer(GOOD)
    assert parsed.microphone
    assert parsed.channel
    assert parsed.media("video").rtp.muxId == "1"
    assert parsed.sdp == GOOD


def test_the_data_channel_and_the_microphone_are_optional_and_order_is_free() -> None:
    assert not parse_offer(offer(AUDIO, VIDEO, bundle="0 1")).channel
    assert not parse_offer(GOOD.replace("a=sendrecv", "a=recvonly")).microphone
    assert parse_offer(GOOD.replace("a=sendrecv", "a=sendonly")).microphone
    assert parse_offer(GOOD.replace("a=recvonly", "a=sendrecv"))
    assert parse_offer(offer(CHANNEL, VIDEO, AUDIO, bundle="2 1 0"))


def test_what_we_hear_and_send_is_a_matter_of_the_interface() -> None:
    telephone = parse_offer(offer(AUDIO, CHANNEL, bundle="0 2"))
    assert (telephone.kinds, telephone.microphone, telephone.sends) == (["audio"], True, True)
    two = offer(VIDEO.replace("recvonly", "sendrecv"), AUDIO, bundle="1 0")
    published, watched = parse_offer(two, PUBLISH), parse_offer(two, WATCH)
    assert published.kinds == watched.kinds == ["audio", "video"]
    assert (published.microphone, published.sends) == (True, False)
    assert (watched.microphone, watched.sends) == (False, True)
    assert parse_offer(offer(VIDEO, bundle="1"), WATCH).kinds == ["video"]
    with pytest.raises(UnsuitableOffer, match="data channel"):
        parse_offer(GOOD, WATCH)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "v=0"),
        ("hello", "v=0"),
        ("v=0\r\n", "exactly one audio"),
        ("v=0" + "x" * 70_000, "larger than"),
        ("v=0\r\n" + "ü" * 40_000, "larger than"),
        (GOOD + "a=x\r\n" * 5_000, "1000 and 16 are taken"),
        (GOOD + "m=audio 9 X 0\r\n" * 20, "1000 and 16 are taken"),
        (GOOD + "\n" * 60_000, "1000 and 16 are taken"),
        (GOOD + f"a=fmtp:111 {'a=1;' * 2_000}\r\n", "8011 characters; 4096 are taken"),
        (GOOD + "a=rtpmap:111 opus/48000/2\r\n" * 200, "200 lines a=rtpmap; 128 are taken"),
        (offer(VIDEO, CHANNEL, bundle="1 2"), "exactly one audio"),
        (offer(AUDIO, VIDEO, VIDEO.replace("mid:1", "mid:3"), bundle="0 1 3"), "exactly one audio"),
        (offer(AUDIO, VIDEO, CHANNEL, CHANNEL.replace("mid:2", "mid:3")), "one data channel"),
        (offer(AUDIO, VIDEO, CHANNEL.replace("m=application", "m=text")), "one data channel"),
        (GOOD.replace("a=mid:1", "a=mid:0"), "a=mid"),
        (GOOD.replace("a=mid:1\r\n", ""), "a=mid"),
        (GOOD.replace("BUNDLE 0 1 2", "BUNDLE 0 1"), "BUNDLE"),
        (GOOD.replace("a=group:BUNDLE 0 1 2\r\n", ""), "BUNDLE"),
        (GOOD.replace("a=ice-ufrag:Ab1+\r\n", ""), "ice-ufrag"),
        (GOOD.replace("a=fingerprint:sha-256", "a=fingerprint:md5"), "sha-256"),
        (GOOD.replace("a=setup:actpass", "a=setup:passive"), "actpass"),
        (GOOD.replace("a=setup:actpass\r\n", ""), "a=setup"),
        (GOOD.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (GOOD.replace("a=sendrecv", "a=inactive"), "inactive"),
        (GOOD.replace("a=recvonly", "a=sendonly"), "sendonly"),
        (GOOD.replace("opus/48000/2", "speex/16000"), "Opus"),
        (GOOD.replace("VP8/90000", "AV1/90000").replace("H264/", "H265/"), "VP8, or H.264"),
        (GOOD.replace("a=sctp-port:5000\r\n", ""), "sctp-port"),
        (GOOD.replace("m=audio 9", "m=audio nine"), "cannot be parsed"),
        (GOOD.replace("a=fmtp:111", "a=fmtp:99"), "cannot be parsed"),
        (GOOD.replace("t=0 0", "t=0 0\r\na=ice-lite"), "ICE lite"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadOffer, match=reason):
        parse_offer(text)


LINES = GOOD.splitlines()


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A good offer with lines lost, doubled, swapped, cut or overwritten."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 2:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case _:
                where = draw(st.integers(0, len(lines[at])))
                junk = draw(st.text(max_size=12))
                lines[at] = lines[at][:where] + junk + lines[at][where:]
        if len(lines) < 2:
            break
    return "\r\n".join(lines)


@given(st.one_of(damaged(), st.text(max_size=200).map("v=0\r\n".__add__), st.text(max_size=50)))
def test_no_offer_raises_anything_but_bad_offer(text: str) -> None:
    try:
        parsed = parse_offer(text)
    except BadOffer as error:
        assert str(error)
    else:
        assert "audio" in {m.kind for m in parsed.description.media}


def test_preferences_put_the_wanted_codec_first() -> None:
    assert [c.mimeType for c in audio_preferences()] == ["audio/opus"]
    assert video_preferences("H264")[0].mimeType == "video/H264"
    assert video_preferences("VP8")[0].mimeType == "video/VP8"
    assert {c.mimeType for c in video_preferences("VP8")} == {
        "video/VP8",
        "video/H264",
        "video/rtx",
    }


def test_candidates_are_passed_over_whatever_they_are() -> None:
    lines = ["candidate:1 1 udp 1 10.0.0.1 9 typ host", "candidate:nonsense", "end-of-candidates:"]
    assert parse_offer(GOOD + "".join(f"a={line}\r\n" for line in lines * 100)).sdp == GOOD


@pytest.mark.parametrize("order", ["0 1 2", "2 0 1"])
def test_lines_without_a_transport_take_that_of_the_bundle(order: str) -> None:
    """RFC 9143: bundle-only lines have port 0 and only what is their own."""
    sections = {"0": AUDIO, "1": VIDEO, "2": CHANNEL}
    for mid in order.split()[1:]:
        sections[mid] = sections[mid].replace(TRANSPORT, "a=bundle-only").replace(" 9 ", " 0 ", 1)
    sections["1"] = sections["1"].replace("a=rtcp-mux\n", "")
    bundled = offer(*sections.values(), bundle=order)
    for media in parse_offer(bundled).description.media:
        assert media.ice.usernameFragment == "Ab1+"
        assert [f.value for f in media.dtls.fingerprints] == [DIGEST]
        assert media.rtcp_mux or media.kind == "application"
    with pytest.raises(BadOffer, match="ice-ufrag"):
        parse_offer(bundled.replace("a=ice-ufrag:Ab1+\r\n", ""))


def test_h264_of_another_profile_is_told_which_one_we_need() -> None:
    high = GOOD.replace("VP8/90000", "AV1/90000").replace("42e01f", "640c1f")
    with pytest.raises(BadOffer, match="profile-level-id=42e01f and packetization-mode=1"):
        parse_offer(high)


def calls(run: Callable[[], object]) -> int:
    """How many functions are called meanwhile: what reading takes, on any machine."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


CODECS = "".join(f"a=rtpmap:{n} X/90000\r\n" for n in range(97, 127))
HOSTILE = {
    "rtpmap": "".join(f"a=rtpmap:{112 + n % 14} opus/48000/2\r\n" for n in range(900)),
    "fmtp": CODECS + "".join(f"a=fmtp:{97 + n % 30} a{n}=1\r\n" for n in range(900)),
    "rtcp-fb": CODECS + "a=rtcp-fb:126 nack\r\n" * 900,
    "ssrc": "".join(f"a=ssrc:{n} cname:c\r\n" for n in range(940)),
    "ssrc-group": f"a=ssrc-group:FID {'1 ' * 60}\r\n" * 400,
    "extmap": "".join(f"a=extmap:{n} uri\r\n" for n in range(900)),
    "unknown": "".join(f"a=x-{n}:{'y' * 50}\r\n" for n in range(940)),
    "candidates": "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" * 1_400,
    "empty": "\n" * 60_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_64_kb_take_little_to_read_whatever_they_are(kind: str) -> None:
    """Before there were limits for each it were 360,000 for `empty`, 145,000 for `rtpmap`."""
    text = offer(VIDEO, AUDIO, bundle="1 0") + HOSTILE[kind]
    assert len(text) <= 64 * 1024

    def read() -> None:
        try:
            parsed = parse_offer(text)
        except BadOffer:
            return
        SessionDescription.parse(parsed.sdp)  # as aiortc does then

    assert calls(read) < 25_000


def test_what_a_line_says_of_many_streams_is_passed_over_but_for_the_first() -> None:
    streams = "".join(f"a=ssrc:{n} cname:c\r\n" for n in range(100))
    parsed = parse_offer(offer(VIDEO, AUDIO, bundle="1 0") + streams)
    audio = parsed.media("audio")
    assert audio is not None
    assert [each.ssrc for each in audio.ssrc] == [3735928559, *range(15)]
