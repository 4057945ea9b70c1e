"""The servers of deploy/ (coturn, nginx, Caddy) by its own files, on free ports."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
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
    names = f"subjectAltName=DNS:localhost,DNS:{NAME},IP:127.0.0.1,IP:10.99.7.1"
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2"
    command = ["openssl", "req", "-x509", *curve.split(), "-addext", names]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


@contextlib.contextmanager
def running(command: list[str], folder: Path, at: Address, **options: object) -> Iterator[None]:
    """A program until the end of the block, from when it listens on a TCP port."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*at.enter, *command], stdout=out, stderr=out, cwd=folder, **options
        )  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not at.answers():
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


@dataclass(frozen=True)
class Address:
    """Where a program listens; `enter` is the command that runs others where it does."""

    port: int
    host: str = "127.0.0.1"
    enter: tuple[str, ...] = ()

    def answers(self) -> bool:
        """Whether somebody listens."""
        if self.enter:
            where = f"({self.host!r}, {self.port})"
            code = f"import socket; raise SystemExit(socket.socket().connect_ex({where}))"
            asked = [*self.enter, sys.executable, "-c", code]
            return subprocess.run(asked).returncode == 0
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


@dataclass(frozen=True)
class Turn:
    """A running coturn."""

    host: str
    port: int
    tls_port: int
    certificate: Path

    @property
    def urls(self) -> dict[str, str]:
        """By transport."""
        return {
            "udp": f"turn:{self.host}:{self.port}?transport=udp",
            "tcp": f"turn:{self.host}:{self.port}?transport=tcp",
            "tls": f"turns:localhost:{self.tls_port}?transport=tcp",
        }


@contextlib.contextmanager
def coturn(
    folder: Path,
    at: Address | None = None,
    relay: str = "127.0.0.1",
    media: str = "127.0.0.1",
) -> Iterator[Turn]:
    """deploy/coturn.conf, on loopback unless told otherwise; it relays by the address `relay` to
    the address `media`."""
    program = need("turnserver")
    own_certificate, key = certificate(folder)
    at, tls_port = at or Address(free_port()), free_port()
    changes = {
        "static-auth-secret": SECRET,
        "listening-ip": at.host,
        "relay-ip": relay,
        "listening-port": at.port,
        "tls-listening-port": tls_port,
        "cert": own_certificate,
        "pkey": key,
        "allowed-peer-ip": media,
        "pidfile": folder / "turn.pid",
    }
    text = (DEPLOY / "coturn.conf").read_text()
    for name, value in changes.items():
        text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert found == 1, name
    configuration = folder / "coturn.conf"
    configuration.write_text(text)
    command = [program, "-c", str(configuration), "--allow-loopback-peers"]
    with running(command, folder, at):
        yield Turn(at.host, at.port, tls_port, own_certificate)


@contextlib.contextmanager
def nginx(
    folder: Path, upstream: int, at: Address | None = None, server: str = "127.0.0.1"
) -> Iterator[int]:
    """deploy/nginx.conf before the server on the port `upstream`; the port it is reached by."""
    program, at = need("nginx"), at or Address(free_port())
    own_certificate, key = certificate(folder)
    changes = {
        "443 ssl": f"{at.host}:{at.port} ssl",
        "TALK.EXAMPLE;": f"{NAME};",
        "/etc/vivavoce/cert.pem": str(own_certificate),
        "/etc/vivavoce/key.pem": str(key),
        "/var/log/nginx/access.log": str(folder / "access.log"),
        "http://127.0.0.1:8080/": f"http://{server}:{upstream}/",
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
    with running(command, folder, at):
        yield at.port


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
    with running(command, folder, Address(port), env=environment):
        yield port
