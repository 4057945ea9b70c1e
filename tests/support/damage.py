"""Damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def damage(path: Path, start: float, count: int) -> Path:
    """Overwrite `count` bytes from the share `start` of the file on with noise."""
    data = bytearray(path.read_bytes())
    at = int(start * len(data))
    data[at : at + count] = np.random.default_rng(5).bytes(count)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only the beginning."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path
