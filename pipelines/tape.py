"""A stand-in for CUDA graphs on a CPU: the operations of a step, recorded once and done again.

As a graph it knows nothing of the Python around them: what was decided while it was recorded stays
so, and a tensor that was made anew elsewhere is not seen. So a CPU shows whether a step can be
captured and replayed. Slower than the step itself; nothing is served by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

Made = TypeVar("Made")


class _Place(NamedTuple):
    """Stands for a tensor that an operation of the tape made."""

    number: int


class _Operation(NamedTuple):
    """Tensors among the arguments were there before, and are read as they are then."""

    function: Any
    args: Any
    kwargs: Any
    made: list[_Place]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps nothing of what is made: a drawing's operations together make gigabytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[_Operation] = []
        self._places = WeakTensorKeyDictionary()
        self._count = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        read = self.placed(tuple(args)), self.placed(kwargs or {})
        made = func(*args, **(kwargs or {}))
        places = []
        for tensor in _tensors(made):
            places.append(_Place(self._count))
            self._places[tensor] = places[-1]
            self._count += 1
        self.operations.append(_Operation(func, *read, places))
        return made

    def placed(self, value: Any) -> Any:
        """`value` with places for tensors that were made on the tape."""
        return _replace(Tensor, self._placed, value)

    def _placed(self, tensor: Tensor) -> Tensor | _Place:
        place: _Place | None = self._places.get(tensor)  # type: ignore[no-untyped-call]
        return tensor if place is None else place


class Tape:
    """See `pipelines.graph.Graphs`."""

    def capture(self, function: Callable[[], Made]) -> tuple[Callable[[], object], Made]:
        function()
        with _Recorder() as recorder:
            made = function()
        operations, given = recorder.operations, _tensors(made)
        places = [recorder.placed(tensor) for tensor in given]
        over = _last_uses(operations, {place for place in places if isinstance(place, _Place)})

        def again() -> None:
            for held, new in zip(given, _play(operations, over, places), strict=True):
                held.copy_(new)

        return again, made


def _last_uses(operations: Sequence[_Operation], kept: set[_Place]) -> list[list[_Place]]:
    """For each operation the places that nothing looks at after it."""
    seen, over = set(kept), []
    for each in reversed(operations):
        ending = {*_places((each.args, each.kwargs)), *each.made} - seen
        seen |= ending
        over.append(list(ending))
    return over[::-1]


def _play(
    operations: Sequence[_Operation], over: Sequence[list[_Place]], given: list[Any]
) -> list[Tensor]:
    """Do the operations again; what lies now at the places `given`."""
    now: dict[_Place, Tensor] = {}
    for each, ending in zip(operations, over, strict=True):
        args, kwargs = _replace(_Place, now.__getitem__, (each.args, each.kwargs))
        made = _tensors(each.function(*args, **kwargs))
        now.update(zip(each.made, made, strict=True))
        for place in ending:
            del now[place]
    return [_replace(_Place, now.__getitem__, value) for value in given]


def _replace(kind: type, by: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, kind):
        return by(value)
    if type(value) is dict:
        return {key: _replace(kind, by, part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_replace(kind, by, part) for part in value)
    return value


def _places(value: Any) -> Iterator[_Place]:
    if isinstance(value, _Place):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _places(part)


def _tensors(made: object) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    return (
        [each for part in made for each in _tensors(part)] if isinstance(made, list | tuple) else []
    )
