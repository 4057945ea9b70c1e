"""Media where nothing passes but TURN: three networks in a row, and the one in the middle forwards
nothing; nginx and coturn stand there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service.browser import CHECKOUT, ServerProcess, free_port
from realtime.access.keys import new_key
from tests.support.proxies import NAME, SECRET, Address, coturn, nginx

KEY, SECRET_KEY = new_key("tester")
MIDDLE, FAR = f"vv-middle-{os.getpid()}", f"vv-far-{os.getpid()}"
SERVER, INNER, OUTER, CLIENT = "10.98.7.1", "10.98.7.2", "10.99.7.1", "10.99.7.2"
INSIDE, THERE = ("ip", "netns", "exec", MIDDLE), ("ip", "netns", "exec", FAR)
PATIENCE_S = 300


@pytest.fixture
def networks() -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("networks of its own need root and iproute2")
    with contextlib.ExitStack() as stack:
        for name in (MIDDLE, FAR):
            do("ip", "netns", "add", name)
            stack.callback(do, "ip", "netns", "del", name)
            do("ip", "-n", name, "link", "set", "lo", "up")
        near, wire = f"vvs{os.getpid() % 10_000}", f"vvm{os.getpid() % 10_000}"
        do("ip", "link", "add", near, "type", "veth", "peer", "name", wire, "netns", MIDDLE)
        stack.callback(subprocess.run, ["ip", "link", "del", near], capture_output=True)
        far = ("ip", "-n", MIDDLE, "link", "add", "out", "type", "veth")
        do(*far, "peer", "name", "in", "netns", FAR)
        for enter, device, address in (
            ((), near, SERVER),
            (("-n", MIDDLE), wire, INNER),
            (("-n", MIDDLE), "out", OUTER),
            (("-n", FAR), "in", CLIENT),
        ):
            do("ip", *enter, "addr", "add", f"{address}/24", "dev", device)
            do("ip", *enter, "link", "set", device, "up")
        # coturn closes a relay that cannot be sent from, and addresses of others are offered too.
        do("ip", "-n", MIDDLE, "route", "add", "default", "via", SERVER)
        do("ip", "-n", FAR, "route", "add", "default", "via", OUTER)  # it may try
        do(*INSIDE, "sysctl", "-qw", "net.ipv4.ip_forward=0")
        yield


def do(*command: str) -> None:
    subprocess.run(command, check=True)


def test_pictures_come_by_the_relay_alone(networks, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("turn", "nginx", "data")}
    for place in places.values():
        place.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    turn_at = Address(free_port(), OUTER, INSIDE)
    web_at = Address(free_port(), OUTER, INSIDE)
    config = tmp_path / "vivavoce.toml"
    config.write_text(
        f'ice_urls = ["turn:{OUTER}:{turn_at.port}?transport=udp"]\n'
        f'turn_secret_file = "{tmp_path / "secret"}"\n'
        f'api_keys = "{KEY.name}:{KEY.hash}"\n'
        "load_share = 10.0\n"
    )
    public = ("--public-origin", f"https://{NAME}/talk", "--trusted-proxy", INNER)
    flags = ("--host", SERVER, "--allow-remote", *public, "--size", "256", "--config", str(config))
    server = ServerProcess(places["data"], *flags)
    server.url = f"http://{SERVER}:{server.port}"
    try:
        server.wait_ready(PATIENCE_S)
        with (
            coturn(places["turn"], turn_at, relay=INNER, media=SERVER) as turn,
            nginx(places["nginx"], server.port, web_at, server=SERVER),
        ):
            trust = os.environ | {
                "SSL_CERT_FILE": str(places["nginx"] / "cert.pem"),
                "PYTHONPATH": str(CHECKOUT),
            }
            direct = [*THERE, sys.executable, "-c", "import socket, sys; s = socket.socket(); "]
            direct[-1] += f"s.settimeout(2); sys.exit(s.connect_ex(({SERVER!r}, {server.port})))"
            assert subprocess.run(direct).returncode != 0  # nothing passes directly
            url = f"https://{OUTER}:{web_at.port}/talk"
            peer = [*THERE, sys.executable, "-m", "tests.clients.relayed_peer", url, SECRET_KEY]
            answered = subprocess.run(
                [*peer, "25"],
                env=trust,
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
            assert answered.returncode == 0, answered.stderr[-3000:]
            assert json.loads(answered.stdout) == {"pictures": 25, "by": "relay"}
            assert turn.port == turn_at.port
    finally:
        server.stop()
