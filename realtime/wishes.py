"""Wishes of many, carried out one at a time, of which the last wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from realtime.appearance import Wish
from realtime.errors import UnknownSession, VivavoceError


class Wishes:
    """Carries out wishes one at a time; those that come meanwhile become one."""

    def __init__(self, fulfil: Callable[[Wish], Awaitable[None]]) -> None:
        self._fulfil = fulfil
        self._waiting: Wish | None = None
        self._asked: list[tuple[Wish, asyncio.Future[None]]] = []
        self._some = asyncio.Event()
        self._over = False

    def ask(self, wish: Wish) -> asyncio.Future[None]:
        """Done once it, or something newer, is in force; fails if its face cannot be shown, or
        nobody carries wishes out any more."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._over:
            done.set_exception(UnknownSession("the session has ended"))
            return done
        self._waiting = wish if self._waiting is None else self._waiting.then(wish)
        self._asked.append((wish, done))
        self._some.set()
        return done

    async def run(self) -> None:
        """Carry out wishes for ever."""
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                await self._carry_out()
        finally:
            self._over = True
            self._settle(self._asked, UnknownSession("the session has ended"), all_fail=True)

    async def _carry_out(self) -> None:
        wish, asked = self._waiting, self._asked
        assert wish is not None
        self._waiting, self._asked = None, []
        try:
            await self._fulfil(wish)
        except VivavoceError as error:
            self._settle(asked, error, all_fail=wish.avatar is None)
        except BaseException:
            self._settle(asked, UnknownSession("the session has ended"), all_fail=True)
            raise
        else:
            self._settle(asked)

    @staticmethod
    def _settle(
        asked: list[tuple[Wish, asyncio.Future[None]]],
        error: VivavoceError | None = None,
        *,
        all_fail: bool = False,
    ) -> None:
        """Answer those who asked; it is the face that may fail, unless all do."""
        for wish, done in asked:
            if done.done():
                continue
            if error is not None and (all_fail or wish.avatar is not None):
                done.set_exception(error)
            else:
                done.set_result(None)
