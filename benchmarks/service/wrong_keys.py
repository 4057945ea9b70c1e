"""What requests with wrong keys cost a session beside them: nothing, it is hoped.

    python -m benchmarks.service.wrong_keys [--requests 1000] [--windows 5] [--size 256]

A peer talks to a server that asks for keys; windows of its media, without anything beside it and
with its share of the requests, take turns. The limit of wrong keys an address is off, or nearly all
of them would be turned away unread. Figures are what did not come, or came twice, a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.service.browser import ServerProcess, server
from benchmarks.service.peer import AvatarClient
from benchmarks.service.signals import clicks_and_vowels
from benchmarks.timing import write_result
from realtime.access.keys import KeyFile

AT_ONCE = 4
WINDOW_S = 5.0
PACKET_RTP, PICTURE_RTP = 960, 3_600  # of clocks of 48 and 90 kHz
UNLIMITED = 'rate_per_address = "100000/second"\nrate_wrong_keys = "100000/second"\n'


def missing(arrivals: list[tuple[int, float]], step: int) -> int:
    """How many times of media have nothing."""
    times = np.unique([rtp_time for rtp_time, _ in arrivals])
    return int(np.ptp(times)) // step + 1 - len(times)


async def window(
    client: AvatarClient,
    left_out: Callable[[], Awaitable[int]],
    beside: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, float]:
    """What was lost in `WINDOW_S`, or longer if `beside` takes longer; a minute."""
    heard, seen, before = len(client.audio.arrivals), len(client.video.arrivals), await left_out()
    begin = time.monotonic()
    if beside is not None:
        await beside()
    took_s = time.monotonic() - begin
    await asyncio.sleep(max(0.0, WINDOW_S - took_s))
    minutes = (time.monotonic() - begin) / 60.0
    lost = missing(client.video.arrivals[seen:], PICTURE_RTP) + await left_out() - before
    return {
        "took_s": round(took_s, 2),
        "packets_lost": round(missing(client.audio.arrivals[heard:], PACKET_RTP) / minutes, 1),
        "pictures_lost": round(lost / minutes, 1),
    }


async def measure(
    process: ServerProcess, secret: str, requests: int, windows: int
) -> dict[str, Any]:
    """One peer, with wrong keys beside it every other window."""
    client = AvatarClient(
        (clicks_and_vowels(4) * 25_000).astype(np.int16), keep_frames=False, decode=False
    )
    bearer = {"authorization": f"Bearer {secret}"}
    refused: list[int] = []
    async with httpx.AsyncClient(base_url=process.url, timeout=60) as http:

        async def post(offer: dict[str, Any]) -> dict[str, Any]:
            answer = await http.post("/v1/sessions", json=offer, headers=bearer)
            answer.raise_for_status()
            return dict(answer.json())

        async def left_out() -> int:
            where = f"/v1/sessions/{client.session['id']}"
            said = (await http.get(where, headers=bearer)).json()["measurements"]
            return int(said["repeated"] + said["dropped"])

        async def some(first: int) -> None:
            for number in range(first, requests // windows, AT_ONCE):
                path = ("/v1/sessions", f"/v1/sessions/{client.session['id']}", "/v1/tokens")
                wrong = {"authorization": f"Bearer sk-vv-{number}"}
                answer = await http.post(path[number % 3], headers=wrong)
                refused.append(answer.status_code)

        async def guess() -> None:
            await asyncio.gather(*map(some, range(AT_ONCE)))

        await client.connect(post)
        await asyncio.sleep(5.0)  # delays settle
        rows: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        try:
            for _ in range(windows):
                rows["without"].append(await window(client, left_out))
                rows["with"].append(await window(client, left_out, guess))
                print(json.dumps({name: each[-1] for name, each in rows.items()}), flush=True)
        finally:
            await client.close()
    if set(refused) != {401}:
        raise RuntimeError(f"wrong keys were answered with {sorted(set(refused))}")
    return {
        "requests": len(refused),
        **{
            f"{lost}_per_minute_{name}": [row[lost] for row in each]
            for name, each in rows.items()
            for lost in ("packets_lost", "pictures_lost")
        },
        "ms_per_request": round(
            1000 * sum(row["took_s"] for row in rows["with"]) / len(refused), 2
        ),
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--size", default="256")
    args = parser.parse_args(argv)
    data = Path.home() / ".cache" / "vivavoce-bench-keys"
    data.mkdir(parents=True, exist_ok=True)
    settings = data / "keys.toml"
    settings.write_text(UNLIMITED)
    name = f"bench-{time.monotonic_ns()}"
    _, secret = KeyFile(data).create(name)
    try:
        with server(data, "--size", args.size, "--config", str(settings)) as process:
            figures = asyncio.run(measure(process, secret, args.requests, args.windows))
    finally:
        KeyFile(data).revoke(name)
    print(json.dumps(figures, indent=2))
    print(write_result("wrong_keys", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
