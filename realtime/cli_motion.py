"""`vivavoce motion` and its arguments."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re

from realtime.cli_camera import add_server


def add_motion(command: argparse.ArgumentParser) -> None:
    """The arguments of the command, and what it runs."""
    add_server(command)
    command.add_argument("--session", metavar="ID", required=True, help="whose motion")
    command.add_argument(
        "--vmc",
        metavar="HOST:PORT",
        default="127.0.0.1:39539",
        help="who listens: VSeeFace, Warudo, ... (default 127.0.0.1:39539)",
    )
    command.add_argument(
        "--names",
        default="perfect-sync",
        metavar="NAMES",
        help="of the blendshapes: perfect-sync (JawOpen, the default), arkit (jawOpen), or vowels "
        "(A, I, U, E, O, Blink_L, Blink_R, which every VRM model has)",
    )
    command.set_defaults(run=_motion)


def _motion(args: argparse.Namespace) -> None:
    from realtime.motion_out.run import run
    from realtime.motion_out.vmc import NAMES, VmcSender

    found = re.fullmatch(r"\[?([^\[\]]+)\]?:(\d{1,5})", args.vmc)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise ValueError(f"--vmc {args.vmc}: it looks like 127.0.0.1:39539")
    if args.names not in NAMES:
        raise ValueError(f"--names {args.names}: it is one of {', '.join(NAMES)}")
    try:
        sender = VmcSender(found[1], int(found[2]), args.names)
    except ValueError as error:
        raise ValueError(f"--vmc {args.vmc}: {error}") from error
    with contextlib.closing(sender):
        asyncio.run(run(args.server, args.session, args.token, sender, print))
