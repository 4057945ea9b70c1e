"""What `anitalker` shows and says before a session: the preview clip, and advice at enrolment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from pipelines import weights
from pipelines.anitalker.config import AniTalkerOptions
from pipelines.anitalker.system import SYSTEM
from pipelines.identity import IdentityFeatures
from pipelines.motion.preview import FRAMES, SIDE
from pipelines.photo.detect import find_face
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import Material, Previews, QuietProgress
from tests.support.small import write_weights

OPTIONS = AniTalkerOptions()
PHOTO = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder: Path = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        patch.setattr(weights, "shipped_weights_dir", lambda: folder / "shipped")
        yield folder


def enrolled(photo: Path, folder: Path) -> IdentityFeatures:
    return SYSTEM.enrol(Material(photo=photo), OPTIONS, QuietProgress(folder))


def cut_close(folder: Path) -> Path:
    """The photo cut at the forehead, the ears and the chin."""
    picture = np.asarray(Image.open(PHOTO).convert("RGB"))
    points = find_face(picture).points[:468, :2]
    left, top = (max(0, int(v)) for v in points.min(axis=0))
    right, bottom = (int(v) for v in points.max(axis=0))
    Image.fromarray(picture[top:bottom, left:right]).save(folder / "close.png")
    return folder / "close.png"


def test_a_preview_begins_at_rest_moves_and_is_as_sessions_draw_it(folder: Path) -> None:
    assert isinstance(SYSTEM, Previews)
    identity = enrolled(PHOTO, folder)
    frames = list(SYSTEM.preview(identity, OPTIONS))
    assert len(frames) == FRAMES
    assert {frame.shape for frame in frames} == {(SIDE, SIDE, 3)}
    photo = Image.fromarray(identity.preview).resize((SIDE, SIDE), Image.Resampling.BOX)
    away = [np.abs(frame.astype(int) - np.asarray(photo)).mean() for frame in frames]
    assert away[0] < 3.0, "at rest a frame is the photo"
    assert max(away) > 2 * away[0]


def test_weights_whose_codes_we_cannot_speak_have_no_preview(folder: Path) -> None:
    identity = enrolled(PHOTO, folder)
    other = load_file(folder / "anitalker-motion.safetensors")
    kind = {"kind": "anitalker-motion", "codes": "of another training"}
    save_file(other, folder / "other-motion.safetensors", kind)
    renderer = load_file(folder / "anitalker-renderer.safetensors")
    kind = {"kind": "anitalker-renderer", "codes": "of this one"}
    save_file(renderer, folder / "own-renderer.safetensors", kind)
    options = AniTalkerOptions(renderer_weights="own-renderer", motion_weights="other-motion")
    with pytest.raises(EnrolmentError, match="no preview"):
        next(SYSTEM.preview(identity, options))


def test_a_photo_cut_close_is_completed_and_said(folder: Path, tmp_path: Path) -> None:
    assert "tight" not in json.loads(enrolled(PHOTO, folder).meta.get("advice", "[]"))
    identity = enrolled(cut_close(tmp_path), folder)
    assert "tight" in dict(json.loads(identity.meta["advice"]))
    canvas = identity.arrays["canvas"].astype(int)
    beside = canvas[:, : len(canvas) // 16]  # made up
    assert np.abs(np.diff(beside, axis=0)).max() < 12, "an edge's pixels spread out are stripes"
