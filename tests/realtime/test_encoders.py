"""The session's own encoders: quality, bitrate that follows, keyframes only when asked."""

from __future__ import annotations

import av
import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from realtime.media import own_frame
from realtime.sinks.webrtc.codecs import (
    BitrateConfig,
    H264Encoder,
    VideoCodec,
    VideoEncoder,
    default_bitrate,
    video_encoder,
)

SIZE = 256
CODECS: list[VideoCodec] = ["VP8", "H264"]


def parameters(codec: VideoCodec) -> RTCRtpCodecParameters:
    return RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000, payloadType=96)


def scene(n: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Textured planes that sway and shimmer, hard enough to use any bitrate up."""
    rng = np.random.default_rng(5)
    texture = np.kron(rng.integers(40, 210, (size // 8, size // 8)), np.ones((8, 8)))
    noise = np.random.default_rng(n).normal(0, 6, (size, size))
    planes = np.full((size * 3 // 2, size), 128.0)
    planes[:size] = np.roll(texture, round(5 * np.sin(n / 4)), axis=1) + noise
    return np.clip(planes, 0, 255).astype(np.uint8)


def frame(n: int, size: int = SIZE) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(scene(n, size), format="yuv420p")


def encode(
    encoder: VideoEncoder, n: int, size: int = SIZE, *, keyframe: bool = False
) -> list[bytes]:
    """The payloads of frame `n`."""
    payloads, is_key = encoder.encode(frame(n, size), pts=n * 3_600, keyframe=keyframe)
    codec: VideoCodec = "H264" if isinstance(encoder, H264Encoder) else "VP8"
    assert is_key == is_keyframe(codec, payloads)
    return payloads


def is_keyframe(codec: VideoCodec, payloads: list[bytes]) -> bool:
    data = b"".join(depayload(parameters(codec), p) for p in payloads)
    if codec == "VP8":
        return data[0] & 1 == 0
    return b"\x00\x00\x00\x01\x65" in data


@pytest.mark.parametrize("codec", CODECS)
def test_payloads_decode_to_the_picture_and_fit_in_packets(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig(start_bps=2_000_000))
    decoder = av.CodecContext.create("libvpx" if codec == "VP8" else "h264", "r")
    shown = []
    for n in range(10):
        payloads = encode(encoder, n)
        assert max(map(len, payloads)) <= 1_300
        data = b"".join(depayload(parameters(codec), p) for p in payloads)
        shown += decoder.decode(av.Packet(data))  # type: ignore[attr-defined]
    error = np.mean((shown[-1].to_ndarray().astype(float) - scene(len(shown) - 1)) ** 2)
    assert error < 255**2 / 10**2.5  # 25 dB, of noise mostly


@pytest.mark.parametrize("codec", CODECS)
def test_bitrate_is_kept_and_follows_a_new_target(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig(start_bps=900_000))
    sizes = []
    for n in range(150):
        if n == 75:
            encoder.set_target(300_000)
        sizes.append(sum(map(len, encode(encoder, n))))
    assert np.mean(sizes[25:75]) * 8 * 25 == pytest.approx(900_000, rel=0.3)
    assert np.mean(sizes[100:]) * 8 * 25 == pytest.approx(300_000, rel=0.3)


@pytest.mark.parametrize("codec", CODECS)
def test_a_target_that_rises_is_followed_too(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig(start_bps=250_000))
    sizes = []
    for n in range(120):
        if n == 60:
            encoder.set_target(700_000)
        sizes.append(sum(map(len, encode(encoder, n))))
    assert np.mean(sizes[10:60]) * 8 * 25 == pytest.approx(250_000, rel=0.3)
    assert np.mean(sizes[70:]) * 8 * 25 == pytest.approx(700_000, rel=0.3)


@pytest.mark.parametrize("codec", CODECS)
def test_keyframes_come_first_and_on_request_only(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig(start_bps=900_000))
    keyframes = [n for n in range(60) if is_keyframe(codec, encode(encoder, n, keyframe=n == 40))]
    assert keyframes == [0, 40]


@pytest.mark.parametrize("codec", CODECS)
def test_the_bitrate_changes_without_a_keyframe(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig(start_bps=900_000))
    keyframes = []
    for n in range(60):
        if n % 10 == 9:
            encoder.set_target(200_000 + 30_000 * n)
        keyframes.append(is_keyframe(codec, encode(encoder, n)))
    assert keyframes == [True] + [False] * 59


@pytest.mark.parametrize("codec", CODECS)
def test_a_new_picture_size_is_taken_in_stride(codec: VideoCodec) -> None:
    encoder = video_encoder(parameters(codec), BitrateConfig())
    assert encode(encoder, 0)
    payloads = encode(encoder, 1, 128)
    assert is_keyframe(codec, payloads)


def test_targets_stay_within_limits() -> None:
    encoder = video_encoder(parameters("VP8"), BitrateConfig())
    encoder.set_target(1)
    assert encoder.target_bps == 120_000
    encoder.set_target(10**9)
    assert encoder.target_bps == 2_500_000


def test_default_bitrates_are_those_of_a_talking_face() -> None:
    assert default_bitrate(256, 256) == pytest.approx(500_000, rel=0.01)
    assert default_bitrate(512, 512) == pytest.approx(1_200_000, rel=0.02)


def test_other_codecs_and_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="VP8"):
        video_encoder(
            RTCRtpCodecParameters(mimeType="video/AV1", clockRate=90_000), BitrateConfig()
        )
    encoder = video_encoder(parameters("VP8"), BitrateConfig())
    with pytest.raises(ValueError, match="yuv420p"):
        encoder.encode(av.VideoFrame(64, 64, "rgb24"), pts=0, keyframe=False)


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_that_others_encode_too_is_not_written_to(codec: VideoCodec) -> None:
    """A picture shown twice is encoded at two times, by several encoders at once."""
    shared = frame(0)
    before, planes = shared.to_ndarray(), [plane.buffer_ptr for plane in shared.planes]
    encoder = video_encoder(parameters(codec), BitrateConfig())
    for n in range(3):
        payloads, _ = encoder.encode(shared, pts=n * 3_600, keyframe=n == 1)
        assert is_keyframe(codec, payloads) == (n < 2)
    assert (shared.pts, shared.time_base, shared.pict_type) == (None, None, 0)
    assert np.array_equal(shared.to_ndarray(), before)
    assert [plane.buffer_ptr for plane in own_frame(shared).planes] == planes  # none is copied
