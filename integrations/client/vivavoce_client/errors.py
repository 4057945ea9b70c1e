"""What can go wrong.

VivavoceClientError
├── Unreachable    the server does not answer
├── Refused        the server said no, and why
├── NotConnected   the server answered, but its picture and voice found no way here
└── SessionEnded   the session is over
"""

from __future__ import annotations


class VivavoceClientError(Exception):
    """Base of all."""


class Unreachable(VivavoceClientError):
    """The server does not answer."""


class Refused(VivavoceClientError):
    """The server said no; the message is its own.

    Attributes:
        status: of HTTP.
        code: such as `at_capacity` or `unknown_avatar`; docs/api.md lists them.
        retry_after_s: when waiting is likely to help, else None.
    """

    def __init__(
        self, message: str, *, status: int, code: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class NotConnected(VivavoceClientError):
    """No way through the network for picture and voice; a TURN server may help."""


class SessionEnded(VivavoceClientError):
    """The session is over: it was ended, or the connection to it was lost."""
