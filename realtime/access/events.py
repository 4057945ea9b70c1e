"""What each event of a client needs: a socket opens with one scope and could carry them all."""

from __future__ import annotations

from realtime.access.caller import SCOPES, Scope
from realtime.client_events import (
    AnyClientEvent,
    InputAppend,
    InputClear,
    InputCommit,
    Ping,
    SessionUpdate,
)

_STEER: frozenset[Scope] = frozenset({"control", "open"})
_SPEAK: frozenset[Scope] = frozenset({"push", "open"})


def needed_for(event: AnyClientEvent) -> frozenset[Scope]:
    """The scopes of which one suffices."""
    if isinstance(event, SessionUpdate):
        turns = "turn_detection" in event.model_fields_set  # null switches it off
        changes = event.avatar is not None or event.controls or turns
        return _STEER if changes else SCOPES
    if isinstance(event, InputAppend | InputCommit | InputClear):
        return _SPEAK
    return SCOPES if isinstance(event, Ping) else _SPEAK | _STEER
