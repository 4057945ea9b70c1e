"""One process, or the group that torchrun started: a worker per GPU, or on the CPU with gloo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """This worker's place in the group."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this worker writes files and shows progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the group, and equal weights in it."""
        if self.count == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)


@contextmanager
def joined(device: str = "auto") -> Iterator[Workers]:
    """Join the group that torchrun describes in the environment; without one, be alone."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "auto":
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    here = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers(here)
        return
    if here.type == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Workers(here, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
