"""What callers show: made by chance, kept as hashes only."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

BITS = 256
KEY_PREFIX, TOKEN_PREFIX, TICKET_PREFIX = "sk-vv-", "vt-", "vk-"
"""Of keys (clients of OpenAI expect `sk-`), tokens and tickets: whoever finds one knows what it is,
and scanners for leaked secrets can."""


def new_secret(prefix: str) -> str:
    """One that nobody can guess."""
    return prefix + secrets.token_urlsafe(BITS // 8)


def digest(secret: str) -> str:
    """What is kept of a secret. A plain hash: there are too many secrets to try them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def utc_now() -> datetime:
    """The time of day, for what people read and other programs check."""
    return datetime.now(UTC)
