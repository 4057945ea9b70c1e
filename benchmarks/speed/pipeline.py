"""What one frame costs, stage by stage, and `vivavoce render` as a whole, on one core.

python -m benchmarks.speed.pipeline [--pipeline portrait] [--frames 300] [--avatar amara]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.avatars import enrolled, find_photo
from benchmarks.service.signals import clicks_and_vowels, write_wav
from benchmarks.timing import quantiles, write_result
from pipelines.clip import play
from pipelines.composed import ComposedPipeline
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import HOP_SAMPLES, Size, System
from pipelines.registry import find_system, known_systems
from realtime.cli import main as vivavoce


def stages(system: System, identity: IdentityFeatures, size: Size, frames: int) -> dict[str, Any]:
    """Milliseconds per frame of a step for one slot, and of its modules where it has them."""
    pipeline = system.build(1, system.Options(), "cpu")
    pipeline.set_identity(0, identity, size)
    times: dict[str, list[float]] = {}
    if isinstance(pipeline, ComposedPipeline):
        for name in ("features", "motion", "renderer"):
            times[name] = _timed(getattr(pipeline, name))
    times["step"] = _timed(pipeline)
    for _ in play(pipeline, clicks_and_vowels(40)[::3][: frames * HOP_SAMPLES], size):
        pass
    return {name: quantiles(values[10:]) for name, values in times.items()}


def _timed(module: Any) -> list[float]:
    """Milliseconds of every `step` of `module` from now on."""
    step, times = module.step, list[float]()

    def timed(*args: Any) -> Any:
        begin = time.perf_counter()
        result = step(*args)
        times.append((time.perf_counter() - begin) * 1000)
        return result

    module.step = timed
    return times


def rendered(system: System, avatar: str, size: Size) -> dict[str, Any]:
    """What `vivavoce render` says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("voice.wav", "out.mp4", "stats.json")}
        write_wav(files["voice.wav"], clicks_and_vowels(14))
        flags = {
            "--avatar": avatar, "--pipeline": system.name, "--size": size[1],
            "--audio": files["voice.wav"], "--out": files["out.mp4"],
            "--stats": files["stats.json"],
        }  # fmt: skip
        if vivavoce(["render", *(str(x) for flag in flags.items() for x in flag)]):
            raise SystemExit("vivavoce render failed")
        found: dict[str, Any] = json.loads(files["stats.json"].read_text())
    return found


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--avatar", default="amara")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    system = find_system(args.pipeline)
    identity = enrolled(system, find_photo(args.avatar))
    figures: dict[str, Any] = {"threads": 1}
    for size in system.sizes:
        stats = rendered(system, args.avatar, size)
        figures[f"{size[0]}x{size[1]}"] = {
            "milliseconds": stages(system, identity, size, args.frames),
            "render_real_time_factor": stats["real_time_factor"],
            "render_encode_ms": stats["encode_ms"],
        }
    print(json.dumps(figures, indent=2))
    write_result(f"pipeline_{system.name}", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
