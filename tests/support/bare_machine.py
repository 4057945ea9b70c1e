"""Run as a program: refuses what a bare machine lacks, then does what it is told.

    python bare_machine.py CODE

A bare machine has torch, triton, numpy and safetensors, with what torch itself needs, and nothing
else. What tries to import more is told, and by which of our modules.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

OURS = {"kernels", "pipelines", "benchmarks"}
THERE = {"torch", "triton", "numpy", "safetensors"}


def needed_by(names: set[str]) -> set[str]:
    """Names of distributions that these need, and those in turn, without extras."""
    found, waiting = set(names), list(names)
    while waiting:
        try:
            needs = metadata.requires(waiting.pop()) or []
        except metadata.PackageNotFoundError:
            continue
        for need in needs:
            name = re.split(r"[\s;<>=!~\[(]", need, maxsplit=1)[0]
            if "extra ==" not in need and name not in found:
                found.add(name)
                waiting.append(name)
    return found


def modules_of(distributions: set[str]) -> set[str]:
    """Top-level modules of distributions."""
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", owner).lower() in wanted for owner in owners)
    }


class Refuse(MetaPathFinder):
    """Lets nothing through that is installed here but what is allowed."""

    def __init__(self, allowed: set[str]) -> None:
        self.refused = metadata.packages_distributions().keys() - allowed

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in self.refused:
            return None
        return ModuleSpec(name, Missing())  # who only asks whether it is there is not stopped


class Missing(Loader):
    """Of a module that is not there."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        way = [f for f in traceback.extract_stack() if f.filename.startswith(str(Path.cwd()))]
        by = [f"{f.filename}:{f.lineno}" for f in way if f.filename != __file__]
        wanted = f"a bare machine has no {spec.name}; {by[-1] if by else 'something'} wants it"
        raise ModuleNotFoundError(wanted, name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        raise AssertionError("there is none")


if __name__ == "__main__":
    code = sys.argv.pop(1)
    sys.meta_path.insert(0, Refuse(OURS | modules_of(needed_by(THERE))))
    sys.path.insert(0, ".")
    exec(compile(code, "<bare machine>", "exec"))
