"""What was measured so far, in one JSON file that is written anew with every figure.

So that a run that was stopped, or died of a kernel, goes on where it was.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FAILED = "failed"
"""What a figure that is none holds, and why in words."""


class Record:
    """Figures by part and name.

    conditions: what they hang on (card, versions). A file of other conditions is begun anew.
    run: which run this is; what failed in another one is tried again.
    """

    def __init__(self, path: Path, conditions: dict[str, Any] | None = None, run: str = "") -> None:
        self.path = path
        self.run = run
        self.held: dict[str, Any] = {"conditions": conditions, "figures": {}, "left_out": []}
        if path.is_file():
            found = json.loads(path.read_text())
            if conditions is None or found.get("conditions") == conditions:
                self.held = found

    def has(self, part: str, name: str) -> bool:
        """Whether that was measured, or it or a part of it failed in this very run."""
        found = self.held["figures"].get(part, {}).get(name)
        if isinstance(found, dict):
            for each in (found, *found.values()):
                if isinstance(each, dict) and FAILED in each:
                    return bool(each["run"] == self.run)
        return found is not None

    def begin(self, part: str, name: str) -> None:
        """Say what is being measured, in case that nobody lives to say more."""
        self.held["now"] = [part, name]
        self._write()

    def put(self, part: str, name: str, figure: Any) -> None:
        """Keep a figure."""
        self.held["figures"].setdefault(part, {})[name] = figure
        self.held.pop("now", None)
        self._write()

    def fail(self, part: str, name: str, why: str) -> None:
        """Keep that there is none."""
        self.put(part, name, self.failed(why))

    def failed(self, why: str) -> dict[str, str]:
        """What stands for a figure, or a part of one, that there is not."""
        return {FAILED: why, "run": self.run}

    def died(self, part: str, why: str) -> None:
        """Book the death of a part's process to what it was measuring."""
        now = self.held.get("now")
        self.fail(part, now[1] if now else "before any figure", why)

    def leave_out(self, what: str) -> None:
        """Say what there was no time for."""
        if what not in self.held["left_out"]:
            self.held["left_out"].append(what)
        self._write()

    def take_in(self, what: str) -> None:
        """What was left out is measured after all."""
        if what in self.held["left_out"]:
            self.held["left_out"].remove(what)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text(json.dumps(self.held, indent=1) + "\n")
        os.replace(beside, self.path)
