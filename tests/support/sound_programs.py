"""PulseAudio's programs, as far as a client can tell: what is played goes to a file, and what the
microphone hears comes from one, in real time and again and again."""

from __future__ import annotations

import sys
from pathlib import Path

PACTL = """
echo "$@" >> "$(dirname "$0")/asked"
[ "$1" = load-module ] && echo 4$(wc -l < "$(dirname "$0")/asked")
exit 0
"""
PACAT = """
exec cat >> "$(dirname "$0")/played"
"""
PAREC = """
touch "$(dirname "$0")/recorded"
exec {python} -c '
import sys, time
pcm, at = open(sys.argv[1], "rb").read(), 0
start = time.monotonic()
while True:
    place = at % (len(pcm) // 1920) * 1920
    sys.stdout.buffer.write(pcm[place : place + 1920])
    sys.stdout.buffer.flush()
    at += 1
    time.sleep(max(0.0, start + at * 0.02 - time.monotonic()))
' "$(dirname "$0")/heard"
"""


def install(folder: Path, heard: bytes = b"") -> Path:
    """Programs in `folder`, to be found on the PATH; `heard` is PCM16 of 48 kHz. The folder then
    has `asked`, what was asked of pactl, `played`, PCM16, and `recorded` once somebody listened."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "heard").write_bytes(heard)
    for name, text in {"pactl": PACTL, "pacat": PACAT, "parec": PAREC}.items():
        program = folder / name
        program.write_text("#!/bin/sh" + text.replace("{python}", sys.executable))
        program.chmod(0o755)
    return folder
