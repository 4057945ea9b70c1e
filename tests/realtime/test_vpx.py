"""libvpx by its own interface: the bytes of FFmpeg's wrapper, and a bitrate that follows."""

import contextlib
import gc
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

from realtime.sinks.webrtc import vpx
from realtime.sinks.webrtc.vpx import Vp8, VpxError

HZ = 90_000
SPAN = HZ // 25


def picture(n: int, width: int, height: int) -> av.VideoFrame:
    """Blocks that move under noise of a few grey levels: hard, but not beyond 200 kbit/s."""
    blocks = np.random.default_rng(1).integers(40, 210, (-(-height // 8), -(-width // 8)))
    texture = np.kron(blocks, np.ones((8, 8)))[:height, :width]
    noise = np.random.default_rng(n).normal(0, 4, (height, width))
    planes: NDArray[np.uint8] = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = np.clip(np.roll(texture, n % 9, axis=1) + noise, 0, 255).astype(np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def wrapped(width: int, height: int, bps: int) -> VideoCodecContext:
    context = av.CodecContext.create("libvpx", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.bit_rate, context.gop_size, context.thread_count = bps, 3_000, 1
    context.framerate, context.time_base = Fraction(25, 1), Fraction(1, HZ)
    context.qmin, context.qmax = 2, 56
    context.options = {
        "deadline": "realtime",
        "cpu-used": "-8",
        "lag-in-frames": "0",
        "error-resilient": "default",
        "noise-sensitivity": "0",
        "static-thresh": "1",
        "minrate": str(bps),
        "maxrate": str(bps),
        "bufsize": str(bps * 6 // 10),
        "undershoot-pct": "100",
        "overshoot-pct": "15",
    }
    return context


@pytest.mark.parametrize(("width", "height"), [(128, 128), (250, 142)])  # rows with padding too
def test_the_bytes_are_those_of_ffmpegs_wrapper(width: int, height: int) -> None:
    ours, theirs = Vp8(width, height, 400_000, HZ), wrapped(width, height, 400_000)
    for n in range(12):
        frame = picture(n, width, height)
        data, is_key = ours.encode(frame, n * SPAN, SPAN, keyframe=n == 7)
        assert is_key == (n in (0, 7))
        frame.pts, frame.time_base = n * SPAN, Fraction(1, HZ)
        frame.pict_type = PictureType.I if n == 7 else PictureType.NONE
        assert data == b"".join(bytes(packet) for packet in theirs.encode(frame)), n


def test_a_new_bitrate_holds_from_the_next_frames_on() -> None:
    stream, sizes = Vp8(128, 128, 800_000, HZ), []
    for n in range(100):
        if n == 50:
            stream.set_bitrate(200_000)
        data, is_key = stream.encode(picture(n, 128, 128), n * SPAN, SPAN, keyframe=False)
        assert is_key == (n == 0)
        sizes.append(len(data))
    before, after = (8 * 25 * np.mean(part) for part in (sizes[25:50], sizes[75:]))
    assert before == pytest.approx(800_000, rel=0.3)
    assert after == pytest.approx(200_000, rel=0.3)


def test_a_frame_of_another_size_and_a_size_of_nothing_are_refused() -> None:
    stream = Vp8(64, 64, 200_000, HZ)
    with pytest.raises(ValueError, match="128 x 64 in a stream of 64 x 64"):
        stream.encode(picture(0, 128, 64), 0, SPAN, keyframe=False)
    with pytest.raises(VpxError, match="parameter"):
        Vp8(0, 64, 200_000, HZ)


def test_a_library_with_another_interface_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpx, "_ENCODER_ABI", vpx._ENCODER_ABI + 1)
    with pytest.raises(VpxError, match="version mismatch"):
        Vp8(64, 64, 200_000, HZ)


def test_a_stream_that_never_was_is_let_go_of_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library() -> None:
        raise VpxError("there is none")

    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    monkeypatch.setattr(vpx, "_library", no_library)
    with contextlib.suppress(VpxError):
        Vp8(64, 64, 200_000, HZ)
    gc.collect()
    assert not complaints
