"""The inference process as its owner sees it: started, watched, ended, and how soon again."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from realtime.engine.config import EngineConfig
from realtime.engine.process import run_inference

JOIN_S = 5.0


@dataclass(frozen=True)
class EngineAddress:
    """Where an inference process listens, for processes of the same user on this machine."""

    name: bytes
    secret: bytes = field(repr=False)


class BackOff:
    """How long to wait before starting again what has failed: twice as long each time, and not at
    all after `most` failures within `window_s`."""

    first_s = 0.5
    longest_s = 30.0
    most = 8
    window_s = 600.0

    def __init__(self) -> None:
        self._failures: deque[float] = deque()

    def failed(self, now: float) -> float | None:
        """Count a failure at local time `now`; seconds to wait, or None: give up."""
        while self._failures and now - self._failures[0] > self.window_s:
            self._failures.popleft()
        self._failures.append(now)
        if len(self._failures) > self.most:
            return None
        return min(self.first_s * 2.0 ** (len(self._failures) - 1), self.longest_s)


class Home(Protocol):
    """Where the inference process comes from: our own child, or another's."""

    address: EngineAddress

    @property
    def pid(self) -> int | None:
        """Of the child, while it runs."""

    def start(self, on_end: Callable[[str], None]) -> None:
        """Have it running; `on_end` is told when it ends by itself."""

    async def end(self) -> None:
        """End it, whatever it is doing."""

    def close(self) -> None:
        """Give back what stays over restarts."""


class Elsewhere:
    """Another process owns it."""

    pid = None

    def __init__(self, address: EngineAddress) -> None:
        self.address = address

    def start(self, on_end: Callable[[str], None]) -> None: ...

    async def end(self) -> None: ...

    def close(self) -> None: ...


class Child:
    """A child of this process. It listens on a socket that this process keeps, so that whoever
    connects while it is started anew merely waits."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        # An abstract name: nothing lies in a folder that somebody would have to sweep.
        self.address = EngineAddress(
            b"\0vivavoce-" + secrets.token_hex(8).encode(), secrets.token_bytes(32)
        )
        self._listener: socket.socket | None = None
        self._process: Any = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else int(self._process.pid)

    def start(self, on_end: Callable[[str], None]) -> None:
        if self._listener is None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._listener.bind(self.address.name)
            self._listener.listen(64)
        # Spawned: a fork would inherit locks of the threads beside us. Started in this thread,
        # because the kernel ends the child when the thread that started it ends.
        self._process = multiprocessing.get_context("spawn").Process(
            target=run_inference,
            args=(self._config, self._listener, self.address.secret, os.getpid()),
            name="vivavoce-inference",
            daemon=True,
        )
        self._process.start()
        process, loop = self._process, asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(process.sentinel)
            process.join()
            on_end(f"the inference process ended with exit code {process.exitcode}")

        loop.add_reader(process.sentinel, ended)

    async def end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        asyncio.get_running_loop().remove_reader(process.sentinel)
        process.kill()
        await asyncio.to_thread(process.join, JOIN_S)
        process.close()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
