"""`vivavoce keys`: who may use a server that others can reach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from realtime.access.caller import SCOPES
from realtime.access.keys import KeyFile, new_key, parse_scopes
from realtime.cli_flags import config_of


def add_keys(command: argparse.ArgumentParser) -> None:
    """Verbs and flags."""
    verbs = command.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a key; it is shown once and kept as a hash")
    create.add_argument("name", metavar="NAME", help="whose: sessions and avatars belong to it")
    create.add_argument(
        "--scopes",
        default=",".join(sorted(SCOPES)),
        metavar="SCOPE,...",
        help="what it may do (default: %(default)s)",
    )
    create.add_argument(
        "--environment",
        action="store_true",
        help="keep nothing; print also what $VIVAVOCE_API_KEYS of the server must hold",
    )
    revoke = verbs.add_parser("revoke", help="end a key, its tokens, and what runs by them")
    revoke.add_argument("name", metavar="NAME", help="name or id")
    for verb in (create, revoke, verbs.add_parser("list", help="names, scopes, last use")):
        verb.add_argument("--data-dir", type=Path, help="of the server")
        verb.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    command.set_defaults(run=_run, set=[])


def _run(args: argparse.Namespace) -> None:
    if args.verb == "create" and args.environment:
        key, secret = new_key(args.name)
        print(secret)
        print(f"VIVAVOCE_API_KEYS={key.name}:{key.hash}")
        return
    file = KeyFile(config_of(args, ("data_dir",)).data_dir)
    if args.verb == "create":
        _, secret = file.create(args.name, parse_scopes(args.scopes))
        print(secret)
        print("keep it: it cannot be shown again", file=sys.stderr)
    elif args.verb == "revoke":
        key = file.revoke(args.name)
        print(f"revoked {key.name} ({key.id})")
    else:
        _list(file)


def _list(file: KeyFile) -> None:
    used = file.used()
    rows = [("NAME", "ID", "CREATED", "LAST USED", "SCOPES")]
    rows += [
        (key.name, key.id, key.created, used.get(key.id, "never"), ",".join(key.scopes))
        for key in file.read().values()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
