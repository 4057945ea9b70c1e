"""Every kernel as the pipelines call it: right against its twin in float64, how near its bound.

What a kernel is given is not made up: a step of a pipeline is listened to, and what each operation
was called with is what it is tried and timed with.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node, tree_leaves, tree_map

from benchmarks.gpu.card import cache_bytes, device_ms, in_a_graph
from benchmarks.timing import quantiles
from kernels.bounds import Card, Work
from kernels.dispatch import interpreted

Arguments = Mapping[str, Any]
_OUTPUTS = ("out", "planes")
"""What operations call arguments that they write and do not read."""
_REPEATS = 10  # launches in one graph at least, so that the time of a launch hardly counts
_TIMES_CACHE = 3  # as much as it holds is touched before anything is touched again
_MOST_TURNS = 128


@dataclass(frozen=True)
class Op:
    """An operation of `kernels`: where it is public, its work, given that module and the arguments
    of a call by name, and which of what it gives means anything, if not all."""

    module: str
    name: str
    work: Callable[[Any, Arguments], Work]
    valid: Callable[[Arguments], Tensor] | None = None

    @property
    def function(self) -> Callable[..., Any]:
        """As pipelines call it."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.name)
        return found

    def bound(self, args: Sequence[Any], kwargs: Arguments) -> Arguments:
        """Arguments of a call, by name."""
        given = inspect.signature(self.function).bind(*args, **kwargs)
        given.apply_defaults()
        return given.arguments

    def least(self, arguments: Arguments) -> Work:
        """What a call has to move and to compute at least."""
        return self.work(importlib.import_module(self.module), arguments)


@dataclass(frozen=True)
class Call:
    """One call that a step made, its tensors as they were before it."""

    op: Op
    arguments: Arguments

    def run(self, arguments: Arguments | None = None) -> Any:
        """Call it again."""
        return self.op.function(**(self.arguments if arguments is None else arguments))


@contextmanager
def replaced(
    ops: Sequence[Op], change: Callable[[Op, Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Inside, our pipelines find in the place of each operation what `change` makes of it."""
    changed = []
    for op in ops:
        function = op.function
        other = change(op, function)
        for module in [m for n, m in sys.modules.items() if n.startswith("pipelines.")]:
            for name, value in list(vars(module).items()):
                if value is function:
                    setattr(module, name, other)
                    changed.append((module, name, function))
    try:
        yield
    finally:
        for module, name, function in changed:
            setattr(module, name, function)


@contextmanager
def listening(ops: Sequence[Op]) -> Iterator[list[Call]]:
    """Inside, what calls the operations through our modules is written down."""
    calls: list[Call] = []

    def hear(op: Op, function: Callable[..., Any]) -> Callable[..., Any]:
        def heard(*args: Any, **kwargs: Any) -> Any:
            given = _copied(op.bound(args, kwargs), lambda tensor: tensor.clone())
            calls.append(Call(op, given))
            return function(*args, **kwargs)

        return heard

    with replaced(ops, hear):
        yield calls


def _copied(arguments: Any, change: Callable[[Tensor], Tensor]) -> Any:
    _know_dataclasses(arguments)
    return tree_map(lambda x: change(x) if isinstance(x, Tensor) else x, dict(arguments))


_KNOWN: set[type] = set()


def _know_dataclasses(arguments: Arguments) -> None:
    """Let PyTorch look for tensors in our dataclasses too."""
    for value in arguments.values():
        kind = type(value)
        if hasattr(kind, "__dataclass_fields__") and kind not in _KNOWN:
            _KNOWN.add(kind)
            register_pytree_node(kind, *_flattening(kind))


def _flattening(kind: type) -> tuple[Any, Any]:
    names = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    return (
        lambda value: ([getattr(value, name) for name in names], None),
        lambda values, _: kind(**dict(zip(names, values, strict=True))),
    )


def compare(call: Call, *, interpret: bool = False) -> dict[str, Any]:
    """How far the operation is from its twin in float64 on the CPU, over all that it writes.

    Of numbers the length of the difference over the length of what is right, of bytes the largest
    and the mean difference. What it should write is poisoned before.

    interpret: run the kernel in Triton's interpreter, on a CPU.
    """
    ours = _copied(call.arguments, lambda tensor: tensor.clone())
    for name in _OUTPUTS:
        if isinstance(ours.get(name), Tensor):
            ours[name].fill_(171 if ours[name].dtype is torch.uint8 else float("nan"))
    with torch.inference_mode(), interpreted() if interpret else nullcontext():
        found = written(ours, call.run(ours))
    theirs = as_numbers_of(call.arguments, torch.float64)
    right = written(theirs, call.run(theirs))
    told: dict[str, Any] = {}
    valid = call.op.valid(theirs) if call.op.valid else torch.ones(1, dtype=torch.bool)
    errors = [_apart(a, b, valid) for a, b in zip(found, right, strict=True)]
    for name in {name for each in errors for name in each}:
        told[name] = max(each[name] for each in errors if name in each)
    return told


def as_numbers_of(arguments: Arguments, kind: torch.dtype) -> Arguments:
    """Copies on the CPU, numbers that are not whole as another kind."""

    def moved(tensor: Tensor) -> Tensor:
        held = tensor.detach().to("cpu", copy=True)
        return held.to(kind) if held.is_floating_point() else held

    copied: Arguments = _copied(arguments, moved)
    return copied


def written(arguments: Arguments, given: Any) -> list[Tensor]:
    """What was returned, and outputs that were handed in."""
    outputs = [arguments[name] for name in _OUTPUTS if isinstance(arguments.get(name), Tensor)]
    return [leaf for leaf in tree_leaves([given, outputs]) if isinstance(leaf, Tensor)]


def _apart(found: Tensor, right: Tensor, valid: Tensor) -> dict[str, float]:
    mine, theirs = (each.detach().cpu().double().where(valid, 0.0) for each in (found, right))
    difference = (mine - theirs).abs()
    if found.dtype is torch.uint8:
        return {"largest": float(difference.max()), "mean": round(float(difference.mean()), 5)}
    if not found.is_floating_point():
        return {"unlike": float((difference > 0).double().mean())}
    return {"relative": float(difference.norm() / theirs.norm().clamp_min(1e-30))}


def share_of_bound(
    call: Call, card: Card, device: torch.device, times: int, cache: int | None = None
) -> dict[str, Any]:
    """Microseconds of a call, the least that it could take on `card`, and the share between.

    A call that is made again finds in the card's cache (of `cache` bytes; None: this device's) what
    it read and wrote before, and may pass its bound. So copies of its arguments take turns, and
    what it gave is kept for as long; `in_cache` tells of calls for which that was not enough.
    """
    work = call.op.least(call.arguments)
    cache = cache_bytes(device) if cache is None else cache
    turns = min(_MOST_TURNS, -(-_TIMES_CACHE * cache // work.bytes)) if cache else 1
    copies = [_copied(call.arguments, torch.clone) for _ in range(turns - 1)]
    arguments = itertools.cycle([call.arguments, *copies])
    given: deque[Any] = deque(maxlen=turns)
    repeats = turns * -(-_REPEATS // turns) if device.type == "cuda" else 1
    run = in_a_graph(lambda: given.append(call.run(next(arguments))), device, repeats)
    found = quantiles((ms * 1e3 / repeats for ms in device_ms([run], times, device)), digits=2)
    assert found is not None
    least = work.least_s(card) * 1e6
    return {
        "us_p50": found["p50"],
        "least_us": round(least, 2),
        "share": round(least / found["p50"], 3),
        "in_cache": turns * work.bytes < _TIMES_CACHE * cache,
        "bytes": work.bytes,
        "flops": work.flops,
        "unit": work.unit,
    }


def _first(counts: Tensor, most: int) -> Tensor:
    """Of [n, C, most] values those that are wanted."""
    return (torch.arange(most) < counts.view(-1, 1))[:, None]


def _norm_work(op: Any, x: Tensor) -> Work:
    found: Work = op.work(len(x), x[0].numel(), x.element_size())
    return found


OPS: tuple[Op, ...] = (
    Op(
        "kernels.portrait_frame",
        "portrait_frame",
        lambda op, a: op.work(len(a["rows"]), a["size"]),
    ),
    Op(
        "kernels.flow_inversion",
        "invert",
        lambda op, a: op.work(
            len(a["moves"]),
            a["moves"].shape[2],
            a["points"].shape[2],
            a["carried"].shape[1],
            a["iterations"],
        ),
        lambda a: _first(a["counts"], a["points"].shape[2]),
    ),
    Op(
        "kernels.blend",
        "blend",
        lambda op, a: op.work(
            *a["weights"].shape, a["table"].shape[2], round(float(a["counts"].float().mean()))
        ),
        lambda a: _first(a["counts"], a["table"].shape[3]),
    ),
    Op(
        "kernels.log_mel",
        "log_mel",
        lambda op, a: op.work(
            len(a["sound"]),
            windows=(a["sound"].shape[1] - len(a["window"])) // a["step"] + 1,
            size=len(a["window"]),
            bins=a["weights"].shape[0],
            bands=a["weights"].shape[1],
        ),
    ),
    Op(
        "kernels.paste_lower",
        "paste_lower",
        lambda op, a: op.work(len(a["rows"]), a["size"], a["lower"].shape[:1:-1]),
    ),
    Op(
        "kernels.nearest_codes",
        "nearest_codes",
        lambda op, a: op.work(len(a["cells"]), a["cells"].shape[2], *a["book"].shape),
    ),
    Op("kernels.norm_swish", "group_norm_swish", lambda op, a: _norm_work(op, a["x"])),
    Op("kernels.norm_swish", "pixel_norm_swish", lambda op, a: _norm_work(op, a["x"])),
    Op(
        "kernels.demodulate",
        "demodulate",
        lambda op, a: op.work(*a["y"].shape[:2], a["y"].shape[3], a["y"].element_size()),
    ),
    Op(
        "kernels.demodulate",
        "smooth_demodulate",
        lambda op, a: op.work(
            *a["y"].shape[:2], a["y"].shape[3] - 1, a["y"].element_size(), smoothed=True
        ),
    ),
    Op(
        "kernels.flow_head",
        "flow_head",
        lambda op, a: op.work(*a["x"].shape[:3], a["x"].element_size(), first=a["last"] is None),
    ),
    Op(
        "kernels.shown_squares",
        "shown_squares",
        lambda op, a: op.work(len(a["pictures"]), a["pictures"].shape[-1]),
    ),
    Op(
        "kernels.flow_warp",
        "warp_blend",
        lambda op, a: op.blend_work(*a["x"].shape[:3], a["x"].element_size()),
    ),
    Op(
        "kernels.flow_warp",
        "warp_colours",
        lambda op, a: op.colours_work(
            len(a["slots"]),
            a["grid"].shape[-1],
            0 if a["painted"] is None else a["painted"].element_size(),
            first=a["last"] is None,
        ),
    ),
    Op(
        "kernels.paste_back",
        "paste_back",
        lambda op, a: op.work(len(a["rows"]), a["size"], a["drawn"].shape[-1]),
    ),
)
"""Of every operation that a pipeline calls, where it is and what its work depends on."""
