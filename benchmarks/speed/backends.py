"""What a hop of motion costs with each back end: milliseconds, features not included.

    python -m benchmarks.speed.backends [--pipeline portrait] [--slots 1 4] [--device cpu]

One hop of each in turn; medians of the thread's processor time on a CPU, of wall time on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.timing import machine_stamp, write_result
from pipelines.exported.files import TOLERANCE, load_graph
from pipelines.exported.situations import compare, time_steps
from pipelines.machine import measure_machine
from pipelines.pipeline import Exports
from pipelines.registry import find_system, known_systems


def measure(name: str, slots: Sequence[int], hops: int, device: str) -> dict[str, Any]:
    """The figures; `onnxruntime` is left out where no graph fits, with a line in the log.

    Raises:
        ValueError: the pipeline's motion has no other back end.
    """
    system = find_system(name)
    if not isinstance(system, Exports):
        raise ValueError(f"the motion of {name!r} is computed in one way only")
    model, weights = system.motion_to_export(system.Options())
    exported = load_graph(model, weights, device)
    models = {"torch": model.to(device)} | ({} if exported is None else {"onnxruntime": exported})
    figures: dict[str, Any] = {"device": device, "hops": hops}
    for count in slots:
        times = time_steps(models, hops, slots=count, device=device)
        figures[f"{count} slots"] = {key: round(value, 3) for key, value in times.items()}
    if exported is not None:
        found = compare(model, exported, 1000, device=device)
        figures["difference over 1,000 hops"] = {"motion": found.motion, "allowed": TOLERANCE}
        figures["states that differ"] = found.state or None
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures, and keep them with the machine's stamp."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--hops", type=int, default=300)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    stamp, before = machine_stamp(), measure_machine()._asdict()
    figures = measure(args.pipeline, args.slots, args.hops, args.device)
    figures["machine_before_and_after"] = [before, measure_machine()._asdict()]
    print(f"{stamp['processor']}, {stamp['gpu'] or 'one thread'}, torch {torch.__version__}")
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(f"kept in {write_result(f'backends_{args.pipeline}_{args.device}', figures)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
