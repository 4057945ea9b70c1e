"""The exception tree of the server.

VivavoceError
├── SessionError            something is wrong with one session
│   ├── BadOffer            the SDP offer cannot be used
│   └── UnknownSession      no session has this id
├── BadRequest              a body or query does not fit
├── UnsupportedType         a body of a content type that is not taken
├── BodyTooLarge            a body above the limit of its call
├── AtCapacity              no session can be admitted now
│   └── Draining            nor later: the server is shutting down
├── NotReady                the server is still starting
├── EngineError             the inference process cannot do it, or is gone
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


class BadRequest(VivavoceError):
    """The body or query does not fit."""

    code = "bad_request"
    status = 400


class UnsupportedType(VivavoceError):
    """The body is of a content type that this call does not take."""

    code = "unsupported_media_type"
    status = 415


class BodyTooLarge(VivavoceError):
    """The request's body is larger than this call takes."""

    code = "body_too_large"
    status = 413


class AtCapacity(VivavoceError):
    """No session can be admitted now; try again after `retry_after_s`."""

    code = "at_capacity"
    status = 503

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Draining(AtCapacity):
    """The server is shutting down and takes no new sessions."""

    code = "draining"


class NotReady(VivavoceError):
    """The server is still starting."""

    code = "starting"
    status = 503


class EngineError(VivavoceError):
    """The inference process cannot do what was asked, or is gone; the message says why."""

    code = "engine_unavailable"
    status = 503


class UnknownAvatar(VivavoceError):
    """No avatar has this name."""

    code = "unknown_avatar"
    status = 404


class AvatarRejected(VivavoceError):
    """An image cannot become an avatar; the message says why and what to do."""

    code = "avatar_rejected"
    status = 422
