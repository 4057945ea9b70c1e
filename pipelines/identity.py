"""Identity features: what a portrait gives, once; content-addressed on disk, shared in memory.

The key is the hash of everything the features depend on (photo bytes, crop, preset, format
version), so equal inputs share one file and one copy in memory, and a changed format never reads
an old file.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

Baked = TypeVar("Baked")

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class IdentityFeatures:
    """Tensors that describe one portrait for one preset; `meta` holds strings only."""

    key: str
    tensors: dict[str, Tensor]
    meta: dict[str, str]

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values())


def content_key(photo: bytes, crop: str, preset: str, version: int) -> str:
    """Return the content address: SHA-256 over the photo, the crop, the preset and the format."""
    digest = hashlib.sha256()
    for part in (photo, crop.encode(), preset.encode(), str(version).encode()):
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

    def load(self, key: str) -> IdentityFeatures:
        """Read the features of `key`; `KeyError` if there are none or the file is damaged."""
        path = self.path(key)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                meta = file.metadata() or {}
        except (FileNotFoundError, SafetensorError) as error:
            raise KeyError(f"no identity features at {path}: {error}") from error
        return IdentityFeatures(key, tensors, meta)

    def save(self, features: IdentityFeatures) -> Path:
        """Write `features` so that a reader sees all of the file or none of it."""
        path = self.path(features.key)
        self.root.mkdir(parents=True, exist_ok=True)
        data = save({k: t.contiguous() for k, t in features.tensors.items()}, features.meta)
        handle, temporary = tempfile.mkstemp(dir=self.root, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path

    def trim(self, used: Collection[str], max_bytes: int) -> None:
        """Delete what was written longest ago and is not `used`, keys, beyond `max_bytes` of it."""
        unused = [path for path in self.root.glob("*") if path.stem not in used]
        left = max_bytes
        for path in sorted(unused, key=lambda path: path.stat().st_mtime, reverse=True):
            left -= path.stat().st_size
            if left < 0:
                path.unlink(missing_ok=True)


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


class BakedCache(Generic[Baked]):
    """What renderers of one sort made of the identities used last, shared by threads.

    make: builds it of an identity, for a picture size in pixels and a device. It is not written to.
    Renderers keep what their slots wear; this is for faces on the way to a slot, and for sharing.
    """

    def __init__(
        self, make: Callable[[IdentityFeatures, int, torch.device], Baked], most: int = 8
    ) -> None:
        self.make = make
        self.most = most
        self._held: OrderedDict[tuple[str, int, str], Baked] = OrderedDict()
        self._lock = threading.Lock()

    def make_room(self, most: int) -> None:
        """Hold at least `most`."""
        self.most = max(self.most, most)

    def get(self, identity: IdentityFeatures, size: int, device: torch.device) -> Baked:
        """What was made of `identity` for `size` on `device`; made now if it is not there."""
        key = (identity.key, size, str(device))
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
                return held
        baked = self.make(identity, size, device)
        with self._lock:
            self._held[key] = baked
            while len(self._held) > self.most:
                self._held.popitem(last=False)
        return baked
