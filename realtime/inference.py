"""The inference process, seen from the server: one `AvatarPipeline` behind two pipes.

A step is a few hundred short tensor calls. Beside a busy event loop in one interpreter each of
them may wait for the interpreter lock, and a 10 ms step takes 50; in a process of its own it takes
10. Steps and other short calls go over one pipe, in order; faces are prepared over a second one,
by a thread of low priority in the worker, so that a new face never holds up the others. Pictures
come back in shared memory.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.inference_worker import Call, StepReply, WorkerConfig, frame_bytes, run_worker


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


class Inference:
    """Starts the worker and speaks to it. Calls are awaited and may be made from one loop only."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self._context = multiprocessing.get_context("spawn")
        self._threads = {
            name: ThreadPoolExecutor(1, thread_name_prefix=f"inference-{name}")
            for name in ("step", "prepare")
        }
        self._process: Any = None
        self._pipes: dict[str, Connection] = {}
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
        ends = {name: self._context.Pipe() for name in self._threads}
        self._pipes = {name: ours for name, (ours, _) in ends.items()}
        self._process = self._context.Process(
            target=run_worker,
            args=(self.config, self._memory.name, *(theirs for _, theirs in ends.values())),
            name="vivavoce-inference",
            daemon=True,
        )
        await asyncio.to_thread(self._process.start)
        for _, theirs in ends.values():
            theirs.close()
        self.look_ahead = await self._call("step", Call("look_ahead"))

    async def prepare(self, key: str, size: int) -> None:
        """Load a face and make it ready to draw; may take some 0.2 s, holds nobody up."""
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
        loop = asyncio.get_running_loop()
        call = Call("step", (rows, max_size))
        return await loop.run_in_executor(self._threads["step"], self._step, call)

    def _step(self, call: Call) -> Stepped:
        reply: StepReply = self._exchange("step", call)
        assert self._memory is not None
        frames = {}
        for slot, size in reply.sizes.items():
            planes: NDArray[np.uint8] = np.ndarray(
                (size * 3 // 2, size), np.uint8, self._memory.buf, slot * frame_bytes(512)
            )
            frames[slot] = planes.copy()
        return Stepped(reply.motion, reply.behaviour, frames, reply.cpu_s)

    async def _call(self, pipe: str, call: Call) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[pipe], self._exchange, pipe, call)

    def _exchange(self, pipe: str, call: Call) -> Any:
        connection = self._pipes[pipe]
        try:
            connection.send(call)
            verdict, value = connection.recv()
        except (EOFError, OSError) as error:
            raise InferenceDied("the inference process has ended") from error
        if verdict == "error":
            raise WorkerError(value)
        return value

    async def stop(self) -> None:
        """End the worker and give back threads, pipes and memory."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()  # the worker ends when its pipes do
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(5)
            self._process.close()
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()
            self._memory = None
