"""A file that appears whole or not at all, and never in place of one that is wanted."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType


class OutputFile:
    """Written beside its place under another name, and put there when the `with` block ends well.

    After an error or an interruption, whatever was there before is untouched.

    Args:
        option: that names it, for messages ("--out").
        path: where it is to appear. A link is followed, and stays.
        keep: files that it must not replace, with the options that name them.
        force: it may replace another file.

    Raises:
        ValueError: nothing can or may be written there; the message says what to do.
    """

    def __init__(self, option: str, path: Path, keep: dict[str, Path], *, force: bool) -> None:
        self._option, self._given = option, path
        self._place = Path(os.path.realpath(path))
        try:
            self._check(keep, force)
        except OSError as error:
            raise ValueError(f"{option} {path}: {error.strerror}") from error
        self.part = self._place.with_name(f".{self._place.name}.{secrets.token_hex(4)}.part")
        """The name under which it is to be written."""
        try:
            self.part.touch(exist_ok=False)
        except OSError as error:
            raise ValueError(
                f"{option} {path}: cannot write into the folder: {error.strerror}"
            ) from error

    def _check(self, keep: dict[str, Path], force: bool) -> None:
        named = f"{self._option} {self._given}"
        if self._place.is_dir():
            raise ValueError(f"{named} is a folder: name a file in it")
        if not self._place.parent.is_dir():
            raise ValueError(f"{named}: no such folder: {self._given.parent}")
        for option, path in keep.items():
            if _same(self._place, path):
                raise ValueError(f"{named} is the same file as {option} {path}: name another")
        if self._place.exists() and not self._place.is_file():
            raise ValueError(f"{named} is no regular file: name another")
        if self._place.exists() and not force:
            raise ValueError(f"{named} exists: add --force to replace it, or name another")

    def __enter__(self) -> Path:
        return self.part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put()
        finally:
            self.part.unlink(missing_ok=True)

    def _put(self) -> None:
        try:
            _sync(self.part)
            self.part.replace(self._place)
            _sync(self._place.parent)
        except OSError as error:
            raise ValueError(f"cannot write {self._given}: {error.strerror}") from error


def _same(one: Path, other: Path) -> bool:
    """Whether both name one file, through links or other spellings, or would."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def _sync(path: Path) -> None:
    """Wait until the file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
