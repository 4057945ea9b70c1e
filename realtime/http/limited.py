"""uvicorn's HTTP/1.1 (0.54.0, on httptools) with limits on what one connection may take.

uvicorn keeps as much of a first line or header as is sent, and waits for ever for the rest.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from realtime.http.connections import Connections
from realtime.http.guard import error_body

_LINGER_S = 2.0  # in which a refused sender is listened to: it would not read the answer otherwise
_LINGER_BYTES = 1 << 20  # and the most of it
_MAX_PIPELINED = 16  # requests that wait for the one before; browsers send none so
_WORDS = {
    400: ("bad_request", "this is no HTTP/1.1 request"),
    408: ("request_timeout", "the request did not arrive in time"),
    414: ("uri_too_long", "the address of the request is too long"),
    431: ("headers_too_large", "the headers of the request are too large"),
    503: ("too_many_connections", "too many connections; end some, or wait a moment"),
}


_State = Literal["between", "head", "body", "refused", "upgraded"]


class _Refused(Exception):
    """Raised inside the parser, to leave it."""

    def __init__(self, status: int) -> None:
        self.status = status


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limited` makes the class that uvicorn wants."""

    all: ClassVar[Connections]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.address = ""
        self._state: _State = "between"
        self._begun = 0  # requests
        self._since = self.all.now()  # of this state
        self._bytes = 0  # in it
        self._came = self._since  # when something of a body came last
        self._headers_bytes = 0  # of whole headers
        self._unfinished = 0  # of what is no body and no whole header
        self._unwanted = 0  # of a body that came after its answer
        self._full_since: float | None = None  # what it does not take waits since then

    # What uvicorn calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if not self.all.enter(self):
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self.all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._state == "refused":
            self._bytes += len(data)
            if self._bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        before = self._begun, self._state, self._bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._enter("upgraded")
                self.handle_websocket_upgrade()
            return  # another upgrade that is asked for is not made
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 400)
            return
        if (self._begun, self._state, self._bytes) == before and self._state in ("head", "body"):
            self._took_no_part(len(data))

    def _took_no_part(self, size: int) -> None:
        """So much has come that is no part of a body, nor a whole header: of a line without an end,
        or of what may follow a body. The parser keeps it."""
        self._unfinished += size
        if self._unfinished > self.all.limits.head_bytes:
            self._refuse(431 if self.headers else 414)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._enter("head")
        self._headers_bytes = self._unwanted = self._unfinished = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.all.limits.url_bytes:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._headers_bytes += len(name) + len(value) + 4
        if self._headers_bytes > self.all.limits.head_bytes:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _Refused(400)
        self._enter("body")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes += len(body)
        self._came = self.all.now()
        super().on_body(body)
        if not self._is_answering():  # answered before it was whole
            self._unwanted += len(body)
            if self._unwanted > _LINGER_BYTES:
                raise _Refused(400)

    def on_message_complete(self) -> None:
        self._enter("between")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._state == "between":
            self._since = self.all.now()

    def pause_writing(self) -> None:
        self._full_since = self.all.now()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._full_since = None
        super().resume_writing()

    # What `Connections` asks

    @property
    def waits(self) -> bool:
        return self._state in ("between", "head") and not self._is_answering()

    def make_room(self) -> None:
        self.transport.abort()

    def look(self, now: float, passed_s: float) -> None:
        """See `Held`."""
        limits = self.all.limits
        waited_s = now - self._since
        if self._state == "upgraded":
            if not self.transport.is_closing():
                self._since = now
            elif waited_s > _LINGER_S:
                self.transport.abort()  # nobody takes what is left to say, or it is over already
                self.all.leave(self)
        elif self._state == "refused":
            if waited_s > _LINGER_S:
                self.transport.abort()
        elif self._full_since is not None and now - self._full_since > limits.stall_s:
            self.transport.abort()
        elif self.flow.read_paused or (self._state == "between" and self._is_answering()):
            self._since += passed_s  # it is we who keep it waiting
            self._came += passed_s
        elif self._state == "body":
            due = (waited_s - limits.stall_s) * limits.body_bytes_per_s
            if now - self._came > limits.stall_s or self._bytes < due:
                self._refuse(408)
        elif waited_s > limits.head_s:
            self._refuse(408)

    # How

    def _enter(self, state: _State) -> None:
        self._state, self._bytes = state, 0
        self._since = self._came = self.all.now()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int) -> None:
        """Answer, unless that has been done or has begun, and listen no more."""
        if self._state == "body" and not self._is_answering():
            self._listen_no_more()
            return
        if self._is_answering():
            self.cycle.disconnected = True  # whoever reads the body hears of it
            self.cycle.message_event.set()
        if self.pipeline or (self._is_answering() and self.cycle.response_started):
            self.transport.abort()
            return
        body = json.dumps(error_body(*_WORDS[status])).encode()
        head = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
        kind = b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
        self.transport.write(STATUS_LINE[status] + kind + head + body)
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        self._enter("refused")
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()


def limited(connections: Connections) -> type[LimitedProtocol]:
    """The protocol for `uvicorn.Config(http=...)`."""
    return type("LimitedHere", (LimitedProtocol,), {"all": connections})
