"""A CUDA runtime that writes down what it is asked to do, and refuses what the real one would not
understand. Tensors stay on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch


class Stream:
    """Waits for nothing; says what it would wait for."""

    device = torch.device("cpu")

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self.name = log, name

    def wait_stream(self, other: Stream) -> None:
        self._log.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event: Event) -> None:
        self._log.append(f"{self.name} waits for {event.name}")

    def synchronize(self) -> None:
        self._log.append(f"the host waits for {self.name}")


class Event:
    """One that is recorded once."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self.name = log, name

    def record(self, stream: Stream) -> None:
        self._log.append(f"{self.name} in {stream.name}")

    def synchronize(self) -> None:
        self._log.append(f"the host waits for {self.name}")


class Runtime:
    """Takes the place of what `torch.cuda` has, as far as pipelines use it."""

    def __init__(self, patch: pytest.MonkeyPatch, pins: int = 0) -> None:
        self.log: list[str] = []
        self.copies = Stream(self.log, "copies")
        self._compute = [Stream(self.log, "compute")]
        self._events = 0
        self.streams = 0
        """That were asked for; the real one gives the same again after 32."""
        self._pins = pins
        patch.setattr(torch.cuda, "current_stream", lambda device=None: self._compute[-1])
        patch.setattr(torch.cuda, "Stream", self._new_stream)
        patch.setattr(torch.cuda, "Event", self._checked(torch.cuda.Event.__new__, self._event))
        patch.setattr(torch.cuda, "device", lambda device: self.named("device"))
        patch.setattr(torch.cuda, "stream", self._in_stream)
        patch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        patch.setattr(torch.cuda, "graph", self._checked(torch.cuda.graph.__init__, self._graph))
        patch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=self._replay))
        runtime = SimpleNamespace(cudaHostRegister=self._pin, cudaHostUnregister=self._unpin)
        patch.setattr(torch.cuda, "cudart", lambda: runtime)

    def _checked(self, real: Any, ours: Any) -> Any:
        signature = inspect.signature(real)

        def call(*args: Any, **kwargs: Any) -> Any:
            signature.bind(None, *args, **kwargs)
            return ours(*args, **kwargs)

        return call

    def _new_stream(self, device: object = None) -> Stream:
        self.streams += 1
        return Stream(self.log, "aside")

    def _event(self, **kwargs: Any) -> Event:
        self._events += 1
        return Event(self.log, f"event {self._events}")

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        yield

    @contextmanager
    def _in_stream(self, stream: Stream) -> Iterator[None]:
        self._compute.append(stream)
        self.log.append(f"in {stream.name}:")
        yield
        self._compute.pop()

    @contextmanager
    def _graph(self, graph: Any, **kwargs: Any) -> Iterator[None]:
        self.log.append(f"capture in {kwargs['stream'].name}, {kwargs['pool']}")
        yield
        self.log.append("captured")

    def _replay(self) -> None:
        self.log.append("replay")

    def _pin(self, address: int, size: int, flags: int) -> int:
        self.log.append(f"pin {size}")
        return self._pins

    def _unpin(self, address: int) -> int:
        self.log.append("unpin")
        return 0
