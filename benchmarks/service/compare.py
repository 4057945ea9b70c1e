"""Two states of the server side by side: the same clients, the same sizes, turn by turn.

    python -m benchmarks.service.compare OLD_CHECKOUT [--sessions 256:1 256:3 512:1 512:2]
        [--seconds 12] [--rounds 3]

Each round starts the server of the other checkout and then of this one, lets so many aiortc peers
of so many pixels speak, and reads what `benchmarks.service.sessions` reads; of the rounds the
median counts. Both serve from this Python's packages. Admission is switched off in both.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.service.browser import CHECKOUT, server
from benchmarks.service.sessions import measure
from benchmarks.timing import write_result

SHOWN = (
    "new_pictures_per_s_worst",
    "added_delay_p95_ms_worst",
    "skew_mean_ms",
    "server_cores_used",
    "memory_mb",
)


def run(checkout: Path, data: Path, size: int, count: int, seconds: float) -> dict[str, Any]:
    """One server of one checkout; memory is that of all its processes together."""
    settings = data / "oversell.toml"
    data.mkdir(parents=True, exist_ok=True)
    settings.write_text("load_share = 10.0\nmax_sessions = 8\n")
    flags = ("--size", str(size), "--config", str(settings))
    with server(data, *flags, checkout=checkout) as process:
        row = asyncio.run(measure(process, count, seconds))
    return row | {"memory_mb": row["memory_mb"]["together"]}


def median(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of each figure over the rounds."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in SHOWN}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", type=Path, help="a checkout of the state before")
    parser.add_argument("--sessions", nargs="+", default=["256:1", "256:3", "512:1", "512:2"])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    checkouts = {"old": args.old.resolve(), "new": CHECKOUT}
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for wanted in args.sessions:
            size, count = (int(n) for n in wanted.split(":"))
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
            for _ in range(args.rounds):
                for name, checkout in checkouts.items():
                    data = Path(folder) / name
                    rows[name].append(run(checkout, data, size, count, args.seconds))
            figures[wanted] = {name: median(found) for name, found in rows.items()}
            for name, row in figures[wanted].items():
                print(f"{count} at {size} px, {name}: {row}", flush=True)
    print(write_result("compare_sessions", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
