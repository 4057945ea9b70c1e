"""The exception tree of the server.

VivavoceError
├── SessionError            something is wrong with one session
│   ├── BadOffer            the SDP offer cannot be used
│   └── UnknownSession      no session has this id
├── AtCapacity              no session can be admitted now
├── UnknownAvatar           no avatar has this name
└── AvatarRejected          an image cannot become an avatar

Each carries the `code` and HTTP `status` under which it is reported.
"""

from __future__ import annotations


class VivavoceError(Exception):
    """Base of everything the server reports to a caller."""

    code = "internal_error"
    status = 500


class SessionError(VivavoceError):
    """Something is wrong with one session."""


class BadOffer(SessionError):
    """The SDP offer cannot be used; the message says why."""

    code = "bad_offer"
    status = 400


class UnknownSession(SessionError):
    """No session has this id (or it has ended)."""

    code = "unknown_session"
    status = 404


class AtCapacity(VivavoceError):
    """No session can be admitted now; try again after `retry_after_s`."""

    code = "at_capacity"
    status = 503

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownAvatar(VivavoceError):
    """No avatar has this name."""

    code = "unknown_avatar"
    status = 404


class AvatarRejected(VivavoceError):
    """An image cannot become an avatar; the message says why and what to do."""

    code = "avatar_rejected"
    status = 422
