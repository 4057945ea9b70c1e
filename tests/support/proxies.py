"""The servers of deploy/ (coturn, nginx, Caddy) by its own files, on free ports."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.service.browser import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
SECRET = "a-secret-of-tests"
NAME = "talk.example"
PATIENCE_S = 60.0


def need(program: str) -> str:
    """Where a program is; skips the test without it."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed: bash deploy/system-packages.sh test")
    return path


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and `NAME`, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:localhost,DNS:{NAME},IP:127.0.0.1"
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2"
    command = ["openssl", "req", "-x509", *curve.split(), "-addext", names]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


@contextlib.contextmanager
def running(command: list[str], folder: Path, port: int, **options: object) -> Iterator[None]:
    """A program until the end of the block, from when it listens on a TCP port."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, **options)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not serve:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Turn:
    """A running coturn."""

    port: int
    tls_port: int
    certificate: Path

    @property
    def urls(self) -> dict[str, str]:
        """By transport."""
        return {
            "udp": f"turn:127.0.0.1:{self.port}?transport=udp",
            "tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
            "tls": f"turns:localhost:{self.tls_port}?transport=tcp",
        }


@contextlib.contextmanager
def coturn(folder: Path) -> Iterator[Turn]:
    """deploy/coturn.conf on loopback."""
    program = need("turnserver")
    own_certificate, key = certificate(folder)
    port, tls_port = free_port(), free_port()
    changes = {
        "static-auth-secret": SECRET,
        "listening-ip": "127.0.0.1",
        "relay-ip": "127.0.0.1",
        "listening-port": port,
        "tls-listening-port": tls_port,
        "cert": own_certificate,
        "pkey": key,
        "allowed-peer-ip": "127.0.0.1",
        "pidfile": folder / "turn.pid",
    }
    text = (DEPLOY / "coturn.conf").read_text()
    for name, value in changes.items():
        text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert found == 1, name
    configuration = folder / "coturn.conf"
    configuration.write_text(text)
    command = [program, "-c", str(configuration), "--allow-loopback-peers"]
    with running(command, folder, port):
        yield Turn(port, tls_port, own_certificate)


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """deploy/nginx.conf before the server on the port `upstream`; the port it is reached by."""
    program, port = need("nginx"), free_port()
    own_certificate, key = certificate(folder)
    changes = {
        "443 ssl": f"127.0.0.1:{port} ssl",
        "TALK.EXAMPLE;": f"{NAME};",
        "/etc/vivavoce/cert.pem": str(own_certificate),
        "/etc/vivavoce/key.pem": str(key),
        "/var/log/nginx/access.log": str(folder / "access.log"),
        "http://127.0.0.1:8080/": f"http://127.0.0.1:{upstream}/",
    }
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    places = "client_body proxy fastcgi uwsgi scgi"
    temporary = "".join(f"  {name}_temp_path {folder / name};\n" for name in places.split())
    configuration = folder / "nginx.conf"
    configuration.write_text(text.replace("http {\n", f"http {{\n{temporary}", 1))
    directives = f"daemon off; pid {folder / 'nginx.pid'}; error_log stderr;"
    command = [program, "-c", str(configuration), "-p", str(folder), "-g", directives]
    with running(command, folder, port):
        yield port


@contextlib.contextmanager
def caddy(folder: Path, upstream: int) -> Iterator[int]:
    """deploy/Caddyfile before the server on the port `upstream`; the port it is reached by."""
    program, port = need("caddy"), free_port()
    text = (DEPLOY / "Caddyfile").read_text()
    assert "127.0.0.1:8080\n" in text
    text = text.replace("reverse_proxy 127.0.0.1:8080", f"reverse_proxy 127.0.0.1:{upstream}")
    text = text.replace("\n\tredir", "\n\ttls internal\n\tredir", 1)
    # Of the tests: no certificate of the world's, no other port, nothing left in the system.
    text = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\n{text}"
    (folder / "Caddyfile").write_text(text)
    home = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    environment = os.environ | home | {"TALK_NAME": f"https://{NAME}:{port}"}
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(command, folder, port, env=environment):
        yield port
