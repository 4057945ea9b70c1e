"""A training run in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor


def train_in_two(script: str, data: Path, out: Path) -> dict[str, Tensor]:
    """Run `script` as two workers with the arguments `data` and `out`; each leaves its weights in
    rank{N}.pt of `out`. Returns them: they must be the same."""
    file = out / "worker.py"
    file.write_text(script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(file), str(data), str(out)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(out / f"rank{n}.pt", weights_only=True) for n in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    weights: dict[str, Tensor] = first
    return weights
