"""`application/trickle-ice-sdpfrag` (RFC 8840): what a peer sends after its offer.

The candidates in it are passed over like those of an offer (see `parse_offer`): a peer's own checks
tell us its address. So it does not matter which m-line they are of, nor whether they can be used.
What remains to be seen is that it is a fragment, and of which connection.
"""

from __future__ import annotations

import re

from realtime.errors import BadRequest

MEDIA_TYPE = "application/trickle-ice-sdpfrag"
_LINE = re.compile(r"[a-z]=\S.*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/]{4,256}")


def read_fragment(body: bytes) -> set[tuple[str, str]]:
    """The ICE user fragments and passwords in it, which may be none.

    Raises:
        BadRequest: it is not a fragment.
    """
    try:
        lines = [line for line in body.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadRequest("the fragment is not UTF-8 text") from error
    if not lines:
        raise BadRequest("the fragment is empty")
    user: str | None = None
    credentials: set[tuple[str, str]] = set()
    for line in lines:
        if not _LINE.fullmatch(line):
            raise BadRequest(f"not a line of a fragment: {line[:80]!r}")
        name, _, value = line[2:].strip().partition(":")
        if name in ("ice-ufrag", "ice-pwd") and not _CREDENTIAL.fullmatch(value):
            raise BadRequest(f"not an {name}: {value[:80]!r}")
        if name == "ice-ufrag":
            user = value
        elif name == "ice-pwd":
            if user is None:
                raise BadRequest("the fragment has an ice-pwd without an ice-ufrag before it")
            credentials.add((user, value))
    return credentials
