"""A clip to look at: another checkout's avatar beside this one's, on the same photo and sound.

    python -m benchmarks.lips.side_by_side OLD_CHECKOUT PORTRAIT SOUND OUT_DIR [--seconds 20]
        [--start 0] [--size 512] [--weights FILE|RUN]

Both render by `vivavoce render` with the same seed. OUT_DIR/side_by_side.mp4 has the old one left
and the new one right, with the sound; OUT_DIR/sheet_NN.png every fourth frame, old above new, with
the time of each: 5 s to a sheet, for looking at frame by frame.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.weights_by_path import named
from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.pipeline import FPS, SAMPLE_RATE_HZ

CHECKOUT = Path(__file__).parents[2]
SHEET_S, EVERY = 5, 4  # of a sheet, and frames from one tile to the next
_COLUMNS, _TILE, _CAPTION = 8, 200, 18  # pixels
_FACE = (0.32, 0.92, 0.20, 0.80)  # top, bottom, left, right: from the brows to below the chin

Picture = NDArray[np.uint8]


def cut_sound(sound: Path, out: Path, start_s: float, length_s: float) -> Path:
    """That part of a sound file, mono at 16 kHz, as a WAV file.

    Raises:
        ValueError: the sound ends before `start_s`.
    """
    resampler, parts = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ), []
    with av.open(str(sound)) as container:
        for frame in container.decode(audio=0):
            parts += [one.to_ndarray()[0] for one in resampler.resample(frame)]
    parts += [one.to_ndarray()[0] for one in resampler.resample(None)]
    begin = round(start_s * SAMPLE_RATE_HZ)
    samples = np.concatenate(parts)[begin : begin + round(length_s * SAMPLE_RATE_HZ)]
    if not len(samples):
        raise ValueError(f"{sound} has no sound after {start_s:g} s")
    with av.open(str(out), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return out


def render(checkout: Path, portrait: Path, sound: Path, out: Path, size: int, weights: str) -> None:
    """The clip as that checkout renders it; where it fails, it says why on the error stream."""
    words = ["-m", "realtime.cli", "render", "--avatar", portrait, "--audio", sound]
    words += ["--out", out, "--size", size, "--seed", 0, "--data-dir", out.parent / f"{out.stem}.d"]
    words += ["--set", f"motion_weights={weights}"]
    subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=out.parent, check=True, env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
    )  # fmt: skip


def pictures(clip: Path) -> Iterator[Picture]:
    """Frames as RGB [H, W, 3]."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8)


def tile(old: Picture, new: Picture, time_s: float) -> Picture:
    """The faces of two frames, one above the other, below the time."""
    faces = []
    for picture in (old, new):
        height, width = picture.shape[:2]
        top, bottom, left, right = _FACE
        rows = slice(round(top * height), round(bottom * height))
        face = picture[rows, round(left * width) : round(right * width)]
        faces.append(cv2.resize(face, (_TILE, _TILE), interpolation=cv2.INTER_AREA))
    caption = np.full((_CAPTION, _TILE, 3), 255, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(caption, f"{time_s:.2f} s", (4, _CAPTION - 5), font, 0.42, (0, 0, 0), 1)
    return np.asarray(np.concatenate([caption, *faces]), np.uint8)


def sheets(tiles: Sequence[Picture]) -> list[Picture]:
    """Tiles row by row, so many to a sheet as make SHEET_S; the last is filled up with white."""
    per = -(-SHEET_S * FPS // EVERY // _COLUMNS) * _COLUMNS
    found = []
    for start in range(0, len(tiles), per):
        some = list(tiles[start : start + per])
        some += [np.full_like(some[0], 255)] * (-len(some) % _COLUMNS)
        rows = [np.concatenate(some[n : n + _COLUMNS], 1) for n in range(0, len(some), _COLUMNS)]
        found.append(np.concatenate(rows))
    return found


def join(old: Path, new: Path, sound: Path, out: Path) -> list[Picture]:
    """Write both side by side with the sound; returns the tiles of every EVERY-th frame."""
    tiles = []
    with av.open(str(out), "w") as container, av.open(str(sound)) as heard:
        height, width = next(pictures(old)).shape[:2]
        video = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        video.height, video.width, video.pix_fmt = height, 2 * width, "yuv420p"
        voice = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for n, (left, right) in enumerate(zip(pictures(old), pictures(new), strict=False)):
            frame = av.VideoFrame.from_ndarray(np.concatenate([left, right], 1), "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(video.encode(frame))
            if n % EVERY == 0:
                tiles.append(tile(left, right, n / FPS))
        container.mux(video.encode(None))
        for spoken in heard.decode(audio=0):
            container.mux(voice.encode(spoken))
        container.mux(voice.encode(None))
    return tiles


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips.side_by_side", description="two checkouts' avatars side by side"
    )
    parser.add_argument("old", type=Path, help="a checkout of the state before")
    parser.add_argument("portrait", type=Path)
    parser.add_argument("sound", type=Path)
    parser.add_argument("out", type=Path, help="folder for clip and sheets")
    parser.add_argument("--start", type=float, default=0.0, help="in the sound, seconds")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--weights", type=Path, help="of the new one: a file, or a run")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sound = cut_sound(args.sound, Path(folder) / "sound.wav", args.start, args.seconds)
        portrait = args.portrait.resolve()
        old, new = Path(folder) / "old.mp4", Path(folder) / "new.mp4"
        render(args.old, portrait, sound, old, args.size, PORTRAIT_WEIGHTS)
        with nullcontext(PORTRAIT_WEIGHTS) if args.weights is None else named(args.weights) as name:
            render(CHECKOUT, portrait, sound, new, args.size, name)
        tiles = join(old, new, sound, args.out / "side_by_side.mp4")
    for n, sheet in enumerate(sheets(tiles)):
        cv2.imwrite(str(args.out / f"sheet_{n:02d}.png"), sheet[..., ::-1])
    print(f"{args.out}: side_by_side.mp4 and {len(sheets(tiles))} sheets")


if __name__ == "__main__":
    main()
