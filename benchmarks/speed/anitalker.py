"""What a frame of AniTalker's renderer costs, kept and computed anew: milliseconds.

    python -m benchmarks.speed.anitalker [--configs official small] [--threads 1 2] [--repeats 15]
        [--slots 1 4] [--precisions float32 bfloat16] [--device cpu] [--weights NAME ...]
        [--capacity]

The naive order encodes the source for every frame and convolves with kernels made for that frame;
the cached renderer keeps what does not change. All are timed in turn, round after round, so that
other load on the machine meets them alike; speed-ups are medians of the rounds' ratios. Weights are
random, or installed ones by name.
`--capacity` looks for the most slots whose frames are done within 40 ms in 99 of 100 steps.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.baseline import naive_renderer as naive
from benchmarks.speed.stand_ins import random_renderer
from benchmarks.timing import quantiles, write_result
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import RENDERERS, Precision
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.weights import load_renderer

Work = Callable[[], object]

FRAME_MS = 40.0
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")


def smooth_picture(size: int) -> Tensor:
    """Waves, [3, size, size] in [-1, 1]."""
    axis = torch.linspace(0.0, 6.0, size)
    return torch.stack([torch.sin((c + 1) * axis + 2 * axis[:, None] + c) for c in range(3)]) * 0.8


class Bench:
    """One model on one device: the ways to a frame, each a function without arguments."""

    def __init__(self, model: FlowWarp, device: str, precisions: list[Precision]) -> None:
        self.model, self.device = model.to(device), device
        self.picture = smooth_picture(model.config.size).to(device)
        self.precisions = precisions

    def renderer(self, precision: Precision, slots: int) -> BatchedNetwork:
        """A renderer whose slots all hold the picture."""
        renderer = BatchedNetwork(self.model, slots, precision=precision, device=self.device)
        baked = renderer.bake(self.picture)
        for slot in range(slots):
            renderer.set(slot, baked)
        return renderer

    def codes(self, count: int) -> Tensor:
        """Motion of so many slots."""
        random = torch.Generator().manual_seed(0)
        return (
            torch.rand(count, self.model.config.motion_dim, generator=random).to(self.device) - 0.5
        )

    def frame(self, renderer: BatchedNetwork, count: int) -> Work:
        """One step of `count` slots."""
        codes, slots = self.codes(count), list(range(count))
        return lambda: renderer.render(codes, slots)

    def ways(self, counts: list[int]) -> dict[str, Work]:
        """What is timed; the cached renderer for every number of slots."""
        model, picture, code = self.model, self.picture[None], self.codes(1)
        maps, start = naive.encode(model.encoder, picture)
        head, folded = model.motion, model.motion.folded()
        ways: dict[str, Work] = {
            "naive": lambda: naive.render(model, picture, code),
            "naive encoder": lambda: naive.encode(model.encoder, picture),
            "naive generator": lambda: naive.generate(model.generator, maps, start, code),
            "encoder": lambda: model.encoder(picture),
            "motion head": lambda: head(start),
            "motion head, folded": lambda: F.linear(head.leave_identity(start), *folded),
            "generator as trained": lambda: model.generator(maps, start, code),
        }
        for precision in self.precisions:
            renderer = self.renderer(precision, max(counts))
            for count in counts:
                ways[f"cached {precision} x{count}"] = self.frame(renderer, count)
        return ways

    def time(self, work: Work) -> float:
        """Milliseconds."""
        self.settle()
        begin = time.perf_counter()
        work()
        self.settle()
        return 1e3 * (time.perf_counter() - begin)

    def settle(self) -> None:
        """Wait for what was launched."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def errors(self) -> dict[str, dict[str, float]]:
        """Largest and mean difference from the naive picture in float64, on a scale of [-1, 1]."""
        picture, code = self.picture[None], self.codes(1)
        exact = copy.deepcopy(self.model).double()
        expected = naive.render(exact, picture.double(), code.double()).clamp(-1.0, 1.0)
        found = {"naive float32": naive.render(self.model, picture, code).clamp(-1.0, 1.0)}
        for precision in PRECISIONS:
            found[f"cached {precision}"] = self.renderer(precision, 1).render(code, [0])
        errors = {name: (image.double() - expected).abs() for name, image in found.items()}
        return {
            name: {"largest": float(error.max()), "mean": float(error.mean())}
            for name, error in errors.items()
        }

    def capacity(self, precision: Precision, steps: int = 200) -> dict[str, float]:
        """The most slots that are on time in 99 of 100 steps, tried by doubling, then by halves."""
        fits, too_many, found = 0, 0, 0.0
        while too_many - fits != 1:
            count = (fits + too_many) // 2 if too_many else max(1, 2 * fits)
            work = self.frame(self.renderer(precision, count), count)
            for _ in range(3):
                work()
            late = float(np.percentile([self.time(work) for _ in range(steps)], 99))
            if late <= FRAME_MS:
                fits, found = count, late
            else:
                too_many = count
        return {"slots": fits, "p99_ms": round(found, 2)}


def measure(model: FlowWarp, arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of one model."""
    bench = Bench(model, arguments.device, arguments.precisions)
    ways = bench.ways(arguments.slots)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(arguments.repeats + 1):
        for name, work in ways.items():
            took = bench.time(work)
            if round_:  # the first one warms up
                times[name].append(took)
    naive = np.array(times["naive"])
    speedups = {
        name: round(float(np.median(int(name.rsplit("x", 1)[1]) * naive / np.array(values))), 2)
        for name, values in times.items()
        if name.startswith("cached")
    }
    capacity = {name: bench.capacity(name) for name in arguments.precisions if arguments.capacity}
    return {
        "ms": {name: quantiles(values) for name, values in times.items()},
        "best_ms": {name: round(min(values), 2) for name, values in times.items()},
        "speedup_per_frame": speedups,
        "image_error": bench.errors(),
        "capacity": capacity,
    }


def show(title: str, figure: dict[str, Any]) -> None:
    """The figures as a table."""
    print(f"{title}\n  {'':26}{'p50 ms':>9}{'p95':>9}{'best':>9}{'times naive, per frame':>26}")
    for name, found in figure["ms"].items():
        faster = figure["speedup_per_frame"].get(name, "")
        best = figure["best_ms"][name]
        print(f"  {name:26}{found['p50']:9.2f}{found['p95']:9.2f}{best:9.2f}{faster:>26}")
    for name, error in figure["image_error"].items():
        print(f"  {name} error: largest {error['largest']:.1e}, mean {error['mean']:.1e}")
    for name, found in figure["capacity"].items():
        print(f"  {name}: {found['slots']} slots in time, p99 {found['p99_ms']} ms")


@torch.inference_mode()
def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="*", choices=RENDERERS, default=list(RENDERERS))
    parser.add_argument("--weights", nargs="*", default=[], help="installed renderers, too")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default=device)
    parser.add_argument("--capacity", action="store_true")
    arguments = parser.parse_args(argv)
    models = {name: random_renderer(RENDERERS[name]) for name in arguments.configs}
    models |= {name: load_renderer(name) for name in arguments.weights}
    figures = []
    for name, model in models.items():
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            figure = measure(model, arguments)
            show(f"{name} ({model.config.size} px), {threads} threads, {arguments.device}", figure)
            figures.append(
                {"model": name, "size": model.config.size, "threads": threads}
                | {"device": arguments.device}
                | figure
            )
    print("written to", write_result("renderer", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
