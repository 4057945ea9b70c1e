"""Flags that several subcommands of `vivavoce` share, and the settings that come of them."""

from __future__ import annotations

import argparse
from typing import get_args

from pipelines.registry import known_systems
from realtime.config import ServerConfig, load_config
from realtime.engine.config import BackendWish

PIPELINE = ("pipeline", "renderer_weights", "motion_weights")
"""What `add_pipeline` adds, beside --set."""


def add_pipeline(command: argparse.ArgumentParser) -> None:
    """Which pipeline, and its options."""
    command.add_argument("--pipeline", choices=known_systems(), help="default portrait")
    add_settings(command)
    for part in ("renderer", "motion"):  # of older releases, now options like others
        command.add_argument(f"--{part}-weights", metavar="NAME", help=argparse.SUPPRESS)


def add_settings(command: argparse.ArgumentParser) -> None:
    """Options of a pipeline."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of the pipeline; NAME.OPTION=VALUE of another one",
    )


def add_picture(command: argparse.ArgumentParser) -> None:
    """What is shown, and how large."""
    command.add_argument(
        "--frame",
        metavar="square|photo|16:9",
        help="what is shown: head and shoulders (the default), the whole photo as taken, or head "
        "and shoulders with the background going on beside them",
    )
    command.add_argument(
        "--size", metavar="H|WxH", help="picture size in pixels, one of the pipeline's"
    )


def add_backend(command: argparse.ArgumentParser, default: str) -> None:
    """What computes the motion; `default` says what happens without."""
    command.add_argument(
        "--backend", choices=get_args(BackendWish), help=f"what computes the motion: {default}"
    )


def config_of(args: argparse.Namespace, names: tuple[str, ...]) -> ServerConfig:
    """The settings: the file of --config, overridden by the flags `names` that were given."""
    flags = {name: getattr(args, name, None) for name in names}
    return load_config(
        args.config, {k: v for k, v in flags.items() if v is not None}, settings=args.set
    )
