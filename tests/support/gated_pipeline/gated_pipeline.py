"""A pipeline whose enrolment goes exactly as far as a test lets it, and can be made to fail."""

from __future__ import annotations

import io
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.identity import IdentityFeatures, content_key
from pipelines.learnt import Learnt
from pipelines.motion.style import OwnStyle
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import Control, Material, Pipeline, Progress, Size, file_digest

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
    keeps_video = True
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


class LearnerSystem(GatedSystem):
    """Needs no video once it has learnt from it, nor a photo beside it."""

    name = "learner"
    keeps_video = False

    def key(self, material: Material, options: GatedOptions) -> str:
        if material.learnt is not None:
            return content_key(Learnt.load(material.learnt).video.encode(), "", self.name, 1)
        assert material.video is not None
        return content_key(file_digest(material.video).encode(), "", self.name, 1)

    def enrol(
        self, material: Material, options: GatedOptions, progress: Progress
    ) -> IdentityFeatures:
        made = super().enrol(material, options, progress)
        if material.learnt is not None:
            learnt = Learnt.load(material.learnt)
        else:
            assert material.video is not None
            picture = io.BytesIO()
            Image.new("RGB", (60, 40), (90, 120, 150)).save(picture, "JPEG")
            style = OwnStyle(np.array([0.5, 1.0, 0.0, 0.0], np.float32))
            photo = picture.getvalue() if material.photo is None else None
            learnt = Learnt(style, "", file_digest(material.video), photo, "It was learnt.")
        return IdentityFeatures(made.key, made.arrays | learnt.arrays(), learnt.meta())


SYSTEM = GatedSystem()
LEARNER = LearnerSystem()
