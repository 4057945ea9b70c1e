"""Does the face move as people do? Motion figures of a stream, beside those of real speakers.

    python -m benchmarks.motion.stats [--avatar NAME|IMAGE] [--seconds 120] [--size 256]
    python -m benchmarks.motion.stats --minutes 10
    python -m benchmarks.motion.stats --flicker [--pipeline P] [--size 512]

The first renders a stream of held-out synthetic voices, hop by hop, and reads it by FaceMesh as the
real speakers were read. The second draws nothing: it streams speech and silence for minutes and
tells drift (means of the pose per minute, of the lips at rest per minute of silence), memory and
the real-time factor of features and motion. The third draws talk and silence and tells how far
what should be still changes from frame to frame (see `benchmarks.motion.flicker`), with everything
moving and with head, gaze and blinks off. Each keeps its part of benchmarks/results/motion.json,
under `--label`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.avatars import enrolled, find_photo, size_of
from benchmarks.lips.sounds import Clip
from benchmarks.motion.figures import REAL, figures, windowed_sd
from benchmarks.motion.flicker import Flicker, Mask, regions
from benchmarks.motion.reader import MotionReader, Reading
from benchmarks.motion.sounds import conversation, talk
from benchmarks.timing import RESULTS, machine_stamp, quantiles
from pipelines.clip import play
from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX
from pipelines.pipeline import HOP_SAMPLES, SAMPLE_RATE_HZ, Pipeline, Size
from pipelines.portrait.system import SYSTEM as PORTRAIT
from pipelines.registry import find_system, known_systems
from training.motion.articulation import FPS
from training.speech.phones import Phone
from training.speech.synthesis import HELD_OUT_VOICES, missing

Array = NDArray[np.float64]

_CLIP_FRAMES = 15 * FPS  # real speakers' clips were 8-18 s: slow drift shows less in them
_HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
_LIPS = [  # a smile is a mood, not a place of the lips
    i
    for i, name in enumerate(BLENDSHAPES)
    if name.startswith(("jaw", "mouth")) and not name.startswith("mouthSmile")
]
_POSE = slice(MOTION_INDEX["headYaw"], MOTION_INDEX["headRoll"] + 1)
_SETTLED_S = 1.0  # into a silence, until the lips rest
_WARM_UP_S = 60.0  # until memory counts
_FLICKER = {
    "head, gaze and blinks off": {"head_motion": 0.0, "gaze": 0.0, "blink_rate": 0.0},
    "everything moving": {},
}


def watch(pipeline: Pipeline, clip: Clip, size: Size) -> Reading:
    """Read the face in every frame of the clip."""
    with MotionReader() as reader:
        frames = play(pipeline, clip.samples, size)
        for shown in tqdm(frames, total=clip.frames, leave=False):
            assert shown.picture is not None
            reader.add(shown.picture)
        return reader.reading()


def measure(pipeline: Pipeline, clip: Clip, size: Size) -> dict[str, float]:
    """All figures of `REAL`, and the pose's deviation in clips as long as the real ones."""
    reading = watch(pipeline, clip, size)
    energy = np.sqrt(np.square(clip.samples.reshape(-1, HOP_SAMPLES), dtype=np.float64).mean(1))
    found = figures(reading, energy, ~silent(clip.phones, clip.frames))
    for name, sd in zip(("yaw", "pitch", "roll"), windowed_sd(reading.angles_deg, _CLIP_FRAMES),
                        strict=True):  # fmt: skip
        found[f"{name} sd in clips of 15 s, degrees"] = float(sd)
    found["frames without a face"] = float(np.isnan(reading.gap).mean())
    return {name: round(value, 4) for name, value in found.items()}


def drift(pipeline: Pipeline, clip: Clip, size: Size) -> dict[str, Any]:
    """Means per minute, memory and time of a stream that draws nothing."""
    rows, times, memory = [], [], []
    begin = time.perf_counter()
    frames = play(pipeline, clip.samples, size, draw=())
    for n, shown in enumerate(tqdm(frames, total=clip.frames)):
        times.append(time.perf_counter() - begin)
        rows.append(shown.motion.copy())
        if n % (10 * FPS) == 0 and n >= _WARM_UP_S * FPS:
            memory.append(resident_mb())
        begin = time.perf_counter()
    motion = np.array(rows, np.float64)
    quiet = silent(clip.phones, clip.frames, _SETTLED_S)
    minutes = [slice(n, n + 60 * FPS) for n in range(0, len(motion), 60 * FPS)]
    pose = [motion[part, _POSE].mean(0).round(2).tolist() for part in minutes]
    lips = [motion[part][quiet[part]][:, _LIPS] for part in minutes]
    rest = [round(float(x.mean(0).max()), 4) if len(x) else None for x in lips]
    step_ms = quantiles(1_000.0 * t for t in times)
    return {
        "minutes": len(minutes),
        "pose mean per minute, degrees (yaw, pitch, roll)": pose,
        "lips at rest per minute: largest mean weight": rest,
        "lips at rest: largest deviation of a weight": round(
            float(motion[quiet][:, _LIPS].std(0).max()), 5
        ),
        "memory after a minute and at the end, MB": [memory[0], memory[-1]] if memory else None,
        "step_ms": step_ms,
        "real_time_factor": round(float(np.mean(times)) / _HOP_S, 3),
    }


def flicker(
    pipeline: Pipeline, clip: Clip, size: Size, parts: dict[str, Mask]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """By controls, by what is heard, by region: changes that are figures of `Flicker`."""
    quiet = silent(clip.phones, clip.frames, _SETTLED_S)
    talking = ~silent(clip.phones, clip.frames)
    if not quiet[2:].any() or not talking[2:].any():
        raise SystemExit("too short for both speech and silence: give --seconds 30 or more")
    found = {}
    for name, controls in _FLICKER.items():
        seen = Flicker(parts)
        frames = play(pipeline, clip.samples, size, controls=controls)
        for shown in tqdm(frames, desc=name, total=clip.frames, leave=False):
            assert shown.picture is not None
            seen.add(shown.picture)
        found[name] = {"silence": seen.figures(quiet), "speech": seen.figures(talking)}
    return found


def flicker_table(found: dict[str, Any]) -> str:
    """Grey levels by region; one line for each control and each sound."""
    first = next(iter(found.values()))["silence"]
    lines = ["change, worst of a hundred, jitter".ljust(36) + "".join(f"{n:>24s}" for n in first)]
    for name, sounds in found.items():
        for sound, row in sounds.items():
            cells = ("{change:.2f} {worst:.2f} {jitter:.2f}".format(**f) for f in row.values())
            lines.append(f"{name}, {sound}".ljust(36) + "".join(f"{c:>24s}" for c in cells))
    return "\n".join(lines)


def silent(phones: Sequence[Phone], frames: int, settled_s: float = 0.0) -> NDArray[np.bool_]:
    """Frames within silences, from `settled_s` after they begin to as long before they end."""
    times = (np.arange(frames) + 0.5) / FPS
    found = np.zeros(frames, bool)
    for start, end in _silences(phones):
        found |= (times >= start + settled_s) & (times < end - settled_s)
    return found


def _silences(phones: Sequence[Phone]) -> Iterator[tuple[float, float]]:
    """(start, end) of what neighbouring SIL make together."""
    start: float | None = None
    for phone in phones:
        if phone.label == "SIL":
            start = phone.start_s if start is None else start
        elif start is not None:
            yield start, phone.start_s
            start = None
    if start is not None:
        yield start, phones[-1].end_s


def resident_mb() -> float:
    """Memory that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next(line for line in lines if line.startswith("VmRSS"))
    return round(int(held.split()[1]) / 1_024.0, 1)


def table(found: dict[str, float]) -> str:
    """One figure per line beside the real speakers' range, with what lies outside marked."""
    lines = [f"{'figure':40s}{'here':>9s}   real speakers"]
    for name, value in found.items():
        line = f"{name:40s}{value:9.3f}"
        base = name.replace(" in clips of 15 s", "")
        if base in REAL:
            least, most = REAL[base]
            inside = least - 5e-4 <= value <= most + 5e-4
            line += f"   {least:g}-{most:g}   {'in' if inside else 'OUT'}"
        lines.append(line)
    return "\n".join(lines)


def _keep(path: Path, label: str, part: str, found: dict[str, Any]) -> None:
    """Write one part of the results of `label` and leave the others."""
    held = json.loads(path.read_text()) if path.exists() else {}
    held.setdefault(label, {})[part] = {"machine": machine_stamp(), "figures": found}
    path.write_text(json.dumps(held, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.motion.stats", description="motion figures beside real speakers'"
    )
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument("--avatar", default="amara", help="one of the cast, or an image")
    parser.add_argument("--seconds", type=float, help="to render and read: 120 of talk, or 40")
    parser.add_argument("--flicker", action="store_true", help="what should be still, in 40 s")
    parser.add_argument("--minutes", type=float, help="of speech and silence, drawing nothing")
    parser.add_argument("--size", type=int, default=256, help="height of pictures")
    parser.add_argument("--voices", nargs="+", default=list(HELD_OUT_VOICES))
    parser.add_argument("--label", help="what the results are kept under: the pipeline's name")
    parser.add_argument("--out", type=Path, default=RESULTS / "motion.json")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    able = [voice for voice in args.voices if missing(voice) is None]
    if not able:
        raise SystemExit(f"no voice can speak: {missing(args.voices[0])}")
    system, label = find_system(args.pipeline), args.label or args.pipeline
    pipeline, size = system.build(1, system.Options(), "cpu"), size_of(system, args.size)
    if args.minutes is not None:
        found: dict[str, Any] = drift(pipeline, conversation(args.minutes * 60.0, able), size)
        print("\n".join(f"{name}: {json.dumps(value)}" for name, value in found.items()))
        _keep(args.out, label, "drift", found)
        return
    photo = find_photo(args.avatar)
    pipeline.set_identity(0, enrolled(system, photo), size)
    seconds = args.seconds or (40.0 if args.flicker else 120.0)
    about = {"avatar": args.avatar, "size": args.size, "seconds": seconds}
    if args.flicker:
        parts = regions(enrolled(PORTRAIT, photo), args.size)
        found = flicker(pipeline, conversation(seconds, able), size, parts)
        print(flicker_table(found))
        _keep(args.out, label, "flicker", about | found)
        return
    found = measure(pipeline, talk(seconds, able), size)
    print(table(found))
    _keep(args.out, label, "stream", about | found)


if __name__ == "__main__":
    main()
