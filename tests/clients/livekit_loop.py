"""LiveKit's own agent side against our worker and a running server. One JSON object a line out.

Runs in `.clients/livekit`: python livekit_loop.py URL
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import DataStreamAudioOutput
from livekit.plugins.vivavoce.worker import serve
from vivavoce_client import Client

sys.path.insert(0, __file__.rpartition("/")[0])
from standin_room import connected

RATE = 24_000
PATIENCE_S = 240


class Heard:
    """What the worker gives to the room, of audio and pictures."""

    def __init__(self) -> None:
        self.audio: list[np.ndarray] = []
        self.pictures = 0
        capture_audio = rtc.AudioSource.capture_frame
        capture_video = rtc.VideoSource.capture_frame

        async def audio(source: Any, frame: rtc.AudioFrame) -> None:
            self.audio.append(np.frombuffer(frame.data, np.int16).copy())
            await capture_audio(source, frame)

        def video(source: Any, frame: rtc.VideoFrame, **named: Any) -> None:
            self.pictures += 1
            capture_video(source, frame, **named)

        rtc.AudioSource.capture_frame = audio  # type: ignore[method-assign]
        rtc.VideoSource.capture_frame = video  # type: ignore[method-assign]

    def take(self) -> np.ndarray:
        """The audio since the last call."""
        audio, self.audio = self.audio, []
        return np.concatenate([np.zeros(0, np.int16), *audio])

    @property
    def seconds(self) -> float:
        return sum(map(len, self.audio)) / RATE


class Agent:
    """Speaks through LiveKit's own output and notes what it is told."""

    def __init__(self, output: DataStreamAudioOutput, heard: Heard) -> None:
        self.output, self.heard = output, heard
        self.started: list[float] = []
        self.finished: list[tuple[float, float, bool]] = []
        output.on("playback_started", lambda event: self.started.append(time.monotonic()))
        output.on("playback_finished", self._finished)

    def _finished(self, event: Any) -> None:
        self.finished.append((time.monotonic(), event.playback_position, event.interrupted))

    async def speak(self, pcm: np.ndarray) -> None:
        for at in range(0, len(pcm), 480):
            part = pcm[at : at + 480]
            await self.output.capture_frame(rtc.AudioFrame(part.tobytes(), RATE, 1, len(part)))
        self.output.flush()

    async def segment(self, name: str, pcm: np.ndarray, clear_at_s: float | None = None) -> None:
        """Say it, interrupt it once so much was heard, and report."""
        before = len(self.finished), len(self.started)
        self.heard.take()
        begun = time.monotonic()
        await self.speak(pcm)
        cleared = 0.0
        if clear_at_s is not None:
            await until(lambda: self.heard.seconds >= clear_at_s)
            cleared = time.monotonic()
            self.output.clear_buffer()
        await asyncio.wait_for(self.output.wait_for_playout(), PATIENCE_S)
        await asyncio.sleep(1.0)  # a second report, or more of the voice, would come now
        audio = self.heard.take()
        told = self.finished[before[0] :]
        report = {
            "segment": name,
            "pushed_s": len(pcm) / RATE,
            "heard_s": len(audio) / RATE,
            "same": bool(np.array_equal(audio, pcm[: len(audio)])),
            "finished": [(position, interrupted) for _, position, interrupted in told],
            "started": len(self.started) - before[1],
            "first_s": self.started[before[1]] - begun if len(self.started) > before[1] else None,
            "told_after_clear_s": told[0][0] - cleared if cleared and told else None,
        }
        tell(report)


def tell(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never happened"
        await asyncio.sleep(0.01)


def voice(seconds: float, pitch_hz: float = 180) -> np.ndarray:
    """Syllables, two a second; other ones where the pitch is another."""
    n = np.arange(int(RATE * seconds))
    swell = np.clip(np.sin(2 * np.pi * 2 * n / RATE), -0.2, 1) + 0.2
    return (9_000 * swell * np.sin(2 * np.pi * pitch_hz * n / RATE)).astype(np.int16)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(RATE * seconds), np.int16)


async def main(url: str) -> None:
    heard = Heard()
    ours, theirs = connected("avatar", "agent")
    async with Client(url) as client, client.open(rate=RATE) as session:
        serving = asyncio.create_task(serve(ours, session, "agent", RATE))  # type: ignore[arg-type]
        await until(lambda: "lk.audio_stream" in ours.byte_handlers or serving.done())
        output = DataStreamAudioOutput(
            theirs,  # type: ignore[arg-type]
            destination_identity="avatar",
            sample_rate=RATE,
            wait_remote_track=rtc.TrackKind.KIND_VIDEO,
            wait_playback_start=True,
        )
        agent = Agent(output, heard)
        await agent.segment("whole", voice(1.0, 150))
        await agent.segment("odd length", np.concatenate([quiet(0.3), voice(0.777, 160)]))
        for n in range(3):
            await agent.segment("interrupted", voice(20.0, 170 + 10 * n), clear_at_s=0.8)
        await agent.segment("after it", voice(1.0, 210))
        await agent.segment("interrupted at once", voice(5.0, 220), clear_at_s=0.0)
        await agent.segment("at the end", voice(1.5, 230))
        tell({"pictures": heard.pictures, "done": not serving.done()})
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


asyncio.run(main(sys.argv[1]))
