"""A loaded pipeline in the inference process: built, its faces prepared, its rows handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pipelines.batch import Batch
from pipelines.card import set_up_thread
from pipelines.identity import IdentityCache, IdentityFeatures
from pipelines.photo.framing import framed, largest_sizes, rungs
from pipelines.pipeline import Pipeline, Releases, Size, StepsAhead, System, UnderWay
from pipelines.registry import find_system
from realtime.engine.backends import BackendInUse, choose_backend
from realtime.engine.config import EngineConfig
from realtime.engine.memory import Layout, PictureMemory, create_memory
from realtime.engine.preparing import PreparingThread


class PipelineHost:
    """One system: its pipeline, the memory it draws into, its free rows.

    Building it and preparing faces happen in a thread of its own, so that they hold up neither
    steps nor other pipelines; all else is called from the thread that steps.

    Args:
        number: tells its memory from others'.
        post: runs a function in the thread that steps.
    """

    def __init__(
        self,
        number: int,
        name: str,
        options: Any,
        cache: IdentityCache,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self.number = number
        self.name = name
        self.options = options
        self.state = "loading"
        self.system: System
        self.pipeline: Pipeline
        self.memory: PictureMemory
        self.descriptor: int
        self.backend: BackendInUse | None = None
        self.free: deque[int] = deque()
        self._cache = cache
        self._post = post
        self._on_card = False
        self.preparing = PreparingThread(f"prepare-{name}")

    @property
    def ready(self) -> bool:
        """Whether it can be stepped."""
        return self.state == "ready"

    def build(
        self, config: EngineConfig, device: str, done: Callable[[Exception | None], None]
    ) -> None:
        """Build the pipeline and its memory; `done` is told when, in the thread that steps."""
        self._on_card = device != "cpu"

        def work() -> tuple[System, Pipeline, int, PictureMemory]:
            system = find_system(self.name)
            with nullcontext() if config.graphs else _without_graphs():
                pipeline = system.build(config.slots, self.options, device)
            self.backend = choose_backend(pipeline, config.backend, measure=True)
            layout = Layout(self.name, pipeline.slots, largest_sizes(system), pipeline.motion_dim)
            descriptor = create_memory(layout)
            return system, pipeline, descriptor, PictureMemory(layout, descriptor)

        def built(result: Future[tuple[System, Pipeline, int, PictureMemory]]) -> None:
            error = result.exception()
            if error is None:
                self.system, self.pipeline, self.descriptor, self.memory = result.result()
                self.free.extend(range(self.pipeline.slots))
                self.state = "ready"
            else:
                self.state = in_words(error)
                self.preparing.close()
            done(error if isinstance(error, Exception) else None)

        self._submit(work, built)

    def prepare(
        self,
        key: str,
        frame: str,
        sizes: tuple[Size, ...],
        done: Callable[[IdentityFeatures | Exception], None],
    ) -> None:
        """Load a face and make it ready to draw in a frame at some of its `sizes`; `done` gets it,
        or what went wrong."""

        def work() -> IdentityFeatures:
            identity = framed(self._cache.get(key), frame)
            for size in sizes:
                self.pipeline.prepare(identity, rungs(self.system, identity, size)[0])
            return identity

        def prepared(result: Future[IdentityFeatures]) -> None:
            error = result.exception()
            done(result.result() if not isinstance(error, Exception) else error)

        self._submit(work, prepared)

    def _submit(self, work: Callable[[], Any], done: Callable[[Future[Any]], None]) -> None:
        def finished(result: Future[Any]) -> None:
            self.preparing.finished()
            done(result)

        def prepared() -> Any:
            if self._on_card:
                set_up_thread()
            return work()

        self.preparing.submit(prepared, lambda result: self._post(lambda: finished(result)))

    def begin(self, batch: Batch) -> UnderWay:
        """Begin a step, or make it where the pipeline knows no other way."""
        if isinstance(self.pipeline, StepsAhead):
            return self.pipeline.begin(batch)
        self.pipeline.step(batch)
        return UnderWay()

    def take_row(self) -> int | None:
        """A free row with room for a picture, or None."""
        for row in self.free:
            if self.memory.has_place(row):
                self.free.remove(row)
                return row
        return None

    def give_back(self, row: int) -> None:
        """Free a row. It goes to the end, so that its last pictures are read by then."""
        if isinstance(self.pipeline, Releases):
            self.pipeline.release(row)
        self.free.append(row)

    def draw_still(self, row: int, size: Size) -> int:
        """Draw the face of `row` before any sound; returns the batch that holds it, taken."""
        batch = self.memory.roomiest([row])
        self.memory.batches[batch].size[row] = size
        self.pipeline.still(row, self.memory.batches[batch])
        self.memory.taken[batch, row] = True
        return batch


def _without_graphs() -> AbstractContextManager[None]:
    from pipelines.graph import without_graphs  # and PyTorch, which not every pipeline needs

    return without_graphs()


def in_words(error: BaseException) -> str:
    """What went wrong, short enough for a message."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{type(error).__name__}: {text}"[:1000]
