"""RTVI, which Pipecat's clients speak over their data channel `chat`.

What happens to the avatar and its user is told by RTVI's own messages; besides, every event of the
session goes out as `server-message`, so that an application finds there what docs/api.md lists. Its
`client-message` with an event's type and fields does what that event does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from realtime.client_events import BadEvent, read_json
from realtime.control import Listener

CHANNEL = "chat"
LABEL = "rtvi-ai"
VERSION = "2.1.0"
"""Of the protocol, as the clients of Pipecat 1.14 have it."""
ABOUT = {"library": "vivavoce"}

_USER = {
    "input_audio_buffer.speech_started": True,
    "input_audio_buffer.speech_stopped": False,
}
"""Whether the user speaks from then on."""
_FATAL = ("session_ending", "engine_unavailable")


class Rtvi:
    """The dialect of one client (see `realtime.parties.Dialect`).

    It is told of the session once it says that it is ready: its `connect` waits for the answer.

    Args:
        send: takes a message to the client; must not block.
        hang_up: ends what this client has here.
    """

    listener: Listener

    def __init__(self, send: Callable[[str], object], hang_up: Callable[[Rtvi], None]) -> None:
        self._send = send
        self._hang_up = hang_up
        self._ready = False
        self._created = ""  # the event that the session was first told by
        self._speaking = {"user": False, "bot": False}

    # What it says

    def take(self, message: str | bytes) -> None:
        """One message; what is not of RTVI (keep-alive, signalling) needs no answer."""
        try:
            said = read_json(message)
        except BadEvent:
            return
        if said.get("label") == LABEL:
            self._take(str(said.get("type"))[:64], str(said.get("id", ""))[:128], said.get("data"))

    def _take(self, kind: str, id: str, data: Any) -> None:
        if kind == "client-ready":
            self._say("bot-ready", {"version": VERSION, "about": ABOUT}, id=id)
            if not self._ready:
                self._begin()
        elif kind == "disconnect-bot":
            self._hang_up(self)
        elif kind == "client-message" and self._ready:
            asked = data if isinstance(data, dict) else {}
            fields = asked.get("d")
            event = {"type": asked.get("t"), "event_id": id}
            if isinstance(fields, dict):
                event = fields | event
            self.listener.receive(json.dumps(event))
        else:
            self._refuse(id, f"{kind} is not known here, or not yet: client-ready comes first")

    def _begin(self) -> None:
        self._ready = True
        self.tell(self._created)
        for who in [who for who, speaks in self._speaking.items() if speaks]:
            self._say(f"{who}-started-speaking")

    # What it is told

    def tell(self, text: str) -> None:
        """Pass on an event of the session."""
        event = json.loads(text)
        kind = event["type"]
        if kind == "avatar.state":
            self._speaks("bot", event["state"] == "speaking")
        elif kind in _USER:
            self._speaks("user", _USER[kind])
        if not self._ready:
            self._created = text if kind == "session.created" else self._created
            return
        if kind == "error":
            self._complain(event["error"])
        if kind != "pong":
            self._say("server-message", event)

    def _speaks(self, who: str, speaks: bool) -> None:
        changed = speaks != self._speaking[who]
        self._speaking[who] = speaks
        if changed and self._ready:
            self._say(f"{who}-{'started' if speaks else 'stopped'}-speaking")

    def _complain(self, error: dict[str, Any]) -> None:
        if error.get("event_id"):
            self._refuse(error["event_id"], error["message"])
        else:
            code = error["code"]
            data = {"message": error["message"], "error": code, "fatal": code in _FATAL}
            self._say("error", data)

    def _refuse(self, id: str, why: str) -> None:
        self._say("error-response", {"error": why}, id=id)

    def _say(self, kind: str, data: Any = None, *, id: str | None = None) -> None:
        message = {"label": LABEL, "type": kind}
        if id is not None:
            message["id"] = id
        if data is not None:
            message["data"] = data
        self._send(json.dumps(message))
