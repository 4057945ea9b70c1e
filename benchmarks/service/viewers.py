"""What each further viewer of one session costs: WHEP players, more and more of them.

    python -m benchmarks.service.viewers [--pipeline P] [--size 256] [--most 20] [--seconds 10]

Server and players share this machine, so the players are as cheap as they can be without the server
being spared anything: they decrypt, and report as players do, but decode nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import re
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from aiortc.rtp import RtcpRrPacket
from vivavoce_client.peer import Peer

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
from realtime.media import FPS

SPEECH = (clicks_and_vowels(4) * 25_000).astype(np.int16)


class Player:
    """One WHEP viewer: it decrypts, reports what it lost and received, and shows nothing."""

    def __init__(self) -> None:
        self.peer = Peer(events=False)
        self.pictures: set[int] = set()  # their RTP times
        self.reports = 0
        for transceiver in self.peer.connection.getTransceivers():
            receiver: Any = transceiver.receiver
            receiver._RTCRtpReceiver__decoder_queue = Undecoded()
            self._tap(receiver, transceiver.kind)

    async def join(self, http: httpx.AsyncClient, session: str) -> None:
        """Connect."""
        answer = await http.post(
            f"/whep/{session}",
            content=await self.peer.offer(),
            headers={"content-type": "application/sdp"},
        )
        answer.raise_for_status()
        await self.peer.accept(answer.text)
        await self.peer.connected(60)

    def _tap(self, receiver: Any, kind: str) -> None:
        handle, send = receiver._handle_rtp_packet, receiver._send_rtcp

        async def rtp(packet: Any, arrival_time_ms: int) -> None:
            if kind == "video":
                self.pictures.add(packet.timestamp)
            await handle(packet, arrival_time_ms)

        async def rtcp(packet: Any) -> None:
            self.reports += isinstance(packet, RtcpRrPacket)
            await send(packet)

        receiver._handle_rtp_packet, receiver._send_rtcp = rtp, rtcp


class Undecoded(queue.Queue[Any]):
    """What is put in is not decoded; but for the word that ends the thread."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Take None."""
        if item is None:
            super().put(item, block, timeout)


class Meter:
    """CPU seconds, encodes and the speaker's pictures since it was made."""

    def __init__(self, process: ServerProcess, speaker: AvatarClient) -> None:
        self._family = process.family()
        self._speaker = speaker
        self._url = process.url
        self.before: tuple[float, ...] = ()

    async def read(self, http: httpx.AsyncClient) -> tuple[float, ...]:
        """Time, CPU s of the media process and of all processes, encodes, pictures sent."""
        page = (await http.get("/metrics")).text
        encodes = re.search(r'milliseconds_count\{stage="encode"\} (\S+)', page)
        shown = re.search(r'frames_total\{fate="sent"\} (\S+)', page)
        assert encodes is not None
        assert shown is not None
        cpu = [sum(p.cpu_times()[:2]) for p in self._family if psutil.pid_exists(p.pid)]
        return time.monotonic(), cpu[0], sum(cpu), float(encodes[1]), float(shown[1])


async def measure(process: ServerProcess, counts: list[int], seconds: float) -> list[Any]:
    """One speaker, and so many viewers beside it, in turn."""
    rows: list[Any] = []
    players: list[Player] = []
    speaker = AvatarClient(SPEECH, keep_frames=False, decode=False)
    async with httpx.AsyncClient(base_url=process.url, timeout=60) as http:

        async def post(offer: dict[str, Any]) -> dict[str, Any]:
            answer = await http.post("/v1/sessions", json=offer)
            answer.raise_for_status()
            return dict(answer.json())

        await speaker.connect(post)
        meter = Meter(process, speaker)
        try:
            for count in counts:
                while len(players) < count:
                    players.append(Player())
                    await players[-1].join(http, speaker.session["id"])
                await asyncio.sleep(3)  # what joining costs is over
                seen = [len(player.pictures) for player in players]
                reported = [player.reports for player in players]
                begin = await meter.read(http)
                await asyncio.sleep(seconds)
                end = await meter.read(http)
                wall, media, every, encodes, shown = (
                    b - a for a, b in zip(begin, end, strict=True)
                )
                taken = [len(player.pictures) - n for player, n in zip(players, seen, strict=True)]
                told = [player.reports - n for player, n in zip(players, reported, strict=True)]
                rows.append(
                    {
                        "viewers": count,
                        "pictures_per_s": round(shown / wall, 2),
                        "encodes_per_picture": round(encodes / shown, 3),
                        "sent_per_picture": round(sum(taken) / shown, 2),
                        "media_process_cpu_ms_per_picture": round(1000 * media / shown, 2),
                        "all_cpu_ms_per_s": round(1000 * every / wall, 1),
                        "viewers_fps_worst": round(min(taken) / wall, 2) if taken else None,
                        "reports_per_s_least": round(min(told) / wall, 2) if told else None,
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
        finally:
            await asyncio.gather(speaker.close(), *(player.peer.close() for player in players))
    return rows


def per_viewer_ms(rows: list[Any]) -> float:
    """CPU ms per second of the media process for each added viewer at 25 pictures a second: what a
    picture costs more for each viewer that it is sent to, which a busy machine leaves as it is."""
    sent = [row["sent_per_picture"] for row in rows]
    slope, _ = np.polyfit(sent, [row["media_process_cpu_ms_per_picture"] for row in rows], 1)
    return round(float(slope) * FPS, 2)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--size", default="256")
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args(argv)
    data = Path.home() / ".cache" / "vivavoce-bench"
    counts = sorted({0, args.most // 4, args.most // 2, args.most})
    with server(data, *pipeline_flags(args), "--size", args.size) as process:
        rows = asyncio.run(measure(process, counts, args.seconds))
    figures = {"size": args.size, "rows": rows, "cpu_ms_per_s_per_viewer": per_viewer_ms(rows)}
    print(write_result(result_name("viewers", args), figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
