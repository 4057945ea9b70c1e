"""Structured logs: every line carries the id of the session it is about."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar

session_id: ContextVar[str] = ContextVar("session_id", default="-")


class SessionFilter(logging.Filter):
    """Puts the current session's id on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        record.session = session_id.get()
        return True


class RefusedSockets(logging.Filter):
    """uvicorn 0.54 calls it an error of ours that a WebSocket was refused, by whatever answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drops that, which strangers could fill the log with."""
        return record.msg != "ASGI callable returned without completing handshake."


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, session, message and, where there is one, the traceback."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "session": getattr(record, "session", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(as_json: bool) -> None:
    """Log to stderr at INFO; other people's chatter only from WARNING on."""
    handler = logging.StreamHandler()
    handler.addFilter(SessionFilter())
    handler.addFilter(RefusedSockets())
    text = "%(asctime)s %(levelname)-7s %(session)-16s %(name)s: %(message)s"
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(text))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("realtime", "pipelines", "kernels"):
        logging.getLogger(name).setLevel(logging.INFO)
