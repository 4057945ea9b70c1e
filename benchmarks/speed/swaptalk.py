"""What keeping a template's work saves: a frame of `swaptalk` as it is streamed, and in the paper's
order, in which nothing is kept.

    python -m benchmarks.speed.swaptalk [--rounds 40]

The paper's order encodes target and reference, swaps both if a source is given (which is encoded
too), moves the lips and decodes the whole face, for every frame. Both draw the same. FLOP count a
multiply-add as two; CPU time of the thread is taken in turn, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import write_result
from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.faces import LatentFaces
from pipelines.swaptalk.options import SwapTalkOptions
from pipelines.swaptalk.vqgan.weights import load_vqgan
from pipelines.swaptalk.weights import load_lips, load_swap
from pipelines.weights import find_weights


def ways(faces: LatentFaces) -> dict[str, Callable[[], Tensor]]:
    """The same frame in each order, by name: lower halves [1, 3, side / 2, side]."""
    chance = torch.Generator().manual_seed(0)
    target, reference, source = (
        torch.rand(3, 1, 3, faces.side, faces.side, generator=chance) * 2.0 - 1.0
    ).unbind(0)
    motion = torch.rand(1, faces.tokens, MOTION_DIM, generator=chance) * 0.3
    last = torch.full((1, *faces.cells), -1)
    rows = faces.prepare(faces.encode(target), faces.encode(reference))
    return {
        "kept": lambda: faces.draw(rows, motion, last).lower,
        "paper": lambda: faces.uncached(target, reference, motion, last).lower,
        "paper, swapped": lambda: faces.uncached(target, reference, motion, last, source).lower,
    }


def gflop(work: Callable[[], Tensor]) -> float:
    """What it counts, in 10^9."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


@torch.inference_mode()
def measure(faces: LatentFaces, rounds: int) -> dict[str, dict[str, float]]:
    """FLOP and CPU time of each order, and how many times those of the stream they are."""
    orders = ways(faces)
    times: dict[str, list[float]] = {name: [] for name in orders}
    for _ in range(rounds):
        for name, work in orders.items():
            begun = time.thread_time()
            work()
            times[name].append(1e3 * (time.thread_time() - begun))
    found = {}
    least = gflop(orders["kept"]), statistics.median(times["kept"])
    for name, work in orders.items():
        cost, spent = gflop(work), statistics.median(times[name])
        found[name] = {
            "gflop": round(cost, 2), "cpu_ms": round(spent, 1),
            "times_the_flop": round(cost / least[0], 2),
            "times_the_time": round(spent / least[1], 2),
        }  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.swaptalk", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options = SwapTalkOptions()
    faces = LatentFaces(
        load_vqgan(options.vqgan_weights), load_lips(find_weights(options.lips_weights)),
        options.margin, load_swap(find_weights(options.swap_weights)),
    )  # fmt: skip
    found = measure(faces, args.rounds)
    for name, figures in found.items():
        print(f"{name}: {figures}")
    write_result("swaptalk_kept", found)


if __name__ == "__main__":
    main()
