"""A reader's place in something that goes on whether or not it keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Cursor(Generic[T]):
    """A bounded queue with one reader: iterate over it, or `pop`. Used from one event loop.

    When it is full the oldest item makes room and is counted. Iteration ends, after what is still
    waiting, once the writer calls `end` or anybody `close`.
    """

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"a cursor holds at least one item, not {depth}")
        self.dropped = 0
        """Items that the reader was too slow for."""
        self.closed = False
        """The reader is not interested any more."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when an item was taken from a full queue."""
        self._depth = depth
        self._items: deque[T] = deque()
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the next item will displace one."""
        return len(self._items) >= self._depth

    def put(self, item: T) -> None:
        """Add an item; nothing happens once it has ended."""
        if self._ended:
            return
        if self.full:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._wake()

    def pop(self) -> T | None:
        """The next item, None if there is none now."""
        if not self._items:
            return None
        was_full = self.full
        item = self._items.popleft()
        if was_full:
            self.on_room()
        return item

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._wake()

    def close(self) -> None:
        """Leave: whoever writes need not mind this reader any more."""
        self.closed = True
        self._items.clear()
        self.end()
        self.on_room()

    def __aiter__(self) -> Cursor[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            item = self.pop()
            if item is not None:
                return item
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Cursors:
    """The places of all who read: each has the items of the kinds that it asked for.

    Args:
        on_room: called when one that was full is not any more.
    """

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._on_room = on_room
        self._open: list[tuple[Cursor[Any], tuple[type, ...]]] = []
        self._ended = False

    @property
    def room(self) -> bool:
        """Whether nobody would miss an item if one came now."""
        return not any(cursor.full for cursor, _ in self._open)

    def add(self, kinds: tuple[type, ...], depth: int) -> Cursor[Any]:
        """One more reader."""
        cursor: Cursor[Any] = Cursor(depth)
        cursor.on_room = self._on_room
        self._open.append((cursor, kinds))
        if self._ended:
            cursor.end()
        return cursor

    def put(self, item: object) -> None:
        """Give an item to those who asked for its kind."""
        self._open = [(cursor, kinds) for cursor, kinds in self._open if not cursor.closed]
        for cursor, kinds in self._open:
            if isinstance(item, kinds):
                cursor.put(item)

    def end(self) -> None:
        """There will be no more for anybody."""
        self._ended = True
        for cursor, _ in self._open:
            cursor.end()
