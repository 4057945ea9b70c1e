"""Which of its two forms an operation takes: the kernel in the Triton language, or its twin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_INTERPRETED = ContextVar("interpreted", default=False)


def use_triton(*tensors: Tensor, as_they_lie: tuple[Tensor, ...] = ()) -> bool:
    """Whether the kernel is to run: on CUDA tensors always, on a CPU's where `interpreted` says so.

    as_they_lie: tensors besides that the kernel reads so, for nobody copies tables into order.

    Raises:
        ValueError: tensors of more than one device, or such that a kernel would misread.
    """
    devices = {tensor.device for tensor in (*tensors, *as_they_lie)}
    if len(devices) != 1:
        raise ValueError(f"tensors of one device, got {sorted(str(device) for device in devices)}")
    if devices.pop().type != "cuda" and not _INTERPRETED.get():
        return False
    for tensor in as_they_lie:
        if not tensor.is_contiguous():
            raise ValueError(
                f"a kernel reads {tuple(tensor.shape)} as it lies, which must be contiguous, not "
                f"of strides {tensor.stride()}"
            )
    return True


@contextmanager
def interpreted() -> Iterator[None]:
    """Inside, kernels run on a CPU's tensors too, in Triton's interpreter: to see that they are
    right, thousands of times slower. TRITON_INTERPRET=1 must be set before triton is imported."""
    token = _INTERPRETED.set(True)
    try:
        yield
    finally:
        _INTERPRETED.reset(token)
