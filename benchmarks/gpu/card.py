"""The card's own two ceilings, and how time is taken on it.

Datasheets promise rates that no program sees; shares are told of what a plain copy and a plain
matrix product reach on this very card.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.timing import quantiles

Work = Callable[[], object]


def device_ms(works: Sequence[Work], times: int, device: torch.device) -> list[float]:
    """Milliseconds of each of `times` calls, `works` in turn, by the device's own clock.

    Give several that do the same on memory of their own, or repeated calls read from its cache.
    """
    for work in works:
        work()
    if device.type != "cuda":
        return [_wall_ms(works[n % len(works)], device) for n in range(times)]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    torch.cuda.synchronize(device)
    marks[0].record()
    for n in range(times):
        works[n % len(works)]()
        marks[n + 1].record()
    torch.cuda.synchronize(device)
    return [before.elapsed_time(after) for before, after in itertools.pairwise(marks)]


def wall_ms(work: Work, times: int, device: torch.device, limit_s: float) -> list[float]:
    """Milliseconds from calling `work` to its end on the device, as an engine waits for it: of at
    most `times` calls, fewer where `limit_s` is over, three at least."""
    for _ in range(2):
        work()
    found: list[float] = []
    deadline = time.monotonic() + limit_s
    while len(found) < times and (len(found) < 3 or time.monotonic() < deadline):
        found.append(_wall_ms(work, device))
    return found


def _wall_ms(work: Work, device: torch.device) -> float:
    settle(device)
    begin = time.perf_counter()
    work()
    settle(device)
    return 1e3 * (time.perf_counter() - begin)


def settle(device: torch.device) -> None:
    """Wait for what was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_a_graph(work: Work, device: torch.device, times: int = 1) -> Work:
    """`work` so many times over as one launch, so that no gap between launches is timed with it.
    On a CPU as it is."""
    if device.type != "cuda":
        return work
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        work()  # compiles and allocates
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            work()
    return graph.replay


def cache_bytes(device: torch.device) -> int:
    """Of the cache that all of a card shares, 50 MB of an H100 and an H200; 0 of a CPU."""
    if device.type != "cuda":
        return 0
    known = torch.cuda.get_device_properties(device)
    return int(getattr(known, "L2_cache_size", 50 << 20))  # which not every PyTorch tells


def copy_bytes_per_s(device: torch.device, size: int) -> float:
    """Bytes read and written a second by a copy of `size` bytes within the device's memory."""
    pairs = [
        tuple(torch.randint(256, (size,), dtype=torch.uint8, device=device) for _ in range(2))
        for _ in range(2)
    ]
    works = [_copying(into, of) for into, of in pairs]
    return 2.0 * size / _median_s(device_ms(works, 20, device))


def _copying(into: Tensor, of: Tensor) -> Work:
    return lambda: into.copy_(of)


def bus_bytes_per_s(device: torch.device, size: int) -> float:
    """Bytes a second from the device into pinned memory."""
    pinned = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    held = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    work = lambda: pinned.copy_(held, non_blocking=True)  # noqa: E731
    return size / _median_s(device_ms([work], 10, device))


def matrix_per_s(device: torch.device, side: int, dtype: torch.dtype) -> float:
    """Operations a second of a product of two square matrices of random numbers."""
    pairs = [[torch.randn(side, side, device=device).to(dtype) for _ in range(2)] for _ in range(2)]
    works: list[Work] = [lambda a=a, b=b: a @ b for a, b in pairs]
    return 2.0 * side**3 / _median_s(device_ms(works, 12, device))


def _median_s(times_ms: list[float]) -> float:
    found = quantiles(times_ms, digits=6)
    assert found is not None
    return max(found["p50"], 1e-6) / 1e3
