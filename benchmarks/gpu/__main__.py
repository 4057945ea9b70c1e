"""Measure a card under a batch of faces; writes one JSON file, and goes on where it was stopped.

    python -m benchmarks.gpu --faces FACES [--out gpu.json] [--seconds 450] [--anew]
    python -m benchmarks.gpu --faces FACES --dry-run     # every line of it on a CPU, tiny

FACES come from `python -m benchmarks.gpu.bake`. Needed: torch, triton, numpy, safetensors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.part import LIMITS, in_processes, measure
from benchmarks.gpu.record import Record

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Bench

RESULT = Path(__file__).parents[1] / "results" / "gpu.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; parts run in processes of their own, but for a dry run."""
    args = _arguments(argv)
    if args.dry_run:
        os.environ.setdefault("TRITON_INTERPRET", "1")
    elif args.only is None:
        return _in_processes(args)
    from benchmarks.gpu.parts import PEERS, figures_of

    bench = _bench(args)
    bench.record.held["others"] = PEERS
    deadline = time.monotonic() + args.seconds
    for part, limit_s in LIMITS.items():
        if args.only in (None, part):
            left = min(limit_s, deadline - time.monotonic())
            left = math.inf if args.dry_run else left  # an interpreter is slow, whatever it is for
            measure(part, figures_of(part, bench), bench.record, left)
    return 0


def _bench(args: argparse.Namespace) -> Bench:
    """Raises SystemExit where there is no card."""
    import torch

    from benchmarks.gpu.parts import Bench
    from pipelines.card import set_up_card, tf32_of_card

    if not args.dry_run and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no CUDA device; --dry-run tries it all on a CPU")
    set_up_card(tf32=args.tf32)
    device = torch.device("cpu" if args.dry_run else "cuda")
    on = "a CPU, dry run" if args.dry_run else torch.cuda.get_device_name()
    versions = {name: metadata.version(name) for name in ("torch", "triton")}
    record = Record(args.out, {"on": on, **versions, "tf32": tf32_of_card()}, args.run)
    tiny: dict[str, Any] = {}
    if args.dry_run:
        tiny = {"counts": (2, 1), "few": 1, "many": 1, "hops": 2, "times": 3, "limit_s": 0.1}
        tiny |= {"copied": 1 << 12, "side": 16, "interpret": True, "sizes": Bench.sizes[:1]}
    if args.pipelines:
        tiny["pipelines"] = tuple(args.pipelines)
    return Bench(device, args.faces, record, **tiny)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--seconds", type=float, default=450.0, help="for all parts together")
    parser.add_argument("--anew", action="store_true", help="forget what was measured")
    parser.add_argument("--pipelines", nargs="+", help="some of them")
    parser.add_argument(
        "--dry-run", action="store_true", help="on a CPU, tiny, kernels interpreted"
    )
    parser.add_argument("--tf32", action="store_true", help="let convolutions round to TF32")
    parser.add_argument("--only", help="one part, in this process")
    parser.add_argument("--run", default=f"{os.getpid()}", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if not args.faces.is_file():
        parser.error(f"there is no {args.faces}; `python -m benchmarks.gpu.bake` makes it")
    if args.anew:
        args.out.unlink(missing_ok=True)
    return args


def _in_processes(args: argparse.Namespace) -> int:
    begin = time.monotonic()
    always = [sys.executable, "-m", "benchmarks.gpu", "--faces", str(args.faces)]
    always += ["--out", str(args.out), "--run", args.run]
    always += ["--pipelines", *args.pipelines] if args.pipelines else []
    always += ["--tf32"] if args.tf32 else []
    for part, limit_s in LIMITS.items():
        left = args.seconds - (time.monotonic() - begin)
        if left > 0.0:
            command = [*always, "--only", part, "--seconds"]
            in_processes(
                part, args.out, args.run, min(left, limit_s), lambda s, c=command: [*c, f"{s:.0f}"]
            )
        else:
            Record(args.out, run=args.run).leave_out(part)
    print(json.dumps(Record(args.out).held, indent=1))
    print(f"{time.monotonic() - begin:.0f} s; written to {args.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
