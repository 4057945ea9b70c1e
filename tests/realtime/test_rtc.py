"""Real peers over loopback: what goes out, what comes in, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading

import numpy as np
import pytest
from aiortc import rtp

from realtime.errors import BadOffer
from realtime.sinks.webrtc.codecs import BitrateConfig
from realtime.sinks.webrtc.offer import Offer
from realtime.sinks.webrtc.peer import Peer
from realtime.sinks.webrtc.settings import RtcConfig, local_addresses
from tests.support.peers import LOOPBACK, Client, Server, connected, draw_card, until


async def test_both_tracks_arrive_in_time_and_tell_one_media_time() -> None:
    async with connected() as (server, client):
        audio, video = client.received["audio"], client.received["video"]
        await until(lambda: len(video.frames) >= 50)
        await until(lambda: len(audio.reports) >= 3 and len(video.reports) >= 3)

        def media(kind: str, timestamp: int) -> int:
            """Ticks since media time 0."""
            origin = server.peer._senders[kind]._origin
            return (timestamp - origin + 2**31) % 2**32 - 2**31

        for kind, step in (("audio", 960), ("video", 3_600)):  # 50 and 25 a second
            packets = client.received[kind].packets
            times = sorted({media(kind, packet.timestamp) for packet, _ in packets})
            assert np.diff(times).min() == step
            assert not np.any(np.diff(times) % step)
        zeros = [
            report.sender_info.ntp_timestamp / 2**32
            - media(kind, report.sender_info.rtp_timestamp) / rate
            for kind, rate in (("audio", 48_000), ("video", 90_000))
            for report in client.received[kind].reports
        ]
        assert max(zeros) - min(zeros) < 0.001  # wall time of media time 0, s


async def test_the_microphone_arrives_and_is_returned() -> None:
    async with connected() as (server, client):
        await until(lambda: sum(hop.voice.any() for hop in server.hops) >= 25)
        samples = np.concatenate([hop.samples for hop in server.hops[-10:]])
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        assert np.argmax(spectrum) * 16_000 / len(samples) == pytest.approx(440, abs=5)
        assert 0.1 < np.abs(samples).max() < 0.3
        sounds = client.received["audio"].frames
        await until(lambda: np.abs(sounds[-1].to_ndarray()).max() > 4_000)
        client.microphone.muted.set()
        await until(lambda: not server.hops[-1].voice.any())
        assert server.states == ["connected"]
        await until(lambda: np.abs(sounds[-1].to_ndarray()).max() < 200)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_pictures_arrive_as_drawn(codec: str) -> None:
    config = RtcConfig(host_addresses=("127.0.0.1",), video_codec=codec)  # type: ignore[arg-type]
    async with connected(config) as (server, client):
        frames = client.received["video"].frames
        await until(lambda: len(frames) >= 20)
        assert server.peer.video_codec == codec
        shown = frames[-1].to_ndarray(format="yuv420p").astype(float)
        cards = [draw_card(n * 640) for n in range(64)]  # then they repeat
        assert min(np.mean((shown - card) ** 2) for card in cards) < 255**2 / 10**3  # 30 dB
        assert min(server.encoded_s) > 0.0


async def test_answer_negotiates_what_we_need() -> None:
    async with connected() as (server, _):
        answer = server.peer.answer_sdp
        audio, video = answer.split("m=audio")[1].split("m=video")
        assert "opus/48000/2" in audio
        assert "PCMU" not in audio
        assert "useinbandfec=1" in audio
        assert "a=extmap:9 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay" in video
        assert "a=sendrecv" in audio
        assert "a=sendonly" in video
        streams = {line.split()[0] for line in answer.splitlines() if line.startswith("a=msid:")}
        cnames = {line.split("cname:")[1] for line in answer.splitlines() if "cname:" in line}
        assert len(streams) == len(cnames) == 1
        assert "127.0.0.1" in answer


async def test_every_video_packet_asks_to_be_shown_with_the_voice() -> None:
    async with connected() as (_, client):
        packets = client.received["video"].packets
        await until(lambda: len(packets) >= 10)
        assert all(extensions[9] == b"\x00\x60\xc8" for _, extensions in packets)
        sounds = client.received["audio"].packets
        assert not any(9 in extensions for _, extensions in sounds)


async def test_a_peer_may_listen_without_a_microphone() -> None:
    async with connected(microphone=False) as (server, client):
        await until(lambda: len(client.received["video"].frames) >= 5)
        assert server.microphone.stats.received == 0


async def test_picture_loss_brings_a_keyframe_and_remb_sets_the_bitrate() -> None:
    config = RtcConfig(host_addresses=("127.0.0.1",), video_codec="H264")
    async with connected(config) as (server, client):
        frames = client.received["video"].frames
        await until(lambda: len(frames) >= 10)
        sender = server.peer._senders["video"]
        pli = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=1, media_ssrc=sender._ssrc)
        before = len(frames)
        await client.transport._send_rtp(bytes(pli))
        await until(lambda: any(frame.key_frame for frame in frames[before:]))
        assert server.peer.stats().keyframe_requests == 1
        for asked, given in ((700_000, 700_000), (9_000_000, 2_500_000)):
            fci = rtp.pack_remb_fci(asked, [sender._ssrc])
            remb = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci)
            await client.transport._send_rtp(bytes(remb))
            await until(lambda given=given: server.peer.stats().target_bps == given)


async def test_events_go_both_ways() -> None:
    async with connected() as (server, client):
        await until(lambda: server.channels)
        heard: list[str | bytes] = []
        answered: list[str] = []
        channel = server.channels[0]
        assert channel.label == "events"
        channel.on_message = heard.append
        client.channel.on("message", answered.append)
        await until(lambda: client.channel.readyState == "open")
        client.channel.send("hello")
        client.channel.send(b"\x00\xff")
        await until(lambda: len(heard) == 2)
        assert heard == ["hello", b"\x00\xff"]
        assert channel.send("welcome")
        await until(lambda: answered)
        assert answered == ["welcome"]
    assert not channel.send("too late")
    assert channel.dropped == 1


async def test_garbage_audio_and_reports_do_not_end_the_connection() -> None:
    async with connected() as (server, client):
        await until(lambda: server.microphone.stats.received > 5)
        payload_type = client._audio_type()
        for size in (1, 2, 100, 1_200):
            packet = rtp.RtpPacket(
                payload_type=payload_type,
                sequence_number=size,
                timestamp=123_456_789,
                ssrc=77,
                payload=os.urandom(size),
            )
            await client.transport._send_rtp(packet.serialize())
        fb = rtp.RtcpRtpfbPacket(
            fmt=rtp.RTCP_RTPFB_NACK, ssrc=1, media_ssrc=server.peer._senders["video"]._ssrc
        )
        fb.lost = list(range(0, 60_000, 997))
        await client.transport._send_rtp(bytes(fb))
        await client.transport._send_rtp(b"\x8f\xce\x00\x02" + os.urandom(8))
        hops, frames = len(server.hops), len(client.received["video"].frames)
        await until(lambda: len(server.hops) > hops + 10)
        await until(lambda: len(client.received["video"].frames) > frames + 10)
        assert server.states == ["connected"]


async def test_lost_packets_are_concealed() -> None:
    async with connected() as (server, _):
        receiver = server.peer._receiver
        assert receiver is not None
        take = receiver._handle_rtp_packet
        count = 0

        async def lose(packet: rtp.RtpPacket, arrival_time_ms: int) -> None:
            nonlocal count
            count += 1
            if count % 20:
                await take(packet, arrival_time_ms)

        receiver._handle_rtp_packet = lose  # type: ignore[method-assign]
        await until(lambda: server.microphone.stats.lost >= 5)
        assert server.microphone.stats.concealed_samples > 0


async def test_a_peer_that_says_goodbye_is_closed() -> None:
    async with connected() as (server, client):
        await client.close()
        await until(lambda: server.states[-1] == "closed")
        assert server.peer.state == "closed"


async def test_a_peer_that_never_comes_has_failed() -> None:
    config = RtcConfig(host_addresses=("127.0.0.1",), connect_timeout_s=0.05)
    server, client = Server(config), Client()
    await server.answer(await client.offer())
    await until(lambda: server.states == ["failed"])
    await server.close()
    assert server.states == ["failed", "closed"]
    await client.close()


async def test_closing_during_connection_leaves_nothing() -> None:
    server, client = Server(), Client()
    await client.accept(await server.answer(await client.offer()))
    await asyncio.gather(server.close(), server.peer.close(), client.close())
    assert server.states == ["closed"]


def with_candidates(offer: str, *candidates: str) -> str:
    """The offer with these candidates alone, and the word that no more will come."""
    kept = "".join(
        line + "\r\n"
        for line in offer.splitlines()
        if not line.startswith(("a=candidate", "a=end-of-candidates"))
    )
    lines = [f"a=candidate:{candidate}" for candidate in candidates] + ["a=end-of-candidates"]
    return kept + "".join(line + "\r\n" for line in lines)


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        ["1 1 udp 2130706431 f00d.local 9 typ host"],
        ["1 1 udp 2130706431 F00D.LOCAL 9 typ host"],
        ["1 1 udp 2130706431 peer.invalid 9 typ host"],
        ["1 1 udp 2130706431 2001:db8::1 9 typ host"],
        ["1 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active"],
        ["what is this"],
    ],
)
async def test_a_peer_is_found_by_its_own_checks(candidates: list[str]) -> None:
    server, client = Server(), Client()
    await client.accept(await server.answer(with_candidates(await client.offer(), *candidates)))
    await until(lambda: "connected" in server.states)
    await client.close()
    await server.close()


async def test_an_offer_with_one_transport_for_all_is_answered() -> None:
    """RFC 9143: the lines after the first leave out what they share with it."""
    server, client = Server(), Client()
    first, *others = (await client.offer()).split("m=video")
    transport = ("a=ice-", "a=fingerprint", "a=setup", "a=candidate", "a=end-of", "a=rtcp")
    lines = [x for x in "m=video".join(["", *others]).splitlines() if not x.startswith(transport)]
    bundled = [f"a=bundle-only\r\n{x}" if x.startswith("a=mid") else x for x in lines]
    await client.accept(await server.answer(first + "\r\n".join(bundled) + "\r\n"))
    await until(lambda: "connected" in server.states and server.channels)
    await client.close()
    await server.close()


async def test_nothing_is_sent_to_the_addresses_of_an_offer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.setblocking(False)
        port = stranger.getsockname()[1]
        server, client = Server(), Client()
        offer = await client.offer()
        many = [f"{n} 1 udp {2**31 - n} 127.0.0.1 {port} typ host" for n in range(50)]
        await client.accept(await server.answer(with_candidates(offer, *many)))
        await until(lambda: "connected" in server.states)
        with pytest.raises(BlockingIOError):
            stranger.recv(2_000)
        await client.close()
        await server.close()


async def test_a_connection_that_ends_before_its_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = Peer._answer

    async def fail(peer: Peer, offer: Offer) -> None:
        await answer(peer, offer)
        peer._set_state("failed")

    monkeypatch.setattr(Peer, "_answer", fail)
    server, client = Server(), Client()
    with pytest.raises(BadOffer, match="ended"):
        await server.answer(await client.offer())
    assert server.states == ["failed", "closed"]
    await client.close()


async def test_opening_and_closing_leaves_no_threads_tasks_or_files() -> None:
    async def once() -> None:
        async with connected() as (_, client):
            await until(lambda: client.received["video"].frames)

    def counts() -> tuple[int, int, int]:
        gc.collect()
        files = len(os.listdir("/proc/self/fd"))
        return files, threading.active_count(), len(asyncio.all_tasks())

    for _ in range(3):  # the executor starts its threads
        await once()
    await asyncio.sleep(0)
    before = counts()
    for _ in range(17):
        await once()
    await asyncio.sleep(0)
    after = counts()
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 4  # the executor may start more, up to its limit
    assert after[2] <= before[2]


def test_addresses_follow_the_configuration() -> None:
    assert RtcConfig().addresses() is None
    assert LOOPBACK.addresses() == ["127.0.0.1"]
    everything = RtcConfig(loopback=True).addresses()
    assert everything is not None
    assert everything[0] == "127.0.0.1"
    assert everything == local_addresses()
    with pytest.raises(ValueError, match="min_bps"):
        BitrateConfig(min_bps=5, max_bps=1)
