"""The state contract of streaming modules, and the small pieces they share.

A stateful module offers

    init_state(batch: int) -> State          a dataclass of tensors, first dimension the slot
    step(x, state, active) -> y              one hop for the slots in `active` (bool [B]), in place
    state.reset(slots), state.clear(slots)   start over; forget the sound that is not shown yet
    forward(x) -> y                          a fresh state and one long step: offline = streaming

and states its `hop` and `look_ahead`. An inactive slot's state is untouched and its output is
meaningless. State tensors are allocated once and never rebound, so a captured graph stays valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor


class SlotState:
    """Base of state dataclasses: every field is a tensor or another `SlotState`."""

    def reset(self, slots: Tensor) -> None:
        """Start the slots in `slots` (bool [B]) over. Zero unless a class says otherwise."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, SlotState):
                value.reset(slots)
            else:
                masked_fill(value, 0, slots)

    def clear(self, slots: Tensor) -> None:
        """Forget, in the slots of `slots` (bool [B]), sound that was heard and not shown yet, and
        go on from the face as it is (barge-in). Who keeps sound says how; others do nothing."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, SlotState):
                value.clear(slots)


@dataclass
class Stateless(SlotState):
    """State of a module that keeps nothing from frame to frame."""


def put(into: Tensor, value: Tensor) -> None:
    """Write a few numbers of the host's without waiting for the steps before: memory that is not
    pinned was read when this returns, though it is written later."""
    into.copy_(value, non_blocking=True)


def masked_write(held: Tensor, new: Tensor, active: Tensor) -> None:
    """Write `new` into `held` ([B, ...], same shape) for the slots in `active` (bool [B])."""
    if held.shape != new.shape:
        raise ValueError(f"state holds {tuple(held.shape)}, cannot take {tuple(new.shape)}")
    mask = active.view(-1, *([1] * (held.dim() - 1)))
    if torch.is_grad_enabled() or new.dtype != held.dtype:
        held.copy_(torch.where(mask, new, held))
    else:  # in one launch, which knows no way back
        torch.where(mask, new, held, out=held)


def masked_fill(held: Tensor, value: float, active: Tensor) -> None:
    """Set `held` ([B, ...]) to one value for the slots in `active` (bool [B])."""
    held.masked_fill_(active.view(-1, *([1] * (held.dim() - 1))), value)


_SHAPES_ARE_FIXED = ContextVar("shapes_are_fixed", default=False)


def shapes_are_fixed() -> bool:
    """Whether a step has to compute every slot, active or not, as it is recorded or captured."""
    return _SHAPES_ARE_FIXED.get()


@contextmanager
def fixed_shapes() -> Iterator[None]:
    """Inside, no step leaves idle slots out, on whichever device."""
    token = _SHAPES_ARE_FIXED.set(True)
    try:
        yield
    finally:
        _SHAPES_ARE_FIXED.reset(token)


State = TypeVar("State", bound=SlotState)


def named_tensors(state: SlotState, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a state by the way to them ("voice.gate"), in the order of the fields."""
    found: dict[str, Tensor] = {}
    for field in fields(state):  # type: ignore[arg-type]
        value, name = getattr(state, field.name), prefix + field.name
        found |= named_tensors(value, name + ".") if isinstance(value, SlotState) else {name: value}
    return found


def map_tensors(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """A state of the same classes over `change` of each tensor, in the order of `named_tensors`."""
    values = {}
    for field in fields(state):  # type: ignore[arg-type]
        value = getattr(state, field.name)
        nested = isinstance(value, SlotState)
        values[field.name] = map_tensors(value, change) if nested else change(value)
    return type(state)(**values)


def slot_views(state: State, slot: int) -> State:
    """The state of one slot alone, over the same memory: to step it without its neighbours."""
    return map_tensors(state, lambda tensor: tensor[slot : slot + 1])
