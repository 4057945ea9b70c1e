"""An avatar that says what is pushed, for programs that pass its picture and voice on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from vivavoce_client.errors import SessionEnded
from vivavoce_client.script import NOTHING, Said, Script
from vivavoce_client.session import Session

MOST_WAITING = 5
"""Frames, 200 ms: if the program is slower for once, pictures without a voice are left out until it
has caught up. It would lag for ever, as what it hands them to plays in real time."""


@dataclass(frozen=True)
class Shown:
    """A 25th of a second."""

    picture: av.VideoFrame
    """yuv420p; of whatever size the server draws now, which may change."""
    said: Said
    """What is heard with it, as it was pushed."""


class Speaker:
    """Pushes into a session, and reads picture by picture along. `async with` begins to read.

    Its voice is the very sound that was pushed, so a program may count in it how far it has come.

    Args:
        session: open, with `audio="push"` and media.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.left_out = 0
        """Pictures that came too late."""
        self._script = Script()
        self._waiting: deque[Shown] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        reading: tuple[Coroutine[Any, Any, None], ...] = (self._watch(), self._listen())
        self._tasks = {asyncio.create_task(task) for task in reading}
        return self

    async def __aexit__(self, *error: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # In

    async def push(self, pcm: NDArray[np.int16], rate_hz: int) -> None:
        """Have this said: int16 [n], mono.

        Raises:
            ValueError, SessionEnded, Refused: see `Session.push`.
        """
        if len(pcm):
            self._script.push(pcm, rate_hz)
            await self.session.push(pcm, rate_hz)

    async def commit(self) -> bool:
        """What was pushed is a whole utterance. Whether there was any.

        Raises:
            SessionEnded.
        """
        begun = self._script.commit()
        if begun:
            await self.session.commit()
        return begun

    async def clear(self) -> None:
        """Barge-in: nothing more is said of what was pushed, from now on. The server is told so
        before whatever is pushed next; its answer is not waited for."""
        self._script.clear()
        self._waiting = deque(replace(shown, said=Said(NOTHING, 0)) for shown in self._waiting)
        task = asyncio.create_task(self._clear())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)  # its first step sends the event

    async def _clear(self) -> None:
        with suppress(SessionEnded, TimeoutError):
            await self.session.clear()

    # Out

    @property
    def waiting_s(self) -> float:
        """What was pushed and is not given out, in seconds."""
        return self._script.waiting_s

    async def finished(self) -> None:
        """Wait until all that was committed was given out, or the session ends."""
        while not self._over and (self._script.waiting_s or any(map(_audible, self._waiting))):
            await asyncio.sleep(0.02)

    async def shown(self) -> AsyncIterator[Shown]:
        """Pictures in real time, until the session ends. Read by one at a time."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._over:
                return
            self._news.clear()
            await self._news.wait()

    async def _watch(self) -> None:
        try:
            async for frame in self.session.frames():
                self._waiting.append(Shown(frame.picture, self._script.hear(frame.sound)))
                self._catch_up()
                self._news.set()
        finally:
            self._over = True
            self._news.set()

    def _catch_up(self) -> None:
        if len(self._waiting) <= MOST_WAITING:
            return
        for n, shown in enumerate(self._waiting):
            if not _audible(shown):
                del self._waiting[n]
                self.left_out += 1
                return

    async def _listen(self) -> None:
        told = {
            "output_audio_buffer.started": self._script.started,
            "output_audio_buffer.stopped": self._script.stopped,
            "output_audio_buffer.cleared": self._script.cleared,
        }
        async for event in self.session.events():
            if event["type"] in told:
                told[event["type"]](event["response_id"])


def _audible(shown: Shown) -> bool:
    return bool(len(shown.said.pcm)) or shown.said.ended
