"""A server with two media processes and the echo system, whose faces nobody has to enrol."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.service.browser import ServerProcess
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.pipeline import Material
from realtime.access.keys import new_key

ECHO = Path(__file__).parent / "echo"
ALICE, BOB = new_key("alice"), new_key("bob")
AS_ALICE, AS_BOB = ({"authorization": f"Bearer {secret}"} for _, secret in (ALICE, BOB))
SETTINGS = """
pipeline = "echo"
size = "64x36"
max_sessions = 4
media_processes = 2
load_on_demand = true
load_memory_bytes = 1
load_share = 10.0
connect_timeout_s = 240.0
ping_timeout_s = 240.0
rate_per_address = "100000/second"
"""


@contextmanager
def two_media_processes(
    folder: Path, settings: str = "drain_timeout_s = 60"
) -> Iterator[ServerProcess]:
    """A ready server with the keys of Alice and Bob, and the faces `anna` and `bert`."""
    cast, data = folder / "cast", folder / "data"
    cast.mkdir()
    for tone, name in enumerate(("anna", "bert"), 100):
        photo = cast / f"{name}.png"
        cv2.imwrite(str(photo), np.full((8, 8, 3), tone, np.uint8))
        key = Material(photo=photo).digest()
        store = IdentityStore(data / "identities")
        store.save(IdentityFeatures(key, {"tone": np.array(tone)}, {}))
    config = folder / "vivavoce.toml"
    config.write_text(f'cast_dir = "{cast}"\n{SETTINGS}{settings}\n')
    with pytest.MonkeyPatch.context() as patch:
        path = [str(ECHO), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        keys = " ".join(f"{key.name}:{key.hash}" for key, _ in (ALICE, BOB))
        patch.setenv("VIVAVOCE_API_KEYS", keys)
        process = ServerProcess(data, "--config", str(config))
        try:
            process.wait_ready()
            yield process
        finally:
            process.stop(120)
