"""How many sessions a machine carries: real aiortc peers, more and more, until a target breaks.

    python -m benchmarks.service.sessions [--pipeline P] [--sizes H ...] [--most 8] [--seconds 15]

Server, inference process and all clients share this machine. Clients send what was encoded once,
and decode nothing (0.02 of a core each). Targets: 25 fps (at least 24.5), added delay p95 <= 200
ms, A/V skew at the receiver within -15..+45 ms for 98 % of the frames and |mean| < 20 ms, full
quality, at most 5 % of the pictures repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from vivavoce_client import Client

from benchmarks.service.browser import (
    ServerProcess,
    add_pipeline,
    pipeline_flags,
    result_name,
    server,
)
from benchmarks.service.peer import AvatarClient
from benchmarks.service.signals import clicks_and_vowels
from benchmarks.timing import write_result
from pipelines.photo.framing import choose_size
from pipelines.registry import find_system

SPEECH = (clicks_and_vowels(4) * 25_000).astype(np.int16)


async def measure(process: ServerProcess, count: int, seconds: float) -> dict[str, Any]:
    """Run `count` sessions at once for a while; the figures of all of them together."""
    async with Client(process.url) as asked:
        faces = [avatar["id"] for avatar in await asked.avatars()]
        clients = [AvatarClient(SPEECH, decode=False, listen=False) for _ in range(count)]
        try:
            for i, client in enumerate(clients):
                await client.connect(asked.api.create_session, faces[i % len(faces)])
                await asyncio.sleep(0.3)
            await asyncio.sleep(3)  # let the delays settle
            before = await describe(asked, clients)
            begin, cpu = time.monotonic(), process.cpu_s()
            await asyncio.sleep(seconds)
            end, cpu = time.monotonic(), process.cpu_s() - cpu
            described = await describe(asked, clients)
            memory = process.memory_mb()
        finally:
            for client in clients:
                await client.close()
    frames = [c.frame_times() for c in clients]
    rates = [float(((t > begin) & (t < end)).sum() / (end - begin)) for t in frames]
    repeats = [
        now["repeated"] - then["repeated"] for now, then in zip(described, before, strict=True)
    ]
    skews = np.concatenate([c.skews_ms() for c in clients])
    return {
        "sessions": count,
        "fps_worst": round(min(rates), 2),
        "new_pictures_per_s_worst": round(
            min(rate - n / (end - begin) for rate, n in zip(rates, repeats, strict=True)), 2
        ),
        "added_delay_p95_ms_worst": max(d["added_delay_ms"] for d in described),
        "playout_delay_ms_worst": max(d["playout_delay_ms"] for d in described),
        "skew_mean_ms": round(float(skews.mean()), 1),
        "skew_p1_ms": round(float(np.percentile(skews, 1)), 1),
        "skew_p99_ms": round(float(np.percentile(skews, 99)), 1),
        "repeated_share": round(
            sum(d["repeated"] for d in described) / sum(len(t) for t in frames), 4
        ),
        "rung": max(d["rung"] for d in described),
        "step_ms": max(d["step_ms"] for d in described),
        "server_cores_used": round(cpu / (end - begin), 3),
        "memory_mb": memory,
    }


async def describe(asked: Client, clients: list[AvatarClient]) -> list[dict[str, Any]]:
    """What the server has measured of each session."""
    places = [f"/v1/sessions/{client.session['id']}" for client in clients]
    return [(await asked.api.json("GET", place))["measurements"] for place in places]


async def join(url: str, count: int) -> None:
    """Talk to a running server with `count` sessions until cancelled."""
    clients = [AvatarClient(SPEECH, decode=False, listen=False) for _ in range(count)]
    async with Client(url) as asked:
        for client in clients:
            await client.connect(asked.api.create_session)
        await asyncio.gather(*(client.ping() for client in clients))


def holds(figures: dict[str, Any]) -> bool:
    """Whether every target holds."""
    return bool(
        figures["fps_worst"] >= 24.5
        and figures["added_delay_p95_ms_worst"] <= 200
        and abs(figures["skew_mean_ms"]) < 20
        and figures["skew_p1_ms"] >= -15
        and figures["skew_p99_ms"] <= 45
        and figures["repeated_share"] <= 0.05
        and figures["rung"] == 0
    )


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--sizes", nargs="+", metavar="H|WxH", help="default all that it draws")
    parser.add_argument("--most", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--join", nargs=2, metavar=("URL", "COUNT"), help="only be clients")
    args = parser.parse_args(argv)
    if args.join:
        asyncio.run(join(args.join[0], int(args.join[1])))
    figures: dict[str, list[dict[str, Any]]] = {}
    data = Path.home() / ".cache" / "vivavoce-bench"
    settings = data / "oversell.toml"
    data.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"load_share = 10.0\nmax_sessions = {args.most}\n")
    system = find_system(args.pipeline)
    sizes = [choose_size(system, size) for size in args.sizes] if args.sizes else system.sizes
    for width, height in sizes:
        size = f"{width}x{height}"
        rows = figures[size] = []
        for count in range(1, args.most + 1):
            flags = (*pipeline_flags(args), "--size", size, "--config", str(settings))
            with server(data, *flags) as process:
                row = asyncio.run(measure(process, count, args.seconds))
            row["targets_hold"] = holds(row)
            rows.append(row)
            print(size, json.dumps(row))
            if not row["targets_hold"]:
                break
    print(write_result(result_name("sessions", args), figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
