"""What the `portrait` system learns from a video of the person talking: how they move their lips,
and, where no photo was given, what they look like."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.learnt import Learnt
from pipelines.motion.diffusion import load_motion
from pipelines.motion.own_style import NO_STYLE, fit
from pipelines.photo.curves import Curves
from pipelines.photo.decode import Image8
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.sound import require_sound
from pipelines.photo.video.study import Study, choose_photo, read_photo, study
from pipelines.pipeline import PartOf, Progress, file_digest
from pipelines.weights import weights_digest

_LOOKED_THROUGH = 0.85  # of the work
MAX_YAW_DEG = 30.0  # lips of faces turned further are not learnt from


def learn(video: Path, with_photo: bool, weights: str, progress: Progress) -> Learnt:
    """Learn from a video; `with_photo`: its picture is wanted too, for there is no photo.

    A video that was looked through before an interruption is not looked through again.

    Raises:
        EnrolmentError: it cannot be used; nothing can be learnt from a silent one, which is no
            matter where its picture is wanted.
        EnrolmentCancelled: as `progress` said.
    """
    found = _studied(video, PartOf(progress, 0.0, _LOOKED_THROUGH))
    photo = _jpeg(read_photo(video, choose_photo(found))) if with_photo else None
    progress(_LOOKED_THROUGH, "learning how the lips move")
    style, note = NO_STYLE, ""
    try:
        sound = require_sound(found.sound)
        gap = np.where(np.abs(found.curves.yaw_deg) < MAX_YAW_DEG, found.curves.gap, np.nan)
        fitted = fit(gap, sound, load_motion(weights), PartOf(progress, _LOOKED_THROUGH, 0.95))
        style, note = fitted.style, fitted.describe()
    except EnrolmentError as error:
        if not with_photo:
            raise
        note = f"{error} Its picture is used as the photo."
    return Learnt(style, weights_digest(weights), file_digest(video), photo, note)


def _studied(video: Path, progress: Progress) -> Study:
    """What is seen and heard in a video, kept in the enrolment's folder."""
    kept = progress.folder / "study.npz"
    if kept.exists():
        with np.load(kept) as held:
            arrays = dict(held)
        sound = arrays.pop("sound", None)
        sharpness = arrays.pop("sharpness")
        return Study(Curves(**arrays), sharpness, sound)
    found = study(video, progress)
    named = {field.name: getattr(found.curves, field.name) for field in fields(Curves)}
    named |= {"sharpness": found.sharpness}
    if found.sound is not None:
        named["sound"] = found.sound
    part = kept.with_name("study.part.npz")
    np.savez(part, **named)
    part.replace(kept)
    return found


def _jpeg(picture: Image8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()
