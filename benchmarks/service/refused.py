"""What an offer of 64 KB costs a server that is full, in CPU time of all its processes.

    python -m benchmarks.service.refused [--requests 200] [--media-processes 2] [--checkout OLD]

The one seat is held by whoever listens to its events; then offers are posted one after the other.
Each row is another way in, or another kind of line that fills the offer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import websockets

from benchmarks.service.browser import CHECKOUT, ServerProcess, server
from benchmarks.timing import write_result

IDLE_S = 5.0
HEAD = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n"
    f"a=ice-ufrag:abcd\r\na=ice-pwd:{'x' * 24}\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}\r\na=rtpmap:111 opus/48000/2\r\n"
)
OFFERS = {
    "short": HEAD,
    "streams": HEAD + "".join(f"a=ssrc:{n} cname:{'x' * 45}\r\n" for n in range(960)),
    "codecs": HEAD + "a=rtpmap:112 opus/48000/2\r\n" * 960,
    "others": HEAD + f"a=x:{'y' * 55}\r\n" * 960,
}
WAYS = ("/v1/sessions", "/whip/{avatar}", "/api/offer")


async def cost_ms(
    process: ServerProcess, http: httpx.AsyncClient, way: str, offer: str, requests: int
) -> dict[str, Any]:
    """Per request, less what is used without any."""
    used, began = process.cpu_s(), time.monotonic()
    await asyncio.sleep(IDLE_S)
    idle = (process.cpu_s() - used) / (time.monotonic() - began)
    used, began = process.cpu_s(), time.monotonic()
    for _ in range(requests):
        if way.startswith("/whip"):
            answer = await http.post(
                way, content=offer, headers={"content-type": "application/sdp"}
            )
        else:
            answer = await http.post(way, json={"sdp": offer, "type": "offer"})
        if answer.status_code < 400:
            raise RuntimeError(f"{way} was answered {answer.status_code}: the server is not full")
    spent = process.cpu_s() - used - idle * (time.monotonic() - began)
    code = answer.json()["error"]["code"]
    return {"cpu_ms": round(1000 * spent / requests, 2), "code": code}


async def measure(process: ServerProcess, requests: int) -> dict[str, Any]:
    """Every kind of offer, and every way in."""
    rows: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=process.url, timeout=60) as http:
        session = (await http.post("/v1/sessions", json={"audio": "push"})).json()["id"]
        avatar = (await http.get("/v1/avatars")).json()["avatars"][0]["id"]
        where = process.url.replace("http", "ws", 1) + f"/v1/sessions/{session}/events"
        async with websockets.connect(where):
            cases = [(WAYS[0], name) for name in OFFERS] + [(way, "streams") for way in WAYS[1:]]
            for way, name in cases:
                path = way.format(avatar=avatar)
                row = await cost_ms(process, http, path, OFFERS[name], requests)
                rows[f"{way} {name}"] = row
                print(f"{way} {name}, {len(OFFERS[name])} bytes: {json.dumps(row)}", flush=True)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--media-processes", type=int, default=1)
    parser.add_argument("--checkout", type=Path, default=CHECKOUT)
    args = parser.parse_args(argv)
    data = Path.home() / ".cache" / "vivavoce-bench-refused"
    flags = ("--size", "256", "--max-sessions", "1")
    flags += ("--media-processes", str(args.media_processes))
    with server(data, *flags, checkout=args.checkout) as process:
        rows = asyncio.run(measure(process, args.requests))
    print(write_result("refused", {"media_processes": args.media_processes, "rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
