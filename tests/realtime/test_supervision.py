"""A server whose processes are killed, and whose files are damaged: what it says, and how it ends.

Real processes; waits are for what must happen, however long a busy machine takes for it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.service.browser import ServerProcess
from tests.support.plugins import installed

LIMIT_S = 240.0
ROOT = Path(__file__).parents[2]


def ask(process: ServerProcess, path: str, body: bytes | None = None) -> tuple[int, dict]:
    """Status and JSON of an answer; (0, {}) where there is none."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(process.url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)
    except OSError:
        return 0, {}


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:.0f} s for {what}"
        time.sleep(0.05)


def ready(process: ServerProcess) -> bool:
    assert process.process.poll() is None, process.log_path.read_text()[-4000:]
    if ask(process, "/ready") != (200, {"status": "ready"}):
        return False
    return not ask(process, "/health")[1].get("cast_to_prepare")


def inference(process: ServerProcess) -> set[psutil.Process]:
    """The inference process, if there is one now; no enrolment may be under way."""
    children = psutil.Process(process.process.pid).children()
    return {c for c in children if c.is_running() and "spawn_main" in " ".join(c.cmdline())}


def kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        process.kill()


def restarts(process: ServerProcess) -> int:
    return ask(process, "/health")[1]["engine"]["restarts"]


@pytest.fixture
def start(tmp_path, cast_dir, data_dir):
    """Starts servers on a copy of the shared data folder, with the faces that it has."""
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    settings = tmp_path / "vivavoce.toml"
    settings.write_text(f'cast_dir = "{cast_dir}"\nsize = 256\n')
    data = tmp_path / "data"
    shutil.copytree(data_dir, data, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
    started = []

    def start(*flags: str) -> ServerProcess:
        process = ServerProcess(data, "--config", str(settings), *flags)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def test_answers_while_it_starts_and_holds_its_folder(start):
    process = start()
    until(lambda: ask(process, "/health")[0] == 200, "an answer")
    offer = json.dumps({"sdp": "v=0", "type": "offer"}).encode()
    starting = [ask(process, "/ready"), ask(process, "/v1/sessions", offer)]
    if not ready(process):  # else this machine was quicker than we asked
        for status, said in starting:
            assert (status, said["error"]["code"]) == (503, "starting")
    until(lambda: ready(process), "the server")
    second = start()
    assert second.process.wait(LIMIT_S) == 1
    said = second.log_path.read_text().splitlines()[-1]
    assert f"is in use by the server at {process.url}, process {process.process.pid}" in said
    assert process.stop(LIMIT_S) == 0


def test_the_command_line_enrols_by_way_of_a_running_server(start, cast_dir, tmp_path):
    process = start()
    until(lambda: ready(process), "the server")
    data = str(process.log_path.parent)
    photo = next(cast_dir.glob("*.png"))
    ended = vivavoce("enrol", str(photo), "--name", "Guest", "--data-dir", data)
    assert ended.returncode == 0, ended.stderr
    assert f"the server at {process.url}, which is running, does it" in ended.stderr
    avatar = ended.stdout.split("enrolled as ")[1].split()[0]
    assert ask(process, f"/v1/avatars/{avatar}")[1]["state"] == "ready"
    for arguments, words in (
        ((__file__,), "vivavoce enrol: " + __file__),
        ((str(photo), "--swap", "nobody", "--consent", "Yes."), "no avatar is called 'nobody'"),
    ):
        ended = vivavoce("enrol", *arguments, "--data-dir", data)
        assert ended.returncode == 1
        assert words in ended.stderr.splitlines()[-1]
    too_large = tmp_path / "large.png"
    too_large.write_bytes(photo.read_bytes() + bytes(64 << 20))
    ended = vivavoce("enrol", str(too_large), "--data-dir", data)
    assert "the file is larger than" in ended.stderr.splitlines()[-1]
    assert process.stop(LIMIT_S) == 0


def test_a_killed_inference_process_is_started_again(start):
    process = start()
    until(lambda: ready(process), "the server")
    first = inference(process)
    kill(first)
    until(lambda: ask(process, "/ready")[0] == 503, "the loss to be noticed")
    code = ask(process, "/v1/sessions", b'{"sdp": "v=0", "type": "offer"}')[1]["error"]["code"]
    assert code in ("starting", "engine_unavailable", "bad_offer")
    until(lambda: restarts(process) == 1, "a restart")
    until(lambda: ready(process), "the first restart")
    second = inference(process)
    kill(second)
    until(lambda: restarts(process) == 2, "another restart")
    until(lambda: inference(process) - second, "a new process")
    kill(inference(process) - second)  # while it starts
    until(lambda: restarts(process) == 3, "a third one")
    until(lambda: ready(process), "the last restart")
    assert ask(process, "/health")[0] == 200
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(LIMIT_S) == 130


def test_a_killed_server_leaves_nothing_and_damaged_files_prevent_no_start(start):
    process = start()
    until(lambda: ready(process), "the server")
    family = process.family()
    assert len(family) > 1
    for member in family:  # memory without a name ends with whoever maps it
        assert "/dev/shm/" not in Path(f"/proc/{member.pid}/maps").read_text()
    process.process.kill()
    process.process.wait(LIMIT_S)
    until(lambda: not any(p.is_running() for p in family), "its children to end")
    data = process.log_path.parent
    features = sorted((data / "identities").iterdir())
    features[0].write_bytes(b"")
    flipped = bytearray(features[1].read_bytes())
    flipped[-1000] ^= 0xFF
    features[1].write_bytes(flipped)
    again = start()
    until(lambda: ready(again), "the next start")
    for avatar in ask(again, "/v1/avatars")[1]["avatars"]:
        with urllib.request.urlopen(again.url + avatar["image"], timeout=60) as picture:
            assert picture.read().startswith(b"\xff\xd8")
    assert again.stop(LIMIT_S) == 0


def vivavoce(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "realtime.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=LIMIT_S,
    )


def test_a_pipeline_that_cannot_be_built_ends_the_server_in_one_line(tmp_path):
    settings = tmp_path / "vivavoce.toml"
    settings.write_text(f'cast_dir = "{tmp_path}"\nport = 0\n')
    with installed("gated_pipeline"):
        arguments = ("--pipeline", "gated", "--config", str(settings))
        ended = vivavoce("serve", *arguments, VIVAVOCE_DATA=str(tmp_path / "data"))
    assert ended.returncode == 1
    assert "the gated pipeline draws nothing" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("serve", "--port", "99999"), 1, "port = 99999"),
        (("serve", "--pipeline", "dreams"), 2, "invalid choice: 'dreams'"),
        (("serve", "--set", "speed=1"), 1, "unknown option pipeline.portrait.speed"),
        (("serve", "--data-dir", __file__), 1, "is a file, not a folder"),
        (("serve", "--config", "/nowhere.toml"), 1, "cannot read the configuration"),
        (("enrol",), 1, "give an IMAGE, or a --video"),
        (("enrol", "/nowhere.jpg"), 1, "IMAGE /nowhere.jpg: no such file"),
        (("enrol", __file__, "--swap", "amara"), 1, "agrees"),
        (("enrol", "--video", __file__), 1, "not a video"),
        ((), 2, "COMMAND"),
    ],
)
def test_one_rule_for_exit_statuses(tmp_path, arguments, status, complaint):
    ended = vivavoce(*arguments, VIVAVOCE_DATA=str(tmp_path))
    assert ended.returncode == status
    assert complaint in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_video_is_enrolled_from_the_command_line(tmp_path):
    from tests.support.toy import write_video

    video = write_video(tmp_path / "clip.mkv")
    with installed("toy_pipeline"):
        arguments = ("enrol", "--video", str(video), "--pipeline", "toy", "--set", "tint=3")
        ended = vivavoce(*arguments, VIVAVOCE_DATA=str(tmp_path / "data"))
    assert ended.returncode == 0, ended.stderr
    assert "enrolled as clip-" in ended.stdout
    [record] = (tmp_path / "data" / "avatars").glob("*.json")
    assert json.loads(record.read_text())["state"] == "ready"
