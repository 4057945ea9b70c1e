"""What one core of this machine does: machines of the same name differ by more than two."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

_ROUNDS = 15
_SIDE = 512
_ROW = 32_768


class Machine(NamedTuple):
    """Two figures of a core, by the library that draws; 0 where they were not measured."""

    cores: int
    """That this process may use."""
    matmul_gflops: float = 0.0
    """Product of two float32 matrices, 512 x 512, in 10^9 operations a second."""
    add_us: float = 0.0
    """Sum of two times 32,768 floats: a small operation, in microseconds."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_machine() -> Machine:
    """Measure it on one thread, in a tenth to a quarter of a second.

    Medians of CPU time, so that whatever else runs meanwhile hardly matters.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        square, row = torch.rand(_SIDE, _SIDE), torch.rand(_ROW)
        matmul_s = _median_s(lambda: square @ square, 1)
        add_s = _median_s(lambda: row + row, 100)
    finally:
        torch.set_num_threads(threads)
    gflops = 2 * _SIDE**3 / matmul_s / 1e9
    return Machine(available_cores(), round(gflops, 1), round(add_s * 1e6, 1))


def _median_s(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call of `work`."""
    work()
    rounds = []
    for _ in range(_ROUNDS):
        begin = time.thread_time()
        for _ in range(times):
            work()
        rounds.append((time.thread_time() - begin) / times)
    return statistics.median(rounds)
