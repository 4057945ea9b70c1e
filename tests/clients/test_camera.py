"""`vivavoce camera` in an environment of its own, against a running server: pyvirtualcam takes the
pictures, PulseAudio's programs the voice, and both are in sync."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.service.signals import clicks_and_vowels
from tests.clients.environments import python_of
from tests.support.pages import get, serving, until, wait_until_empty
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


def test_the_avatar_is_camera_and_microphone(running, tmp_path):
    python = python_of("camera")
    heard = (clicks_and_vowels(4) * 32767).astype("<i2").tobytes()
    programs = install(tmp_path / "bin", heard)
    pictures, played = tmp_path / "pictures", programs / "played"
    avatar = get(f"{running.url}/v1/avatars")["avatars"][0]["name"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "integrations" / "client")])
    program = subprocess.Popen(
        [python, PROGRAM, pictures, avatar, running.url],
        env=os.environ | {"PYTHONPATH": path, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: program.poll() is not None or (loud(played) and mouth_moves(pictures) > 3))
        assert program.poll() is None
    finally:
        program.send_signal(signal.SIGINT)
        said, _ = program.communicate(timeout=240)
    assert said.startswith("the avatar is on a file and the microphone")
    wait_until_empty(running)

    assert abs(taken(pictures) - played.stat().st_size // SOUND) <= 1  # one each
    assert "unload-module" in (programs / "asked").read_text()


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
