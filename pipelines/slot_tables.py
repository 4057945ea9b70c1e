"""The tables of a batched renderer: what it keeps of identities, found and not listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from pipelines.renderer import BatchedRenderer

_OURS = ("pipelines.", "kernels.")


def tensors_within(thing: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors that one of our objects holds, each once, by the way to them."""
    yield from _within(thing, path, set())


def slot_tables(renderer: BatchedRenderer, larger: BatchedRenderer) -> dict[str, int]:
    """The tables of a renderer, by the way to them, and their rows for each slot: every tensor that
    grows by as much with each slot is one.

    larger: another one of the same kind with a slot or more besides. Both have all tables, and no
        faces, for what is kept of those may be anything.

    Raises:
        ValueError: one grows in another way.
    """
    more, found = dict(tensors_within(larger)), {}
    for path, held in tensors_within(renderer):
        other = more[path]
        if held.shape == other.shape:
            continue
        rows, left = divmod(held.shape[0], renderer.slots)
        if left or other.shape[0] != rows * larger.slots or held.shape[1:] != other.shape[1:]:
            raise ValueError(f"{path} does not grow with slots: {held.shape}, {other.shape}")
        found[path] = rows
    return found


def _within(thing: object, path: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield path, thing
        return
    for name, part in _parts(thing):
        yield from _within(part, f"{path}.{name}" if path else name, seen)


def _parts(thing: Any) -> Iterator[tuple[str, object]]:
    if isinstance(thing, Mapping):
        yield from ((str(key), value) for key, value in thing.items())
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):
        yield from zip(thing._fields, thing, strict=True)
    elif isinstance(thing, list | tuple):
        yield from ((str(n), value) for n, value in enumerate(thing))
    elif is_dataclass(thing) and not isinstance(thing, type):
        yield from ((each.name, getattr(thing, each.name)) for each in fields(thing))
    elif isinstance(thing, nn.Module) or type(thing).__module__.startswith(_OURS):
        yield from getattr(thing, "__dict__", {}).items()
