"""The Virtual Motion Capture protocol over OSC, from the performer's side: VSeeFace, Warudo and
others listen to it.

Its space is Unity's: left-handed, y up, and a model looks along +z with +x to its right.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import socket
from collections.abc import Mapping
from typing import Any, Literal

from realtime.motion_out.arkit import Head, blendshapes, head

Names = Literal["perfect-sync", "arkit", "vowels"]
"""Of the blendshapes: as models with "perfect sync" have them (JawOpen), as ARKit has them
(jawOpen), or the few that every VRM model has (A, I, U, E, O, Blink_L, Blink_R)."""
NAMES: tuple[Names, ...] = ("perfect-sync", "arkit", "vowels")
Message = tuple[str, tuple[str | int | float, ...]]
"""An OSC address and its arguments."""

NECK_SHARE = 0.4
"""Of the head's turn; with all of it in one bone a model breaks at the neck."""


def messages(values: Mapping[str, float], t: float, names: Names) -> list[Message]:
    """One frame of motion, in the order in which receivers want it.

    Args:
        values: of `avatar.motion`.
        t: its media time, seconds.
    """
    weights = _named(blendshapes(values), names)
    turned, bones = head(values), [("Neck", NECK_SHARE), ("Head", 1 - NECK_SHARE)]
    turns = [(name, quaternion(turned, share)) for name, share in bones]
    if names == "vowels":  # else the eyes look by blendshapes
        gaze = Head(values.get("gazeYaw", 0.0), values.get("gazePitch", 0.0), 0.0)
        turns += [(name, quaternion(gaze)) for name in ("LeftEye", "RightEye")]
    return [
        ("/VMC/Ext/OK", (1,)),
        ("/VMC/Ext/T", (t,)),
        *(("/VMC/Ext/Bone/Pos", (name, 0.0, 0.0, 0.0, *turn)) for name, turn in turns),
        *(("/VMC/Ext/Blend/Val", (name, weight)) for name, weight in weights.items()),
        ("/VMC/Ext/Blend/Apply", ()),
    ]


def _named(arkit: Mapping[str, float], names: Names) -> dict[str, float]:
    if names == "arkit":
        return dict(arkit)
    if names == "perfect-sync":
        return {name[0].upper() + name[1:]: weight for name, weight in arkit.items()}
    return vowels(arkit)


def vowels(arkit: Mapping[str, float]) -> dict[str, float]:
    """The mouth in the five vowels of VRM 0, and the lids: coarse, but every model has them."""
    opened = max(0.0, arkit["jawOpen"] - arkit["mouthClose"])
    rounded = max(arkit["mouthPucker"], arkit["mouthFunnel"])
    spread = max(arkit["mouthStretchLeft"], arkit["mouthSmileLeft"])
    wide = opened * (1 - rounded) * (1 - spread)
    return {
        "A": min(1.0, 1.6 * wide),
        "I": min(1.0, spread * (1 - opened)),
        "U": min(1.0, rounded * (1 - opened)),
        "E": min(1.0, 1.6 * spread * opened),
        "O": min(1.0, 1.6 * rounded * opened),
        "Blink_L": arkit["eyeBlinkLeft"],
        "Blink_R": arkit["eyeBlinkRight"],
    }


def quaternion(turned: Head, share: float = 1.0) -> tuple[float, float, float, float]:
    """x, y, z, w in Unity's left-handed space, of a model that looks along +z.

    There a positive turn about y goes from +z to +x, the subject's right; about x it lowers the
    face; about z it tilts the crown to the subject's left. Ours: yaw and roll go to the right edge
    of the picture, the subject's left, and pitch raises the face. Yaw is applied last, as Unity
    does.
    """
    pitch, yaw, roll = (
        math.radians(share * angle) / 2 for angle in (-turned.pitch, -turned.yaw, turned.roll)
    )
    sx, cx = math.sin(pitch), math.cos(pitch)
    sy, cy = math.sin(yaw), math.cos(yaw)
    sz, cz = math.sin(roll), math.cos(roll)
    return (
        cy * sx * cz + sy * cx * sz,
        sy * cx * cz - cy * sx * sz,
        cy * cx * sz - sy * sx * cz,
        cy * cx * cz + sy * sx * sz,
    )


class VmcSender:
    """Sends frames of motion to one receiver, or to all of a network, each as one OSC bundle.

    Raises:
        RuntimeError: python-osc is not installed.
        ValueError: no address is called so.
    """

    def __init__(self, host: str, port: int, names: Names = "perfect-sync") -> None:
        try:
            client: Any = importlib.import_module("pythonosc.udp_client")
            self._bundles: Any = importlib.import_module("pythonosc.osc_bundle_builder")
            self._messages: Any = importlib.import_module("pythonosc.osc_message_builder")
        except ModuleNotFoundError as error:
            raise RuntimeError(
                "VMC needs python-osc: pip install 'vivavoce[vmc]', or pip install python-osc"
            ) from error
        # By number: else each frame would wait for the name to be looked up.
        self._client = client.UDPClient(_numeric(host), port, allow_broadcast=True)
        self._names = names

    def send(self, values: Mapping[str, float], t: float) -> None:
        """One frame; see `messages`. It is lost without a word where nobody listens.

        Raises:
            OSError: there is no way to the receiver now.
        """
        bundle = self._bundles.OscBundleBuilder(self._bundles.IMMEDIATELY)
        for address, arguments in messages(values, t, self._names):
            message = self._messages.OscMessageBuilder(address)
            for argument in arguments:
                message.add_arg(argument)
            bundle.add_content(message.build())
        with contextlib.suppress(BlockingIOError):
            self._client.send(bundle.build())

    def close(self) -> None:
        """Send no more."""
        self._client.close()


def _numeric(host: str) -> str:
    try:
        where = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4]
        return socket.getnameinfo(where, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name"
        raise ValueError(f"nothing is called {host!r} here: {why}") from error
