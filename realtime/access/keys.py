"""API keys: made and revoked by `vivavoce keys`, checked by the server, kept as hashes.

    data_dir/access/keys.json   keys; written by the command only, 0600
    data_dir/access/used.json   when each was last used; written by the server only

Keys may also come with the configuration: `api_keys`, or $VIVAVOCE_API_KEYS, holds `NAME:SHA256` by
spaces, as `vivavoce keys create --environment` prints them.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from realtime.access.caller import SCOPES, Caller, Scope
from realtime.access.credentials import KEY_PREFIX, digest, new_secret, utc_now
from realtime.storage import write_durably

NAME_RULE = "1 to 40 letters, digits, dots, dashes or underscores"


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is kept of a key. Uploads belong to its name: who makes a new key of that name goes on
    with them. Sessions end with the key itself.

    created: UTC, to the second, ISO 8601.
    """

    id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    created: str

    @property
    def caller(self) -> Caller:
        """Who shows it."""
        return Caller(kind="key", owner=self.name, key=self.id, scopes=frozenset(self.scopes))


class KeyFile:
    """The keys of a data folder, for the command.

    Raises (all calls):
        ValueError: the file is damaged.
        OSError: it cannot be read or written.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "access" / "keys.json"
        self._used = self.path.with_name("used.json")

    def create(self, name: str, scopes: frozenset[Scope] = SCOPES) -> tuple[ApiKey, str]:
        """A new key, and the secret itself, which is kept nowhere.

        Raises:
            ValueError: the name does not fit, or is taken.
        """
        key, secret = new_key(name, scopes)
        with self._changing() as keys:
            if any(known.name == name for known in keys.values()):
                raise ValueError(f"there is a key called {name!r}; revoke it first")
            keys[key.id] = key
        return key, secret

    def revoke(self, name_or_id: str) -> ApiKey:
        """Forget a key; a running server notices with the next request.

        Raises:
            ValueError: there is none.
        """
        with self._changing() as keys:
            for key in list(keys.values()):
                if name_or_id in (key.id, key.name):
                    return keys.pop(key.id)
        raise ValueError(f"no key is called {name_or_id!r}")

    def read(self) -> dict[str, ApiKey]:
        """The keys by id."""
        try:
            kept = json.loads(self.path.read_bytes())
            known = [ApiKey(**(each | {"scopes": _scopes(each["scopes"])})) for each in kept]
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"the file of keys {self.path} is damaged: {error}") from error
        return {key.id: key for key in known}

    def used(self) -> dict[str, str]:
        """When keys were last used, by id; as `ApiKey.created`, to the minute."""
        try:
            return {str(id): str(when) for id, when in json.loads(self._used.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def write_used(self, used: Mapping[str, str]) -> None:
        """Keep when keys were last used."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._used, json.dumps(dict(used)).encode())

    @contextmanager
    def _changing(self) -> Iterator[dict[str, ApiKey]]:
        """The keys, to be changed by one command at a time; written unless it fails."""
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "keys.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            content = json.dumps([asdict(key) for key in keys.values()], indent=1)
            before = os.umask(0o077)
            try:
                write_durably(self.path, content.encode())
            finally:
                os.umask(before)


class Keys:
    """The keys that a running server knows: those of the file, read again when it changes, and
    those given as `NAME:SHA256`, by spaces.

    Raises:
        ValueError: those given do not have that form.
    """

    def __init__(self, data_dir: Path, given: str = "") -> None:
        self.file = KeyFile(data_dir)
        self._given = _parse_given(given)
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, ApiKey] = {}
        self._seen = False
        self._used: dict[str, str] = {}
        self._written: dict[str, str] = {}

    @property
    def any(self) -> bool:
        """Whether there is one, or was one since the server began: revoking the last one opens
        nothing."""
        self._seen = self._seen or bool(self.all())
        return self._seen

    def all(self) -> dict[str, ApiKey]:
        """Those that are valid now, by id.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            stat = self.file.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp != self._stamp:
            self._known = self._given | self.file.read()
            self._stamp = stamp
        return self._known

    def find(self, secret: str) -> ApiKey | None:
        """The key of this secret. All are compared, each in the same time."""
        shown, found = digest(secret), None
        for key in self.all().values():
            if hmac.compare_digest(key.hash, shown):
                found = key
        if found is not None:
            self._used[found.id] = utc_now().strftime("%Y-%m-%dT%H:%MZ")
        return found

    def write_used(self) -> None:
        """Keep when keys were last used, if that is news. Blocks."""
        used = dict(self._used)
        if used != self._written:
            self.file.write_used(self.file.used() | used)
            self._written = used


def new_key(name: str, scopes: frozenset[Scope] = SCOPES) -> tuple[ApiKey, str]:
    """A key that is kept nowhere yet, and its secret.

    Raises:
        ValueError: the name does not fit.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", name):
        raise ValueError(f"the key's name {name!r} must have {NAME_RULE}")
    secret, now = new_secret(KEY_PREFIX), utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    ordered = tuple(sorted(scopes))
    made = ApiKey(
        id=secrets.token_hex(6), name=name, hash=digest(secret), scopes=ordered, created=now
    )
    return made, secret


def parse_scopes(words: str) -> frozenset[Scope]:
    """Scopes by commas.

    Raises:
        ValueError: one is unknown.
    """
    return frozenset(_scopes([word.strip() for word in words.split(",") if word.strip()]))


def _scopes(names: list[str]) -> tuple[Scope, ...]:
    found = tuple(sorted(scope for scope in SCOPES if scope in names))
    if len(found) != len(set(names)) or not found:
        raise ValueError(f"scopes {', '.join(names)!r}: known are {', '.join(sorted(SCOPES))}")
    return found


def _parse_given(value: str) -> dict[str, ApiKey]:
    found = {}
    for entry in value.split():
        name, _, hashed = entry.rpartition(":")
        if not name or not re.fullmatch(r"[0-9a-f]{64}", hashed):
            raise ValueError("api_keys: must hold NAME:SHA256, by spaces")
        id, every = f"given-{hashed[:12]}", tuple(sorted(SCOPES))
        found[id] = ApiKey(id=id, name=name, hash=hashed, scopes=every, created="")
    return found
