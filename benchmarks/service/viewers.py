"""What each further viewer of one session costs: WHEP players, more and more of them.

    python -m benchmarks.service.viewers [--pipeline P] [--size 256] [--most 20] [--seconds 10]

Server and players share this machine, so the players are made cheap: they take packets and neither
decrypt nor report on them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from aiortc import RTCPeerConnection, RTCSessionDescription

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
    """One WHEP viewer."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection()
        self.pictures: set[int] = set()  # their RTP times
        self.location = ""
        for kind in ("audio", "video"):
            self.pc.addTransceiver(kind, "recvonly")

    async def join(self, http: httpx.AsyncClient, session: str) -> None:
        """Connect."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await http.post(
            f"/whep/{session}",
            content=self.pc.localDescription.sdp,
            headers={"content-type": "application/sdp"},
        )
        answer.raise_for_status()
        self.location = answer.headers["location"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await self._connected()
        video = self.pc.getTransceivers()[1]
        video_type = video._codecs[0].payloadType
        transport: Any = video.receiver.transport
        transport._rx_srtp = Untouched()

        async def count(data: bytes, arrival_time_ms: int) -> None:
            if data[1] & 0x7F == video_type:
                self.pictures.add(int.from_bytes(data[4:8], "big"))

        transport._handle_rtp_data = count
        transport._handle_rtcp_data = ignore

    async def _connected(self) -> None:
        async with asyncio.timeout(60):
            while self.pc.connectionState != "connected":
                await asyncio.sleep(0.02)


class Untouched:
    """Gives packets as they came: headers are not encrypted."""

    def unprotect(self, packet: bytes) -> bytes:
        """RTP."""
        return packet

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """RTCP."""
        return packet


async def ignore(data: bytes) -> None:
    """What is done with RTCP."""


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
                begin = await meter.read(http)
                await asyncio.sleep(seconds)
                end = await meter.read(http)
                wall, media, every, encodes, shown = (
                    b - a for a, b in zip(begin, end, strict=True)
                )
                taken = [len(player.pictures) - n for player, n in zip(players, seen, strict=True)]
                rows.append(
                    {
                        "viewers": count,
                        "pictures_per_s": round(shown / wall, 2),
                        "encodes_per_picture": round(encodes / shown, 3),
                        "sent_per_picture": round(sum(taken) / shown, 2),
                        "media_process_cpu_ms_per_picture": round(1000 * media / shown, 2),
                        "all_cpu_ms_per_s": round(1000 * every / wall, 1),
                        "viewers_fps_worst": round(min(taken) / wall, 2) if taken else None,
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
        finally:
            await asyncio.gather(speaker.close(), *(player.pc.close() for player in players))
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
