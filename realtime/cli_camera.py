"""`vivavoce camera` and its arguments."""

from __future__ import annotations

import argparse
import asyncio
import re

MOST_PIXELS = 3840 * 2160
MOST_LATE = 50
"""Pictures held back: two seconds, of 1.4 MB each at 1280x720."""
SERVER = "http://127.0.0.1:8080"


def add_camera(command: argparse.ArgumentParser) -> None:
    """The arguments of the command, and what it runs."""
    add_server(command)
    whom = command.add_mutually_exclusive_group()
    whom.add_argument("--session", metavar="ID", help="watch a session that is open")
    whom.add_argument(
        "--avatar", metavar="NAME", help="open a session of this avatar with the microphone"
    )
    command.add_argument("--frame", default="16:9", help="square, photo or 16:9 (default)")
    command.add_argument(
        "--size", default="1280x720", metavar="WxH", help="of the camera (default 1280x720)"
    )
    command.add_argument("--camera", metavar="DEVICE", help="such as /dev/video10")
    command.add_argument("--voice", metavar="DEVICE", help="a cable to play the voice to, or none")
    command.add_argument("--microphone", metavar="DEVICE", help="the real one")
    command.add_argument(
        "--late-pictures",
        type=_late,
        default=0,
        metavar="N",
        help="hold pictures back by N x 40 ms, where a slow cable lets the lips lead the voice",
    )
    command.set_defaults(run=_camera)


def add_server(command: argparse.ArgumentParser) -> None:
    """Which server, for commands that are clients."""
    command.add_argument("--server", default=SERVER, metavar="URL", help=f"(default {SERVER})")
    command.add_argument(
        "--token", type=_token, help="where the server asks for one: a token, or a key"
    )


def _late(text: str) -> int:
    if not 0 <= int(text) <= MOST_LATE:
        raise argparse.ArgumentTypeError(f"must be between 0 and {MOST_LATE}")
    return int(text)


def _token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise argparse.ArgumentTypeError("is no token: one has no spaces and nothing but ASCII")
    return text


def _camera(args: argparse.Namespace) -> None:
    from realtime.camera.run import Wanted, run

    size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", args.size)
    if size is None:
        raise ValueError(f"--size {args.size}: it looks like 1280x720")
    if int(size[1]) * int(size[2]) > MOST_PIXELS:
        raise ValueError(f"--size {args.size}: at most 3840x2160")
    wanted = Wanted(
        server=args.server,
        session=args.session,
        avatar=args.avatar,
        frame=args.frame,
        token=args.token,
        width=int(size[1]),
        height=int(size[2]),
        camera=args.camera,
        voice=args.voice,
        microphone=args.microphone,
        late_pictures=args.late_pictures,
    )
    asyncio.run(run(wanted, lambda words: print(words, flush=True)))
