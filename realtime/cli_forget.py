"""`vivavoce forget`: an upload goes, and all that was made of it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from realtime.cli_flags import config_of


def add_forget(forget: argparse.ArgumentParser) -> None:
    """The arguments of `vivavoce forget`."""
    forget.description = (
        "Delete an upload from the data folder: its photo or video, the consent sentence, what was "
        "learnt or made of it. Whoever may change the folder may do so, whosever the upload is; no "
        "server may run on it meanwhile: those that do, delete by DELETE /v1/avatars/ID."
    )
    forget.add_argument("avatar", metavar="AVATAR", help="its id, or its name")
    forget.add_argument("--data-dir", type=Path, help="where avatars are kept")
    forget.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    forget.set_defaults(run=_run, set=[])


def _run(args: argparse.Namespace) -> None:
    print(f"forgot {asyncio.run(_forget(args))}")


async def _forget(args: argparse.Namespace) -> str:
    from realtime.avatars.library import AvatarLibrary
    from realtime.metrics import Metrics

    library = AvatarLibrary(config_of(args, ("data_dir",)), Metrics())
    try:
        library.claim("command `vivavoce forget`")
        avatar = library.get(args.avatar)
        await library.delete(avatar)
    finally:
        await library.close()
    return f"{avatar.name} ({avatar.id})"
