"""What faces are on a device, brought there beside the steps before any slot is given it.

A copy out of memory that is not pinned holds up the thread that asks for it: the 27 to 58 MB of a
face take 10 ms. So the thread that prepares faces brings them, in a stream of its own, and the
thread that steps only copies within the device's memory, in microseconds, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.slot_tables import tensors_within
from pipelines.transfer import stream_of

Part = TypeVar("Part")

WAITING = 8
"""Faces that were brought and are in no slot yet."""


class Brought(BakedCache[Part]):
    """Parts of the identities that were prepared last, on a device; on a CPU as they are.

    make: the part of an identity for a size, on the CPU: tensors in tuples, dicts or dataclasses.
    sizes: of each identity.
    """

    def __init__(
        self,
        device: torch.device,
        make: Callable[[IdentityFeatures, Size], Part],
        sizes: int = 1,
    ) -> None:
        super().__init__(
            lambda identity, size, _: self._bring(make(identity, size)), WAITING * sizes
        )
        self._device = device
        self._stream = stream_of(device)

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Bring it now, from any thread, so that `of` is quick."""
        self.get(identity, size, self._device)

    def of(self, identity: IdentityFeatures, size: Size) -> Part:
        """To be copied from in the stream of the steps; brought now if it was not."""
        part = self.get(identity, size, self._device)
        for _, tensor in tensors_within(part):
            if tensor.is_cuda:  # its memory is nobody else's before it was read
                tensor.record_stream(torch.cuda.current_stream(tensor.device))
        return part

    def _bring(self, part: Part) -> Part:
        if self._stream is None:
            return part
        with torch.inference_mode(False), torch.cuda.stream(self._stream):
            brought: Part = _over(part, self._brought)
        self._stream.synchronize()
        return brought

    def _brought(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device)


def _over(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, Mapping):
        return {name: _over(value, change) for name, value in part.items()}
    if isinstance(part, tuple):
        made = [_over(value, change) for value in part]
        return type(part)(*made) if hasattr(part, "_fields") else tuple(made)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(
            part, **{each.name: _over(getattr(part, each.name), change) for each in fields(part)}
        )
    return part
