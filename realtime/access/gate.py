"""Who comes in: each call is looked up in the table and its caller among keys, tokens, tickets."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from realtime.access.audit import AuditLog
from realtime.access.caller import LOCAL, NOBODY, Caller
from realtime.access.credentials import KEY_PREFIX
from realtime.access.keys import Keys
from realtime.access.rates import CountedAddresses, Rates
from realtime.access.table import ANY, KEY, PUBLIC, Call
from realtime.access.tokens import Tokens
from realtime.clock import Clock
from realtime.config import ServerConfig
from realtime.errors import InsufficientScope, Unauthorized, UnknownCall

logger = logging.getLogger(__name__)

WRITE_S = 5.0
"""Between writes of the audit log and of when keys were used."""


@dataclass(frozen=True)
class Shown:
    """What a request shows.

    bearer: of its Authorization header.
    ticket: of a WebSocket's address.
    link: the token in an address, of a link for viewers.
    """

    bearer: str = ""
    ticket: str = ""
    link: str = ""

    @property
    def anything(self) -> bool:
        """Whether it shows something at all."""
        return bool(self.bearer or self.ticket or self.link)


class Gate:
    """Lets calls in. On loopback nothing is asked as long as no key was made; see `required`."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        self.keys = Keys(config.data_dir, config.api_keys)
        self.tokens = Tokens(clock.now)
        self.audit = AuditLog(config.data_dir / "audit", config.audit_days)
        self._exposed = config.exposed
        self._clock = clock
        self._counted = CountedAddresses(config.trusted_proxies, every=config.counts_every_address)
        self._rates = Rates(config.rate_per_key, config.rate_per_address, config.rate_wrong_keys)

    @property
    def required(self) -> bool:
        """Whether a key is asked for."""
        return self._exposed or self.keys.any

    def check(self) -> None:
        """Raise where others could reach the server and nobody could come in.

        Raises:
            ValueError: no key was made.
        """
        if self._exposed and not self.keys.any:
            raise ValueError(
                "others can reach this server, so every caller needs a key, and there is none; "
                "make one: vivavoce keys create NAME"
            )

    async def admit(self, call: Call | None, shown: Shown, address: str) -> Caller:
        """Who asks, if they may.

        Raises:
            Unauthorized, InsufficientScope, TooManyRequests.
            UnknownCall: no such call is known to the table.
        """
        if not self.required:
            return self._from(LOCAL, address)
        if call is not None and call.need == PUBLIC:
            return NOBODY
        await self._rates.count_address(address)
        who = await self._identify(shown, address)
        await self._rates.count_key(who.key)
        if call is None:
            raise UnknownCall("there is no such call")
        if call.need == KEY:
            if who.kind != "key":
                raise InsufficientScope("an API key itself, not a token")
        elif call.need != ANY and not who.scopes & frozenset(call.need):
            raise InsufficientScope(" or ".join(sorted(call.need)))
        elif call.need != ANY and call.session is None and who.session is not None:
            raise InsufficientScope("a key or token that is not bound to one session")
        return self._from(who, address)

    def _from(self, who: Caller, address: str) -> Caller:
        """A token may have been minted elsewhere."""
        counted = self._counted.find(address)
        return who if who.address == counted else replace(who, address=counted)

    def holds(self, who: Caller) -> bool:
        """Whether what `who` has shown is valid still: its key was not revoked, its token neither
        taken back nor is its time over.

        Raises:
            ValueError: the file of keys is damaged.
            OSError: it cannot be read.
        """
        if who.kind in ("local", "nobody"):
            return True
        return who.key in self.keys.all() and self.tokens.holds(who)

    async def _identify(self, shown: Shown, address: str) -> Caller:
        if not shown.anything:
            raise Unauthorized
        await self._rates.check_wrong(address)
        who = self._find(shown)
        if who is None or not self.holds(who):
            await self._rates.count_wrong(address)
            raise Unauthorized
        return who

    def _find(self, shown: Shown) -> Caller | None:
        if shown.bearer.startswith(KEY_PREFIX):
            key = self.keys.find(shown.bearer)
            return key.caller if key is not None else None
        if shown.bearer:
            return self.tokens.find(shown.bearer)
        if shown.ticket:
            return self.tokens.redeem(shown.ticket)
        who = self.tokens.find(shown.link)
        # What stands in an address ends up in histories and logs: it lets watch, and no more.
        return None if who is None else replace(who, scopes=who.scopes & {"view"})

    async def keep_books(self) -> None:
        """Write what there is to be written, now and then, until cancelled; and then once more."""
        try:
            while True:
                await self._clock.sleep_until(self._clock.now() + WRITE_S)
                await self._write()
        finally:
            await self._write()

    async def _write(self) -> None:
        await self.audit.write()
        try:
            await asyncio.to_thread(self.keys.write_used)
        except OSError as error:
            logger.error("cannot keep when keys were used: %s", error)
