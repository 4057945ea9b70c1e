"""What a frame of AniTalker's renderer costs, kept and computed anew: milliseconds.

    python -m benchmarks.renderer [--configs official small] [--threads 1 2] [--repeats 15]
        [--slots 1 4] [--precisions float32 bfloat16] [--device cpu]

The naive order encodes the source for every frame and convolves with kernels made for that frame;
the cached renderer keeps what does not change. All are timed in turn, round after round, so that
other load on the machine meets them alike; speed-ups are medians of the rounds' ratios. Weights are
random (for the published size those of the parity fixtures), so image errors are only comparable to
the fixtures'.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import quantiles, write_result
from pipelines.anitalker.cached import CachedRenderer
from pipelines.anitalker.config import OFFICIAL, RENDERERS, RendererConfig
from pipelines.anitalker.renderer import FlowWarp
from pipelines.checkpoints_stage1 import published_key
from tests import naive_stage1
from tests.fill import fill

Work = Callable[[], object]


def random_model(config: RendererConfig) -> FlowWarp:
    """Random weights with gentle flows and colours; of the published size, the fixtures'."""
    torch.manual_seed(0)
    model = FlowWarp(config).eval()
    if config == OFFICIAL:
        values, state = fill("stage1"), model.state_dict()
        named = {name: values[published_key(name)].view_as(value) for name, value in state.items()}
        model.load_state_dict(named)
    else:
        for level in model.generator.levels:
            level.flow.weight.data.mul_(0.2)  # type: ignore[union-attr]
            level.rgb.colours.weight.data.mul_(0.3)  # type: ignore[union-attr]
    return model


def smooth_picture(size: int) -> Tensor:
    """Waves, [3, size, size] in [-1, 1]."""
    axis = torch.linspace(0.0, 6.0, size)
    return torch.stack([torch.sin((c + 1) * axis + 2 * axis[:, None] + c) for c in range(3)]) * 0.8


class Bench:
    """One model on one device: the ways to a frame, each a function without arguments."""

    def __init__(self, config: RendererConfig, arguments: argparse.Namespace) -> None:
        device = arguments.device
        self.config, self.device = config, device
        self.model = random_model(config).to(device)
        self.picture = smooth_picture(config.size).to(device)
        self.codes = torch.rand(max(arguments.slots), config.motion_dim, device=device) - 0.5
        self.renderers = {name: self.cached(name, arguments) for name in arguments.precisions}
        self.slots = arguments.slots

    def cached(self, precision: Any, arguments: argparse.Namespace) -> CachedRenderer:
        """A renderer whose slots all hold the picture."""
        slots = max(arguments.slots)
        renderer = CachedRenderer(self.model, slots, precision=precision, device=arguments.device)
        baked = renderer.bake(self.picture)
        for slot in range(slots):
            renderer.set(slot, baked)
        return renderer

    def ways(self) -> dict[str, Work]:
        """What is timed."""
        model, picture, code = self.model, self.picture[None], self.codes[:1]
        maps, start = naive_stage1.encode(model.encoder, picture)
        ways: dict[str, Work] = {
            "naive": lambda: naive_stage1.render(model, picture, code),
            "naive encoder": lambda: naive_stage1.encode(model.encoder, picture),
            "naive generator": lambda: naive_stage1.generate(model.generator, maps, start, code),
            "encoder": lambda: model.encoder(picture),
            "motion head": lambda: model.motion(start),
            "generator as trained": lambda: model.generator(maps, start, code),
        }
        for name, renderer in self.renderers.items():
            for count in self.slots:
                ways[f"cached {name} x{count}"] = lambda r=renderer, n=count: r.render(
                    self.codes[:n], list(range(n))
                )
        return ways

    def time(self, repeats: int) -> dict[str, list[float]]:
        """Milliseconds of each way in each round, after one that does not count."""
        ways = self.ways()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats + 1):
            for name, work in ways.items():
                self.settle()
                begin = time.perf_counter()
                work()
                self.settle()
                times[name].append(1e3 * (time.perf_counter() - begin))
        return {name: values[1:] for name, values in times.items()}

    def settle(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()

    def errors(self) -> dict[str, dict[str, float]]:
        """Largest and mean difference from the naive picture in float64, on a scale of [-1, 1]."""
        picture, code = self.picture[None], self.codes[:1]
        exact = copy.deepcopy(self.model).double()
        expected = naive_stage1.render(exact, picture.double(), code.double()).clamp(-1.0, 1.0)
        found = {"naive float32": naive_stage1.render(self.model, picture, code).clamp(-1.0, 1.0)}
        for name, renderer in self.renderers.items():
            found[f"cached {name}"] = renderer.render(code, [0])
        errors = {name: (image.double() - expected).abs() for name, image in found.items()}
        return {
            name: {"largest": float(error.max()), "mean": float(error.mean())}
            for name, error in errors.items()
        }


def measure(config: RendererConfig, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of one size with so many threads."""
    torch.set_num_threads(threads)
    bench = Bench(config, arguments)
    times = bench.time(arguments.repeats)
    naive = np.array(times["naive"])
    return {
        "ms": {name: quantiles(values) for name, values in times.items()},
        "best_ms": {name: round(min(values), 2) for name, values in times.items()},
        "speedup_per_frame": {
            name: round(float(np.median(count * naive / np.array(values))), 2)
            for name, values in times.items()
            if name.startswith("cached")
            for count in [int(name.rsplit("x", 1)[1])]
        },
        "image_error": bench.errors(),
    }


def show(title: str, figure: dict[str, Any]) -> None:
    """The figures as a table."""
    print(f"{title}\n  {'':26}{'p50 ms':>9}{'p95':>9}{'best':>9}{'times naive, per frame':>26}")
    for name, found in figure["ms"].items():
        faster = figure["speedup_per_frame"].get(name, "")
        best = figure["best_ms"][name]
        print(f"  {name:26}{found['p50']:9.2f}{found['p95']:9.2f}{best:9.2f}{faster:>26}")
    for name, error in figure["image_error"].items():
        print(f"  {name} image error: largest {error['largest']:.1e}, mean {error['mean']:.1e}")


@torch.inference_mode()
def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", choices=RENDERERS, default=list(RENDERERS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default=device)
    arguments = parser.parse_args(argv)
    figures = []
    for name in arguments.configs:
        config = RENDERERS[name]
        for threads in arguments.threads:
            figure = measure(config, threads, arguments)
            show(f"{name} ({config.size} px), {threads} threads, {arguments.device}", figure)
            figures.append(
                {
                    "config": name,
                    "size": config.size,
                    "threads": threads,
                    "device": arguments.device,
                }
                | figure
            )
    print("written to", write_result("renderer", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
