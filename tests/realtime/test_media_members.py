"""Media processes as their front keeps them: started, asked, chosen, buried. Most without one."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import socket
import tempfile
from typing import Any

import pytest

from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.engine.supervisor import EngineAddress
from realtime.errors import EngineError
from realtime.media_processes.host import MediaHost, MediaSettings
from realtime.media_processes.line import Line
from realtime.media_processes.member import LATE_S, MediaProcess
from realtime.media_processes.process import create_media_app
from realtime.server import Server
from tests.support.engines import until
from tests.support.fakes import ManualClock


async def test_a_folder_that_no_socket_fits_in_is_named(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    server = Server(ServerConfig(data_dir=tmp_path, media_processes=2))
    assert server.media is not None
    with pytest.raises(EngineError, match="too long; set TMPDIR"):
        await server.media.start(EngineAddress(b"nobody", b""))
    await server.media.stop()
    assert not list(deep.iterdir())


async def test_a_process_that_cannot_be_started_is_over_at_once(tmp_path, monkeypatch):
    def start(self: Any) -> None:
        raise OSError(errno.ENOMEM, "no memory for one more")

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", start)
    config = ServerConfig(data_dir=tmp_path, media_processes=2)
    settings = MediaSettings(config, EngineAddress(b"nobody", b""), str(tmp_path / "m1"))
    process = MediaProcess("m1", settings, MonotonicClock(), lambda process: {})
    assert "no memory for one more" in await process.live()
    assert (process.state, process.pid) == ("ended", None)
    assert process.ready.done()
    server = Server(config)
    assert server.media is not None
    async with asyncio.timeout(60):
        with pytest.raises(EngineError, match="cannot start"):
            await server.media.start(EngineAddress(b"nobody", b""))
        assert {each["pid"] for each in server.media.describe()} == {None}
        await server.media.stop()


async def test_one_that_does_not_answer_gets_no_new_session_while_another_does(tmp_path):
    config = ServerConfig(data_dir=tmp_path, media_processes=2)
    settings = MediaSettings(config, EngineAddress(b"nobody", b""), "")
    server, clock = Server(config), ManualClock()
    assert server.media is not None
    hung, busy = (MediaProcess(name, settings, clock, lambda process: {}) for name in "ab")
    server.media._there = {0: hung, 1: busy}
    for process in (hung, busy):
        process._is_ready()
    server.media.sessions.add("s", busy)
    goes_on = asyncio.Event()
    far = Line({"pulse": goes_on.wait})
    tasks = []
    for end, sock in zip((hung._line, far), socket.socketpair(), strict=True):
        await end.open(sock)
        tasks.append(asyncio.create_task(end.run()))
    tasks.append(asyncio.create_task(hung._beat()))
    await clock.advance(1.0)  # from now on it is asked
    assert server.media.choose() is hung  # it has fewer
    await clock.advance(LATE_S + 0.1)
    assert server.media.choose() is busy
    busy._over()
    assert server.media.choose() is hung  # better than none
    goes_on.set()
    await until(lambda: not hung.late)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_process_ends_when_its_line_to_the_front_does(tmp_path, monkeypatch):
    config = ServerConfig(data_dir=tmp_path)
    host = MediaHost(MediaSettings(config, EngineAddress(b"nobody", b""), ""))
    monkeypatch.setattr(host.engine, "start", asyncio.Event().wait)
    ours, theirs = socket.socketpair()
    app = create_media_app(host, theirs)
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.05)
        assert not host.over.is_set()
        ours.close()
        async with asyncio.timeout(60):
            await host.over.wait()


async def test_one_that_cannot_be_killed_now_keeps_nobody_waiting(tmp_path):
    class Stuck:
        exitcode = None

        def join(self, timeout: float) -> None: ...

        def kill(self) -> None: ...

        def close(self) -> None:
            raise ValueError("Cannot close a process while it is still running")

    config = ServerConfig(data_dir=tmp_path, media_processes=2)
    settings = MediaSettings(config, EngineAddress(b"nobody", b""), "")
    process = MediaProcess("a", settings, MonotonicClock(), lambda process: {})
    process._process = Stuck()
    await process._bury(0.0)
    assert process.pid is None
