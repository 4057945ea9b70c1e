"""A session over a bad network: does the microphone's delay stay, does sync hold?

    sudo python -m benchmarks.service.network [--seconds 60]

Server and client live in two network namespaces joined by `benchmarks.service.impair`. The client
speaks a click and a vowel every 1.5 s and times their return.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from vivavoce_client import Client

from benchmarks.service.browser import free_port
from benchmarks.service.impair import CLIENT, SERVER, SERVER_ADDRESS, Link, namespaces
from benchmarks.service.peer import AvatarClient
from benchmarks.service.signals import clicks_and_vowels
from benchmarks.timing import quantiles, write_result
from realtime.access.keys import new_key
from realtime.config import api_key

LINKS = {
    "clean": Link(),
    "1 % loss, 5 ms jitter, 20 ms each way": Link(20, 5, 0.01),
    "5 % loss, 20 ms jitter, 40 ms each way": Link(40, 20, 0.05),
}


async def talk(url: str, seconds: float) -> dict[str, Any]:
    """One session of this process with the server at `url`, once that is ready."""
    sound = (clicks_and_vowels(2) * 25_000).astype(np.int16)
    client = AvatarClient(sound, keep_frames=False, decode=False)
    async with Client(url, key=api_key()) as server:
        await server.ready(120)
        await client.connect(server.api.create_session)
        pings = asyncio.create_task(client.ping())
        begin = time.monotonic()
        await asyncio.sleep(seconds)
        end = time.monotonic()
        described = await server.api.json("GET", f"/v1/sessions/{client.session['id']}")
        pings.cancel()
        await client.close()
    echoes = [(at - begin, delay) for at, delay in client.echoes_ms() if at > begin + 5]
    half = seconds / 2
    early = [delay for at, delay in echoes if at < half]
    late = [delay for at, delay in echoes if at >= half]
    frames = client.frame_times()
    skews = client.skews_ms()
    microphone = described["microphone"]
    return {
        "fps": round(float(((frames > begin + 5) & (frames < end)).sum() / (end - begin - 5)), 2),
        "voice_back_ms_first_half": quantiles(early, 1),
        "voice_back_ms_second_half": quantiles(late, 1),
        "skew_mean_ms": round(float(skews.mean()), 1),
        "skew_p1_ms": round(float(np.percentile(skews, 1)), 1),
        "skew_p99_ms": round(float(np.percentile(skews, 99)), 1),
        "microphone": {
            name: microphone[name]
            for name in ("received", "lost", "late", "reanchors", "inserted_ms", "removed_ms")
        },
        "concealed_ms_per_s": round(described["measurements"]["concealed_ms"] / seconds, 1),
    }


def run(link: Link, seconds: float) -> dict[str, Any]:
    """Measure over one link."""
    port = free_port()
    url = f"http://{SERVER_ADDRESS}:{port}"
    enter_server = ["ip", "netns", "exec", SERVER, sys.executable, "-m", "realtime.cli", "serve"]
    enter_client = ["ip", "netns", "exec", CLIENT, sys.executable, "-m", __spec__.name]
    data = Path.home() / ".cache" / "vivavoce-bench"
    flags = ["--host", SERVER_ADDRESS, "--port", str(port), "--allow-remote"]
    key, secret = new_key("bench")
    keys = {"VIVAVOCE_API_KEYS": f"{key.name}:{key.hash}", "VIVAVOCE_API_KEY": secret}
    with namespaces(link), tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*enter_server, *flags, "--size", "256", "--data-dir", str(data)],
            stderr=log,
            env=os.environ | keys,
        )
        try:
            talked = subprocess.run(
                [*enter_client, "--talk", url, "--seconds", str(seconds)],
                stdout=subprocess.PIPE,
                env=os.environ | keys,
                check=True,
            )
            return dict(json.loads(talked.stdout))
        finally:
            process.terminate()
            process.wait(30)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--talk", metavar="URL", help="be the client of a running server")
    args = parser.parse_args(argv)
    if args.talk:
        print(json.dumps(asyncio.run(talk(args.talk, args.seconds))))
        return 0
    if os.geteuid() != 0:
        print("network namespaces need root", file=sys.stderr)
        return 1
    figures = {}
    for name, link in LINKS.items():
        figures[name] = run(link, args.seconds)
        print(name, json.dumps(figures[name]))
    write_result("network", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
