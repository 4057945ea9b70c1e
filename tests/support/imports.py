"""Files to import as weights, and what the importer says of bad ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipelines.import_weights import import_checkpoint
from pipelines.weights import CheckpointError, user_weights_dir


def write(folder: Path, content: object, name: str = "published.ckpt") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


def complaint(path: Path, name: str = "mine") -> str:
    """What the importer says of a bad file; nothing may be left behind."""
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path, name)
    assert not list(user_weights_dir().glob("*")), "a refused file left something behind"
    return str(caught.value)


class Code:
    """What unpickles into a call, which leaves a trace."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def cut(path: Path, share: float) -> Path:
    """Leave the first `share` of a file."""
    os.truncate(path, int(share * path.stat().st_size))
    return path


def damage(path: Path) -> Path:
    """Flip the bits of a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return path
