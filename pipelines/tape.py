"""A stand-in for CUDA graphs on a CPU: the operations of a step, recorded once and done again.

As a graph it knows nothing of the Python around them: what was decided while it was recorded stays
so, and a tensor that was made anew elsewhere is not seen. So a CPU shows whether a step can be
captured and replayed. Slower than the step itself; nothing is served by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Made = TypeVar("Made")


class _Operation(NamedTuple):
    function: Any
    args: Any
    kwargs: Any
    made: Any


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[_Operation] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operations.append(_Operation(func, args, kwargs or {}, made))
        return made


class Tape:
    """See `pipelines.graph.Graphs`."""

    def capture(self, function: Callable[[], Made]) -> tuple[Callable[[], object], Made]:
        function()
        with _Recorder() as recorder:
            made = function()
        return lambda: _play(recorder.operations, made), made


def _play(operations: Sequence[_Operation], made: object) -> None:
    """Do the operations again, upon what they read then as it is now."""
    now: dict[int, Tensor] = {}  # by what was made while recording; the tape keeps that alive

    def current(value: object) -> object:
        return now.get(id(value), value) if isinstance(value, Tensor) else value

    for each in operations:
        args, kwargs = tree_map(current, (each.args, each.kwargs))
        new = each.function(*args, **kwargs)
        for then, later in zip(tree_leaves(each.made), tree_leaves(new), strict=True):
            if isinstance(then, Tensor):
                now[id(then)] = later
    for value in tree_leaves(made):
        if isinstance(value, Tensor) and id(value) in now:
            value.copy_(now[id(value)])
