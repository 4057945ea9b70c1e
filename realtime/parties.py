"""Who is there: for whose sake a session goes on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from realtime.access.caller import Caller, caller
from realtime.control import ControlHub, Listener
from realtime.errors import BadOffer
from realtime.sinks.webrtc.channel import EventChannel
from realtime.sinks.webrtc.peer import Peer
from realtime.sinks.webrtc.receive import PacketSink

logger = logging.getLogger(__name__)

TOO_LATE = "the session was over before it could be answered"


class Dialect(Protocol):
    """Translates between a session and a client that speaks otherwise."""

    listener: Listener
    """What it is to the session; set when it is attached."""

    def tell(self, text: str) -> None:
        """The session says this to the client."""

    def take(self, message: str | bytes) -> None:
        """The client says this to the session."""


Dialects = Mapping[str, Callable[[Callable[[str], object]], Dialect]]
"""What makes a dialect for whoever is to hear it, by the label of its data channel."""


@dataclass(eq=False)
class Party:
    """A peer, or whoever controls the session by a socket of its own."""

    peer: Peer | None = None
    listener: Listener | None = None
    """What it hears of the session and says to it."""
    has_microphone: bool = False
    """The session's microphone is its own."""
    watches: bool = False
    """Its peer only watches: it neither speaks nor steers."""
    who: Caller = field(default_factory=caller)
    """Whoever asked for it."""
    silent_s: int = 0
    """For how many seconds nothing has come from its peer."""
    on_left: Callable[[], None] = lambda: None
    """Called when it is no party any more, whoever wished that."""

    _heard: int = 0

    def count_silence(self) -> None:
        """A second has passed."""
        heard = 0 if self.peer is None else self.peer.datagrams
        self.silent_s = self.silent_s + 1 if self.peer is not None and heard == self._heard else 0
        self._heard = heard

    @property
    def has_come(self) -> bool:
        """Whether anything was heard of it since its offer was answered."""
        return self.listener is not None or (self.peer is not None and self.peer.heard)


class Parties:
    """Those who are there.

    Args:
        on_leave: called with each that goes, after it was forgotten.
        on_empty: called with the reason when the last one goes.
    """

    def __init__(
        self,
        hub: ControlHub,
        on_leave: Callable[[Party], None],
        on_empty: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._on_leave = on_leave
        self._on_empty = on_empty
        self._there: list[Party] = []

    def __iter__(self) -> Iterator[Party]:
        return iter(list(self._there))

    def __len__(self) -> int:
        return len(self._there)

    def join(self, *, microphone: bool = False) -> Party:
        """One more; it brings the session's microphone if nobody else does."""
        taken = any(party.has_microphone for party in self._there)
        party = Party(has_microphone=microphone and not taken)
        self._there.append(party)
        return party

    async def connect(
        self,
        answer: Callable[..., Awaitable[Peer]],
        microphone: PacketSink | None,
        on_state: Callable[[Party, str], None],
        dialects: Dialects,
        *,
        watches: bool = False,
    ) -> Peer:
        """One more, by a peer that `answer` makes; `microphone` hears it if it hears no other.
        `watches`: see `Party`.

        Raises:
            BadOffer: the session was over before the offer could be answered.
        """
        party = self.join(microphone=microphone is not None)
        try:
            party.peer = await answer(
                microphone=microphone if party.has_microphone else None,
                on_channel=partial(self.open_channel, party, dialects=dialects),
                on_state=partial(on_state, party),
            )
        except BaseException:
            self.leave(party, "failed")
            raise
        if party not in self._there:
            await party.peer.close()
            raise BadOffer(TOO_LATE)
        party.watches = watches
        return party.peer

    def listen(self, party: Party, send: Callable[[str], object]) -> Listener:
        """It hears of the session from now on."""
        party.listener = self._hub.attach(send)
        return party.listener

    def attach(self, party: Party, to: Callable[[str], object] | Dialect) -> Listener:
        """It hears of the session from now on, as it is or in a dialect."""
        if callable(to):
            return self.listen(party, to)
        to.listener = self.listen(party, to.tell)
        return to.listener

    def open_channel(self, party: Party, channel: EventChannel, dialects: Dialects) -> None:
        """Its peer opened a data channel: `events`, or one whose dialect is known."""
        if party.listener is not None or party not in self._there:
            return
        if channel.label == "events":
            channel.on_message = self.listen(party, channel.send).receive
        elif channel.label in dialects:
            dialect = dialects[channel.label](channel.send)
            self.attach(party, dialect)
            channel.on_message = dialect.take

    def leave(self, party: Party, reason: str) -> None:
        """It has gone. Safe to call again."""
        if party not in self._there:
            return
        self._there.remove(party)
        if party.listener is not None:
            self._hub.detach(party.listener)
        self._on_leave(party)
        if not self._there:
            self._on_empty(reason)

    def count_silence(self) -> None:
        """A second has passed: note from whom nothing has come."""
        for party in self:
            party.count_silence()

    def drop_silent(self, now: float, timeout_s: float) -> None:
        """Whoever pinged once and then was silent for so long is taken to be gone."""
        for party in self:
            pinged = party.listener.last_ping if party.listener is not None else None
            if pinged is not None and now - pinged > timeout_s:
                logger.warning("no ping for %.0f s: the peer is gone", now - pinged)
                self.leave(party, "peer_gone")
