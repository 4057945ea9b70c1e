"""A running service with two faces of the cast, enrolled once for all tests."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from benchmarks.service.peer import AvatarClient
from realtime.config import ServerConfig
from realtime.http.app import create_app
from realtime.server import Server

URL = "http://127.0.0.1"
CAST = sorted((Path(__file__).parent.parent.parent / "cast").glob("*.png"))[:2]


@pytest.fixture(scope="session")
def cast_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cast")
    for portrait in CAST:
        shutil.copy(portrait, folder)
    return folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def config(cast_dir, data_dir):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    return ServerConfig(
        cast_dir=cast_dir,
        data_dir=data_dir,
        size=256,
        max_sessions=3,
        load_share=10.0,  # the tests count sessions; how many a machine carries is benchmarked
        connect_timeout_s=120.0,  # a busy machine is no fault of a peer; tests that are about
        ping_timeout_s=120.0,  # these limits set their own
        unclaimed_s=120.0,
        enrol_wait_s=600.0,
        drain_timeout_s=1.0,
    )


class RunningServer:
    """The application in this process, spoken to over ASGI; media over real UDP sockets."""

    def __init__(self, service: Server, transport: httpx.ASGITransport) -> None:
        self.service = service
        self.transport = transport
        self.http = httpx.AsyncClient(transport=transport, base_url=URL)

    async def post_offer(self, offer):
        answer = await self.http.post("/v1/sessions", json=offer)
        answer.raise_for_status()
        return answer.json()

    @contextlib.asynccontextmanager
    async def client(self, sound, avatar=None, **more) -> AsyncIterator[AvatarClient]:
        """A connected client that hangs up at the end."""
        client = AvatarClient(sound)
        try:
            await client.connect(self.post_offer, avatar, **more)
            yield client
        finally:
            await client.close()
            for session in list(self.service.sessions.values()):
                if session.id == client.session.get("id"):
                    await session.close("test_over")


@contextlib.asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[RunningServer]:
    """A started server, stopped at the end."""
    service = Server(config)
    app = create_app(config, service)
    await service.start()
    try:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        server = RunningServer(service, transport)
        async with server.http:
            yield server
    finally:  # else its processes keep this one from ending
        await service.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(config):
    """One server for a whole file; its tests must run in the file's loop."""
    async with running(config) as server:
        yield server
