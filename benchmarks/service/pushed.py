"""Pushed speech against a running server: how soon it is heard and seen, how soon it falls silent.

    python -m benchmarks.service.pushed [--pipeline P] [--utterances 40] [--size H]
    python -m benchmarks.service.pushed --browser [--seconds 20] ...

Utterances are pushed at ten times real time over the audio socket, every other one is interrupted;
an aiortc peer writes down what arrives when. From the first PCM sent to the first packet of its
sound and to the picture of the same media time, whichever is later; from `clear` sent to the last
packet with old sound; what the server says it played against what came. With `--browser`, picture
against voice as Chromium plays them: see `pushed_browser`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import websockets

from benchmarks.service import pushed_browser
from benchmarks.service.browser import add_pipeline, pipeline_flags, result_name, server
from benchmarks.service.peer import LOUD, AvatarClient
from benchmarks.timing import quantiles, write_result
from realtime.sources.microphone.opus import OpusDecoder

RATE_HZ = 24_000
PIECE = RATE_HZ * 2 // 5  # samples pushed each 40 ms: ten times as fast as they are spoken
SECONDS = 1.5


class Ear(AvatarClient):
    """A peer that notes which packets are loud."""

    def __init__(self) -> None:
        super().__init__(np.zeros(48_000, np.int16), keep_frames=False, decode=False)
        self.loud: list[tuple[int, float]] = []  # RTP time, local time
        self._decoder = OpusDecoder()

    def _hear(self, payload: bytes) -> None:
        loud = np.abs(self._decoder.decode(payload).astype(np.int32)).max(initial=0) > LOUD
        if loud:
            self.loud.append(self.audio.arrivals[-1])

    def seen_with(self, rtp_time: int) -> float | None:
        """When the picture of that sound's media time was whole."""
        media = self.audio.clock.wall_s(rtp_time)
        arrivals = [
            at
            for shown, at in self.video.arrivals
            if -0.04 < self.video.clock.wall_s(shown) - media <= 0
        ]
        return max(arrivals) if arrivals else None


async def _say(ear: Ear, socket: Any, *, cut_s: float | None) -> dict[str, float]:
    """One utterance; what was measured, in ms."""
    pcm = (12_000 * np.sin(np.arange(round(SECONDS * RATE_HZ)) / 8)).astype("<i2")
    before, begin = len(ear.loud), time.monotonic()
    for at in range(0, len(pcm), PIECE):
        await socket.send(pcm[at : at + PIECE].tobytes())
        await asyncio.sleep(0.04 if at + PIECE < len(pcm) else 0)
    await socket.send('{"type": "input_audio_buffer.commit"}')
    cleared = None
    if cut_s is not None:
        await asyncio.sleep(max(0.0, begin + cut_s - time.monotonic()))
        cleared = time.monotonic()
        await socket.send('{"type": "output_audio_buffer.clear"}')
    played_ms = await _end(socket)
    await asyncio.sleep(0.8)  # what is on its way arrives, the mouth closes
    heard = ear.loud[before:]
    if not heard:
        return {}
    seen = ear.seen_with(heard[0][0])
    return {
        "sound": (heard[0][1] - begin) * 1000,
        **({} if seen is None else {"frame": (max(seen, heard[0][1]) - begin) * 1000}),
        **({} if cleared is None else {"silent": max(0.0, heard[-1][1] - cleared) * 1000}),
        "position": abs(played_ms - len(heard) * 20),
    }


async def _end(socket: Any) -> int:
    """Position at which the utterance ended."""
    async for message in socket:
        event = json.loads(message)
        if event["type"] in ("output_audio_buffer.stopped", "output_audio_buffer.cleared"):
            return int(event["played_ms"])
    raise RuntimeError("the session ended")


async def _measure(url: str, utterances: int, rng: np.random.Generator) -> dict[str, Any]:
    ear, figures = Ear(), []
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def post(offer: dict[str, Any]) -> dict[str, Any]:
            answer = await http.post("/v1/sessions", json=offer)
            answer.raise_for_status()
            return dict(answer.json())

        await ear.connect(post, audio="push")
        session = ear.session["id"]
        async with websockets.connect(f"ws{url[4:]}/v1/sessions/{session}/audio") as socket:
            while not (ear.audio.clock.reports and ear.video.clock.reports):
                await asyncio.sleep(0.1)
            for number in range(utterances):
                cut_s = None if number % 2 else float(rng.uniform(0.3, 1.3))
                figures.append(await _say(ear, socket, cut_s=cut_s))
                await asyncio.sleep(float(rng.uniform(0, 0.04)))
        said = (await http.get(f"/v1/sessions/{session}")).json()["measurements"]
        await ear.close()
    return {
        "first_sound_ms": quantiles([f["sound"] for f in figures if f]),
        "first_frame_with_sound_ms": quantiles([f["frame"] for f in figures if "frame" in f]),
        "clear_to_last_sound_ms": quantiles([f["silent"] for f in figures if "silent" in f]),
        "position_off_ms": quantiles([f["position"] for f in figures if f]),
        "playout_delay_ms": ear.session["playout_delay_ms"],
        "server": said,
        "load_average": os.getloadavg()[0],
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--utterances", type=int, default=40)
    parser.add_argument("--size", metavar="H|WxH", default="256")
    parser.add_argument("--browser", action="store_true", help="Chromium watches; its A/V skew")
    parser.add_argument("--seconds", type=float, default=20, help="with --browser")
    args = parser.parse_args(argv)
    suite = "pushed_browser" if args.browser else "pushed"
    with tempfile.TemporaryDirectory() as folder:
        flags = (*pipeline_flags(args), "--size", args.size)
        with server(Path(folder), *flags) as process:
            if args.browser:
                result = pushed_browser.measure(process, args.seconds)
            else:
                measured = _measure(process.url, args.utterances, np.random.default_rng(0))
                result = asyncio.run(measured)
    print(json.dumps(result, indent=2))
    print(write_result(result_name(suite, args, args.size), result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
