"""Which library computes a pipeline that more than one can compute."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.pipeline import HasBackends, Pipeline
from realtime.engine.config import BackendWish


class BackendInUse(NamedTuple):
    """What computes a pipeline."""

    name: str
    times_ms: dict[str, float]
    """Of a hop by each, where they were compared."""

    def describe(self) -> dict[str, str | float]:
        """For `/health`: {"name": "torch", "torch_ms": 1.2, "onnxruntime_ms": 3.4}."""
        times = {f"{name}_ms": round(value, 2) for name, value in self.times_ms.items()}
        return {"name": self.name, **times}

    def __str__(self) -> str:
        times = ", ".join(f"{name} {value:.2f} ms" for name, value in self.times_ms.items())
        return f"{self.name} (a hop takes {times})" if times else self.name


def choose_backend(pipeline: Pipeline, wish: BackendWish, *, measure: bool) -> BackendInUse | None:
    """Have `pipeline` computed as wished; None where it has no choice to make.

    measure: for "auto", take what is faster here and now; else what the pipeline begins with, which
    is the same from run to run.

    Raises:
        ValueError: it cannot be computed so here.
    """
    if not isinstance(pipeline, HasBackends):
        return None
    known = pipeline.backends
    times_ms: dict[str, float] = {}
    chosen: str = wish
    if wish == "auto":
        if measure and len(known) > 1:
            times_ms = pipeline.time_backends()
        chosen = min(known, key=lambda name: times_ms.get(name, 0.0))
    if chosen not in known:
        raise ValueError(
            f"it cannot be computed by {chosen} here, only by {', '.join(known)}; "
            "the log says why, `vivavoce export` makes what is missing"
        )
    pipeline.use_backend(chosen)
    return BackendInUse(chosen, times_ms)
