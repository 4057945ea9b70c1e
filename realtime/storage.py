"""The data folder: held by one writer at a time, written so that what was acknowledged stays."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from realtime.errors import BodyTooLarge, StorageError

logger = logging.getLogger(__name__)

LOCK_NAME = "lock"
COPY_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DIGEST_BYTES = hashlib.sha256().digest_size
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class FolderInUse(ValueError):
    """Another process holds the data folder.

    url: where it serves; empty if it does not.
    """

    def __init__(self, message: str, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class FolderLock:
    """A data folder's one writer. The kernel lets go of it when the process ends, however."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._file: BinaryIO | None = None

    def acquire(self, purpose: str, url: str = "") -> None:
        """Become the writer; `purpose` is what others are told of us ("server on port 8080"), and
        `url` where they may ask us to write.

        Where the folder cannot be written nobody can harm it: then there is a warning and no lock.

        Raises:
            FolderInUse: another process is; the message says which.
        """
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+b")
        except OSError as error:
            logger.warning("the data folder %s cannot be written: %s", folder, error)
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):  # some network file systems know no locks
                logger.warning("the data folder cannot be locked: %s", error)
                self._file = file
                return
            file.seek(0)
            holder, _, serves = file.read(1000).decode(errors="replace").strip().partition("\n")
            file.close()
            raise FolderInUse(
                f"the data folder {self._path.parent} is in use by {holder or 'another process'}; "
                "end that first, or choose another --data-dir",
                serves,
            ) from None
        self._file = file
        with contextlib.suppress(OSError):  # a full disk: held all the same, without a name
            file.truncate(0)
            file.write(f"the {purpose}, process {os.getpid()}\n{url}\n".encode())
            file.flush()

    def release(self) -> None:
        """Let others in. Safe to call again."""
        if self._file is not None:
            self._file.close()
            self._file = None


@contextlib.contextmanager
def storing() -> Iterator[None]:
    """Turn what a disk refuses into `StorageError`, in words."""
    try:
        yield
    except OSError as error:
        words = describe_refusal(error)
        if words is None:
            raise
        raise StorageError(words) from error


def describe_refusal(error: OSError) -> str | None:
    """What to tell whoever wanted something kept; None if the disk is not to blame."""
    if error.errno in _FULL:
        return "the server's disk is full, so this cannot be kept; delete an avatar or make room"
    if error.errno in _UNWRITABLE:
        return "the server's data folder cannot be written, so this cannot be kept"
    return None


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none, even if the power fails."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_sealed(path: Path, content: bytes) -> None:
    """Keep what can be made again: `write_durably`, with a digest after it. Programs that read
    pictures pass over what follows them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content + hashlib.sha256(content).digest())


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` has kept.

    Raises:
        OSError: there is none, or it was damaged since.
    """
    sealed = path.read_bytes()
    content, digest = sealed[:-_DIGEST_BYTES], sealed[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise OSError(errno.EIO, "damaged", str(path))
    return content


def copy_durably(source: BinaryIO, path: Path, max_bytes: int) -> None:
    """Copy a stream from its beginning to a new file, a piece at a time.

    Raises:
        BodyTooLarge: it has more than `max_bytes`.
    """
    source.seek(0)
    copied = 0
    try:
        with path.open("wb") as file:
            while piece := source.read(COPY_BYTES):
                copied += len(piece)
                if copied > max_bytes:
                    raise BodyTooLarge(f"the file is larger than the {max_bytes} bytes taken here")
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
