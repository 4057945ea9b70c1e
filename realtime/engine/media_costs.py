"""What a stream costs beside its inference, and what ways of counting costs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from realtime.errors import AtCapacity
from realtime.media import HOP_S, Size

CROWDING_WEIGHT = 0.05


@dataclass(frozen=True)
class Face:
    """What a stream asks to have drawn."""

    pipeline: str
    size: Size


class Crowding:
    """How much longer than its computing something takes, since others want the processor too."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._wall_s = 0.0

    def begin(self, cpu_s: float, wall_s: float) -> None:
        """Know nothing but this."""
        self._cpu_s, self._wall_s = cpu_s, wall_s

    def add(self, cpu_s: float, wall_s: float) -> None:
        """Take in what was computed last; what lies 50 back hardly counts any more."""
        self._cpu_s += CROWDING_WEIGHT * (cpu_s - self._cpu_s)
        self._wall_s += CROWDING_WEIGHT * (wall_s - self._wall_s)

    @property
    def factor(self) -> float:
        """Wall time by CPU time, at least 1."""
        return max(1.0, self._wall_s / self._cpu_s) if self._cpu_s > 0.0 else 1.0


class MediaCosts:
    """What a stream costs beside its inference, and the limits that hold for every device."""

    MEDIA_S = 0.003
    """Per hop: RTP, SRTP, Opus both ways, event loop; from `benchmarks/service/sessions.py`."""

    def __init__(self, max_sessions: int, cores: float, load_share: float) -> None:
        self.max_sessions = max_sessions
        self.inference_budget_s = load_share * HOP_S
        self._core_budget_s = cores * load_share * HOP_S
        self._encode_s: dict[Size, float] = {}
        self._crowding = Crowding()

    def encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        self._encode_s[size] = smooth(self._encode_s.get(size), cpu_s)
        self._crowding.add(cpu_s, wall_s)

    def expected_s(self, faces: Sequence[Face]) -> float:
        """Wall time of encoding the largest picture among `faces`."""
        encode_s = max((nearest(self._encode_s, face.size) for face in faces), default=0.0)
        return encode_s * self._crowding.factor

    def begin(self, cpu_s: float, wall_s: float) -> None:
        self._crowding.begin(cpu_s, wall_s)

    def check_places(self, running: int) -> None:
        """Refuse above `max_sessions`."""
        if running >= self.max_sessions:
            raise AtCapacity(
                f"all {self.max_sessions} sessions of this server are taken; "
                "try again when one has ended"
            )

    def check_cores(self, inference_s: float, faces: Sequence[Face]) -> None:
        """Refuse what the cores cannot carry beside `inference_s` of them per hop."""
        media = sum(nearest(self._encode_s, face.size) + self.MEDIA_S for face in faces)
        total = inference_s + media
        if total > self._core_budget_s:
            raise AtCapacity(
                f"one more session would need {total * 1000:.0f} ms of CPU time in every 40 ms, "
                f"of {self._core_budget_s * 1000:.0f} ms that this machine grants"
            )

    def describe(self) -> dict[str, float]:
        return {f"encode {name_of(s)}": ms(v) for s, v in sorted(self._encode_s.items())}


def pixels(size: Size) -> int:
    """Of a picture."""
    return size[0] * size[1]


def moving(size: Size) -> int:
    """Pixels of a picture that are drawn at the most: the canvas is no larger than its shorter
    side, and what lies around it is copied."""
    return min(size) ** 2


def nearest(known: dict[Size, float], size: Size, work: Callable[[Size], int] = pixels) -> float:
    """What is known of `size`, or of the nearest size in proportion to the work for it."""
    if size in known:
        return known[size]
    if not known:
        return 0.0
    near = min(known, key=lambda s: abs(work(s) - work(size)))
    return known[near] * work(size) / work(near)


def smooth(held: float | None, new: float, weight: float = 0.02) -> float:
    """What is held, moved towards what was measured last."""
    return new if held is None else held + weight * (new - held)


def name_of(size: Size) -> str:
    """WIDTHxHEIGHT."""
    return f"{size[0]}x{size[1]}"


def ms(seconds: float) -> float:
    """Milliseconds, rounded to be read."""
    return round(seconds * 1000, 2)
