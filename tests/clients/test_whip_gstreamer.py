"""Debian's WHIP client, which is GStreamer's webrtcbin: an RSA certificate, no candidates in the
offer, the picture first, TCP and link-local candidates by PATCH."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PATIENCE_S = 480
# libnice does not use 127.0.0.1, so client and server get a network of their own, which goes with
# its last process.
NETWORK = """
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 10.99.0.1/24 dev v0
ip link set v0 up
ip link set v1 up
exec "$@"
"""
NEEDS = ("whip-client", "gcc", "ip", "unshare")


def isolated(*command: str) -> list[str]:
    """The command in a network of its own."""
    mine = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
    return ["unshare", *mine, "bash", "-ec", NETWORK, "in-a-network", *command]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    """What `whip_gstreamer.py` found out."""
    for program in NEEDS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: run deploy/system-packages.sh clients")
    if subprocess.run(isolated("true"), capture_output=True).returncode != 0:
        pytest.skip("this machine lets us make no network of our own")
    folder = tmp_path_factory.mktemp("gstreamer")
    library = folder / "libgupnp-igd-1.0.so.4"
    flags = ["-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
    subprocess.run(["gcc", *flags, "-o", library, HERE / "no_upnp.c"], check=True)
    run = subprocess.run(
        isolated(sys.executable, "-m", "tests.clients.whip_gstreamer", str(folder)),
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("kind", ["trickle", "no-trickle"])
def test_its_microphone_is_heard(scenario, kind):
    seen = scenario[kind]
    assert seen["connected"], seen["log"]
    assert seen["received"] > 50
    assert seen["ended"], seen["log"]  # by its DELETE
