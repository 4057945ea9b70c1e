"""What is not installed here, in words that say what to do."""

from __future__ import annotations

import sys

CAMERAS = {
    "linux": (
        "no virtual camera here. Install v4l2loopback (Debian, Ubuntu: apt install "
        "v4l2loopback-dkms), then make a device that your user may write to: "
        'modprobe v4l2loopback devices=1 exclusive_caps=1 card_label="vivavoce"'
    ),
    "darwin": (
        "no virtual camera here. Install OBS Studio 30 or newer, start its virtual camera once "
        "(then stop it), and install what writes to it: pip install pyvirtualcam"
    ),
    "win32": (
        "no virtual camera here. Install OBS Studio, which brings one, and what writes to it: "
        "pip install pyvirtualcam"
    ),
}
SOUNDS = {
    "linux": (
        "no way to a virtual microphone here. Install PulseAudio's programs, which PipeWire "
        "understands too (Debian, Ubuntu: apt install pulseaudio-utils), or go without one: "
        "--voice none"
    ),
    "darwin": (
        "no cable for the voice here. Install BlackHole 2ch and pip install sounddevice, then name "
        'it: --voice "BlackHole 2ch"; or go without: --voice none'
    ),
    "win32": (
        "no cable for the voice here. Install VB-CABLE and pip install sounddevice, then name it: "
        '--voice "CABLE Input"; or go without: --voice none'
    ),
}
MICROPHONES = {
    "linux": (
        "no way to the microphone here. Install PulseAudio's programs, which PipeWire understands "
        "too (Debian, Ubuntu: apt install pulseaudio-utils), or: pip install sounddevice"
    ),
}
MICROPHONE_ELSEWHERE = "no way to the microphone here: pip install sounddevice"
CLIENT = "this command needs vivavoce's client: pip install ./integrations/client in a checkout"


class Missing(RuntimeError):
    """Something that this command needs and does not bring."""


def no_camera(reason: str = "", system: str = sys.platform) -> Missing:
    """No camera to write to."""
    return Missing(_with(reason, CAMERAS.get(system, CAMERAS["linux"])))


def no_sound(reason: str = "", system: str = sys.platform) -> Missing:
    """Nowhere to play the voice to."""
    return Missing(_with(reason, SOUNDS.get(system, SOUNDS["linux"])))


def no_microphone(reason: str = "", system: str = sys.platform) -> Missing:
    """Nothing to hear the user with."""
    return Missing(_with(reason, MICROPHONES.get(system, MICROPHONE_ELSEWHERE)))


def _with(reason: str, words: str) -> str:
    return f"{words} ({reason})" if reason else words
