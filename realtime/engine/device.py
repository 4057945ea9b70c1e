"""What tensors are computed on, asked where they are computed: never by an event loop."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pipelines.card import set_up_card, set_up_thread
from realtime.engine.config import DeviceWish

logger = logging.getLogger(__name__)


_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What there is where a driver for CUDA is: Linux, and Linux within Windows."""


def choose_device(wish: DeviceWish, *, tf32: bool = False) -> str:
    """ "cpu" or "cuda" for a wish; the log says which, and why not the other. A card is set up.

    tf32: see `pipelines.card.set_up_card`.

    Raises:
        ValueError: CUDA is wanted and there is none.
    """
    if wish == "cpu":
        return "cpu"
    if not any(path.exists() for path in _DRIVERS):
        why = "PyTorch finds no CUDA device: there is no NVIDIA driver"
    else:
        import torch

        if torch.cuda.is_available():
            set_up_card(tf32=tf32)
            set_up_thread()
            precision = "convolutions in TF32" if tf32 else "all in float32"
            logger.info("a GPU computes: %s, %s", torch.cuda.get_device_name(), precision)
            return "cuda"
        why = (
            f"PyTorch finds no CUDA device: {torch.__version__} is a build for CPUs, or for a "
            "newer CUDA than the driver's"
        )
    if wish == "cuda":
        raise ValueError(f"device = 'cuda', but {why}; use cpu or auto")
    logger.info("the CPU computes: %s", why)
    return "cpu"


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
