"""Runs a server and Debian's whip-client in the network it is in, and notes what came of it.

    python -m tests.clients.whip_gstreamer FOLDER

FOLDER holds the library that stands in for UPnP; found.json comes into it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.pages import CAST, get, serving

PATIENCE_S = 100
AUDIO = (
    "audiotestsrc is-live=true ! audioconvert ! audioresample ! queue ! opusenc ! "
    "rtpopuspay pt=100 ! queue ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
)
VIDEO = (
    "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=5/1 ! videoconvert ! "
    "queue ! vp8enc deadline=1 ! rtpvp8pay pt=96 ssrc=2 ! queue ! "
    "application/x-rtp,media=video,encoding-name=VP8,payload=96"
)
BOTH = ["-A", AUDIO, "-V", VIDEO]  # with audio alone this client never comes to make its offer
KINDS = {"trickle": BOTH, "no-trickle": ["-n", *BOTH]}


def publish(url: str, folder: Path, flags: list[str]) -> dict[str, Any]:
    """One client from start to end."""
    avatar = get(f"{url}/v1/avatars")["avatars"][0]["id"]
    log = folder / "whip-client.log"
    seen: dict[str, Any] = {"connected": False, "received": 0}
    with log.open("w") as out:
        client = subprocess.Popen(
            ["whip-client", "-u", f"{url}/whip/{avatar}", "-t", "TOKEN", *flags],
            env=os.environ | {"LD_LIBRARY_PATH": str(folder)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and client.poll() is None and seen["received"] <= 50:
            time.sleep(0.5)
            session = session_of(log.read_text())
            if session is not None:
                described = get(f"{url}/v1/sessions/{session}")
                seen["connected"] = seen["connected"] or described["connected"]
                seen["received"] = described["microphone"]["received"]
        client.send_signal(signal.SIGINT)
        client.wait(60)
    deadline = time.monotonic() + 10  # consent alone would end it later
    while get(f"{url}/health")["sessions"] and time.monotonic() < deadline:
        time.sleep(0.2)
    seen["ended"] = not get(f"{url}/health")["sessions"]
    return seen | {"log": log.read_text()[-3000:]}


def session_of(log: str) -> str | None:
    """The session in the client's resource URL."""
    found = log.partition("Resource URL: ")[2].split()
    return found[0].split("/")[-2] if found else None


def main() -> None:
    """Run from the command line."""
    folder = Path(sys.argv[1])
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    with serving(folder, cast=CAST[:1]) as process:
        found = {name: publish(process.url, folder, flags) for name, flags in KINDS.items()}
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
