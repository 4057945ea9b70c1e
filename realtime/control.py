"""What is said about a session, by and to any number of listeners: typed events in, typed out.

A listener is a data channel or a socket. Wishes of all of them (another face, other controls) are
carried out one at a time, and of those that wait only the newest: however many are sent, the engine
is asked for one thing at once, and the last wish wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from realtime.access.caller import caller
from realtime.access.events import needed_for
from realtime.appearance import Appearance, Wish
from realtime.client_events import (
    MAX_EVENT_BYTES,
    AnyClientEvent,
    BadEvent,
    InputAppend,
    Ping,
    SessionUpdate,
    TurnDetection,
    check_controls,
    parse_client_event,
)
from realtime.clock import Clock
from realtime.errors import InsufficientScope, VivavoceError
from realtime.intake import Intake, Refused, Speaks
from realtime.protocol import (
    AvatarMotion,
    ErrorDetail,
    ErrorEvent,
    Pong,
    ServerEvent,
    SessionCreated,
    SessionInfo,
    SessionUpdated,
)
from realtime.sources.pushed import check_rate
from realtime.wishes import Wishes

EVENTS_PER_S = 20.0
"""From one listener, on average; more are not even read."""
BURST_EVENTS = 60.0
_MOST_SAID = 1000  # characters of a refusal: it may quote what the client sent


class TokenBucket:
    """Lets `burst` through at once and `rate` a second in the long run: the rest is refused
    (`take`) or has to wait (`owe`)."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._since = burst, now

    def take(self, now: float) -> bool:
        """Whether one more may pass at local time `now`."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def owe(self, count: float, now: float) -> float:
        """So many have passed at local time `now`: the seconds until more should."""
        self._fill(now)
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
        self._since = now


class Controlled(Speaks, Protocol):
    """A session, as those see it who control it."""

    turn_detection: TurnDetection | None
    """Whether the user's voice stops the avatar's."""

    @property
    def appearance(self) -> Appearance:
        """What can be changed."""

    def info(self) -> SessionInfo:
        """What it is now."""


class Listener:
    """One who hears of a session and may control it. Made by `ControlHub.attach`."""

    def __init__(self, hub: ControlHub, send: Callable[[str], object], now: float) -> None:
        self.last_ping: float | None = None
        """Local time of the last one; None: it sends none."""
        self.wants_motion = False
        self.intake = Intake(hub.session, hub.clock)
        self._hub = hub
        self._who = caller()
        self._send = send
        self._bucket = TokenBucket(EVENTS_PER_S, BURST_EVENTS, now)
        self._warned = False

    def send(self, event: ServerEvent) -> None:
        """Tell this one alone."""
        self._send(event.model_dump_json())

    def refuse(self, code: str, message: str, event_id: str | None = None) -> None:
        """Tell that something it asked for was not done."""
        words = message if len(message) <= _MOST_SAID else f"{message[:_MOST_SAID]}..."
        self.send(ErrorEvent(error=ErrorDetail(code=code, message=words, event_id=event_id)))

    def receive(self, message: str | bytes) -> None:
        """Take what it says by a data channel."""
        if self.may_say():
            self.receive_paced(message, limited=False)

    def receive_paced(
        self, message: str | bytes, max_bytes: int = MAX_EVENT_BYTES, *, limited: bool = True
    ) -> None:
        """Take what it says by a way on which senders wait: speech may come as often as it likes,
        other events only if not `limited`."""
        try:
            event = parse_client_event(message, max_bytes)
        except BadEvent as error:
            self.refuse("bad_event", str(error), error.event_id)
            return
        if not limited or isinstance(event, InputAppend) or self.may_say():
            self.take(event)

    def append(self, pcm: bytes) -> None:
        """Take speech, PCM16 little endian."""
        self._hub.stir()
        try:
            self.intake.append(pcm)
        except Refused as refusal:
            self.send(ErrorEvent(error=refusal.detail))

    def may_say(self) -> bool:
        """Whether one more event may be read; if not, it is told so, once."""
        allowed = self._bucket.take(self._hub.clock.now())
        if not allowed and not self._warned:
            self.refuse("rate_limited", f"at most {EVENTS_PER_S:g} events a second are read")
        self._warned = not allowed
        return allowed

    def take(self, event: AnyClientEvent) -> None:
        """Carry out an event, or say why not."""
        needed = needed_for(event)
        if not self._who.scopes & needed:
            words = f"{event.type} needs {' or '.join(sorted(needed))}"
            self.refuse(InsufficientScope.code, words, event.event_id)
            return
        if not isinstance(event, Ping):
            self._hub.stir()
        try:
            if isinstance(event, Ping):
                self.last_ping = self._hub.clock.now()
                self.send(Pong(client_event_id=event.event_id))
            elif isinstance(event, SessionUpdate):
                self._update(event)
            else:
                self.intake.carry_out(event)
        except BadEvent as error:
            self.refuse("bad_event", str(error), error.event_id)
        except Refused as refusal:
            detail = refusal.detail.model_copy(update={"event_id": event.event_id})
            self.send(ErrorEvent(error=detail))

    def _update(self, event: SessionUpdate) -> None:
        if event.motion_events is not None:
            self.wants_motion = event.motion_events
        if event.rate is not None:
            self._set_rate(event.rate, event.event_id)
        if "turn_detection" in event.model_fields_set:
            self._hub.session.turn_detection = event.turn_detection
        known = self._hub.session.appearance.system.controls
        controls = check_controls(known, event.controls or {}, event.event_id)
        if event.avatar is None and not controls:
            self.send(SessionUpdated(session=self._hub.session.info()))
            return
        try:
            done = self._hub.ask(Wish(event.avatar, controls))
        except VivavoceError as error:
            self.refuse(error.code, str(error), event.event_id)
            return
        done.add_done_callback(lambda done: self._answer(done, event.event_id))

    def _set_rate(self, rate_hz: int, event_id: str | None) -> None:
        try:
            self.intake.rate_hz = check_rate(rate_hz)
        except ValueError as error:
            raise BadEvent(f"rate: {error}", event_id) from error

    def _answer(self, done: asyncio.Future[None], event_id: str | None) -> None:
        if done.cancelled() or (error := done.exception()) is None:
            return  # all are told what is in force now
        code = error.code if isinstance(error, VivavoceError) else "internal_error"
        self.refuse(code, str(error), event_id)


class ControlHub:
    """All listeners of a session, and their wishes. `run` carries these out."""

    def __init__(self, session: Controlled, clock: Clock) -> None:
        self.session = session
        self.clock = clock
        self.listeners: list[Listener] = []
        self.stirred = clock.now()
        """Local time when anybody came, left, or did something other than to ping."""
        self._wishes = Wishes(self._fulfil)

    def attach(self, send: Callable[[str], object]) -> Listener:
        """Somebody more listens; it is told of the session at once. `send` must not block."""
        listener = Listener(self, send, self.clock.now())
        self.listeners.append(listener)
        self.stir()
        listener.send(SessionCreated(session=self.session.info()))
        return listener

    def stir(self) -> None:
        """Something is done."""
        self.stirred = self.clock.now()

    def detach(self, listener: Listener) -> None:
        """It is told nothing more."""
        self.listeners = [other for other in self.listeners if other is not listener]

    def send(self, event: ServerEvent) -> None:
        """Tell everybody; of motion, those who asked for it."""
        if not self.listeners:
            return
        text = event.model_dump_json()
        for listener in self.listeners:
            if listener.wants_motion or not isinstance(event, AvatarMotion):
                listener._send(text)

    def warn(self, code: str, message: str) -> None:
        """Tell everybody that something is wrong at the server."""
        detail = ErrorDetail(type="server_error", code=code, message=message)
        self.send(ErrorEvent(error=detail))

    @property
    def wants_motion(self) -> bool:
        """Whether anybody asked for motion."""
        return any(listener.wants_motion for listener in self.listeners)

    def ask(self, wish: Wish) -> asyncio.Future[None]:
        """See `Wishes.ask`.

        Raises:
            UnknownAvatar: no such face; what others asked for is not touched.
        """
        self.session.appearance.check(wish)
        self.stir()
        return self._wishes.ask(wish)

    async def run(self) -> None:
        """Carry out wishes for ever."""
        await self._wishes.run()

    async def _fulfil(self, wish: Wish) -> None:
        changed = bool(wish.controls)
        try:
            await self.session.appearance.change(wish)
            changed = True
        finally:
            if changed:
                self.send(SessionUpdated(session=self.session.info()))
