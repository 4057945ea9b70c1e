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
        self.operations.append(_Operation(func, tuple(args), kwargs or {}, made))
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

    def current(value: Any) -> Any:
        if isinstance(value, Tensor):
            return now.get(id(value), value)
        return type(value)(map(current, value)) if type(value) in (list, tuple) else value

    for each in operations:
        args, kwargs = current(each.args), {key: current(v) for key, v in each.kwargs.items()}
        new = each.function(*args, **kwargs)
        for then, later in zip(_tensors(each.made), _tensors(new), strict=True):
            now[id(then)] = later
    for value in _tensors(made):
        if id(value) in now:
            value.copy_(now[id(value)])


def _tensors(made: object) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    return (
        [each for part in made for each in _tensors(part)] if isinstance(made, list | tuple) else []
    )
