"""Settings of the microphone's path, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.audio.vad import VadConfig


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """Patience and limits of the microphone's path."""

    wait_s: float = 0.010
    """How long after its nominal end a hop may still be completed. Part of the playout delay."""
    max_insert_s: float = 0.120
    """Largest delay added in one go for a network that delivers irregularly."""
    max_ahead_s: float = 0.5
    """Packets that claim to be further in the future are not of this timeline."""
    urgent_s: float = 0.060
    """Surplus delay above which speech is shortened too, not only pauses."""
    align: bool = False
    """Move the timeline later, by less than a packet and once, so that hops end where the first
    packets do. Saves 10 ms on average; whoever paces by `Ingest.t0` must read it again."""
    vad: VadConfig = field(default_factory=VadConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.wait_s <= 0.1:
            raise ValueError(f"wait_s is {self.wait_s}; 0 to 0.1 s are sensible")


@dataclass
class IngestStats:
    """Counters since the session began; delays in milliseconds."""

    received: int = 0
    lost: int = 0
    recovered: int = 0
    """Lost ones whose copy came with the packet after."""
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    undecodable: int = 0
    reanchors: int = 0
    stalls: int = 0
    concealed_samples: int = 0
    """At 16 kHz: sound that was lost or late. Not silence in which the sender sent nothing."""
    inserted_ms: float = 0.0
    removed_ms: float = 0.0
    jitter_ms: float = 0.0
