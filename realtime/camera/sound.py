"""Virtual microphones, and the user's real one: PulseAudio and PipeWire by their programs on Linux,
elsewhere a cable by sounddevice (PortAudio), which is looked for when the command runs.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.camera.missing import Missing, no_microphone, no_sound

RATE_HZ = 48_000
PACKET = 960
"""Samples: 20 ms."""
SINK, SOURCE = "vivavoce", "vivavoce_microphone"
FORMAT = ("--format=s16le", f"--rate={RATE_HZ}", "--channels=1")
_COMMAND_TIMEOUT_S = 10

Pcm = NDArray[np.int16]
"""[n], mono, 48 kHz."""


class Voice(Protocol):
    """Where the avatar's voice is played to."""

    name: str

    def write(self, pcm: Pcm) -> None:
        """Play int16 [n]; may wait until there is room."""

    def close(self) -> None:
        """Give it back."""


class NoVoice:
    """The voice is not wanted."""

    name = "no virtual microphone"

    def write(self, pcm: Pcm) -> None:
        """As `Voice.write`."""

    def close(self) -> None:
        """As `Voice.close`."""


def open_voice(device: str | None = None) -> Voice:
    """A virtual microphone.

    Args:
        device: "none"; or a cable to play to, by its name; None: one of PulseAudio's or PipeWire's
            own, made for the time being.

    Raises:
        Missing: there is no way to one; the message says what to install.
    """
    if device == "none":
        return NoVoice()
    if device is None and shutil.which("pactl") and shutil.which("pacat"):
        return PulseVoice()
    if device is None or importlib.util.find_spec("sounddevice") is None:
        raise no_sound()
    return CableVoice(device)


class PulseVoice:
    """A microphone of PulseAudio or PipeWire that says what is written here.

    A null sink, and a source made of its monitor: browsers do not list bare monitors.
    """

    def __init__(self) -> None:
        self.name = "the microphone “vivavoce voice”"
        self._modules: list[str] = []
        try:
            self._load("module-null-sink", f"sink_name={SINK}", _described("sink", SINK))
            self._load(
                "module-remap-source",
                f"master={SINK}.monitor",
                f"source_name={SOURCE}",
                _described("source", "vivavoce\\ voice"),
            )
            command = ["pacat", "--playback", f"--device={SINK}", *FORMAT, "--latency-msec=40"]
            self._player = subprocess.Popen(command, stdin=subprocess.PIPE)
        except (OSError, subprocess.SubprocessError) as error:
            self._unload()
            raise no_sound(_said(error)) from error

    def _load(self, *module: str) -> None:
        self._modules.append(_pactl("load-module", *module).strip())

    def _unload(self) -> None:
        for module in reversed(self._modules):
            subprocess.run(["pactl", "unload-module", module], check=False)
        self._modules.clear()

    def write(self, pcm: Pcm) -> None:
        """As `Voice.write`.

        Raises:
            Missing: the sound server is gone.
        """
        assert self._player.stdin is not None
        try:
            self._player.stdin.write(pcm.astype("<i2").tobytes())
            self._player.stdin.flush()
        except OSError as error:
            raise Missing(f"the sound server takes no more sound: {error}") from error

    def close(self) -> None:
        """As `Voice.close`."""
        assert self._player.stdin is not None
        with contextlib.suppress(OSError):
            self._player.stdin.close()  # it plays what it has, and ends
        try:
            self._player.wait(_COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._player.kill()
        self._unload()


class CableVoice:
    """A cable such as VB-CABLE or BlackHole: what is played into it, its other end records."""

    def __init__(self, device: str) -> None:
        library: Any = importlib.import_module("sounddevice")
        try:
            self._stream = library.RawOutputStream(
                RATE_HZ, PACKET, device, channels=1, dtype="int16", latency="low"
            )
        except (ValueError, library.PortAudioError) as error:
            raise no_sound(f"{device}: {error}") from error
        self.name = f"the cable {device}"
        self._stream.start()

    def write(self, pcm: Pcm) -> None:
        """As `Voice.write`."""
        self._stream.write(pcm.tobytes())

    def close(self) -> None:
        """As `Voice.close`."""
        self._stream.close()


# The user's microphone


def hear_microphone(device: str | None, hear: Callable[[Pcm], None]) -> Callable[[], None]:
    """Have `hear` called with what the user says, on a thread. How to stop that.

    Raises:
        Missing: there is no way to a microphone; the message says what to install.
    """
    if importlib.util.find_spec("sounddevice") is not None:
        try:
            return _by_portaudio(device, hear)
        except OSError as error:  # PortAudio itself is not there
            if not shutil.which("parec"):
                raise no_microphone(str(error)) from error
    if shutil.which("parec"):
        return _by_pulse(device, hear)
    raise no_microphone()


def _by_portaudio(device: str | None, hear: Callable[[Pcm], None]) -> Callable[[], None]:
    library: Any = importlib.import_module("sounddevice")

    def heard(data: Any, count: int, when: object, status: object) -> None:
        hear(np.frombuffer(bytes(data), np.int16))

    try:
        stream = library.RawInputStream(
            RATE_HZ, PACKET, device, channels=1, dtype="int16", callback=heard
        )
    except (ValueError, library.PortAudioError) as error:
        raise no_microphone(f"{device or 'the default microphone'}: {error}") from error
    stream.start()
    return stream.close  # type: ignore[no-any-return]


def _by_pulse(device: str | None, hear: Callable[[Pcm], None]) -> Callable[[], None]:
    chosen = [f"--device={device}"] if device else []
    command = ["parec", *FORMAT, "--latency-msec=20", *chosen]
    recorder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert recorder.stdout is not None
    stdout = recorder.stdout

    def read() -> None:
        while len(data := stdout.read(2 * PACKET)) == 2 * PACKET:
            hear(np.frombuffer(data, "<i2"))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()

    def stop() -> None:
        recorder.terminate()
        reading.join(_COMMAND_TIMEOUT_S)
        stdout.close()
        recorder.wait(_COMMAND_TIMEOUT_S)

    return stop


# PulseAudio


def _described(kind: str, words: str) -> str:
    return f"{kind}_properties=device.description={words}"


def _pactl(*arguments: str) -> str:
    command: Sequence[str] = ("pactl", *arguments)
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S
    )
    return done.stdout


def _said(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    return str(said or error).strip()
