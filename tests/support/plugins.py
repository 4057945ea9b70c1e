"""Distributions of these tests' own, with pipelines that are found by entry point."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.registry import find_system

SUPPORT = Path(__file__).parent


@contextmanager
def installed(name: str) -> Iterator[None]:
    """What lies in the folder of that name here is installed in this process and those it
    starts."""
    folder = str(SUPPORT / name)
    with pytest.MonkeyPatch.context() as patch:
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join([folder, *([path] if path else [])]))
        patch.syspath_prepend(folder)
        _forget()
        yield
    _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    find_system.cache_clear()
