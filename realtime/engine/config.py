"""What the inference process builds and how much it may take on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DeviceWish = Literal["auto", "cpu", "cuda"]
BackendWish = Literal["auto", "torch", "onnxruntime"]

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Settings of one inference process."""

    pipelines: tuple[tuple[str, Any], ...]
    """Systems to load at start: name and options (an instance of `System.Options`)."""
    identities: Path
    """Folder of the `IdentityStore` that keys are looked up in."""
    slots: int = 8
    """Streams that one pipeline can hold; each loaded pipeline has as many."""
    max_sessions: int = 8
    """Streams open at once, over all pipelines."""
    device: DeviceWish = "auto"
    backend: BackendWish = "auto"
    """What computes pipelines that have a choice; "auto": whichever is faster here."""
    graphs: bool = True
    """On a GPU, launch steps whole; without them, slowly, faults are found where they are."""
    tf32: bool = False
    """On a GPU, let convolutions round to TF32: faster, and pictures unlike a CPU's."""
    load_share: float = 0.75
    """Of the machine that streams may fill; above 1 oversells it."""
    cache_bytes: int = 256 * MIB
    """Of identity features held in memory."""
    unanswered_s: float = 10.0
    """A process that answers nothing for so long, while this one runs, is started anew."""

    def __post_init__(self) -> None:
        if self.slots < 1 or self.max_sessions < 1:
            raise ValueError(
                f"slots and max_sessions must be positive, got {self.slots}, {self.max_sessions}"
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device must be auto, cpu or cuda, got {self.device!r}")
