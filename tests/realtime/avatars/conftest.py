"""A library of avatars whose pipeline waits at gates."""

import pytest
import pytest_asyncio

from realtime.avatars.library import AvatarLibrary
from realtime.config import ServerConfig
from realtime.metrics import Metrics
from tests.support.gated import Gate
from tests.support.plugins import installed


@pytest.fixture(autouse=True)
def _gated():
    with installed("gated_pipeline"):
        yield


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "gate")


@pytest.fixture
def config(tmp_path, gate):
    return ServerConfig(
        pipeline="gated",
        options={"gated": {"gate": str(gate.folder)}},
        data_dir=tmp_path / "data",
        cast_dir=tmp_path / "cast",
        max_avatars=2,
        max_video_bytes=1000,
    )


@pytest_asyncio.fixture
async def library(config):
    library = AvatarLibrary(config, Metrics())
    yield library
    await library.close()
