"""What tensors are computed on, asked where they are computed: never by an event loop."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from realtime.engine.config import DeviceWish


def choose_device(wish: DeviceWish) -> str:
    """ "cpu" or "cuda" for a wish.

    Raises:
        ValueError: CUDA is wanted and there is none.
    """
    has_cuda = wish != "cpu" and Path("/dev/nvidiactl").exists()
    if has_cuda:
        import torch

        has_cuda = torch.cuda.is_available()
    if wish == "cuda" and not has_cuda:
        raise ValueError("device = 'cuda', but PyTorch finds no CUDA device; use cpu or auto")
    return "cuda" if has_cuda else "cpu"


def use_one_thread() -> None:
    """Have tensor libraries compute in the calling thread alone, in this process from now on.

    A step is a few hundred short calls: their threads would wait for each other, and for encoders.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = "1"  # read when a library is imported, which is mostly later
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
