"""STUN and TURN servers for clients, with credentials that expire.

The form is coturn's `use-auth-secret` (draft-uberti-behave-turn-rest): the username is the time of
expiry and a name, the password its HMAC under a secret that coturn and we share.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from realtime.access.caller import caller
from realtime.access.credentials import utc_now

_URL = re.compile(r"(stun|turn)s?:[^\s?]+(\?transport=(udp|tcp))?")


@dataclass(frozen=True)
class IceServers:
    """Which servers clients should use.

    urls: in the order of preference; those of TURN need `secret`.
    ttl_s: how long a credential is good for a new allocation; running ones go on.
    """

    urls: tuple[str, ...] = ()
    secret: str = ""
    ttl_s: int = 3600
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        for url in self.urls:
            if not _URL.fullmatch(url):
                raise ValueError(f"ice_urls = {url!r}: must be like turn:HOST:3478?transport=udp")
        if not self.secret and any(url.startswith("turn") for url in self.urls):
            raise ValueError(
                "ice_urls: TURN needs the secret that coturn has as static-auth-secret, in the "
                "file turn_secret_file"
            )

    def describe(self) -> list[dict[str, Any]]:
        """As `RTCConfiguration.iceServers`: one entry of STUN, one of TURN.

        The name in the credential is the caller's and a number: coturn's log tells whose it was,
        and its `user-quota` counts each by itself.
        """
        stun = [url for url in self.urls if url.startswith("stun")]
        turn = [url for url in self.urls if url.startswith("turn")]
        found: list[dict[str, Any]] = [{"urls": stun}] if stun else []
        if turn:
            expiry = int(self.now().timestamp()) + self.ttl_s
            username = f"{expiry}:{caller().owner or 'local'}-{secrets.token_hex(4)}"
            password = turn_password(self.secret, username)
            found.append({"urls": turn, "username": username, "credential": password})
        return found


def turn_password(secret: str, username: str) -> str:
    """What coturn expects of `username`."""
    mac = hmac.new(secret.encode(), username.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()
