"""The avatar's process: joins a room, says there what the agent streams to it.

    echo '{"server": ..., "livekit_url": ..., "token": ..., "agent": ...}' | \
        python -m livekit.plugins.vivavoce.worker

The job comes over standard input, where no list of processes shows its token. The process ends when
the room is left, when the server ends the session, and when standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass

from livekit import rtc
from livekit.agents.voice.avatar import AvatarOptions, AvatarRunner, DataStreamAudioReceiver
from livekit.plugins.vivavoce.generator import AvatarGenerator
from livekit.plugins.vivavoce.log import logger
from vivavoce_client import Client, Session, VivavoceClientError
from vivavoce_client.speaker import Speaker

FPS = 25
FRAME_MS = 40
"""Of the audio that is passed on: what belongs to a picture."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker has to know."""

    livekit_url: str
    token: str
    """To join the room with, as the avatar."""
    agent: str
    """The identity of the participant whose audio is said."""
    server: str
    """Of vivavoce, such as http://127.0.0.1:8080."""
    key: str | None = None
    avatar: str | None = None
    sample_rate: int = 24_000

    def dump(self) -> bytes:
        """One line, for `load`."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def load(cls, line: bytes) -> Job:
        """The job in a line."""
        return cls(**json.loads(line))


async def serve(room: rtc.Room, session: Session, agent: str, sample_rate: int) -> None:
    """Be the avatar in a room, until the session ends or this is cancelled.

    Args:
        room: connected.
        session: open, with pushed speech.
        agent: the identity of the participant whose audio is said.
    """
    size = await _size(session)
    async with Speaker(session) as speaker:
        generator = AvatarGenerator(speaker, size)
        receiver = DataStreamAudioReceiver(room, sender_identity=agent, frame_size_ms=FRAME_MS)
        options = AvatarOptions(*size, FPS, sample_rate, 1)
        runner = AvatarRunner(room, audio_recv=receiver, video_gen=generator, options=options)
        await runner.start()
        try:
            await runner.wait_for_complete()
        finally:
            await runner.aclose()


async def _size(session: Session) -> tuple[int, int]:
    created = await session.wait_for("session.created", since=0)
    return int(created["session"]["width"]), int(created["session"]["height"])


async def work(job: Job) -> None:
    """Do a job, until the room is left.

    Raises:
        VivavoceClientError: the server refuses, or is lost.
        rtc.ConnectError: the room cannot be joined.
    """
    room = rtc.Room()
    left = asyncio.Event()
    room.on("disconnected", lambda reason: left.set())
    async with (
        Client(job.server, key=job.key) as client,
        client.open(avatar=job.avatar, rate=job.sample_rate) as session,
    ):
        await room.connect(job.livekit_url, job.token)
        serving = asyncio.create_task(serve(room, session, job.agent, job.sample_rate))
        leaving = asyncio.create_task(left.wait())
        try:
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
        finally:
            for task in (serving, leaving):
                task.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)
            await room.disconnect()


async def _until_closed() -> None:
    """Wait until whoever started us is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while await reader.read(1024):
        pass


async def main(job: Job) -> None:
    """Work until done, or until standard input closes."""
    working = asyncio.create_task(work(job))
    watching = asyncio.create_task(_until_closed())
    await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    if not working.done():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")
    try:
        asyncio.run(main(Job.load(sys.stdin.buffer.readline())))
    except (VivavoceClientError, rtc.ConnectError) as error:
        logger.error("the avatar cannot go on: %s", error)
        sys.exit(1)
