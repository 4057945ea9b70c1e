"""Weights that are not installed, such as those of a training run, under a name of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "measured"
_FOLDER = "VIVAVOCE_WEIGHTS"  # where the program looks for weights that did not come with it


@contextmanager
def named(weights: Path) -> Iterator[str]:
    """The name of a weights file (or of RUN/model.safetensors), for this process and those that it
    starts inside; a graph beside it, of the same name, goes with it.

    Raises:
        ValueError: there is no such file.
    """
    path = weights / "model.safetensors" if weights.is_dir() else weights
    if not path.is_file():
        raise ValueError(f"no weights in {weights}: {path} is not a file")
    held = os.environ.get(_FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, path.with_suffix(".onnx")):
            if file.is_file():
                (Path(folder) / f"{NAME}{file.suffix}").symlink_to(file.resolve())
        os.environ[_FOLDER] = folder
        try:
            yield NAME
        finally:
            if held is None:
                del os.environ[_FOLDER]
            else:
                os.environ[_FOLDER] = held
