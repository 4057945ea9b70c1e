"""Where the programs of others live that tests/clients drives against the server."""

from __future__ import annotations

from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / ".clients"


def python_of(name: str) -> Path:
    """The interpreter of `.clients/NAME` (openai, livekit, pipecat); skips the test without it."""
    return _made(name) / "bin" / "python"


def node_dir() -> Path:
    """The folder that holds `node_modules` and `bin/node`; skips the test without it."""
    return _made("node")


def vrm_site() -> Path:
    """The VRM demo's page, ready to be served; skips the test without it."""
    return _made("vrm") / "site"


def _made(name: str) -> Path:
    folder = CLIENTS / name
    if not (folder / ".made-from").exists():
        message = f"{folder} is not there or not complete: run `make test-clients`"
        pytest.skip(message, allow_module_level=True)
    return folder
