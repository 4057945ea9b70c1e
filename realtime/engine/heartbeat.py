"""The watch over an inference process: asked every second, given up when it stays silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from realtime.clock import Clock
from realtime.engine.link import Link
from realtime.errors import VivavoceError

BEAT_S = 1.0


async def watch(
    link: Link,
    clock: Clock,
    ask: Callable[[Link], Coroutine[Any, Any, None]],
    longest_silence_s: Callable[[Link], float],
    on_answer: Callable[[Link], None],
) -> None:
    """Watch until `link` is lost; close it where the other end is silent for too long.

    Silence is counted in our own beats: time in which this process did not run either, on a
    machine that was asleep, is none.

    ask: gets how the process is; raises `VivavoceError` where it cannot say.
    """

    silent_s, reply = 0.0, None
    try:
        while not link.lost.done():
            if reply is None:
                reply = asyncio.create_task(ask(link))
            await clock.sleep_until(clock.now() + BEAT_S)
            if reply.done():
                reply.result()  # raises if the link is lost
                silent_s, reply = 0.0, None
                on_answer(link)
                continue
            silent_s += BEAT_S
            if silent_s >= longest_silence_s(link):
                link.close(f"the inference process did not answer for {silent_s:.0f} s")
    except VivavoceError as error:
        link.close(str(error))  # unless it is lost already: it cannot say how it is
    finally:
        if reply is not None:
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)
