"""Who gets a seat: how many sessions there may be, and how many of one key and of one address; and
which session, that nobody is in, gives way to a newcomer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from realtime.access.caller import Caller, caller
from realtime.config import ServerConfig
from realtime.errors import AtCapacity, TooManySessions
from realtime.life import Presence
from realtime.metrics import Metrics

EMPTY = ("awaited", "left")


@dataclass(frozen=True)
class Seat:
    """A session, for those who want its place.

    who: whoever opened it.
    """

    id: str
    who: Caller
    presence: Presence = "held"


@dataclass(frozen=True, kw_only=True)
class SeatRules:
    """How many there may be; 0 of a key or an address: as many as there are."""

    most: int
    per_key: int = 0
    per_address: int = 0

    def refusal(self, who: Caller, others: Iterable[Caller]) -> TooManySessions | None:
        """Why `who` may have no session besides these; None: it may."""
        keys, addresses = 0, 0
        for other in others:
            keys += bool(who.key) and other.key == who.key
            addresses += bool(_address(who)) and _address(other) == _address(who)
        if self.per_key and keys >= self.per_key:
            return TooManySessions("this key", keys, "sessions_per_key")
        if self.per_address and addresses >= self.per_address:
            return TooManySessions("this address", addresses, "sessions_per_address")
        return None

    def own_to_end(self, who: Caller, seats: Collection[Seat]) -> Seat | None:
        """Which one of its own has to end before `who` may have another; None: none has.

        Raises:
            TooManySessions: there is none that could.
        """
        refusal = self.refusal(who, (seat.who for seat in seats))
        if refusal is None:
            return None
        for seat in _left(seats):
            if self.refusal(who, (other.who for other in seats if other is not seat)) is None:
                return seat
        raise refusal

    def to_end(self, who: Caller, seats: Collection[Seat]) -> Seat | None:
        """The one that gives way to a session of `who`; None: there is none.

        The oldest of whoever else keeps several such empty; else the oldest, after a while.
        """
        empty = [seat for seat in seats if seat.presence in EMPTY]
        several = Counter(_name(seat.who) for seat in empty)
        for seat in empty:
            if several[_name(seat.who)] > 1 and _name(seat.who) != _name(who):
                return seat
        return next(_left(seats), None)


def rules_of(config: ServerConfig) -> SeatRules:
    """What an operator has set."""
    return SeatRules(
        most=config.max_sessions,
        per_key=config.sessions_per_key,
        per_address=config.address_limit,
    )


class Admission(Protocol):
    """Decides, for whoever asks."""

    async def check(self) -> None:
        """Raise where no session could be had now, whatever is asked for. Takes and ends nothing.

        Raises:
            TooManySessions, AtCapacity.
        """

    async def has_room(self) -> bool:
        """Whether somebody would give way."""

    async def make_room(self) -> bool:
        """Have somebody give way; False: nobody does."""


class Seats:
    """Decides by what is there, oldest first; is an `Admission`.

    Args:
        openers: whoever has opened a session, or is opening one; for each session once.
        look: all of them.
        give_up: ends a session, by its id, unless somebody has come meanwhile; whether it did.
    """

    def __init__(
        self,
        rules: SeatRules,
        metrics: Metrics,
        openers: Callable[[], Collection[Caller]],
        look: Callable[[], Awaitable[list[Seat]]],
        give_up: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._rules = rules
        self._metrics = metrics
        self._openers = openers
        self._look = look
        self._give_up = give_up

    async def check(self) -> None:
        """See `Admission.check`."""
        who, openers = caller(), self._openers()
        full = len(openers) >= self._rules.most
        if not full and self._rules.refusal(who, openers) is None:
            return
        seats = await self._seats()
        try:
            self._rules.own_to_end(who, seats)
            if len(seats) >= self._rules.most and self._rules.to_end(who, seats) is None:
                raise AtCapacity(
                    f"all {self._rules.most} sessions of this server are taken; "
                    "try again when one has ended"
                )
        except (TooManySessions, AtCapacity) as refusal:
            self._metrics.refused.labels(refusal.code).inc()
            raise

    async def admit(self) -> None:
        """Return once whoever asks may have one more, of its own. It is to be counted by `openers`
        before anything else is waited for.

        Raises:
            TooManySessions: it may not.
        """
        who = caller()
        while self._rules.refusal(who, self._openers()) is not None:
            try:
                seat = self._rules.own_to_end(who, await self._seats())
            except TooManySessions as refusal:
                self._metrics.refused.labels(refusal.code).inc()
                raise
            if seat is None:
                return
            await self._give_up(seat.id)

    async def has_room(self) -> bool:
        """See `Admission.has_room`."""
        return self._rules.to_end(caller(), await self._seats()) is not None

    async def make_room(self) -> bool:
        """See `Admission.make_room`."""
        seat = self._rules.to_end(caller(), await self._seats())
        return seat is not None and await self._give_up(seat.id)

    async def _seats(self) -> list[Seat]:
        return [seat for seat in await self._look() if seat.presence != "ending"]


def _left(seats: Iterable[Seat]) -> Iterator[Seat]:
    return (seat for seat in seats if seat.presence == "left")


def _address(who: Caller) -> str:
    """By which it is counted: those who show a key itself are counted by that alone."""
    return "" if who.kind == "key" else who.address


def _name(who: Caller) -> tuple[str, ...]:
    """A key and each of its tokens is somebody of its own, and so is each address."""
    return who.kind, who.key, who.token, who.address
