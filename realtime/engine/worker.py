"""The inference process itself: the only code of the server that touches tensors."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipelines.identity import IdentityFeatures
    from pipelines.motion.controls import Controls
    from pipelines.presets import Preset

PREPARING_NICE = 10  # how much the thread that prepares faces yields to the steps


@dataclass(frozen=True)
class WorkerConfig:
    """What the worker builds."""

    preset: Preset
    slots: int
    device: str
    identities: Path  # folder of the `IdentityStore`
    cache_bytes: int


@dataclass(frozen=True)
class Call:
    """One request: a method of `Worker` and its arguments."""

    method: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class StepReply:
    """The result of a step; pictures lie in shared memory, one place per slot."""

    motion: NDArray[np.float32]
    behaviour: list[int]
    sizes: dict[int, int]  # slot -> picture size, of the slots that were drawn
    cpu_s: float


def choose_device(wanted: str) -> str:
    """ "cpu" or "cuda" for "auto" or a wish.

    Raises:
        ValueError: CUDA is wanted and there is none.
    """
    has_cuda = Path("/dev/nvidiactl").exists() and wanted != "cpu"
    if has_cuda:
        import torch

        has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise ValueError("device = 'cuda', but PyTorch finds no CUDA device; use cpu or auto")
    return "cuda" if has_cuda else "cpu"


def frame_bytes(size: int) -> int:
    """Bytes of one I420 picture of `size` pixels."""
    return size * size * 3 // 2


class Worker:
    """Carries out calls on one pipeline."""

    def __init__(self, config: WorkerConfig, memory: SharedMemory) -> None:
        import torch

        from pipelines.avatar import AvatarPipeline
        from pipelines.identity import IdentityCache, IdentityStore
        from pipelines.presets import HOP_SAMPLES

        torch.set_num_threads(1)
        self._torch = torch
        self._pipeline = AvatarPipeline(config.preset, config.slots, 512, config.device)
        self._cache = IdentityCache(IdentityStore(config.identities), config.cache_bytes)
        self._memory = memory
        self._hops = torch.zeros(config.slots, HOP_SAMPLES)
        self._speech = torch.zeros(config.slots, dtype=torch.bool)
        self._active = torch.zeros(config.slots, dtype=torch.bool)
        self._render = torch.zeros(config.slots, dtype=torch.bool)

    def look_ahead(self) -> int:
        """Samples of look-ahead of the pipeline."""
        return self._pipeline.look_ahead

    def prepare(self, key: str, size: int) -> None:
        """Load and bake a face; runs on the preparing thread."""
        self._pipeline.prepare(self._identity(key), size)

    def _identity(self, key: str) -> IdentityFeatures:
        return self._cache.get(key)

    def set_up(self, slot: int, key: str, size: int, seed: int) -> None:
        """Start a slot over."""
        self._pipeline.reset(slot, seed)
        self._pipeline.set_identity(slot, self._identity(key), size)

    def set_identity(self, slot: int, key: str) -> None:
        """Change a slot's face."""
        self._pipeline.set_identity(slot, self._identity(key))

    def set_controls(self, slot: int, controls: Controls) -> None:
        """Change a slot's controls."""
        self._pipeline.set_controls(slot, controls)

    def step(
        self, rows: list[tuple[int, NDArray[np.float32], bool, bool]], max_size: int
    ) -> StepReply:
        """Advance the slots of `rows` and draw those that are asked for."""
        begin = time.thread_time()
        self._active.zero_()
        self._render.zero_()
        for slot, samples, speech, draw in rows:
            self._hops[slot] = self._torch.from_numpy(samples)
            self._speech[slot] = speech
            self._active[slot] = True
            self._render[slot] = draw
        device = self._pipeline.device
        result = self._pipeline.step(
            self._hops.to(device),
            self._speech.to(device),
            self._active.to(device),
            self._render,
            max_size,
        )
        sizes = {}
        for slot, planes in result.frames.items():
            size = planes.shape[-1]
            place: NDArray[np.uint8] = np.ndarray(
                planes.shape, np.uint8, self._memory.buf, slot * frame_bytes(512)
            )
            place[:] = planes.cpu().numpy()
            sizes[slot] = size
        return StepReply(
            result.motion.cpu().numpy(),
            result.behaviour.tolist(),
            sizes,
            time.thread_time() - begin,
        )


def run_worker(
    config: WorkerConfig, memory_name: str, steps: Connection, preparations: Connection
) -> None:
    """The process's main function: serve both pipes until they close."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends us, not the terminal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory = SharedMemory(memory_name)
    try:
        worker = Worker(config, memory)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        steps.recv()
        steps.send(("error", f"{type(error).__name__}: {error}"))
        return
    preparing = threading.Thread(
        target=_serve, args=(worker, preparations, PREPARING_NICE), daemon=True
    )
    preparing.start()
    _serve(worker, steps, 0)
    memory.close()


def _serve(worker: Worker, pipe: Connection, nice: int) -> None:
    if nice:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    while True:
        try:
            call: Call = pipe.recv()
            try:
                reply = ("ok", getattr(worker, call.method)(*call.args))
            except (ValueError, KeyError, RuntimeError, OSError) as error:
                reply = ("error", f"{type(error).__name__}: {error}")
            pipe.send(reply)
        except (EOFError, OSError):
            return
