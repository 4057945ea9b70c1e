"""Batches drawn before they are asked for: a GPU steps faster than one thread draws."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

Batch_co = TypeVar("Batch_co", covariant=True)


class Draws(Protocol[Batch_co]):
    """Whatever gives batches that depend on their step alone."""

    def draw(self, step: int) -> Batch_co:
        """The batch of that step."""


class Ahead(Generic[Batch_co]):
    """Draws what `sampler` draws, the next `threads` steps at once; with none, when asked.

    A batch depends on its step alone, so drawing ahead changes nothing but the time it takes.
    """

    def __init__(self, sampler: Draws[Batch_co], threads: int) -> None:
        self.sampler, self.threads = sampler, threads
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._drawn: dict[int, Future[Batch_co]] = {}

    def draw(self, step: int) -> Batch_co:
        """The batch of `step`, as the sampler's."""
        if self._pool is None:
            return self.sampler.draw(step)
        for ahead in range(step, step + self.threads + 1):
            if ahead not in self._drawn:
                self._drawn[ahead] = self._pool.submit(self.sampler.draw, ahead)
        return self._drawn.pop(step).result()
