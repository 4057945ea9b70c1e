"""`vivavoce keys`, and what `vivavoce serve` says without one."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import pytest

from realtime.access.keys import KeyFile, Keys
from realtime.cli import main


def test_create_list_revoke(tmp_path, capsys):
    folder = ["--data-dir", str(tmp_path)]
    assert main(["keys", "create", "studio", "--scopes", "view, push", *folder]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("sk-vv-")
    keys = Keys(tmp_path)
    found = keys.find(secret)
    assert found is not None
    assert found.scopes == ("push", "view")
    keys.write_used()
    assert main(["keys", "list", *folder]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "ID", "CREATED", "LAST", "USED", "SCOPES"]
    assert row.split() == ["studio", found.id, found.created, keys._used[found.id], "push,view"]
    assert main(["keys", "revoke", "studio", *folder]) == 0
    assert keys.find(secret) is None
    assert main(["keys", "revoke", "studio", *folder]) == 1
    assert "no key is called 'studio'" in capsys.readouterr().err


def test_keys_that_are_not_made(tmp_path, capsys):
    folder = ["--data-dir", str(tmp_path)]
    for name, scopes, complaint in (
        ("two words", "view", "letters"),
        ("x", "everything", "known are"),
        ("x", "", "known are"),
    ):
        assert main(["keys", "create", name, "--scopes", scopes, *folder]) == 1
        assert complaint in capsys.readouterr().err
    assert KeyFile(tmp_path).read() == {}


def test_a_key_for_the_environment_is_kept_nowhere(tmp_path, capsys):
    assert main(["keys", "create", "ci", "--environment", "--data-dir", str(tmp_path)]) == 0
    secret, line = capsys.readouterr().out.splitlines()
    name, given = line.split("=")
    assert name == "VIVAVOCE_API_KEYS"
    assert given == f"ci:{hashlib.sha256(secret.encode()).hexdigest()}"
    assert not list(tmp_path.iterdir())
    assert Keys(tmp_path, given).find(secret) is not None


@pytest.mark.parametrize("closed", [True, False], ids=["nobody reads", "no room"])
def test_a_key_that_cannot_be_shown_is_said_so_in_one_line(tmp_path, closed):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") if closed else open("/dev/full", "w") as out:
        command = [sys.executable, "-m", "realtime.cli", "keys", "create", "me"]
        done = subprocess.run(
            [*command, "--data-dir", str(tmp_path)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
    if not closed:
        os.close(writing)
    assert done.returncode == 1
    assert "what is printed cannot be written" in done.stderr.splitlines()[-1]
    assert "Exception" not in done.stderr


def test_a_name_that_is_no_text_is_printed_all_the_same(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr("realtime.cli_keys._list", lambda file: out.write("caf\udce9.mp4\n"))
    assert main(["keys", "list"]) == 0
    assert out.buffer.getvalue() == b"caf\\udce9.mp4\n"


def test_a_server_for_others_does_not_start_without_a_key(tmp_path, capsys):
    base = ["serve", "--port", "0", "--data-dir", str(tmp_path)]
    for flags in (
        ["--host", "0.0.0.0", "--allow-remote"],
        ["--public-origin", "https://talk.example"],
        ["--trusted-proxy", "10.0.0.0/8"],
    ):
        assert main([*base, *flags]) == 1
        assert "vivavoce keys create NAME" in capsys.readouterr().err
    assert main([*base, "--host", "0.0.0.0"]) == 1
    assert "--allow-remote" in capsys.readouterr().err
