"""Who did what, when: a file a day, each line one JSON object, no secrets in it.

data_dir/audit/2026-11-29.jsonl   0600; deleted after `audit_days`, or by whoever wants to
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from datetime import timedelta
from pathlib import Path

from realtime.access.caller import Caller
from realtime.access.credentials import utc_now

logger = logging.getLogger(__name__)

MAX_WAITING = 5000
"""Lines that a slow disk may be behind; further ones are counted instead."""


class AuditLog:
    """Appends lines without making anybody wait: they are written by `write`, from a thread.

    days: how long files are kept; 0: nothing is written.
    """

    def __init__(self, folder: Path, days: int) -> None:
        self._folder = folder
        self._days = days
        self._waiting: list[str] = []
        self._lost = 0

    def note(self, what: str, who: Caller | None, address: str, **about: str | int) -> None:
        """Remember that `what` was asked, by whom (None: unknown), and what came of it."""
        if not self._days:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        entry: dict[str, str | int] = {"at": utc_now().isoformat(timespec="milliseconds")}
        if who is not None:
            entry |= {"who": who.owner or who.kind, "key": who.key, "by": who.kind}
        self._waiting.append(json.dumps(entry | {"from": address, "what": what} | about))

    async def write(self) -> None:
        """Bring what waits to the disk, and delete the files whose time is over."""
        lines, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        if lost:
            logger.warning("%d audit lines were lost: the disk is slow", lost)
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            logger.error("the audit log cannot be written: %s", error)

    def _write(self, lines: list[str]) -> None:
        today = utc_now().date()
        if lines:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{today}.jsonl"
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "a") as file:
                file.write("".join(f"{line}\n" for line in lines))
        oldest = str(today - timedelta(days=self._days))
        for path in self._folder.glob("*.jsonl"):
            if re.fullmatch(r"\d{4}-\d\d-\d\d", path.stem) and path.stem < oldest:
                path.unlink(missing_ok=True)
