"""Two hundred sessions come and go: threads, files and memory stay where they were."""

import asyncio
import contextlib
import shutil

import httpx
import pytest

from benchmarks.service.browser import server
from benchmarks.service.peer import AvatarClient
from tests.support.peers import until
from tests.support.sounds import SPEECH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

SESSIONS = 200
SETTLE = 20  # sessions after which nothing may grow any more


def footprint(process) -> dict[str, float]:
    family = process.family()
    return {
        "threads": sum(p.num_threads() for p in family),
        "files": sum(p.num_fds() for p in family),
        **{f"{name}_mb": mb for name, mb in process.memory_mb().items()},
    }


async def open_and_close(http: httpx.AsyncClient, n: int) -> None:
    async def post(offer):
        answer = await http.post("/v1/sessions", json=offer)
        answer.raise_for_status()
        return answer.json()

    client = AvatarClient(SPEECH, decode=False)
    try:
        await client.connect(post)
        await until(lambda: len(client.video.arrivals) >= 5)
        if n % 2:  # half say goodbye, half just hang up
            await http.delete(f"/v1/sessions/{client.session['id']}")
    finally:
        await client.close()
    while (await http.get("/health")).json()["sessions"]:
        await asyncio.sleep(0.02)


async def test_two_hundred_sessions_leave_nothing_behind(cast_dir, tmp_path):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    settings = tmp_path / "vivavoce.toml"
    settings.write_text(f'cast_dir = "{cast_dir}"\nsize = 256\n')
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, tmp_path / "data", ignore_errors=True)
        process = await asyncio.to_thread(
            stack.enter_context, server(tmp_path / "data", "--config", str(settings))
        )
        async with httpx.AsyncClient(base_url=process.url, timeout=120) as http:
            settled = {}
            for n in range(SESSIONS):
                await open_and_close(http, n)
                if n + 1 == SETTLE:
                    settled = footprint(process)
            most = {"threads": 2, "files": 4, "together_mb": 25}  # that may be left
            await until(
                lambda: all(footprint(process)[k] <= settled[k] + v for k, v in most.items())
            )
