"""What is measured, in the order of its worth: should time run out, the end is what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import card, kernels, steps
from benchmarks.gpu.part import Figures, in_words, poisons
from benchmarks.gpu.pipelines import PIPELINES, SIZES
from benchmarks.gpu.record import Record
from benchmarks.timing import machine_stamp
from kernels.bounds import H200, Card
from pipelines.card import tf32_of_card
from pipelines.graph import Eager
from pipelines.pipeline import Size

_STEPS = "steps of "
_MIDDLE = 1  # of the sizes: 512 px, which figures of others are about


@dataclass(frozen=True)
class Bench:
    """What parts are told.

    faces: baked ones. counts: of faces that are drawn in a step. few, many: faces of one step that
    kernels are tried with and timed with. hops: that faces have heard by then, so that mouths are
    open and heads turned; over as many graphs are compared. times: steps or calls of one figure,
    each for at most `limit_s`. copied, side: bytes and rows of what the card's ceilings are read
    from.
    """

    device: torch.device
    faces: Path
    record: Record
    pipelines: tuple[str, ...] = tuple(PIPELINES)
    sizes: tuple[Size, ...] = SIZES
    counts: tuple[int, ...] = (64, 1, 8, 128, 32, 16, 4, 2)
    few: int = 3
    many: int = 64
    hops: int = 25
    times: int = 200
    limit_s: float = 2.0
    copied: int = 1 << 31
    side: int = 8192
    interpret: bool = False

    @property
    def card(self) -> Card:
        """This card, by what was measured of it first; until then an H200's datasheet."""
        found = self.record.held["figures"].get("card", {})
        rates = [found.get(name) for name in ("copy_tb_s", "float32_tflop_s", "bfloat16_tflop_s")]
        if not all(isinstance(rate, float) for rate in rates):
            return H200
        return Card(str(self.device), *(1e12 * rate for rate in rates))


def _card(bench: Bench) -> Figures:
    """Ceilings, in 10^12 bytes or operations a second; of the bus in 10^9 bytes."""
    device = bench.device
    yield "machine", partial(_machine, device)
    yield "copy_tb_s", lambda: _in(1e12, card.copy_bytes_per_s(device, bench.copied))
    for kind in (torch.bfloat16, torch.float32):
        name = str(kind).removeprefix("torch.")
        yield (
            f"{name}_tflop_s",
            lambda kind=kind: _in(1e12, card.matrix_per_s(device, bench.side, kind)),
        )
    yield "bus_gb_s", lambda: _in(1e9, card.bus_bytes_per_s(device, bench.copied // 4))


def _in(unit: float, value: float) -> float:
    return round(value / unit, 6)


def _machine(device: torch.device) -> dict[str, Any]:
    stamp = machine_stamp()
    if device.type == "cuda":
        known = torch.cuda.get_device_properties(device)
        stamp["gpu_memory_gb"] = round(known.total_memory / 1e9, 1)
        stamp["multiprocessors"] = known.multi_processor_count
        stamp["cache_mb"] = round(card.cache_bytes(device) / 1e6, 1)
        stamp["tf32"] = tf32_of_card()
    return stamp


def _kernels(bench: Bench) -> Figures:
    """Each operation that a pipeline calls, tried with few faces, timed with many."""
    for name in bench.pipelines:
        size = bench.sizes[min(_MIDDLE, len(bench.sizes) - 1)]
        yield f"{name}: right", partial(_right, bench, name, size)
        yield f"{name}: share of bound", partial(_shares, bench, name, size)


def _right(bench: Bench, name: str, size: Size) -> dict[str, Any]:
    calls = _calls(bench, name, size, bench.few)
    return each_of(bench, calls, partial(kernels.compare, interpret=bench.interpret))


def _shares(bench: Bench, name: str, size: Size) -> dict[str, Any]:
    with torch.inference_mode():
        return each_of(
            bench,
            _calls(bench, name, size, bench.many),
            lambda call: kernels.share_of_bound(call, bench.card, bench.device, 20),
        )


def each_of(
    bench: Bench, calls: list[kernels.Call], measure: Callable[[kernels.Call], Any]
) -> dict[str, Any]:
    """One that fails costs no other its figure, as long as the card answers."""
    told: dict[str, Any] = {}
    for n, call in enumerate(calls):
        try:
            told[_called(n, call)] = measure(call)
        except Exception as error:  # of whatever kind
            if poisons(error):
                raise
            told[_called(n, call)] = bench.record.failed(in_words(error))
    return told


def _calls(bench: Bench, name: str, size: Size, faces: int) -> list[kernels.Call]:
    talking = steps.Talking(name, bench.faces, faces, (size,), bench.device, Eager())
    talking.reset()
    for _ in range(bench.hops):
        talking.begin(faces, size)()
    with kernels.listening(kernels.OPS) as calls:
        talking.begin(faces, size)()
    return calls


def _called(number: int, call: kernels.Call) -> str:
    return f"{number} {call.op.name}"


def _graphs(bench: Bench) -> Figures:
    """Graphs give what the same steps give without them, also after a reset."""
    told = bench.few, bench.sizes[0], bench.device, bench.hops
    for name in bench.pipelines:
        yield name, partial(steps.graph_against_eager, name, bench.faces, *told)


def _steps(bench: Bench, pipeline: str) -> Figures:
    """How long steps take, by size and faces; 512 px first, and the largest number that is in time
    of each size."""
    sizes = sorted(bench.sizes, key=lambda size: abs(size[1] - 512))
    held = _Held(bench, pipeline)
    for size in sizes:
        for drawn in bench.counts:
            yield f"{size[1]} px, {drawn} faces", partial(_timed, held, bench, drawn, size)
        yield f"{size[1]} px, most in time", partial(_most, bench, pipeline, size)
    yield "a face beside others", lambda: steps.idle_slots_stay(held.talking, sizes[0])


class _Held:
    """A pipeline that is built when it is first needed, for all of a part."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench, self._name = bench, name
        self._talking: steps.Talking | None = None

    @property
    def talking(self) -> steps.Talking:
        if self._talking is None:
            bench = self._bench
            slots = max(bench.counts)
            self._talking = steps.Talking(self._name, bench.faces, slots, bench.sizes, bench.device)
        return self._talking


def _timed(held: _Held, bench: Bench, drawn: int, size: Size) -> Any:
    return steps.step_times(held.talking, drawn, size, bench.times, bench.limit_s)


def _most(bench: Bench, pipeline: str, size: Size) -> int:
    """The largest number of faces whose p99 was in time."""
    found = bench.record.held["figures"].get(f"{_STEPS}{pipeline}", {})
    figures = ((n, found.get(f"{size[1]} px, {n} faces", {})) for n in bench.counts)
    return max((n for n, figure in figures if figure.get("in_time")), default=0)


def figures_of(part: str, bench: Bench) -> Figures:
    """What a part of `benchmarks.gpu.part.LIMITS` measures."""
    if part.startswith(_STEPS):
        name = part.removeprefix(_STEPS)
        return _steps(bench, name) if name in bench.pipelines else iter(())
    return {"card": _card, "kernels": _kernels, "graphs": _graphs}[part](bench)


PEERS = {
    "claimed by others, one photo, 512 px, 25-30 fps": {
        "NVIDIA Maxine, L40": "3 sessions",
        "SoulX-FlashHead Lite, RTX 4090": "3 sessions",
        "bitHuman, H100": "8-9 sessions",
    },
    "goal, H200": "64 sessions, p99 under 40 ms, about 6 cores of encoders beside them",
}
