"""A receiver of OSC on loopback, such as VSeeFace is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Receiver:
    """What came, frame by frame: each ends with `/VMC/Ext/Blend/Apply`."""

    def __init__(self) -> None:
        self.port = 0
        self.frames: list[list[tuple[str, tuple[Any, ...]]]] = []
        self._frame: list[tuple[str, tuple[Any, ...]]] = []

    def take(self, address: str, *arguments: Any) -> None:
        self._frame.append((address, arguments))
        if address == "/VMC/Ext/Blend/Apply":
            self.frames.append(self._frame)
            self._frame = []

    def values(self, name: str) -> list[float]:
        """Of one blendshape, frame by frame."""
        found = (
            argument
            for frame in self.frames
            for address, argument in frame
            if address == "/VMC/Ext/Blend/Val"
        )
        return [value for key, value in found if key == name]

    def times(self) -> list[float]:
        """Of `/VMC/Ext/T`, frame by frame."""
        return [a[0] for frame in self.frames for address, a in frame if address == "/VMC/Ext/T"]

    def turns(self, bone: str) -> list[tuple[float, ...]]:
        """Quaternions of one bone, frame by frame."""
        found = (a for frame in self.frames for address, a in frame if address.endswith("Bone/Pos"))
        return [tuple(a[4:]) for a in found if a[0] == bone]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listens on a free port."""
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import BlockingOSCUDPServer

    receiver, dispatcher = Receiver(), Dispatcher()
    dispatcher.set_default_handler(receiver.take)
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
