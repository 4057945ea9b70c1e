"""Do six sessions in two media processes keep time as three in one process do?

    python -m benchmarks.service.media_processes [--pipeline P] [--size 256] [--seconds 20]
        [--played]

Server, inference process and all clients share this machine. Three clients share a process, so that
six are not measured by a busier one; they send what was encoded once, and decode nothing (0.02 of
a core each). What is compared:

- pacing: how much later than its media time a packet comes, above the median of its stream in that
  second; of voice, which is paced every 20 ms whatever is drawn, and of pictures (their last
  packets). Where a server finds that it needs more time, the delay of a whole session grows, which
  is told by itself;
- pictures a second, and new ones among them.

Where a machine cannot draw six faces, that is what is measured. `--played` takes it out: a pipeline
plays what `portrait` drew before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from vivavoce_client import Client

from benchmarks.service.browser import add_pipeline, pipeline_flags, result_name, server
from benchmarks.service.peer import AvatarClient, Stream
from benchmarks.service.sessions import SPEECH, describe
from benchmarks.timing import write_result

TOGETHER = 3
"""Clients of one process."""
SETTLE_S = 4.0
RUNS = {
    "three sessions in one process": (1, 3),
    "six sessions in two processes": (2, 6),
    "six sessions in one process": (1, 6),
}
"""Media processes and sessions."""
BEFORE, AFTER = list(RUNS)[:2]
JITTER_LIMIT, JITTER_FLOOR_MS = 1.25, 1.0
PICTURES_LIMIT = 0.98


def late_ms(stream: Stream, rate_hz: int, begin: float) -> tuple[NDArray[np.float64], float]:
    """float64 [n]: how much later than usual in its second each time step of a stream was complete;
    and by how much what is usual grew, from the first second to the last."""
    last: dict[int, float] = {}
    for rtp_time, at in stream.arrivals:
        if at > begin:
            last[rtp_time] = at
    times = np.array(sorted(last.items()))
    lag = (times[:, 1] - times[:, 0] / rate_hz) * 1000
    since = times[:, 1] - begin
    seconds, second = np.unique(np.minimum(since, since[-1] // 1 - 0.5) // 1, return_inverse=True)
    usual = np.array([np.median(lag[second == n]) for n in range(len(seconds))])
    return np.asarray(lag - usual[second]), float(usual[-1] - usual[0])


async def take_part(url: str, seconds: float, together: Barrier) -> list[dict[str, Any]]:
    """Run `TOGETHER` sessions beside those of other processes; what each of them saw."""
    clients = [AvatarClient(SPEECH, decode=False, listen=False) for _ in range(TOGETHER)]
    async with Client(url) as asked:
        faces = [avatar["id"] for avatar in await asked.avatars()]
        try:
            for i, client in enumerate(clients):
                await client.connect(asked.api.create_session, faces[i % len(faces)])
            await asyncio.to_thread(together.wait)
            await asyncio.sleep(SETTLE_S)
            before, begin = await describe(asked, clients), time.monotonic()
            await asyncio.sleep(seconds)
            span, after = time.monotonic() - begin, await describe(asked, clients)
            await asyncio.to_thread(together.wait)
        finally:
            for client in clients:
                await client.close()
    voice = [late_ms(client.audio, 48_000, begin) for client in clients]
    return [
        {
            "voice_late_ms": late.tolist(),
            "voice_grew_ms": grew,
            "pictures_late_ms": late_ms(client.video, 90_000, begin)[0].tolist(),
            "pictures_per_s": float((client.frame_times() > begin).sum() / span),
            "repeated_per_s": (now["repeated"] - then["repeated"]) / span,
            "added_delay_ms": now["added_delay_ms"],
            "rung": now["rung"],
        }
        for client, (late, grew), then, now in zip(clients, voice, before, after, strict=True)
    ]


def be_clients(url: str, seconds: float, together: Barrier) -> list[dict[str, Any]]:
    """`take_part` as a process's function."""
    return asyncio.run(take_part(url, seconds, together))


def measure(url: str, sessions: int, seconds: float, manager: SyncManager) -> dict[str, Any]:
    """The figures of that many sessions at once."""
    processes = sessions // TOGETHER
    together = manager.Barrier(processes)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        parts = [pool.submit(be_clients, url, seconds, together) for _ in range(processes)]
        seen = [each for part in parts for each in part.result()]
    voice = np.concatenate([each["voice_late_ms"] for each in seen])
    pictures = np.concatenate([each["pictures_late_ms"] for each in seen])
    new = [each["pictures_per_s"] - each["repeated_per_s"] for each in seen]
    return {
        "sessions": sessions,
        "voice_jitter_p95_ms": round(float(np.quantile(voice, 0.95)), 2),
        "voice_jitter_p99_ms": round(float(np.quantile(voice, 0.99)), 2),
        "voice_grew_ms_most": round(max(each["voice_grew_ms"] for each in seen), 1),
        "picture_jitter_p95_ms": round(float(np.quantile(pictures, 0.95)), 2),
        "pictures_per_s_worst": round(min(each["pictures_per_s"] for each in seen), 2),
        "new_pictures_per_s_worst": round(min(new), 2),
        "new_pictures_per_s_mean": round(float(np.mean(new)), 2),
        "added_delay_p95_ms_worst": max(each["added_delay_ms"] for each in seen),
        "rung": max(each["rung"] for each in seen),
    }


def install_played() -> None:
    """Have this process and those it starts find the pipeline `played`, by its entry point."""
    folder = str(Path(__file__).parent / "played")
    sys.path.insert(0, folder)
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([path] if path else [])])


def is_paced_alike(figures: dict[str, dict[str, Any]]) -> bool:
    """Whether six in two processes keep time as three in one do."""
    before, after = figures[BEFORE], figures[AFTER]
    jitter = max(JITTER_LIMIT * before["voice_jitter_p95_ms"], JITTER_FLOOR_MS)
    return bool(
        after["voice_jitter_p95_ms"] <= jitter
        and after["pictures_per_s_worst"] >= PICTURES_LIMIT * before["pictures_per_s_worst"]
    )


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--size", default="256", metavar="H|WxH")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--niceness", type=int, help="of encoders in media processes")
    parser.add_argument("--played", action="store_true", help="pictures that were drawn before")
    args = parser.parse_args(argv)
    if args.played:
        install_played()
        args.pipeline = "played"
    data = Path.home() / ".cache" / "vivavoce-bench"
    data.mkdir(parents=True, exist_ok=True)
    settings = data / "media_processes.toml"
    nice = "" if args.niceness is None else f"encoder_niceness = {args.niceness}\n"
    settings.write_text(f"load_share = 10.0\nmax_sessions = 6\n{nice}")
    figures: dict[str, dict[str, Any]] = {}
    with multiprocessing.Manager() as manager:
        for name, (processes, sessions) in RUNS.items():
            flags = ("--media-processes", str(processes), "--size", args.size)
            more = (*pipeline_flags(args), "--config", str(settings))
            with server(data, *flags, *more) as process:
                cpu, begin = process.cpu_s(), time.monotonic()
                row = measure(process.url, sessions, args.seconds, manager)
                cores = (process.cpu_s() - cpu) / (time.monotonic() - begin)
                health = httpx.get(process.url + "/health").json()
                row |= {"media_processes": processes, "server_cores_used": round(cores, 3)}
                row["costs_ms"] = health["costs"]
                row["memory_mb"] = process.memory_mb()["together"]
            figures[name] = row
            print(name, json.dumps(row))
    figures["verdict"] = {"paced_alike": is_paced_alike(figures)}
    print(write_result(result_name("media_processes", args, args.size), figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
