"""From a session's motion to a receiver of VMC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import websockets

from realtime.errors import NEEDS_TOKEN, Unauthorized
from realtime.motion_out.arkit import is_arkit

CODE = (
    "the motion of this session is a code of its renderer, which drives no rig: open one with the "
    "pipeline portrait"
)


class Motion(Protocol):
    """What takes frames of motion."""

    def send(self, values: Mapping[str, float], t: float) -> None:
        """One, of media time `t` in seconds.

        Raises:
            OSError: there is no way to whoever is to have it.
        """


def events_url(server: str, session: str) -> str:
    """Where a session tells what happens in it."""
    parts = urlsplit(server)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{server!r} is no address of a server; one is http://127.0.0.1:8080")
    path = f"{parts.path.rstrip('/')}/v1/sessions/{quote(session, safe='')}/events"
    return urlunsplit((scheme, parts.netloc, path, "motion=true", ""))


async def events(server: str, session: str, token: str | None) -> AsyncIterator[dict[str, Any]]:
    """What a session tells, motion included, until it ends.

    Raises:
        RuntimeError: the server cannot be reached, or refuses; the message says why.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with websockets.connect(
            events_url(server, session), additional_headers=headers
        ) as socket:
            async for message in socket:
                yield json.loads(message)
    except websockets.InvalidStatus as refusal:
        raise RuntimeError(_said(refusal)) from refusal
    except (OSError, websockets.InvalidHandshake) as error:
        raise RuntimeError(f"the server at {server} does not answer: {error}") from error
    except websockets.ConnectionClosedError:
        return


def _said(refusal: websockets.InvalidStatus) -> str:
    """The server's own words, if there are some that help."""
    response = refusal.response
    if response.status_code == Unauthorized.status:
        return NEEDS_TOKEN
    try:
        return str(json.loads(response.body or b"")["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server refuses: status {response.status_code}"


async def follow(
    told: AsyncIterator[dict[str, Any]], sender: Motion, say: Callable[[str], None]
) -> int:
    """Pass each frame of motion on the moment it is told, which is when its picture is shown. How
    many there were. While there is no way to the receiver they are lost, which is said once.

    Raises:
        RuntimeError: the session's motion drives no rig.
    """
    count, trouble = 0, ""
    async for event in told:
        if event.get("type") != "avatar.motion":
            continue
        values = event["values"]
        if not count:
            if not is_arkit(values):
                raise RuntimeError(CODE)
            say("the avatar moves")
        count += 1
        before, trouble = trouble, _send(sender, values, event["t"])
        if trouble and not before:
            say(f"the receiver cannot be reached: {trouble}; until it can, motion is lost")
        elif before and not trouble:
            say("the receiver can be reached again")
    return count


def _send(sender: Motion, values: Mapping[str, float], t: float) -> str:
    """Why it could not be sent; empty where it was."""
    try:
        sender.send(values, t)
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def run(
    server: str, session: str, token: str | None, sender: Motion, say: Callable[[str], None]
) -> None:
    """Follow a session until it ends.

    Raises:
        RuntimeError: see `events` and `follow`.
    """
    count = await follow(events(server, session, token), sender, say)
    say(f"the session has ended, after {count} frames of motion")
