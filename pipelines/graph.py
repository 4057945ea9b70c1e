"""A step captured once and replayed: the only CUDA-graph code.

A step of many small kernels takes longer to launch than to compute; a graph launches it whole. It
remembers addresses, not names: what it reads and writes lies where it lay when it was captured, and
whatever Python decided then stays decided. What captures is a back end: CUDA graphs, nothing at all
(`Eager`, to look for faults), or on a CPU a tape (`pipelines.tape`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from pipelines.streaming import fixed_shapes

WARM_UPS = 3
"""Runs before a capture: kernels are compiled, workspaces and caches made."""

Made = TypeVar("Made")

_CAPTURING = threading.Lock()  # each pipeline is built in a thread of its own
_EAGER = ContextVar("eager", default=False)


@contextmanager
def capturing() -> Iterator[None]:
    """Inside, a graph is captured, by PyTorch or by a library beside it, and no other in this
    process. Threads that use a card while another captures: `pipelines.card.set_up_thread`."""
    with _CAPTURING:
        yield


class Graphs(Protocol):
    """What captures."""

    def capture(self, function: Callable[[], Made]) -> tuple[Callable[[], object], Made]:
        """Run `function` some times, then keep what it does: returns how to do it again, and what
        it gave, tensors that every repetition writes anew."""


class CudaGraphs:
    """CUDA graphs that share one pool of memory, for steps that run one after the other."""

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self._pool = torch.cuda.graph_pool_handle()
        # One for all captures: only those of one stream share memory. And PyTorch has 32 streams,
        # which it hands out in turn: a new one for each was soon one that another pipeline copies
        # its pictures on, and neither survives that.
        self._aside: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def capture(self, function: Callable[[], Made]) -> tuple[Callable[[], object], Made]:
        with capturing(), torch.cuda.device(self._device):
            # Off the default stream, whose work would be tied to the capture.
            aside = self._aside
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # Other pipelines are stepped and faces prepared by other threads meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"
            ):
                made = function()
        return graph.replay, made


class Eager:
    """No graphs: the function itself, each time; what it gave first is written anew."""

    def capture(self, function: Callable[[], Made]) -> tuple[Callable[[], object], Made]:
        made = function()

        def again() -> None:
            for held, new in zip(_tensors(made), _tensors(function()), strict=True):
                held.copy_(new)

        return again, made


@contextmanager
def without_graphs() -> Iterator[None]:
    """Pipelines that are built inside launch every kernel themselves, to look for faults."""
    token = _EAGER.set(True)
    try:
        yield
    finally:
        _EAGER.reset(token)


def graphs_of(device: torch.device | str) -> Graphs:
    """What captures on `device` unless told otherwise."""
    if torch.device(device).type != "cuda" or _EAGER.get():
        return Eager()
    return CudaGraphs(device)


class GraphedStep(Generic[Made]):
    """A function of tensors, captured over tensors of its own.

    Capturing runs it several times: whoever owns the state that it writes resets it afterwards.

    Args:
        name: of the step, for messages.
        function: takes `inputs` by name; reads, writes and gives tensors of one device, of shapes
            that depend on no value. Gives a tensor, a tuple of them, or None.
        inputs: the step's own from now on.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Made],
        inputs: Mapping[str, Tensor],
        graphs: Graphs,
    ) -> None:
        self.name = name
        self.inputs = dict(inputs)
        with fixed_shapes():
            self._replay, self.made = graphs.capture(lambda: function(**self.inputs))

    def __call__(self, **given: Tensor) -> Made:
        """Copy what is given into the inputs, and replay. What it gives is lent until the next
        replay.

        Raises:
            ValueError: other inputs, or inputs of another shape, type or device, than captured.
        """
        if given.keys() != self.inputs.keys():
            raise ValueError(
                f"{self.name} was captured for {', '.join(self.inputs)}; got {', '.join(given)}"
            )
        for name, new in given.items():
            _check(self.name, name, self.inputs[name], new)
        for name, new in given.items():
            self.inputs[name].copy_(new)
        return self.replay()

    def replay(self) -> Made:
        """The step over what lies in its inputs."""
        with fixed_shapes():
            self._replay()
        return self.made


def _check(step: str, name: str, held: Tensor, new: Tensor) -> None:
    for what, was, now in (
        ("shape", tuple(held.shape), tuple(new.shape)),  # which `copy_` would broadcast
        ("type", held.dtype, new.dtype),
        ("device", held.device, new.device),
    ):
        if was != now:
            raise ValueError(
                f"{step} was captured with {name} of {what} {was} and cannot take {now}; "
                "build another step, or build it `without_graphs()`"
            )


def _tensors(made: object) -> tuple[Tensor, ...]:
    if made is None:
        return ()
    return (made,) if isinstance(made, Tensor) else tuple(made)  # type: ignore[arg-type]
