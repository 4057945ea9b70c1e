"""A pipeline whose enrolment goes exactly as far as a test lets it, and can be made to fail."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.identity import IdentityFeatures, content_key
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import Control, Material, Pipeline, Progress, Size

STAGES = 4


@dataclass(frozen=True, kw_only=True)
class GatedOptions:
    """gate: folder in which a file named "0", "1", ... lets that stage begin; "fate" may hold
    "crash", "refuse", "stall" or "break" (once), which happens in the last stage. Stages done are
    in "log"."""

    gate: Path = Path()


class GatedSystem:
    """See `pipelines.pipeline.System`."""

    name = "gated"
    summary = "enrols when told"
    sizes: tuple[Size, ...] = ((64, 64), (320, 180))
    controls = (Control("warmth", "How warm the picture is", low=0.0, high=10.0, default=5.0),)
    motion_names = ("stage",)
    accepts = frozenset({"photo", "video", "source"})
    Options = GatedOptions

    def key(self, material: Material, options: GatedOptions) -> str:
        return content_key(material.digest().encode(), "whole", self.name, 1)

    def enrol(
        self, material: Material, options: GatedOptions, progress: Progress
    ) -> IdentityFeatures:
        for stage in range(STAGES):
            done = progress.folder / str(stage)
            if done.exists():
                continue
            if stage == STAGES - 1:
                self._meet_fate(options.gate)
            while not (options.gate / str(stage)).exists():
                progress(stage / STAGES, f"stage {stage}")
                time.sleep(0.01)
            with (options.gate / "log").open("a") as log:
                log.write(f"{stage}\n")
            done.touch()
        preview = np.full((64, 64, 3), 200, np.uint8)
        return IdentityFeatures(self.key(material, options), {"preview": preview}, {})

    @staticmethod
    def _meet_fate(gate: Path) -> None:
        fate = (gate / "fate").read_text() if (gate / "fate").exists() else ""
        if fate == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fate == "stall":
            time.sleep(600)
        elif fate == "break":
            (gate / "fate").unlink()
            raise RuntimeError("a fault of this pipeline")
        elif fate == "refuse":
            raise EnrolmentError("no_face", "There is nobody in it.")

    def build(self, slots: int, options: GatedOptions, device: str) -> Pipeline:
        raise ValueError("the gated pipeline draws nothing")


SYSTEM = GatedSystem()
