"""What an operator sets of who may reach the server, and how."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from realtime.access.rates import check_rate
from realtime.access.turn import IceServers

_LEAST = {"turn_ttl_s": 60, "audit_days": 0, "retention_days": 0, "sessions_per_key": 0}


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """A part of `ServerConfig`.

    public_origin: where people reach the server through a proxy, with a path if it is under one:
        "https://example.org/talk".
    trusted_proxies: networks whose X-Forwarded-For and -Proto are believed.
    allowed_origins: of other sites whose pages may call, "https://example.org".
    ice_urls: STUN and TURN servers for clients, the best first.
    turn_secret_file: holds what coturn has as static-auth-secret.
    turn_ttl_s: how long a TURN credential opens new allocations.
    rate_per_key, rate_per_address: calls, as "NUMBER/second", "/minute" or "/hour".
    rate_wrong_keys: wrong keys and tokens from one address.
    sessions_per_key: at once, with a key and what was minted from it; 0: no limit of its own.
    sessions_per_address: at once, from an address, of those who show no key itself; "auto": half
        of `max_sessions`, but as many as there are from this machine and from trusted proxies. A
        number is for all addresses; 0: no limit.
    audit_days: how long audit lines are kept; 0: none are written.
    retention_days: how long uploads are kept, with their videos and consent; 0: until deleted.
    """

    public_origin: str = ""
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    ice_urls: tuple[str, ...] = ()
    turn_secret_file: str = ""
    turn_ttl_s: int = 3600
    rate_per_key: str = "3000/minute"
    rate_per_address: str = "1200/minute"
    rate_wrong_keys: str = "30/minute"
    sessions_per_key: int = 0
    sessions_per_address: int | str = "auto"
    audit_days: int = 30
    retention_days: int = 0

    def check_access(self) -> None:
        """Raise for what does not fit.

        Raises:
            ValueError: the message names setting, value and rule.
        """
        for name in ("rate_per_key", "rate_per_address", "rate_wrong_keys"):
            _check(name, getattr(self, name), "must be like 600/minute", check_rate)
        for net in self.trusted_proxies:
            _check("trusted_proxies", net, "must be an address or network", ipaddress.ip_network)
        for origin in self.allowed_origins:
            _check("allowed_origins", origin, "must be like https://example.org", _bare_origin)
        if self.public_origin:
            rule = "must be like https://example.org or https://example.org/talk"
            _check("public_origin", self.public_origin, rule, _origin)
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be at least {least}")
        limit = self.sessions_per_address
        if limit != "auto" and (not isinstance(limit, int) or limit < 0):
            raise ValueError(f"sessions_per_address = {limit!r}: must be auto, or at least 0")

    @property
    def counts_every_address(self) -> bool:
        """Whether sessions are counted by the addresses of this machine and of proxies, too."""
        return self.sessions_per_address != "auto"

    @property
    def prefix(self) -> str:
        """The path under which a proxy shows the server, without a slash at its end; mostly ""."""
        return urlsplit(self.public_origin).path.rstrip("/")

    @property
    def public_host(self) -> str:
        """The name by which a proxy is reached; mostly ""."""
        return (urlsplit(self.public_origin).hostname or "").lower()

    @property
    def origins(self) -> frozenset[str]:
        """Of pages that may call, besides the one that the request itself came to."""
        own = urlsplit(self.public_origin)
        public = {f"{own.scheme}://{own.netloc}".lower()} if self.public_origin else set()
        return frozenset({origin.lower() for origin in self.allowed_origins} | public)

    def ice_servers(self) -> IceServers:
        """What clients are told to use.

        Raises:
            ValueError: a URL does not fit, or TURN has no secret.
            OSError: its file cannot be read.
        """
        secret = ""
        if self.turn_secret_file:
            secret = Path(self.turn_secret_file).expanduser().read_text().strip()
        return IceServers(self.ice_urls, secret, self.turn_ttl_s)


def _check(name: str, value: str, rule: str, parse: object) -> None:
    assert callable(parse)
    try:
        parse(value)
    except ValueError:
        raise ValueError(f"{name} = {value!r}: {rule}") from None


def _origin(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(value)


def _bare_origin(value: str) -> None:
    _origin(value)
    if urlsplit(value).path:
        raise ValueError(value)
