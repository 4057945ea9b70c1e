"""How often a key and an address may ask."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence
from datetime import datetime

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from realtime.access.credentials import utc_now
from realtime.errors import TooManyRequests


class Rates:
    """Limits by key, by address, and of wrong keys by address; each "NUMBER/second|minute|hour".

    An address of IPv6 counts with its /64: that many belong to one line.
    """

    def __init__(self, per_key: str, per_address: str, wrong: str) -> None:
        self._per_key = parse(per_key)
        self._per_address = parse(per_address)
        self._wrong = parse(wrong)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def count_key(self, key: str) -> None:
        """One call with a key or what it minted.

        Raises:
            TooManyRequests: too many.
        """
        await self._count(self._per_key, "key", key)

    async def count_address(self, address: str) -> None:
        """One call from an address.

        Raises:
            TooManyRequests: too many.
        """
        await self._count(self._per_address, "address", network_of(address))

    async def check_wrong(self, address: str) -> None:
        """Before a credential is looked at: an address that sent many wrong ones is not heard.

        Raises:
            TooManyRequests: it is not.
        """
        where = "wrong", network_of(address)
        if not await self._limiter.test(self._wrong, *where):
            raise await self._refusal(self._wrong, *where)

    async def count_wrong(self, address: str) -> None:
        """One wrong credential from an address."""
        await self._limiter.hit(self._wrong, "wrong", network_of(address))

    async def _count(self, limit: RateLimitItem, kind: str, who: str) -> None:
        if not await self._limiter.hit(limit, kind, who):
            raise await self._refusal(limit, kind, who)

    async def _refusal(self, limit: RateLimitItem, kind: str, who: str) -> TooManyRequests:
        window = await self._limiter.get_window_stats(limit, kind, who)
        wait_s = math.ceil(window.reset_time - datetime.timestamp(utc_now()))
        return TooManyRequests("too many requests; wait a moment", max(1, wait_s))


def check_rate(rate: str) -> None:
    """Raise unless this is a rate.

    Raises:
        ValueError: it is not.
    """
    parse(rate)


class CountedAddresses:
    """Whose address tells who it is.

    Args:
        trusted: addresses and networks of proxies.
        every: also theirs, and those of this machine.
    """

    def __init__(self, trusted: Sequence[str] = (), *, every: bool = False) -> None:
        self._trusted = [ipaddress.ip_network(net) for net in trusted]
        self._every = every

    def find(self, address: str) -> str:
        """What an address counts as, see `network_of`; empty for those that are not counted."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return ""
        of_ours = found.is_loopback or any(found in net for net in self._trusted)
        return "" if of_ours and not self._every else network_of(address)


def network_of(address: str) -> str:
    """Whose it is: of IPv6 the /64, else the address itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return address
