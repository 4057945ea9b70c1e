"""The inference process, seen from the server: one `AvatarPipeline` behind two pipes.

A step is a few hundred short tensor calls. Beside a busy event loop in one interpreter each of
them may wait for the interpreter lock, and a 10 ms step takes 50; in a process of its own it takes
10. Steps and other short calls go over one pipe, in order; faces are prepared over a second one,
by a thread of low priority in the worker, so that a new face never holds up the others. Pictures
come back in shared memory. The event loop itself writes and reads the pipes: their messages are
a few kilobytes, and a helper thread would only add two waits for the lock.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.engine.worker import Call, StepReply, WorkerConfig, frame_bytes, run_worker


class InferenceDied(RuntimeError):
    """The inference process ended; nothing more will come from it."""


class WorkerError(RuntimeError):
    """The worker could not carry out a call; the message is the worker's."""


@dataclass(frozen=True)
class Stepped:
    """What one step made. See `pipelines.avatar.StepResult`; arrays are copies."""

    motion: NDArray[np.float32]
    behaviour: list[int]
    frames: dict[int, NDArray[np.uint8]]
    cpu_s: float


class _Pipe:
    """Calls over one pipe, one at a time, answered in order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._replies: deque[asyncio.Future[tuple[str, Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            self.close()
            return
        reply = self._replies.popleft()
        if not reply.done():  # its caller may have been cancelled
            reply.set_result(message)

    async def call(self, call: Call) -> Any:
        """Send a call and wait for its answer.

        Raises:
            InferenceDied, WorkerError.
        """
        async with self._turn:
            if self._connection.closed:
                raise InferenceDied("the inference process has ended")
            reply = self._loop.create_future()
            self._replies.append(reply)
            try:
                self._connection.send(call)
            except OSError:
                self.close()
            verdict, value = await reply
        if verdict == "error":
            raise WorkerError(value)
        return value

    def close(self) -> None:
        """Close our end, whereupon the worker ends; calls without an answer fail."""
        if not self._connection.closed:
            self._loop.remove_reader(self._connection.fileno())
            self._connection.close()
        while self._replies:
            reply = self._replies.popleft()
            if not reply.done():
                reply.set_exception(InferenceDied("the inference process has ended"))


class Inference:
    """Starts the worker and speaks to it, from one event loop."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipes: dict[str, _Pipe] = {}
        self._memory: SharedMemory | None = None
        self.look_ahead = 0

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return int(self._process.pid)

    async def start(self) -> None:
        """Start the worker and wait until its pipeline stands.

        Raises:
            WorkerError: the pipeline cannot be built; the message says why.
        """
        self._memory = SharedMemory(create=True, size=self.config.slots * frame_bytes(512))
        steps, worker_steps = self._context.Pipe()
        preparations, worker_preparations = self._context.Pipe()
        self._process = self._context.Process(
            target=run_worker,
            args=(self.config, self._memory.name, worker_steps, worker_preparations),
            name="vivavoce-inference",
            daemon=True,
        )
        await asyncio.to_thread(self._process.start)
        worker_steps.close()
        worker_preparations.close()
        self._pipes = {"step": _Pipe(steps), "prepare": _Pipe(preparations)}
        self.look_ahead = await self._call("step", Call("look_ahead"))

    async def prepare(self, key: str, size: int) -> None:
        """Load a face and make it ready to draw, at `size` pixels or fewer.

        May take some 0.4 s, holds nobody up.
        """
        await self._call("prepare", Call("prepare", (key, size)))

    async def set_up(self, slot: int, key: str, size: int, seed: int) -> None:
        """Start `slot` over with a prepared face."""
        await self._call("step", Call("set_up", (slot, key, size, seed)))

    async def set_identity(self, slot: int, key: str) -> None:
        """Change the face of `slot` to a prepared one."""
        await self._call("step", Call("set_identity", (slot, key)))

    async def set_controls(self, slot: int, controls: Any) -> None:
        """Change the controls (`pipelines.motion.controls.Controls`) of `slot`."""
        await self._call("step", Call("set_controls", (slot, controls)))

    async def step(
        self,
        rows: list[tuple[int, NDArray[np.float32], bool, bool]],
        max_size: int,
    ) -> Stepped:
        """One step: for each row the slot, its hop float32 [640], speech, and whether to draw."""
        reply: StepReply = await self._call("step", Call("step", (rows, max_size)))
        assert self._memory is not None
        frames = {}
        for slot, size in reply.sizes.items():
            planes: NDArray[np.uint8] = np.ndarray(
                (size * 3 // 2, size), np.uint8, self._memory.buf, slot * frame_bytes(512)
            )
            frames[slot] = planes.copy()
        return Stepped(reply.motion, reply.behaviour, frames, reply.cpu_s)

    async def _call(self, pipe: str, call: Call) -> Any:
        return await self._pipes[pipe].call(call)

    async def stop(self) -> None:
        """End the worker and give back threads, pipes and memory."""
        for pipe in self._pipes.values():
            pipe.close()
        if self._process is not None:
            await asyncio.to_thread(self._join)
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def _join(self) -> None:
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)
        self._process.close()
