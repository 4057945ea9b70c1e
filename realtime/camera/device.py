"""Virtual cameras: pyvirtualcam where it is installed, else a v4l2loopback device itself.

pyvirtualcam is under the GPL, version 2: a program of the user's own, looked for when the command
runs and not brought by us.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

import av

from realtime.camera.fit import I420
from realtime.camera.missing import no_camera

VIRTUAL = Path("/sys/devices/virtual/video4linux")
"""Where Linux lists cameras that are no hardware; v4l2loopback makes them."""


class Camera(Protocol):
    """What takes pictures, one every 25th of a second."""

    name: str

    def send(self, picture: I420) -> None:
        """Show uint8 [height * 3 / 2, width]."""

    def close(self) -> None:
        """Give it back."""


def open_camera(width: int, height: int, fps: int, device: str | None = None) -> Camera:
    """The virtual camera of this machine.

    Args:
        device: such as "/dev/video10" or "OBS Virtual Camera"; None: the first that is found.

    Raises:
        Missing: there is none; the message says what to install.
    """
    reason = ""
    if importlib.util.find_spec("pyvirtualcam") is not None:
        try:
            return ByPyvirtualcam(width, height, fps, device)
        except RuntimeError as error:
            reason = str(error)
    path = device or next(iter(loopbacks()), None)
    if path is None or not path.startswith("/dev/"):
        raise no_camera(reason)
    try:
        return ByDevice(path, width, height, fps)
    except (OSError, av.FFmpegError) as error:
        raise no_camera(f"{path}: {error}") from error


def loopbacks(folder: Path = VIRTUAL) -> list[str]:
    """Devices of v4l2loopback, by number."""
    found = sorted(folder.glob("video*"), key=lambda path: int(path.name.removeprefix("video")))
    return [f"/dev/{path.name}" for path in found]


class ByPyvirtualcam:
    """OBS's camera on Windows and macOS, v4l2loopback on Linux."""

    def __init__(self, width: int, height: int, fps: int, device: str | None) -> None:
        library: Any = importlib.import_module("pyvirtualcam")
        form = library.PixelFormat.I420
        self._camera = library.Camera(width, height, fps, fmt=form, device=device)
        self.name = str(self._camera.device)

    def send(self, picture: I420) -> None:
        """As `Camera.send`."""
        self._camera.send(picture)

    def close(self) -> None:
        """As `Camera.close`."""
        self._camera.close()


class ByDevice:
    """A v4l2loopback device, written to by FFmpeg's own output for such."""

    def __init__(self, path: str, width: int, height: int, fps: int) -> None:
        self.name = path
        self._output: Any = av.open(path, "w", format="v4l2")
        stream = self._output.add_stream("rawvideo", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        self._output.start_encoding()  # opens the device: what is wrong with it is said now
        self._stream = stream
        self._count = 0

    def send(self, picture: I420) -> None:
        """As `Camera.send`."""
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, self._count = self._count, self._count + 1
        for packet in self._stream.encode(frame):
            self._output.mux(packet)

    def close(self) -> None:
        """As `Camera.close`."""
        self._output.close()
