"""What the engine decides, apart from what it computes: who is drawn, how well, and who may enter.

Nothing here does I/O or touches a tensor; time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from realtime.errors import AtCapacity

HOP_S = 0.040


@dataclass(frozen=True)
class Rung:
    """One step of the degradation ladder."""

    draw_every: int  # draw one frame in so many
    max_size: int  # draw no larger than this, in pixels


LADDER: tuple[Rung, ...] = (
    Rung(draw_every=1, max_size=512),
    Rung(draw_every=2, max_size=512),
    Rung(draw_every=2, max_size=256),
)


@dataclass
class Ladder:
    """Chooses the rung from how many steps miss their budget. Down fast, up slowly.

    A step misses when its frame came too late to be shown, or was skipped to catch up. When more
    than `down_share` of the steps of a window miss, quality goes down a rung; when fewer than
    `up_share` miss for `patience` windows in a row, it goes up again, and each relapse doubles
    that patience, so that a machine that is too slow does not flap.
    """

    window_s: float = 4.0
    down_share: float = 0.25
    up_share: float = 0.05
    patience: int = 2
    rung: int = 0
    _since: float = -1.0
    _steps: int = 0
    _misses: int = 0
    _calm: int = 0
    _needed: int = field(default=2)

    def observe(self, now: float, *, missed: bool) -> bool:
        """Count one step; True when the rung changed."""
        if self._since < 0:
            self._since = now
        self._steps += 1
        self._misses += missed
        if now - self._since < self.window_s:
            return False
        share = self._misses / self._steps
        self._since, self._steps, self._misses = now, 0, 0
        if share > self.down_share:
            relapsed = self._calm < self._needed and self.rung > 0
            self._calm = 0
            if self.rung < len(LADDER) - 1:
                self.rung += 1
                if relapsed:
                    self._needed = min(self._needed * 2, 16 * self.patience)
                return True
            return False
        self._calm = self._calm + 1 if share <= self.up_share else 0
        if self.rung > 0 and self._calm >= self._needed:
            self.rung -= 1
            self._calm = 0
            return True
        return False


class Quantile:
    """A quantile over the last `capacity` values."""

    def __init__(self, capacity: int = 250) -> None:
        self._values: deque[float] = deque(maxlen=capacity)

    def add(self, value: float) -> None:
        """Take one value in."""
        self._values.append(value)

    def at(self, q: float) -> float | None:
        """The quantile `q` in [0, 1], or None while there is no value."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Admission:
    """Refuses a session that would make others late, before anything is allocated for it.

    Every session costs CPU time per frame: drawing it and the encoder, both measured (at start-up,
    then live), and the packets, a constant from `benchmarks/service/sessions.py`. All together cost
    one step of the motion model. Inference must fit on its one thread and the whole on the
    machine's cores, up to `load_share` of each.
    """

    MEDIA_S = 0.003  # per 40 ms: RTP, SRTP, Opus both ways, event loop

    def __init__(self, *, max_sessions: int, cores: float, load_share: float, cuda: bool) -> None:
        self.max_sessions = max_sessions
        self._thread_budget_s = load_share * HOP_S
        self._core_budget_s = cores * load_share * HOP_S
        self._cuda = cuda
        self._motion_s = 0.0
        self._step_s: dict[int, float] = {}
        self._encode_s: dict[int, float] = {}

    def measured_motion(self, seconds: float) -> None:
        """Take in the time of a step that draws nothing: what the sessions share."""
        self._motion_s = seconds

    def measured_step(self, size: int, seconds: float, faces: int = 1) -> None:
        """Take in the time of a step that drew `faces` faces of about `size` pixels."""
        each = max(seconds - self._motion_s, 0.0) / faces
        self._step_s[size] = _smooth(self._step_s.get(size), each)

    def measured_encode(self, size: int, seconds: float) -> None:
        """Take in the time that encoding one frame of `size` pixels took."""
        self._encode_s[size] = _smooth(self._encode_s.get(size), seconds)

    def cost_s(self, size: int) -> float:
        """CPU seconds that one more session of `size` pixels takes of every 40 ms."""
        step = 0.0 if self._cuda else self._step_s.get(size, 0.0)
        return step + self._encode_s.get(size, 0.0) + self.MEDIA_S

    def check(self, size: int, running: list[int]) -> None:
        """Admit one more session of `size` beside those of the sizes `running`, or refuse.

        Raises:
            AtCapacity: it would not fit; the message says what is short.
        """
        if len(running) >= self.max_sessions:
            raise AtCapacity(
                f"all {self.max_sessions} sessions of this server are taken; "
                "try again when one has ended"
            )
        if not running:
            return  # the first session is always welcome; the ladder copes with a slow machine
        sizes = [*running, size]
        inference = self._motion_s + sum(self._step_s.get(s, 0.0) for s in sizes)
        if not self._cuda and inference > self._thread_budget_s:
            raise AtCapacity(
                f"drawing one more face would take {inference * 1000:.0f} ms of every 40 ms; "
                "the running sessions would suffer"
            )
        motion = 0.0 if self._cuda else self._motion_s
        total = motion + sum(self.cost_s(s) for s in sizes)
        if total > self._core_budget_s:
            raise AtCapacity(
                f"one more session would need {total * 1000:.0f} ms of CPU time in every 40 ms, "
                f"of {self._core_budget_s * 1000:.0f} ms that this machine grants"
            )

    def describe(self) -> dict[str, float]:
        """The measured costs in milliseconds, for `/health` and logs."""
        costs = {"motion_ms": self._motion_s * 1000}
        costs |= {f"step_{s}_ms": v * 1000 for s, v in sorted(self._step_s.items())}
        costs |= {f"encode_{s}_ms": v * 1000 for s, v in sorted(self._encode_s.items())}
        return {name: round(value, 2) for name, value in costs.items()}


def _smooth(held: float | None, new: float, weight: float = 0.02) -> float:
    return new if held is None else held + weight * (new - held)
