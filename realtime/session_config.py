"""What the sessions of a server have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from realtime.media import Size
from realtime.sinks.webrtc.peer import Peer, connect
from realtime.sinks.webrtc.settings import RtcConfig


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """What the sessions of a server have in common."""

    webrtc: RtcConfig = field(default_factory=RtcConfig)
    ping_timeout_s: float = 8.0
    """Whoever pinged once and then is silent for so long is gone."""
    limit_s: float = 0.0
    """A session ends so long after it was opened; 0: it may last."""
    idle_limit_s: float = 0.0
    """A session ends when nothing was said or done in it for so long; 0: it may last."""
    encoders: Executor | None = None
    """Where video is encoded; None: the event loop's own."""
    on_encoded: Callable[[Size, float, float], None] = lambda size, cpu_s, wall_s: None
    """Told each picture's size, the CPU seconds encoding took, and those it was waited for."""
    connect: Callable[..., Awaitable[Peer]] = connect
    """How offers are answered."""
