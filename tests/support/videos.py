"""Talking videos that our own renderer draws, and files made of them in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from benchmarks.avatars import enrolled, find_photo
from benchmarks.service.signals import clicks_and_vowels
from pipelines.clip import play
from pipelines.pipeline import FPS, HOP_SAMPLES, SAMPLE_RATE_HZ
from pipelines.portrait.system import SYSTEM

SIZE = 256
_TICKS = 12_800  # a second, but in AVI, which knows frames only


@dataclass(frozen=True)
class Drawn:
    """pictures: uint8 [256, 256, 3] RGB at 25 fps; sound: float32 [frames * 640]."""

    pictures: list[np.ndarray]
    sound: np.ndarray


@cache
def drawn_clip() -> Drawn:
    """Three seconds of one of the cast, who says two vowels; drawn once for all tests."""
    sound = clicks_and_vowels(2)[::3]  # 48 kHz to 16
    return draw("amara", sound[: len(sound) // HOP_SAMPLES * HOP_SAMPLES].copy())


def draw(avatar: str, sound: np.ndarray) -> Drawn:
    """One of the cast says `sound`, float32 [n * 640] at 16 kHz."""
    pipeline = SYSTEM.build(1, SYSTEM.Options(), "cpu")
    pipeline.set_identity(0, enrolled(SYSTEM, find_photo(avatar)), (SIZE, SIZE))
    pictures = []
    for shown in play(pipeline, sound, (SIZE, SIZE)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown.picture), "yuv420p")
        pictures.append(frame.to_ndarray(format="rgb24"))
    return Drawn(pictures, sound)


def write_clip(
    path: Path,
    pictures: Sequence[np.ndarray],
    sound: np.ndarray | None = None,
    *,
    times_s: Sequence[float] | None = None,
    sound_at_s: float = 0.0,
    rotation: int = 0,
    codecs: tuple[str, str] = ("libx264", "aac"),
    options: dict[str, str] | None = None,
) -> Path:
    """A file of these pictures and, if given, sound at 16 kHz.

    Args:
        times_s: of the pictures; 25 a second if not given.
        sound_at_s: when the first sample is heard.
        rotation: degrees counter-clockwise by which players are told to turn the pictures.
    """
    height, width = pictures[0].shape[:2]
    base = Fraction(1, FPS if path.suffix == ".avi" else _TICKS)
    times_s = [n / FPS for n in range(len(pictures))] if times_s is None else times_s
    with av.open(path, "w") as out:
        stream = out.add_stream(codecs[0], rate=FPS, width=width, height=height, options=options)
        stream.pix_fmt = "yuvj420p" if codecs[0] == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        track = None
        if sound is not None:
            track = out.add_stream(codecs[1], rate=SAMPLE_RATE_HZ, layout="mono")
        for picture, time_s in zip(pictures, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(time_s / base), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if track is not None and sound is not None:
            for start in range(0, len(sound), HOP_SAMPLES):
                pcm = (sound[start : start + HOP_SAMPLES] * 32_767).astype(np.int16)
                part = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", "mono")
                part.sample_rate = SAMPLE_RATE_HZ
                part.pts = start + round(sound_at_s * SAMPLE_RATE_HZ)
                part.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(track.encode(part))
            out.mux(track.encode())
    return path
