"""What renderers make of identities once, to draw them often: held by slot, shared by key."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size

Baked = TypeVar("Baked")


class BakedCache(Generic[Baked]):
    """What renderers of one sort made of the identities used last, shared by threads.

    make: builds it of an identity, for a picture size and a device. It is not written to.
    Renderers keep what their slots show; this is for faces on the way to a slot, and for sharing.
    """

    def __init__(
        self, make: Callable[[IdentityFeatures, Size, torch.device], Baked], most: int = 8
    ) -> None:
        self.make = make
        self.most = most
        self._held: OrderedDict[tuple[str, str, Size, str], Baked] = OrderedDict()
        self._lock = threading.Lock()

    def make_room(self, most: int) -> None:
        """Hold at least `most`."""
        self.most = max(self.most, most)

    def get(self, identity: IdentityFeatures, size: Size, device: torch.device) -> Baked:
        """What was made of `identity` for `size` on `device`; made now if it is not there."""
        key = (identity.key, identity.frame, size, str(device))
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


class SlotFaces(Generic[Baked]):
    """What the slots of one renderer show, at every size that each may be drawn at."""

    def __init__(
        self, cache: BakedCache[Baked], slots: int, sizes: int, device: torch.device
    ) -> None:
        cache.make_room(slots * sizes)
        self.device = device
        self._cache = cache
        self._faces: list[dict[Size, Baked]] = [{} for _ in range(slots)]

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Make it now, from any thread, so that `set` is quick."""
        self._cache.get(identity, size, self.device)

    def set(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Give `slot` a face that may be drawn at `sizes`."""
        held = {size: self._cache.get(identity, size, self.device) for size in sizes}
        self._faces[slot] = held

    def get(self, slot: int, size: Size) -> Baked:
        """What `slot` shows at that size.

        Raises:
            ValueError: it has no identity, or not at that size.
        """
        faces = self._faces[slot]
        if not faces:
            raise ValueError(f"slot {slot} has no identity; call set_identity first")
        if size not in faces:
            raise ValueError(f"slot {slot} was not prepared for {size[0]} x {size[1]} pixels")
        return faces[size]
