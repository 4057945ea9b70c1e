"""`vivavoce camera` in an environment of its own, against a running server: pyvirtualcam takes the
pictures, PulseAudio's programs the voice, and both are in sync."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from vivavoce_client import Client

from benchmarks.service.signals import clicks_and_vowels
from tests.clients.environments import python_of
from tests.support.pages import PATIENCE_S, get, serving, until, wait_until_empty
from tests.support.sound_programs import install

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "camera_program.py"
WIDTH, HEIGHT = 1280, 720
BYTES = WIDTH * HEIGHT * 3 // 2
SOUND = 1920 * 2
"""Bytes of voice beside a picture."""
MOUTH = slice(int(HEIGHT * 0.5), int(HEIGHT * 0.74)), slice(540, 740)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


@dataclass
class Shown:
    """The program, and what it gave to the devices."""

    program: subprocess.Popen[str]
    pictures: Path
    programs: Path

    @property
    def played(self) -> Path:
        return self.programs / "played"

    def speaks(self) -> bool:
        """Whether a voice came, and the mouth moved; an end of the program is a failure."""
        assert self.program.poll() is None
        return loud(self.played) and mouth_moves(self.pictures) > 3

    def is_even(self) -> bool:
        """Whether every picture came with its 40 ms of voice."""
        return abs(taken(self.pictures) - self.played.stat().st_size // SOUND) <= 1


@contextmanager
def shown(running, folder: Path, **wanted: str) -> Iterator[Shown]:
    """`vivavoce camera` with a microphone that speaks."""
    heard = (clicks_and_vowels(4) * 32767).astype("<i2").tobytes()
    programs = install(folder / "bin", heard)
    path = os.pathsep.join([str(ROOT), str(ROOT / "integrations" / "client")])
    command = [python_of("camera"), PROGRAM, folder / "pictures", running.url, json.dumps(wanted)]
    program = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Shown(program, folder / "pictures", programs)
    finally:
        program.kill()
        program.wait()


def test_the_avatar_is_camera_and_microphone(running, tmp_path):
    avatar = get(f"{running.url}/v1/avatars")["avatars"][0]["name"]
    with shown(running, tmp_path, avatar=avatar) as camera:
        until(camera.speaks)
        camera.program.send_signal(signal.SIGINT)
        said, _ = camera.program.communicate(timeout=240)
    assert said.startswith("the avatar is on a file and the microphone")
    wait_until_empty(running)
    assert camera.is_even()
    assert "unload-module" in (camera.programs / "asked").read_text()
    assert (camera.programs / "recorded").exists()


async def test_a_session_of_somebody_else_is_shown_until_it_ends(running, tmp_path):
    voice = (clicks_and_vowels(4) * 32767).astype(np.int16)
    async with Client(running.url) as client, client.open(audio="push", media=False) as session:

        async def speak() -> None:
            while True:
                await session.push(voice, 48_000)
                await session.commit()
                await session.wait_for("output_audio_buffer.stopped", timeout_s=PATIENCE_S)

        speaking = asyncio.create_task(speak())
        with shown(running, tmp_path, session=session.id) as camera:
            await asyncio.to_thread(until, camera.speaks)
            where = f"{running.url}/v1/sessions/{session.id}"
            assert (await asyncio.to_thread(get, where))["parties"] == 2
            speaking.cancel()
            await session.close()
            said, _ = await asyncio.to_thread(camera.program.communicate, timeout=240)
    assert said.endswith("the session has ended\n")
    assert camera.program.returncode == 0
    assert camera.is_even()
    assert not (camera.programs / "recorded").exists()  # the microphone stays closed
    wait_until_empty(running)


def loud(played: Path) -> bool:
    """Whether a vowel came through."""
    return played.exists() and abs(np.fromfile(played, "<i2").astype(int)).max(initial=0) > 3000


def mouth_moves(pictures: Path) -> float:
    """How far the mouth gets from where it mostly is, in mean grey levels."""
    if taken(pictures) < 50:
        return 0.0
    shown = np.memmap(pictures, np.uint8, "r", shape=(taken(pictures), HEIGHT * 3 // 2, WIDTH))
    mouth = np.array([picture[MOUTH] for picture in shown], np.float32)
    return float(abs(mouth - np.median(mouth, axis=0)).mean((1, 2)).max())


def taken(pictures: Path) -> int:
    return pictures.stat().st_size // BYTES if pictures.exists() else 0
