"""The exception tree of the server.

VivavoceError
├── SessionError            something is wrong with one session
│   ├── BadOffer            the SDP offer cannot be used
│   │   └── UnsuitableOffer it can be read, but asks for what is not there
│   ├── IceRestart          the connection is to be made anew
│   ├── NotLive             the session shows nothing now
│   ├── SessionLost         the session has ended with its media process
│   └── UnknownSession      no session has this id
├── BadRequest              a body or query does not fit
├── UnsupportedType         a body of a content type that is not taken
├── BodyTooLarge            a body above the limit of its call
├── Unauthorized            no key or token, or one that is not valid
├── InsufficientScope       a valid one that may not do this
├── UnknownCall             there is no such call
├── TooManyRequests         more than a key or an address may ask
│   └── TooManySessions     more sessions than it may have at once
├── AtCapacity              no session can be admitted now
│   └── Draining            nor later: the server is shutting down
├── NotReady                the server, or its engine, is still starting
│   ├── PipelineNotLoaded   this pipeline is
│   └── AvatarNotReady      this avatar is being enrolled
├── EngineError             the engine could not do it, or is gone
├── RelayedError            what another process of the server raised
├── UnknownPipeline         no pipeline has this name
├── UnknownAvatar           no avatar has this name
├── UnknownMatte            nobody knows what is behind this face
├── AvatarRejected          no avatar can be made of this material
└── StorageError            the data folder is full, or cannot be written

Each carries the `code` and HTTP `status` under which it is reported, and `retry_after_s` where
waiting helps.
"""

from __future__ import annotations


class VivavoceError(Exception):
    """Base of everything the server reports to a caller."""

    code = "internal_error"
    status = 500
    retry_after_s: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer that reports it."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class SessionError(VivavoceError):
    """Something is wrong with one session."""


class BadOffer(SessionError):
    """The SDP offer cannot be used; the message says why."""

    code = "bad_offer"
    status = 400


class UnsuitableOffer(BadOffer):
    """The SDP offer can be read, but asks for what is not there; the message says what is."""

    status = 422


class IceRestart(SessionError):
    """New ICE credentials: the connection cannot be made anew, only another one in its place."""

    code = "ice_restart"
    status = 422


class NotLive(SessionError):
    """The session shows nothing now; try again."""

    code = "not_live"
    status = 409
    retry_after_s = 2


class UnknownSession(SessionError):
    """No session has this id (or it has ended)."""

    code = "unknown_session"
    status = 404


class SessionLost(SessionError):
    """The session was in a media process that has ended; another session can be opened."""

    code = "session_lost"
    status = 410


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


NEEDS_TOKEN = (
    "the server asks for a key or a token, and this is none, or one that is valid no more: "
    "--token TOKEN; a key is made by: vivavoce keys create NAME"
)
"""What `Unauthorized` means to whoever typed a command."""


class Unauthorized(VivavoceError):
    """No key or token, a wrong one, or one that has expired or was revoked: all the same."""

    code = "unauthorized"
    status = 401

    def __init__(self) -> None:
        super().__init__("send a valid key or token as Authorization: Bearer")

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer that reports it."""
        return {"WWW-Authenticate": 'Bearer realm="vivavoce"'}


class InsufficientScope(VivavoceError):
    """The key or token is valid, but this call needs what it does not give."""

    code = "insufficient_scope"
    status = 403

    def __init__(self, needed: str) -> None:
        super().__init__(f"this call needs {needed}")

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer that reports it."""
        return {"WWW-Authenticate": 'Bearer realm="vivavoce", error="insufficient_scope"'}


class UnknownCall(VivavoceError):
    """There is no such call."""

    code = "not_found"
    status = 404


class TooManyRequests(VivavoceError):
    """More requests than a key or an address may send; try again after `retry_after_s`."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManySessions(TooManyRequests):
    """A key or an address has as many sessions as it may have at once."""

    code = "too_many_sessions"

    def __init__(self, whose: str, count: int, setting: str) -> None:
        super().__init__(
            f"{whose} has {count} session(s), as many as it may have at once: end one, or wait "
            f"until one has ended (who runs the server can raise {setting})",
            retry_after_s=5,
        )


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
    """The server is still starting, or its engine is being restarted."""

    code = "starting"
    status = 503
    retry_after_s: int | None = 2


class PipelineNotLoaded(NotReady):
    """The pipeline is known, but not loaded; the message says whether it is being loaded."""

    code = "pipeline_not_loaded"

    def __init__(self, message: str, retry_after_s: int | None = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AvatarNotReady(NotReady):
    """The avatar is still being enrolled; the message says how far it is."""

    code = "avatar_not_ready"
    retry_after_s = 5


class EngineError(VivavoceError):
    """The engine could not carry out a call, or is gone; the message says why."""

    code = "engine_unavailable"
    status = 503
    retry_after_s = 5


class RelayedError(VivavoceError):
    """What another process of the server raised, with its code and status."""

    def __init__(self, message: str, code: str, status: int, retry_after_s: int | None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


class UnknownPipeline(VivavoceError):
    """No pipeline has this name."""

    code = "unknown_pipeline"
    status = 404


class UnknownAvatar(VivavoceError):
    """No avatar has this name."""

    code = "unknown_avatar"
    status = 404


class UnknownMatte(VivavoceError):
    """Nobody knows what is behind this face."""

    code = "unknown_matte"
    status = 404


class AvatarRejected(VivavoceError):
    """No avatar can be made of the material; the message says why and what to do."""

    code = "avatar_rejected"
    status = 422

    def __init__(self, message: str, code: str = "avatar_rejected") -> None:
        super().__init__(message)
        self.code = code


class StorageError(VivavoceError):
    """What was sent cannot be kept: the disk is full, or the data folder cannot be written."""

    code = "storage_unavailable"
    status = 507
