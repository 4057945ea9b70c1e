"""What the server tells of a session."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

Event = dict[str, Any]
"""It has a `type` and an `event_id`; docs/api.md lists them."""

KEPT = 1000
"""Events of the past that one who begins to listen still gets."""


class Feed:
    """Events for any number of listeners, each of whom gets all that are kept, in order."""

    def __init__(self) -> None:
        self.kept: deque[Event] = deque(maxlen=KEPT)
        self.count = 0
        """Of all events so far."""
        self._news = asyncio.Event()
        self._over = False

    def add(self, message: object) -> Event | None:
        """One message; what is no event is ignored."""
        try:
            event = json.loads(message) if isinstance(message, str | bytes) else None
        except ValueError:
            return None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            return None
        self.kept.append(event)
        self.count += 1
        self._wake()
        return event

    def end(self) -> None:
        """No more will come."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def since(self, count: int = 0) -> AsyncIterator[Event]:
        """Events from the `count`-th on, as far back as they are kept, until there are no more."""
        while True:
            news = self._news
            count = max(count, self.count - len(self.kept))
            while count < self.count:
                event = self.kept[count - self.count]
                count += 1
                yield event
                count = max(count, self.count - len(self.kept))
            if self._over:
                return
            if news is self._news:
                await news.wait()
