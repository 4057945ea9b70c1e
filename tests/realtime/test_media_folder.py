"""The folders of media processes' sockets: each is its server's as long as that lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.media_processes.folder import PREFIX, SocketFolder

OWNER = """
import socket, sys
from realtime.media_processes.folder import SocketFolder
folder = SocketFolder()
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder.socket("m1"))
print(folder.socket("m1"), flush=True)
sys.stdin.read()
"""


class Owner:
    """Another server with a folder and a socket in it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"TMPDIR": tempfile.gettempdir(), "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout is not None
        self.socket = Path(self.process.stdout.readline().strip())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In which such folders are made; its name is short enough."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_what_killed_servers_left_is_swept_and_nothing_else(parent: Path) -> None:
    living, killed = Owner(), Owner()
    try:
        killed.kill()
        assert killed.socket.is_socket()
        kept = [parent / "vivavoce-bench", parent / f"{PREFIX}notes", parent / f"{PREFIX}link"]
        kept[0].mkdir()
        (parent / f"{PREFIX}notes").mkdir()
        kept[1] = parent / f"{PREFIX}notes" / "notes.txt"
        kept[1].write_text("not ours")
        kept[2].symlink_to(kept[0])
        folder = SocketFolder()
        assert not killed.socket.parent.exists()
        assert living.socket.is_socket()
        assert all(path.exists() for path in kept)
        other = SocketFolder()  # of one process or of two: what is held is held
        assert Path(folder.socket("m1")).parent.is_dir()
        other.close()
        folder.close()
    finally:
        living.kill()
    SocketFolder().close()
    assert sorted(parent.iterdir()) == sorted([kept[0], kept[1].parent, kept[2]])


def test_a_folder_is_for_its_user_alone_and_goes_with_its_sockets(parent: Path) -> None:
    folder = SocketFolder()
    paths = [Path(folder.socket(name)) for name in ("m1", "m2")]
    assert paths[0].parent.stat().st_mode & 0o777 == 0o700
    listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
    for listener, path in zip(listeners, paths, strict=True):
        listener.bind(str(path))
        listener.close()
    folder.remove_socket("m1")
    folder.remove_socket("m1")  # nobody minds
    assert [path.exists() for path in paths] == [False, True]
    folder.close()
    assert not list(parent.iterdir())


def test_one_that_is_swept_while_it_is_made_is_made_again(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkdtemp, []

    def swept(**options: str) -> str:
        made.append(make(**options))
        if len(made) == 1:
            SocketFolder().close()  # another server starts at this very moment
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", swept)
    folder = SocketFolder()
    assert not Path(made[0]).exists()
    assert [str(path) for path in parent.iterdir()] == [str(Path(folder.socket("m1")).parent)]
    folder.close()
