"""Our video service in a real pipeline of Pipecat's, with a WebRTC peer. One JSON object out.

Runs in `.clients/pipecat`: python pipecat_loop.py URL
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import pairwise
from typing import Any

import aioice.ice
import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner
from vivavoce_pipecat import VivavoceVideoService

RATE, SIZE = 24_000, 256
PATIENCE_S = 240
LOUD = 200


class Watch(FrameProcessor):
    """Notes what the transport says and what it played."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []
        self.played: list[np.ndarray] = []
        self.errors: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        told = BotStartedSpeakingFrame, BotStoppedSpeakingFrame, TTSStoppedFrame, InterruptionFrame
        if isinstance(frame, told) and direction is FrameDirection.DOWNSTREAM:
            self.kinds.append(type(frame).__name__)
        if isinstance(frame, TTSAudioRawFrame):
            self.played.append(np.frombuffer(frame.audio, np.int16))
        if isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        await self.push_frame(frame, direction)

    def take(self) -> np.ndarray:
        played, self.played = self.played, []
        return np.concatenate([np.zeros(0, np.int16), *played])


class Viewer:
    """A browser, as far as Pipecat can tell."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection()
        self.pictures: list[tuple[float, np.ndarray]] = []  # small and grey
        self.sounds: list[tuple[float, float]] = []  # level
        self.connection.addTransceiver("audio", direction="sendrecv")
        self.connection.addTransceiver("video", direction="sendrecv")
        self.channel = self.connection.createDataChannel("chat")
        self.connection.on("track", self._on_track)
        self.tasks: list[asyncio.Task[None]] = []

    def _on_track(self, track: Any) -> None:
        self.tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: Any) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now = time.monotonic()
            if track.kind == "audio":
                level = float(np.abs(frame.to_ndarray().astype(np.int32)).mean())
                self.sounds.append((now, level))
            else:
                grey = frame.reformat(64, 64, "gray").to_ndarray()
                self.pictures.append((now, grey.astype(np.int16)))

    async def ping(self) -> None:
        while True:
            if self.channel.readyState == "open":
                self.channel.send("ping")
            await asyncio.sleep(1)

    def heard_s(self, since: float) -> float:
        """Seconds of sound since then."""
        return 0.02 * sum(level > LOUD for at, level in self.sounds if at > since)

    def movement(self, begin: float, end: float) -> float:
        """How far apart pictures next to each other lie at the mouth, on average."""
        mouths = [grey[36:56, 20:44] for at, grey in self.pictures if begin < at < end]
        steps = [float(np.abs(b - a).mean()) for a, b in pairwise(mouths)]
        return float(np.mean(steps)) if steps else 0.0


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never happened"
        await asyncio.sleep(0.02)


def voice(seconds: float) -> np.ndarray:
    """Syllables, about four a second."""
    n = np.arange(int(RATE * seconds))
    swell = np.clip(np.sin(2 * np.pi * 2 * n / RATE), -0.2, 1) + 0.2
    return (9_000 * swell * np.sin(2 * np.pi * 180 * n / RATE)).astype(np.int16)


async def speak(worker: PipelineWorker, pcm: np.ndarray) -> float:
    """As a TTS service does: all at once. When."""
    await worker.queue_frame(TTSStartedFrame(context_id="c"))
    for at in range(0, len(pcm), 2_400):
        audio = pcm[at : at + 2_400].tobytes()
        await worker.queue_frame(TTSAudioRawFrame(audio, RATE, 1, context_id="c"))
    await worker.queue_frame(TTSStoppedFrame(context_id="c"))
    return time.monotonic()


async def main(url: str) -> None:
    addresses = aioice.ice.get_host_addresses  # aioice leaves this one out
    aioice.ice.get_host_addresses = lambda **which: ["127.0.0.1", *addresses(**which)]
    viewer, watch = Viewer(), Watch()
    await viewer.connection.setLocalDescription(await viewer.connection.createOffer())
    connection = SmallWebRTCConnection()
    await connection.initialize(sdp=viewer.connection.localDescription.sdp, type="offer")
    transport = SmallWebRTCTransport(
        connection,
        TransportParams(
            audio_out_enabled=True,
            video_out_enabled=True,
            video_out_width=SIZE,
            video_out_height=SIZE,
        ),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), VivavoceVideoService(server=url), transport.output(), watch]),
        params=PipelineParams(audio_out_sample_rate=RATE, enable_metrics=True),
        enable_rtvi=False,
        cancel_on_idle_timeout=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await until(connection.get_answer)
    answer = connection.get_answer()
    assert answer is not None
    await viewer.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    pinging = asyncio.create_task(viewer.ping())
    await until(lambda: len(viewer.pictures) > 50)
    report = await converse(worker, viewer, watch)
    begun = await speak(worker, voice(1.0))
    await worker.queue_frame(EndFrame())  # the last words are not cut off
    await asyncio.wait_for(running, PATIENCE_S)
    report["last_s"] = len(watch.take()) / RATE
    report["last_heard_s"] = viewer.heard_s(begun)
    report["errors"] = watch.errors
    sys.stdout.write(json.dumps(report) + "\n")
    pinging.cancel()
    await viewer.connection.close()


async def converse(worker: PipelineWorker, viewer: Viewer, watch: Watch) -> dict[str, Any]:
    """A whole utterance; one that is interrupted; one after that."""
    report: dict[str, Any] = {}
    rested = time.monotonic()
    await asyncio.sleep(2)
    pcm = voice(4.0)
    begun = await speak(worker, pcm)
    await until(lambda: viewer.heard_s(begun) > 0)
    first = next(at for at, level in viewer.sounds if at > begun and level > LOUD)
    await until(lambda: watch.kinds.count("BotStoppedSpeakingFrame") == 1)
    done = time.monotonic()
    played = watch.take()
    report["first_s"] = first - begun
    report["same"] = bool(np.array_equal(played[: len(pcm)], pcm))
    report["played_s"], report["heard_s"] = len(played) / RATE, viewer.heard_s(begun)
    report["moves"], report["rests"] = viewer.movement(first, done), viewer.movement(rested, begun)
    report["kinds"] = list(watch.kinds)

    begun = await speak(worker, voice(20.0))
    await until(lambda: viewer.heard_s(begun) > 0.8)
    await worker.queue_frame(InterruptionFrame())
    interrupted = time.monotonic()
    await until(lambda: watch.kinds.count("BotStoppedSpeakingFrame") == 2)
    await asyncio.sleep(2)
    late = [at - interrupted for at, level in viewer.sounds if at > interrupted and level > LOUD]
    report["silent_after_s"] = max(late, default=0.0)
    report["interrupted_s"] = len(watch.take()) / RATE

    pcm = voice(1.0)
    await speak(worker, pcm)
    await until(lambda: watch.kinds.count("BotStoppedSpeakingFrame") == 3)
    played = watch.take()
    report["after_same"] = bool(np.array_equal(played[: len(pcm)], pcm))
    report["after_s"] = len(played) / RATE
    return report


asyncio.run(main(sys.argv[1]))
