"""Who may enter: what streams cost, as measured, against what the machine has.

One object per way of computing: `CpuCosts` counts CPU time on one inference thread and on all
cores; `BatchCosts` counts the wall time of one batch over all faces, as a GPU draws them. Admission
goes by what computing takes; what to draw goes by what it takes beside everything else that runs on
this machine, a browser perhaps, or our own encoders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from realtime.engine.config import EngineConfig
from realtime.engine.media_costs import (
    Crowding,
    Face,
    MediaCosts,
    moving,
    ms,
    name_of,
    nearest,
    smooth,
)
from realtime.engine.quantile import Quantile
from realtime.errors import AtCapacity
from realtime.media import Size


class Costs(Protocol):
    """What is known of the costs, and the decision that follows."""

    def stepped(self, pipeline: str, drawn: Sequence[Size], cpu_s: float, wall_s: float) -> None:
        """Take in what a step took that drew faces at the sizes `drawn`."""

    def encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        """Take in what encoding one picture of `size` took, waits for a processor included."""

    def hop_s(self, faces: Sequence[Face]) -> float:
        """Seconds of inference per hop that `faces` take."""

    def expected_s(self, faces: Sequence[Face]) -> float:
        """Wall time per hop that `faces` take on the machine as it is now: of inference, or of the
        slowest encoder if that takes longer."""

    def begin(self, cpu_s: float, wall_s: float) -> None:
        """Nobody was served for a while: what else runs now shows in something computed just now,
        and not in what was computed then."""

    def check(self, wanted: Face, running: Sequence[Face]) -> None:
        """Admit one more face beside the running ones, or refuse.

        Raises:
            AtCapacity: it would not fit; the message says what is short.
        """

    def describe(self) -> dict[str, float]:
        """The measured costs in milliseconds, for `/health` and logs."""


def make_costs(config: EngineConfig, device: str, cores: float) -> Costs:
    """The costs of a device."""
    media = MediaCosts(config.max_sessions, cores, config.load_share)
    return BatchCosts(media) if device == "cuda" else CpuCosts(media)


class CpuCosts:
    """CPU seconds on the one inference thread: a motion step that all faces of a pipeline share,
    and drawing each of them."""

    def __init__(self, media: MediaCosts) -> None:
        self._media = media
        self._motion_s: dict[str, float] = {}
        self._draw_s: dict[str, dict[Size, float]] = {}
        self._crowding = Crowding()

    def stepped(self, pipeline: str, drawn: Sequence[Size], cpu_s: float, wall_s: float) -> None:
        self._crowding.add(cpu_s, wall_s)
        if not drawn:
            self._motion_s[pipeline] = smooth(self._motion_s.get(pipeline), cpu_s)
            return
        each = max(cpu_s - self._motion_s.get(pipeline, 0.0), 0.0) / len(drawn)
        known = self._draw_s.setdefault(pipeline, {})
        for size in drawn:
            known[size] = smooth(known.get(size), each)

    def encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        self._media.encoded(size, cpu_s, wall_s)

    def hop_s(self, faces: Sequence[Face]) -> float:
        motion = sum(self._motion_s.get(name, 0.0) for name in {face.pipeline for face in faces})
        draw = sum(nearest(self._draw_s.get(f.pipeline, {}), f.size, moving) for f in faces)
        return motion + draw

    def expected_s(self, faces: Sequence[Face]) -> float:
        return max(self.hop_s(faces) * self._crowding.factor, self._media.expected_s(faces))

    def begin(self, cpu_s: float, wall_s: float) -> None:
        self._crowding.begin(cpu_s, wall_s)
        self._media.begin(cpu_s, wall_s)

    def check(self, wanted: Face, running: Sequence[Face]) -> None:
        self._media.check_places(len(running))
        if not running:
            return  # the first session is always welcome; the ladder copes with a slow machine
        faces = [*running, wanted]
        inference = self.hop_s(faces)
        if inference > self._media.inference_budget_s:
            raise AtCapacity(
                f"drawing one more face would take {inference * 1000:.0f} ms of every 40 ms; "
                "the running sessions would suffer"
            )
        self._media.check_cores(inference, faces)

    def describe(self) -> dict[str, float]:
        costs = {f"{name} motion": ms(v) for name, v in sorted(self._motion_s.items())}
        for name, sizes in sorted(self._draw_s.items()):
            costs |= {f"{name} draw {name_of(s)}": ms(v) for s, v in sorted(sizes.items())}
        return costs | self._media.describe()


class BatchCosts:
    """Wall seconds of one step over so many faces: what all slots of a pipeline share, and drawing
    so many pictures of each size; in between it is interpolated.

    When the machine is full, one step over all faces is what every hop brings.
    """

    ENOUGH = 100
    """Steps from which on the slowest of them tell something."""

    def __init__(self, media: MediaCosts) -> None:
        self._media = media
        self._hear_s: dict[str, float] = {}
        self._draw_s: dict[str, dict[Size, dict[int, float]]] = {}
        self._longer_s = Quantile(500)  # than known before

    def stepped(self, pipeline: str, drawn: Sequence[Size], cpu_s: float, wall_s: float) -> None:
        known = self._draw_s.setdefault(pipeline, {})
        if pipeline in self._hear_s and all(size in known for size in drawn):
            expected_s = self.hop_s([Face(pipeline, size) for size in drawn])
            self._longer_s.add(wall_s - max(expected_s, self._hear_s[pipeline]))
        if not drawn:
            self._hear_s[pipeline] = smooth(self._hear_s.get(pipeline), wall_s)
        elif len(set(drawn)) == 1:  # of several sizes nothing says which took how long
            curve = known.setdefault(drawn[0], {})
            draw_s = max(wall_s - self._hear_s.get(pipeline, 0.0), 0.0)
            curve[len(drawn)] = smooth(curve.get(len(drawn)), draw_s)

    def encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        self._media.encoded(size, cpu_s, wall_s)

    def hop_s(self, faces: Sequence[Face]) -> float:
        counts = Counter((face.pipeline, face.size) for face in faces)
        hear = sum(self._hear_s.get(name, 0.0) for name in {face.pipeline for face in faces})
        return hear + sum(self._drawing_s(name, size, n) for (name, size), n in counts.items())

    def expected_s(self, faces: Sequence[Face]) -> float:
        return max(self.hop_s(faces), self._media.expected_s(faces))

    def begin(self, cpu_s: float, wall_s: float) -> None:
        self._media.begin(0.0, 0.0)  # waiting for a GPU says nothing of encoders

    @property
    def late_s(self) -> float:
        """By how much one step in a hundred lately took longer than was known; 0 of few."""
        found = self._longer_s.at(0.99) if len(self._longer_s) >= self.ENOUGH else None
        return max(found or 0.0, 0.0)

    def _drawing_s(self, pipeline: str, size: Size, faces: int) -> float:
        """Of a size that was never measured: as of the nearest, in proportion to the work."""
        known = self._draw_s.get(pipeline, {})
        if not known:
            return 0.0
        near = min(known, key=lambda each: abs(moving(each) - moving(size)))
        return _on_curve(known[near], faces) * moving(size) / moving(near)

    def check(self, wanted: Face, running: Sequence[Face]) -> None:
        self._media.check_places(len(running))
        if not running:
            return
        faces = [*running, wanted]
        inference = self.hop_s(faces) + self.late_s
        if inference > self._media.inference_budget_s:
            raise AtCapacity(
                f"a step over {len(faces)} faces would take {inference * 1000:.0f} ms of every "
                "40 ms; the running sessions would suffer"
            )
        self._media.check_cores(0.0, faces)

    def describe(self) -> dict[str, float]:
        costs = {f"{name} step": ms(seconds) for name, seconds in sorted(self._hear_s.items())}
        for name, sizes in sorted(self._draw_s.items()):
            for size, curve in sorted(sizes.items()):
                drawn = f"{name} draw {name_of(size)}"
                costs |= {f"{drawn} x {n}": ms(s) for n, s in sorted(curve.items())}
        if self.late_s:
            costs["late step"] = ms(self.late_s)
        return costs | self._media.describe()


def _on_curve(points: dict[int, float], faces: int) -> float:
    """Seconds for so many faces, of `points` by number: interpolated between those; beyond them as
    between the two furthest apart; a single one is taken to cost as much per face."""
    known = sorted(points.items())
    if len(known) == 1:
        n, seconds = known[0]
        return seconds * faces / n
    if faces >= known[-1][0]:
        low, high = known[0], known[-1]
    else:
        after = next(i for i, (n, _) in enumerate(known) if n > faces)
        low, high = known[max(after - 1, 0)], known[max(after, 1)]
    slope = max(high[1] - low[1], 0.0) / (high[0] - low[0])
    return high[1] + slope * (faces - high[0])
