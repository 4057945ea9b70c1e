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

from benchmarks.service.signals import clicks_and_vowels, write_wav
from benchmarks.timing import quantiles, write_result
from pipelines.avatar import AvatarPipeline
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import Controls
from pipelines.presets import HOP_SAMPLES, PRESETS, Preset
from realtime.config import ServerConfig
from realtime.render import RenderJob, load_identity, render


def stages(preset: Preset, identity: IdentityFeatures, size: int, frames: int) -> dict[str, Any]:
    """Milliseconds per frame of features, motion and renderer, for one slot."""
    pipeline = AvatarPipeline(preset, slots=1, size=size)
    pipeline.set_identity(0, identity)
    sound = clicks_and_vowels(40)[::3]
    times: dict[str, list[float]] = {"features": [], "motion": [], "renderer": [], "step": []}
    on = torch.ones(1, dtype=torch.bool)
    with torch.inference_mode():
        controls = Controls().to_tensor()[None]
        for n in range(frames):
            hop = torch.from_numpy(sound[n * HOP_SAMPLES : (n + 1) * HOP_SAMPLES])[None]
            marks = [time.perf_counter()]
            features = pipeline._features.step(hop, pipeline._features_state, on)
            marks.append(time.perf_counter())
            motion = pipeline._motion.step(features, on, controls, pipeline._motion_state, on)
            marks.append(time.perf_counter())
            pipeline._renderer(size).render(motion, [0])
            marks.append(time.perf_counter())
            for name, begin, end in zip(times, marks[:-1], marks[1:], strict=False):
                times[name].append((end - begin) * 1000)
            times["step"].append((marks[-1] - marks[0]) * 1000)
    return {name: quantiles(values[10:]) for name, values in times.items()}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pipeline", default="portrait", choices=tuple(PRESETS))
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--avatar", default="amara")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    config, preset = ServerConfig(), PRESETS[args.pipeline]
    figures: dict[str, Any] = {"threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        wav = write_wav(Path(folder) / "voice.wav", clicks_and_vowels(14))
        for size in preset.sizes:
            job = RenderJob(
                avatar=args.avatar,
                audio=wav,
                out=Path(folder) / f"{size}.mp4",
                preset=preset,
                size=size,
                data_dir=config.data_dir,
                cast_dir=config.cast_dir,
            )
            identity = load_identity(job)
            summary = render(job)
            figures[str(size)] = {
                "milliseconds": stages(preset, identity, size, args.frames),
                "render_real_time_factor": summary.real_time_factor,
                "render_encode_ms": summary.encode_ms,
            }
    print(json.dumps(figures, indent=2))
    name = "pipeline" if preset.name == "portrait" else f"pipeline_{preset.name}"
    write_result(name, figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
