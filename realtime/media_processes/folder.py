"""The folder of the media processes' sockets, and what killed servers have left of theirs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path

from realtime.errors import EngineError

PREFIX = "vivavoce-media-"
MAX_PATH_BYTES = 107
"""Of a Unix socket (unix(7))."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class SocketFolder:
    """Nobody else can enter it. It is ours as long as we hold the lock on it, which ends with this
    process however that comes about: then the next server removes it.

    Raises:
        EngineError: names in it would be too long for sockets.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self._path, self._lock = _make()
        if len(os.fsencode(self.socket("m999999"))) > MAX_PATH_BYTES:
            self.close()
            raise EngineError(
                f"sockets cannot lie in {self._path}: the name is too long; set TMPDIR"
            )

    def socket(self, name: str) -> str:
        """The path of a socket of this name."""
        return os.path.join(self._path, name)

    def remove_socket(self, name: str) -> None:
        """Its process is gone."""
        with contextlib.suppress(OSError):
            os.unlink(self.socket(name))

    def close(self) -> None:
        """Remove it with its sockets."""
        _remove(self._path, self._lock)
        os.close(self._lock)


def _make() -> tuple[str, int]:
    """A new one, locked, and its descriptor."""
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX)  # 0700
        with contextlib.suppress(FileNotFoundError):  # a server that starts just now has swept it
            folder = os.open(path, _OPEN)
            with contextlib.suppress(OSError):  # no locks on this file system: no sweeping either
                fcntl.flock(folder, fcntl.LOCK_EX)
            if os.path.exists(path):
                return path, folder
            os.close(folder)


def _sweep(parent: Path) -> None:
    """Remove those of servers of this user that have ended without doing so."""
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, no folder, or swept by somebody else
            folder = os.open(path, _OPEN)
            try:
                if os.fstat(folder).st_uid == os.geteuid():
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails: its server lives
                    _remove(str(path), folder)
            finally:
                os.close(folder)


def _remove(path: str, folder: int) -> None:
    """The folder of this path and descriptor; where there is more than sockets, it stays."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if stat.S_ISSOCK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
        os.rmdir(path)
