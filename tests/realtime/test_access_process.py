"""Keys against a real server process: what wrong ones do to a session, and what revoking ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.service.browser import server
from benchmarks.service.peer import AvatarClient
from realtime.access.keys import KeyFile
from realtime.cli import main
from tests.support.peers import until
from tests.support.sounds import SPEECH

ROOT = Path(__file__).parents[2]
GUESSES, AT_ONCE = 1_000, 4
FRESH = httpx.Limits(max_keepalive_connections=0)
"""A connection a request: the server closes what was idle for five seconds, perhaps just as it is
used again."""
WINDOW = 250  # packets of 20 ms: five seconds of media


@pytest.fixture(scope="module")
def running(tmp_path_factory, cast_dir, data_dir):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    folder = tmp_path_factory.mktemp("keys")
    settings = folder / "vivavoce.toml"
    unlimited = 'rate_per_address = "100000/second"\nrate_wrong_keys = "100000/second"'
    settings.write_text(f'cast_dir = "{cast_dir}"\nsize = 256\nload_share = 10.0\n{unlimited}\n')
    data = folder / "data"
    shutil.copytree(data_dir, data, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
    secrets = {name: KeyFile(data).create(name)[1] for name in ("alice", "bob")}
    with server(data, "--config", str(settings)) as process:
        process.bearers = {
            name: {"authorization": f"Bearer {secret}"} for name, secret in secrets.items()
        }
        yield process


def test_commands_say_how_to_show_a_key(running, cast_dir, monkeypatch, capsys):
    monkeypatch.delenv("VIVAVOCE_API_KEY", raising=False)
    folder = str(running.log_path.parent)
    photo = str(next(cast_dir.glob("*.png")))
    for command, how in (
        (["motion", "--session", "any", "--server", running.url], "--token TOKEN"),
        (["motion", "--session", "any", "--server", running.url, "--token", "old"], "--token"),
        (["enrol", photo, "--data-dir", folder], "VIVAVOCE_API_KEY="),
    ):
        assert main(command) == 1
        assert how in capsys.readouterr().err


@asynccontextmanager
async def talking(running, http: httpx.AsyncClient, name: str) -> AsyncIterator[AvatarClient]:
    """A peer in a session of that key, once picture and voice come."""
    client = AvatarClient(SPEECH, keep_frames=False, decode=False)

    async def post(offer):
        answer = await http.post("/v1/sessions", json=offer, headers=running.bearers[name])
        answer.raise_for_status()
        return answer.json()

    try:
        await client.connect(post)
        await until(lambda: len(client.video.arrivals) > 50)
        yield client
    finally:
        await client.close()


@pytest.mark.timeout(900)
async def test_a_thousand_wrong_keys_beside_a_session_end_nothing_of_it(running):
    """That they cost it no frame is seen in `test_access`, on a clock of its own, and measured by
    `benchmarks.service.wrong_keys`."""
    async with (
        httpx.AsyncClient(base_url=running.url, timeout=120, limits=FRESH) as http,
        talking(running, http, "alice") as client,
    ):
        where = f"/v1/sessions/{client.session['id']}"
        statuses: list[int] = []

        async def guess(first: int) -> None:
            for number in range(first, GUESSES, AT_ONCE):
                path = ("/v1/sessions", where, "/v1/tokens")[number % 3]
                wrong = {"authorization": f"Bearer sk-vv-{number}"}
                statuses.append((await http.post(path, headers=wrong)).status_code)

        heard = len(client.audio.arrivals)
        await asyncio.gather(*map(guess, range(AT_ONCE)))
        assert len(client.audio.arrivals) > heard  # media goes on meanwhile, and after
        heard = len(client.audio.arrivals)
        await until(lambda: client.over or len(client.audio.arrivals) >= heard + WINDOW)
        assert not client.over, client.events[-3:]
        assert statuses == [401] * GUESSES
        assert (await http.get("/health")).json()["sessions"] == 1
        assert not [event for event in client.events if event["type"] == "error"]


@pytest.mark.timeout(900)
async def test_revoking_a_key_ends_its_session_and_no_other(running):
    async with (
        httpx.AsyncClient(base_url=running.url, timeout=120, limits=FRESH) as http,
        talking(running, http, "alice") as stays,
        talking(running, http, "bob") as ends,
    ):
        revoked = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "realtime.cli", "keys", "revoke", "bob"),
                *("--data-dir", str(running.log_path.parent)),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
        )
        assert revoked.returncode == 0, revoked.stderr
        heard = len(stays.audio.arrivals)
        await until(lambda: ends.over)
        [word] = [event["error"] for event in ends.events if event["type"] == "error"]
        assert word["code"] == "session_ending"
        await until(lambda: len(stays.audio.arrivals) > heard + WINDOW)
        assert (await http.get("/health")).json()["sessions"] == 1
        assert not stays.over
