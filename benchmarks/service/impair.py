"""Two network namespaces joined by a bad link: delay, jitter and loss, for kernels without netem.

Needs root. The link is a pair of TUN devices with this process between them.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

SERVER, CLIENT = "vivavoce-srv", "vivavoce-cli"
SERVER_ADDRESS, CLIENT_ADDRESS = "10.78.0.1", "10.78.0.2"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


@dataclass(frozen=True)
class Link:
    """What happens to every packet, each way."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0  # standard deviation
    loss: float = 0.0  # share of packets


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _open_tun(namespace: str, address: str, peer: str) -> int:
    name = "tun-" + namespace[-3:]
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(fd, _TUNSETIFF, request)
    _ip("link", "set", name, "netns", namespace)
    _ip("-n", namespace, "addr", "add", address, "peer", peer, "dev", name)
    _ip("-n", namespace, "link", "set", name, "up")
    _ip("-n", namespace, "link", "set", "lo", "up")
    return fd


def _pump(ends: tuple[int, int], link: Link, stop: threading.Event) -> None:
    rng = random.Random(1)
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    flying: list[tuple[float, int, int, bytes]] = []
    count = 0
    while not stop.is_set():
        left = flying[0][0] - time.monotonic() if flying else 0.1
        readable, _, _ = select.select(ends, [], [], min(0.1, max(0.0, left)))
        for fd in readable:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = os.read(fd, 65536)
                    if rng.random() < link.loss:
                        continue
                    late = max(0.0, link.delay_ms + rng.gauss(0, link.jitter_ms)) / 1000
                    count += 1
                    heapq.heappush(flying, (time.monotonic() + late, count, other[fd], packet))
        while flying and flying[0][0] <= time.monotonic():
            _, _, fd, packet = heapq.heappop(flying)
            with contextlib.suppress(OSError):
                os.write(fd, packet)


@contextlib.contextmanager
def namespaces(link: Link) -> Iterator[None]:
    """Set the two namespaces up, and take them down at the end.

    Raises:
        PermissionError: not root.
    """
    if os.geteuid() != 0:
        raise PermissionError("network namespaces need root")
    stop = threading.Event()
    made: list[str] = []
    ends: list[int] = []
    try:
        for namespace in (SERVER, CLIENT):
            _ip("netns", "add", namespace)
            made.append(namespace)
        ends.append(_open_tun(SERVER, SERVER_ADDRESS, CLIENT_ADDRESS))
        ends.append(_open_tun(CLIENT, CLIENT_ADDRESS, SERVER_ADDRESS))
        pump = threading.Thread(target=_pump, args=((ends[0], ends[1]), link, stop))
        pump.start()
        try:
            yield
        finally:
            stop.set()
            pump.join()
    finally:
        for fd in ends:
            os.close(fd)
        for namespace in made:
            _ip("netns", "del", namespace)
