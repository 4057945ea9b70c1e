"""Makes the pipeline in `gated_pipeline` known, and opens its gates."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.registry import find_system

FOLDER = Path(__file__).parent / "gated_pipeline"
STAGES = 4
VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(200)
"""What passes for an MP4 by its first bytes; the gated pipeline looks no further."""


@contextmanager
def gated_installed() -> Iterator[None]:
    """The `gated` pipeline is found by its entry point, in this process and those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), *([path] if path else [])]))
        patch.syspath_prepend(str(FOLDER))
        _forget()
        yield
    _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    find_system.cache_clear()


class Gate:
    """What lets the enrolments of one test go on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def open(self, *stages: int) -> None:
        """Let these stages begin; all of them if none is named."""
        for stage in stages or range(STAGES):
            (self.folder / str(stage)).touch()

    def set_fate(self, fate: str) -> None:
        """Have the last stage "crash", "refuse", "stall" or, once, "break"; "": none of these."""
        (self.folder / "fate").write_text(fate)

    @property
    def done(self) -> list[int]:
        """The stages carried out, in order."""
        log = self.folder / "log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []
