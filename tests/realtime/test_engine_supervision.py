"""The inference process is killed, stopped, made to fail: who notices, and what stands again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from pipelines.identity import IdentityStore
from realtime.engine.client import Engine
from realtime.engine.config import EngineConfig
from realtime.engine.handle import StreamRequest
from realtime.errors import EngineError, NotReady
from tests.support.engines import (
    LARGE,
    PATIENCE_S,
    EchoOptions,
    Speaker,
    colours,
    face,
    running,
    until,
)
from tests.support.fakes import ManualClock

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
HAS_GPU = Path("/dev/nvidiactl").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def key(folder):
    return face(folder, 77)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(folder):
    async with running(folder) as engine:
        engine._back_off.most = 1000
        engine._back_off.longest_s = 0.5
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def engine(shared):
    await until(lambda: shared.state == "ready")
    return shared


async def kill(engine: Engine) -> None:
    """Kill the inference process, and return when that was noticed."""
    os.kill(engine.pid, signal.SIGKILL)
    await until(lambda: engine.state != "ready")


async def works(engine: Engine, key: str) -> bool:
    """Whether a stream can be opened, and shows what it should."""
    await until(lambda: engine.state == "ready")
    speaker = await Speaker.open(engine, key, seed=4)
    frames = await speaker.say(0.2, 0.2, 0.2, 0.2)
    await speaker.stream.close()
    return [colours(f.picture) for f in frames] == [(51, 77, 4)] * 2


async def test_killed_while_idle_it_is_started_anew(engine, key):
    before = engine.pid
    restarts = engine.health().restarts
    await kill(engine)
    with pytest.raises(NotReady, match="restarting"):
        await engine.check("echo", LARGE)
    assert "exit code -9" in engine.health().reason or "has ended" in engine.health().reason
    assert await works(engine, key)
    assert engine.pid != before
    assert not psutil.pid_exists(before)
    assert engine.health().restarts == restarts + 1
    assert engine.health().reason == ""


async def test_killed_in_a_session_it_tells_it_and_takes_the_next(engine, key):
    speaker = await Speaker.open(engine, key)
    await speaker.say(0.1, 0.1, 0.1)
    await kill(engine)
    await until(lambda: speaker.ends)
    seen = len(speaker.frames)
    speaker.send()
    speaker.stream.clear()
    with pytest.raises(EngineError):
        await speaker.stream.set_identity(key)
    await speaker.stream.close()
    assert await works(engine, key)
    assert len(speaker.ends) == 1
    assert len(speaker.frames) == seen


async def test_killed_again_during_its_restart_it_comes_back(engine, key):
    for _ in range(2):
        before = engine.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda before=before: engine.pid not in (before, None))
        assert engine.state != "ready"
    assert await works(engine, key)


async def test_a_call_under_way_fails_when_it_is_killed(engine, key):
    os.kill(engine.pid, signal.SIGSTOP)
    opening = asyncio.create_task(engine.open(StreamRequest("echo", key, LARGE)))
    await asyncio.sleep(0)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"has ended|exit code"):
        await opening
    assert await works(engine, key)


async def test_what_was_loaded_and_measured_later_is_so_again(engine, key):
    await engine.load("echo2", EchoOptions(draw_s=0.001))
    await engine.warm_up("echo2", key, LARGE)
    await kill(engine)
    await until(lambda: engine.state == "ready")
    assert engine.health().pipelines == {"echo": "ready", "echo2": "ready"}
    assert engine.health().costs["echo2 draw 256x144"] >= 0
    await (await engine.open(StreamRequest("echo2", key, LARGE))).close()


async def test_it_comes_back_without_what_was_deleted_meanwhile(engine, folder, key):
    gone = face(folder, 123)
    await engine.warm_up("echo", gone, LARGE)
    IdentityStore(folder).path(gone).unlink()
    engine._wanted.pipelines["echo3"] = None  # as if its package had been removed
    await kill(engine)
    assert await works(engine, key)
    assert "unknown pipeline" in engine.health().pipelines["echo3"]
    del engine._wanted.pipelines["echo3"]


async def test_stopping_it_ends_a_start_under_way(folder):
    engine = Engine(EngineConfig(pipelines=(("echo", EchoOptions()),), identities=folder))
    starting = asyncio.create_task(engine.start())
    await until(lambda: engine.pid is not None)
    await engine.stop()
    with pytest.raises(EngineError, match="was stopped"):
        await starting


async def test_a_fault_of_the_supervision_is_a_state(folder, key, monkeypatch):
    async with running(folder) as engine:

        def broken(now: float) -> float:
            raise ArithmeticError("no clock")

        monkeypatch.setattr(engine._back_off, "failed", broken)
        await kill(engine)
        await until(lambda: engine.state == "failed")
        with pytest.raises(EngineError, match="ArithmeticError: no clock"):
            await engine.open(StreamRequest("echo", key, LARGE))


async def test_one_that_cannot_say_how_it_is_is_started_anew(engine, key, monkeypatch):
    before, ask = engine.pid, engine._ask

    async def refuse(link: object) -> None:
        monkeypatch.setattr(engine, "_ask", ask)
        raise EngineError("ZeroDivisionError: costs")

    monkeypatch.setattr(engine, "_ask", refuse)
    await until(lambda: engine.pid not in (None, before))
    assert await works(engine, key)


async def test_one_that_can_step_nothing_any_more_is_started_anew(engine, key):
    """Single failures end their streams; several in a row are the process's own."""
    before = engine.pid
    speakers = [await Speaker.open(engine, key) for _ in range(3)]
    for speaker in speakers:
        speaker.send(0.95)
    await until(lambda: all(s.ends for s in speakers))
    await until(lambda: engine.pid != before)
    assert await works(engine, key)


async def test_an_attached_engine_comes_back_with_the_process(engine, key):
    attached = Engine.attach(engine.address)
    attached._back_off.most = 1000
    await attached.start()
    assert await works(attached, key)
    speaker = await Speaker.open(attached, key)
    await kill(engine)
    await until(lambda: speaker.ends)
    assert await works(attached, key)
    assert await works(engine, key)
    await attached.stop()
    assert await works(engine, key)


async def test_a_stopped_process_is_noticed_and_replaced(folder, key):
    """On a clock of ours: silence is counted in beats."""
    clock = ManualClock()
    engine = Engine(
        EngineConfig(pipelines=(("echo", EchoOptions()),), identities=folder, load_share=1e6),
        clock,
    )
    await engine.start()
    before = engine.pid
    speaker = await Speaker.open(engine, key)
    await asyncio.sleep(0)
    os.kill(before, signal.SIGSTOP)
    await clock.advance(9.0)
    assert engine.state == "ready"
    assert engine.health().answered_s >= 8.0
    await clock.advance(3.0)
    await until(lambda: engine.state == "restarting")
    assert speaker.ends == ["the inference process did not answer for 10 s"]
    await until(lambda: not psutil.pid_exists(before))
    while engine.state != "ready":
        await clock.advance(0.1)
        await asyncio.sleep(0.05)
    assert await works(engine, key)
    await engine.stop()


async def test_restarting_is_given_up_in_the_end(folder, key):
    async with running(folder) as engine:
        engine._back_off.most = 1
        await kill(engine)
        await until(lambda: engine.state == "ready")
        await kill(engine)
        await until(lambda: engine.state == "failed")
        assert engine.pid is None
        assert "given up" in engine.health().reason
        with pytest.raises(EngineError, match="given up"):
            await engine.open(StreamRequest("echo", key, LARGE))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"options": EchoOptions(broken="the lens is missing")}, "the lens is missing"),
        ({"pipelines": (("nobody", None),)}, "unknown pipeline 'nobody'"),
        ({"device": "cuda"}, "finds no CUDA device"),
    ],
)
async def test_what_cannot_be_built_is_said_at_the_start(folder, settings, words):
    if "device" in settings and HAS_GPU:
        pytest.skip("there is a GPU")
    children = psutil.Process().children()
    with pytest.raises(EngineError, match=words):
        async with running(folder, **settings):
            pass
    alive = [c for c in psutil.Process().children() if c not in children]
    assert not [c for c in alive if "resource_tracker" not in " ".join(c.cmdline())]


OWNER = """
import asyncio, sys
from pathlib import Path
from tests.support.engines import EchoOptions, Speaker, face, running

async def main():
    folder = Path(sys.argv[1])
    async with running(folder) as engine:
        speaker = await Speaker.open(engine, face(folder, 1))
        await speaker.say(0.1, 0.1, 0.1)
        print(engine.pid, flush=True)
        await asyncio.sleep(0 if sys.argv[2] == "stop" else 3600)
        await speaker.stream.close()
    print(engine.state, flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


def owner(tmp_path: Path, what: str) -> subprocess.Popen[str]:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), str(tmp_path), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def test_it_ends_with_the_process_that_owns_it(tmp_path):
    with owner(tmp_path, "stay") as process:
        assert process.stdout is not None
        child = int(await asyncio.to_thread(process.stdout.readline))
        assert psutil.pid_exists(child)
        process.kill()
        await until(lambda: not psutil.pid_exists(child))


async def test_an_orderly_end_says_nothing(tmp_path):
    with owner(tmp_path, "stop") as process:
        output, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    assert process.returncode == 0
    assert output.split()[1:] == ["stopped"]
    assert not errors
