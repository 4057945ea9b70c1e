"""Counts what a step moves and computes: runs it once on a CPU and looks at every operation.

Of PyTorch's operations each is a launch that reads what it is given and writes what it gives; views
cost nothing. Products and convolutions are counted by formula, other arithmetic not at all: it is
the bytes that take its time. Operations of `kernels` count as what their `work` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.gpu.kernels import Op, replaced
from kernels.bounds import Card, Work

_ATEN = torch.ops.aten
_WHOLE = {
    _ATEN.linear, _ATEN.matmul, _ATEN.einsum, _ATEN.conv1d, _ATEN.conv2d,
    _ATEN.conv_transpose1d, _ATEN.conv_transpose2d,
}  # fmt: skip
"""What arrives whole in inference mode, and is one of the products that are counted, in a form."""


class Launch(NamedTuple):
    """name: of an operation of `kernels`, or, with the "aten::" before it, of PyTorch's."""

    name: str
    work: Work


@dataclass
class Counted:
    """Launches of a step, in order."""

    launches: list[Launch] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """That all of them move."""
        return sum(each.work.bytes for each in self.launches)

    @property
    def flops(self) -> int:
        """Operations of all of them."""
        return sum(each.work.flops for each in self.launches)

    def least_s(self, card: Card) -> float:
        """Seconds that the launches need at least, one after another."""
        return sum(each.work.least_s(card) for each in self.launches)

    def expected_s(self, card: Card, share: float, launch_s: float) -> float:
        """Seconds where each reaches `share` of its bound and takes `launch_s` at least."""
        return sum(max(launch_s, each.work.least_s(card) / share) for each in self.launches)

    def by_name(self) -> dict[str, Counted]:
        """The launches of each operation, in order of their first."""
        found: dict[str, Counted] = {}
        for each in self.launches:
            found.setdefault(each.name, Counted()).launches.append(each)
        return found

    def scaled(self, other: Counted, faces: int, others: int, wanted: int) -> Counted:
        """This is of `faces` faces, `other`, with the same launches, of `others`: those of
        `wanted` faces, along the line through both.

        Raises:
            ValueError: what is launched depends on how many faces there are.
        """
        if len(self.launches) != len(other.launches):
            raise ValueError(f"{len(self.launches)} and {len(other.launches)} launches")
        t = (wanted - faces) / (others - faces)
        return Counted(
            [
                Launch(name, Work(_on(a.bytes, b.bytes, t), _on(a.flops, b.flops, t), a.unit))
                for (name, a), (_, b) in zip(self.launches, other.launches, strict=True)
            ]
        )


def _on(a: int, b: int, t: float) -> int:
    return round(a + t * (b - a))


class _Counter(TorchDispatchMode):
    def __init__(self, into: Counted) -> None:
        super().__init__()
        self._into = into
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if not self.paused and func._overloadpacket in _WHOLE:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        made = func(*args, **(kwargs or {}))
        if not self.paused and not _free(func, made, args):
            work = _work(func, made, args, kwargs or {})
            self._into.launches.append(Launch(func._schema.name, work))
        return made


def _free(func: Any, made: Any, args: Sequence[Any]) -> bool:
    """Whether an operation only looks at its input in another way, or allocates."""
    outputs = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
    if not outputs or func._schema.name.startswith(("aten::empty", "aten::new_empty")):
        return True
    inputs = {leaf.untyped_storage().data_ptr() for leaf in _tensors(args)}
    shared = all(leaf.untyped_storage().data_ptr() in inputs for leaf in outputs)
    return shared and not func._schema.is_mutable


def _work(func: Any, made: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Work:
    read = {id(leaf): leaf for leaf in _tensors((args, kwargs))}
    written = {id(leaf): leaf for leaf in _tensors(made)}
    moved = sum(map(_bytes, read.values())) + sum(map(_bytes, written.values()))
    if func.is_view or not func._schema.is_mutable:
        formula = flop_registry.get(func._overloadpacket)
        flops = int(formula(*args, **kwargs, out_val=made)) if formula else 0
    else:
        flops = 0
    half = any(leaf.dtype in (torch.bfloat16, torch.float16) for leaf in written.values())
    return Work(moved, flops, "matrix" if half and flops else "float32")


def _tensors(things: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(things) if isinstance(leaf, Tensor))


def _bytes(tensor: Tensor) -> int:
    """That lie under it; a tensor that repeats others' memory is read once."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


@contextmanager
def counting(ops: Sequence[Op]) -> Iterator[Counted]:
    """Inside, launches are counted."""
    counted = Counted()
    counter = _Counter(counted)

    def count(op: Op, function: Callable[..., Any]) -> Callable[..., Any]:
        def counts(*args: Any, **kwargs: Any) -> Any:
            counter.paused = True
            try:
                counted.launches.append(Launch(op.name, op.least(op.bound(args, kwargs))))
                return function(*args, **kwargs)
            finally:
                counter.paused = False

        return counts

    with replaced(ops, count), counter:
        yield counted
