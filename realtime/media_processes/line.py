"""Calls in both directions between the front and a media process, as JSON over a stream socket."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from realtime.errors import EngineError, RelayedError, VivavoceError

logger = logging.getLogger(__name__)

CALL_S = 30.0
"""Deadline of an answer: generous, for a machine with every core busy."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
GONE = "the other process has ended"


class Line:
    """From `open` until the other end is gone; then `run` returns.

    JSON rather than pickles: what reads untrusted packets all day must not be able to run code
    where the keys are.

    Args:
        serves: what the other end may call, by name: functions, also asynchronous ones. A
            `VivavoceError` that they raise is raised there.
    """

    def __init__(self, serves: Mapping[str, Callable[..., Any]]) -> None:
        self._serves = serves
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, sock: socket.socket) -> None:
        """Begin to speak; hear by `run`."""
        self._reader, self._writer = await asyncio.open_connection(sock=sock)

    async def run(self) -> None:
        """Hear the other end until it is gone."""
        try:
            while (size := int.from_bytes(await self._reader.readexactly(4), "big")) <= (
                MAX_MESSAGE_BYTES
            ):
                self._take(json.loads(await self._reader.readexactly(size)))
        except (EOFError, OSError, ValueError):
            pass
        finally:
            self._close()

    async def call(self, method: str, *args: Any, timeout_s: float | None = CALL_S) -> Any:
        """Call a function of the other end and wait for its answer.

        Raises:
            EngineError: no answer in time, or the other end is gone.
            RelayedError: what the function raised.
        """
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send("call", number, method, args)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise EngineError(f"the other process did not answer {method!r} in time") from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, method: str, *args: Any) -> None:
        """Call a function whose answer nobody waits for."""
        if self._writer is not None:
            self._send("call", 0, method, args)

    def _send(self, kind: str, number: int, *content: Any) -> None:
        if self._writer is None:
            raise EngineError(GONE)
        data = json.dumps((kind, number, *content)).encode()
        self._writer.write(len(data).to_bytes(4, "big") + data)

    def _take(self, message: list[Any]) -> None:
        kind, number, *content = message
        if kind == "call":
            self._carry_out(number, *content)
            return
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if kind == "answer":
            answer.set_result(content[0])
        else:
            answer.set_exception(RelayedError(*content))

    def _carry_out(self, number: int, method: str, args: list[Any]) -> None:
        """At once, where it does not wait: calls of one end are carried out in their order."""
        try:
            value = self._serves[method](*args)
        except Exception as error:  # noqa: BLE001 - it is answered
            self._refuse(number, method, error)
            return
        if not inspect.isawaitable(value):
            self._answer(number, "answer", value)
            return

        async def finish() -> None:
            try:
                self._answer(number, "answer", await value)
            except Exception as error:  # noqa: BLE001 - it is answered
                self._refuse(number, method, error)

        task = asyncio.create_task(finish())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _refuse(self, number: int, method: str, error: Exception) -> None:
        if isinstance(error, VivavoceError):
            self._answer(
                number, "refusal", str(error), error.code, error.status, error.retry_after_s
            )
        else:
            logger.error("the call %r failed", method, exc_info=error)
            self._answer(number, "refusal", type(error).__name__, "internal_error", 500, None)

    def _answer(self, number: int, kind: str, *content: Any) -> None:
        if number and self._writer is not None:
            self._send(kind, number, *content)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(EngineError(GONE))
        for task in self._answering:
            task.cancel()
