"""Identity features: what a portrait gives, once; content-addressed on disk, shared in memory.

The key is the hash of everything the features depend on (photo bytes, crop, pipeline, format
version), so equal inputs share one file and one copy in memory, and a changed format never reads
an old file. Files are a cache: a damaged one is removed, and whoever wanted it makes it anew.

Importing this module imports no torch: the event loop reads previews with numpy alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]

_KEY = re.compile(r"[0-9a-f]{64}")
_DIGEST = "sha256"  # in a file's metadata; files of older releases have none

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdentityFeatures:
    """Arrays that describe one avatar for one pipeline; `meta` holds strings only.

    frame: what its pictures show around the face, see `pipelines.photo.framing`; not stored.
    """

    key: str
    arrays: Arrays
    meta: dict[str, str]
    frame: str = "square"

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The arrays as tensors, of the same memory."""
        import torch

        return {name: torch.from_numpy(array) for name, array in self.arrays.items()}

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The avatar's picture, [H, W, 3]: `preview`, or the `canvas` that it is drawn upon."""
        name = "preview" if "preview" in self.arrays else "canvas"
        return self.arrays[name]


def content_key(photo: bytes, crop: str, pipeline: str, version: int) -> str:
    """Return the content address: SHA-256 over the photo, the crop, the pipeline and the format."""
    digest = hashlib.sha256()
    for part in (photo, crop.encode(), pipeline.encode(), str(version).encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class IdentityStore:
    """Identity features on disk: one safetensors file per key below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the features of `key` are, or would be."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"an identity key is 64 hexadecimal digits, not {key!r}")
        return self.root / f"{key}.safetensors"

    def beside(self, key: str, suffix: str) -> Path:
        """Where something drawn of the features of `key` is kept, to be trimmed with them."""
        return self.path(key).with_suffix(f".{suffix}")

    def delete(self, key: str) -> None:
        """Delete the features of `key` and what is kept beside them, as far as there is any."""
        for path in [self.path(key), *self.root.glob(f"{key}.*")]:
            path.unlink(missing_ok=True)

    def load(self, key: str) -> IdentityFeatures:
        """Read the features of `key`. A damaged file is removed, where that is possible.

        Raises:
            KeyError: there are none that can be used; enrol anew.
        """
        path = self.path(key)
        try:
            with safe_open(path, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                meta = dict(file.metadata() or {})
            wanted = meta.pop(_DIGEST, None)
            if wanted is not None and wanted != _digest(arrays, meta):
                raise SafetensorError("its content is not what was written")
        except FileNotFoundError as error:
            raise KeyError(f"no identity features at {path}") from error
        except OSError as error:
            raise KeyError(f"no identity features can be read at {path}: {error}") from error
        except SafetensorError as error:
            logger.warning("identity features at %s are damaged: %s", path, error)
            with contextlib.suppress(OSError):  # a folder that cannot be written
                path.unlink()
            raise KeyError(f"the identity features at {path} were damaged: {error}") from error
        return IdentityFeatures(key, arrays, meta)

    def save(self, features: IdentityFeatures) -> Path:
        """Write `features` so that a reader sees all of the file or none of it, even if the power
        fails in between."""
        path = self.path(features.key)
        self.root.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.asarray(a, order="C") for name, a in features.arrays.items()}
        data = save(arrays, features.meta | {_DIGEST: _digest(arrays, features.meta)})
        handle, temporary = tempfile.mkstemp(dir=self.root, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(self.root)
        return path

    def trim(self, used: Collection[str], max_bytes: int) -> None:
        """Delete what was written longest ago and is not `used`, keys, beyond `max_bytes` of it."""
        unused = [path for path in self.root.glob("*") if path.name.partition(".")[0] not in used]
        left = max_bytes
        for path in sorted(unused, key=lambda path: path.stat().st_mtime, reverse=True):
            left -= path.stat().st_size
            if left < 0:
                path.unlink(missing_ok=True)


def _digest(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> str:
    """SHA-256 over everything that a file says, hexadecimal."""
    whole = hashlib.sha256(repr(sorted(meta.items())).encode())
    for name, array in sorted(arrays.items()):
        whole.update(repr((name, array.dtype.str, array.shape)).encode())
        whole.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return whole.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class IdentityCache:
    """The identity features in use, least recently used first out once `max_bytes` is passed.

    Shared by all sessions and threads. The newest entry always stays, even alone above the limit.
    """

    def __init__(self, store: IdentityStore, max_bytes: int) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive, got {max_bytes}")
        self.store = store
        self.max_bytes = max_bytes
        self._held: OrderedDict[str, IdentityFeatures] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of tensors held now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def get(self, key: str) -> IdentityFeatures:
        """Return the features of `key`, from memory or from the store; `KeyError` if neither."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        return self._put(self.store.load(key))

    def add(self, features: IdentityFeatures) -> IdentityFeatures:
        """Save `features` to the store and hold them."""
        self.store.save(features)
        return self._put(features)

    def drop(self, key: str) -> None:
        """Forget `key` in memory; sessions that use it keep their reference."""
        with self._lock:
            held = self._held.pop(key, None)
            if held is not None:
                self._bytes -= held.nbytes

    def _put(self, features: IdentityFeatures) -> IdentityFeatures:
        with self._lock:
            if features.key in self._held:  # another thread was first: share its copy
                self._held.move_to_end(features.key)
                return self._held[features.key]
            self._held[features.key] = features
            self._bytes += features.nbytes
            while self._bytes > self.max_bytes and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= oldest.nbytes
            return features
