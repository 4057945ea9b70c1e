"""What each video encoder costs and how good its picture is, on a face that talks and pauses.

    python -m benchmarks.speed.encoders [--frames 250] [--sizes 256 512]

CPU milliseconds per frame (thread time), bitrate reached, quality of the luma against the source
while talking, and the size of the first keyframe, at several targets, and at one that changes every
second by a quarter or more, as a link's does. This decides which codec "auto" prefers.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import av
import numpy as np
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from benchmarks.timing import quantiles, write_result
from realtime.sinks.webrtc.codecs import BitrateConfig, video_encoder

TARGETS_BPS = (300_000, 600_000, 1_000_000, 1_500_000)
DECODERS = {"VP8": "libvpx", "H264": "h264"}


def talking_face(count: int, size: int) -> list[NDArray[np.uint8]]:
    """I420 planes of a photo whose head sways and whose mouth opens, with pauses."""
    from skimage import data  # its wheel holds a public-domain portrait

    photo = av.VideoFrame.from_ndarray(data.astronaut(), format="rgb24")
    planes = photo.reformat(width=size, height=size, format="yuv420p").to_ndarray()
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    head = np.exp(-(((x - 0.43) / 0.18) ** 2 + ((y - 0.25) / 0.25) ** 2))
    mouth = np.exp(-(((x - 0.44) / 0.05) ** 2 + ((y - 0.33) / 0.03) ** 2))
    frames = []
    for n in range(count):
        t = n / 25
        talking = (t % 6) < 4
        dx = 0.006 * np.sin(1.3 * t) * head
        dy = 0.004 * np.sin(0.9 * t) * head
        if talking:
            dy = dy + 0.02 * abs(np.sin(9 * t)) * mouth * np.sign(y - 0.33)
        frame = planes.copy()
        frame[:size] = _sample(planes[:size].astype(np.float32), (x - dx) * size, (y - dy) * size)
        if talking:
            dark = 0.7 * abs(np.sin(9 * t)) * np.clip(mouth * 2 - 1, 0, 1)
            frame[:size] = (frame[:size] * (1 - dark)).astype(np.uint8)
        frames.append(frame)
    return frames


def _sample(
    image: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Bilinear lookup, clamped at the edges."""
    size = image.shape[0]
    x, y = np.clip(x, 0, size - 1.001), np.clip(y, 0, size - 1.001)
    i, j = y.astype(int), x.astype(int)
    v, u = y - i, x - j
    top = image[i, j] * (1 - u) + image[i, j + 1] * u
    bottom = image[i + 1, j] * (1 - u) + image[i + 1, j + 1] * u
    return np.clip(top * (1 - v) + bottom * v, 0, 255).astype(np.uint8)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = float(np.mean((a.astype(np.float32) - b) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-3)))


def moving_targets(count: int) -> list[int]:
    """Of a link that changes, in bit/s, a second each."""
    rng, targets = np.random.default_rng(0), [600_000]
    while len(targets) < count:
        targets.append(int(np.clip(targets[-1] * rng.choice([0.6, 0.75, 1.3, 1.6]), 2e5, 1.5e6)))
    return targets


def measure(codec: str, frames: list[NDArray[np.uint8]], targets_bps: list[int]) -> dict[str, Any]:
    """Encode and decode one sequence; a target a second, the last one until the end."""
    size = frames[0].shape[1]
    parameters = RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000, payloadType=96)
    encoder = video_encoder(parameters, BitrateConfig(start_bps=targets_bps[0]))
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    costs, sizes, qualities, keyframes = [], [], [], 0
    for n, planes in enumerate(frames):
        if n % 25 == 0 and n // 25 < len(targets_bps):
            encoder.set_target(targets_bps[n // 25])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        begin = time.thread_time()
        payloads, is_key = encoder.encode(frame, pts=n * 3_600, keyframe=False)
        costs.append((time.thread_time() - begin) * 1000)
        keyframes += is_key
        data = b"".join(depayload(parameters, payload) for payload in payloads)
        sizes.append(len(data))
        for shown in decoder.decode(av.Packet(data)):  # type: ignore[attr-defined]
            if n > 25:
                qualities.append(psnr(shown.to_ndarray()[:size], planes[:size]))
    return {
        "codec": codec,
        "size": size,
        "target_kbps": round(float(np.mean(targets_bps)) / 1000),
        "targets": len(targets_bps),
        "reached_kbps": round(float(np.mean(sizes[25:])) * 8 * 25 / 1000),
        "cpu_ms_per_frame": quantiles(costs[5:]),
        "psnr_db_mean": round(float(np.mean(qualities)), 2),
        "psnr_db_p5": round(float(np.percentile(qualities, 5)), 2),
        "keyframes": keyframes,
        "keyframe_bytes": sizes[0],
        "largest_later_bytes": max(sizes[1:]),
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    arguments = parser.parse_args(argv)
    figures = []
    for size in arguments.sizes:
        frames = talking_face(arguments.frames, size)
        for targets in (*([bps] for bps in TARGETS_BPS), moving_targets(arguments.frames // 25)):
            for codec in DECODERS:
                figure = measure(codec, frames, targets)
                figures.append(figure)
                cost = figure["cpu_ms_per_frame"]
                print(
                    f"{size:4d} px  {codec:5s} {figure['target_kbps']:5d} kbit/s -> "
                    f"{figure['reached_kbps']:5d} ({figure['targets']} targets, "
                    f"{figure['keyframes']} key frames)  "
                    f"{cost['p50']:.2f} ms (p95 {cost['p95']:.2f})  "
                    f"{figure['psnr_db_mean']:.1f} dB (p5 {figure['psnr_db_p5']:.1f})  "
                    f"first frame {figure['keyframe_bytes'] / 1000:.0f} kB"
                )
    print("written to", write_result("encoders", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
