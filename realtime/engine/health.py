"""How an engine is, for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.machine import Machine
from realtime.engine.backends import BackendInUse
from realtime.media import Size

State = Literal["starting", "ready", "restarting", "failed", "stopped"]


@dataclass(frozen=True)
class Health:
    """How the engine is, as of its last answer. For `/health`, `/ready` and logs."""

    state: State
    reason: str
    """Why it is not ready, in words; empty when it is."""
    answered_s: float
    """Seconds since the inference process last answered; it is asked every second."""
    restarts: int
    device: str
    pipelines: dict[str, str]
    """By name: "loading", "ready", or what went wrong."""
    sessions: int
    """Streams open now, those of other media processes too."""
    rung: int
    """Of the degradation ladder; 0 is full quality."""
    costs: dict[str, float]
    """Measured, in milliseconds."""
    machine: Machine
    first_sizes: dict[str, Size]
    """By warmed-up pipeline: what the first session's pictures begin with on this machine."""
    backends: dict[str, BackendInUse]
    """What computes the pipelines that have a choice, by name."""
