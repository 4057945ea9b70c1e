"""How this process and its threads use a card, said here for all that runs on one.

PyTorch lets cuDNN's convolutions round what they multiply to TF32, 10 bits after the point, unless
told otherwise; products of matrices it does not. Pictures of a card are to be those of a CPU to 0.5
of 255 on average and 3 at most, see `benchmarks.gpu.tf32` for what is left of that.
"""

from __future__ import annotations

import ctypes
import logging

logger = logging.getLogger(__name__)

_DRIVER = "libcuda.so.1"
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


def set_up_card(*, tf32: bool = False) -> None:
    """Have this process compute in full float32 on a card from now on, or its convolutions in
    TF32: several times as many operations a second, for pictures that differ visibly from the
    CPU's in places. Products of matrices, which are motion, stay in float32."""
    import torch

    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = False


def set_up_thread() -> None:
    """Have this thread use a card while another one captures a graph, whatever the other's mode.

    Where a library captures in CUDA's global mode, as ONNX Runtime does, every other thread is
    forbidden what might wait for the capture, to allocate for one, unless that thread says that it
    minds its own captures only. None of ours touches what another captures. May be called again.
    """
    try:
        driver = ctypes.CDLL(_DRIVER)
        status = driver.cuThreadExchangeStreamCaptureMode(ctypes.byref(ctypes.c_int(_THREAD_LOCAL)))
    except (OSError, AttributeError) as error:
        status = error
    if status:
        logger.warning("captures of other threads may disturb this one: %s", status)


def tf32_of_card() -> dict[str, bool]:
    """What this process's convolutions and products of matrices round to TF32."""
    import torch

    return {
        "convolutions": bool(torch.backends.cudnn.allow_tf32),
        "products": bool(torch.backends.cuda.matmul.allow_tf32),
    }
