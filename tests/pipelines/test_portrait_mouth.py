"""The opening mouth of `portrait`: fields that never fold, lips that part from their middle, and
what lies behind them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mediapipe")
data = pytest.importorskip("skimage.data")

from pipelines.identity import IdentityFeatures  # noqa: E402
from pipelines.motion.reading import gap_of  # noqa: E402
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.photo.curves import lip_gap  # noqa: E402
from pipelines.photo.detect import find_face  # noqa: E402
from pipelines.photo.geometry import Array, Face, Mask  # noqa: E402
from pipelines.photo.placement import filling  # noqa: E402
from pipelines.portrait.bake import Baked, bake  # noqa: E402
from pipelines.portrait.basis import basis  # noqa: E402
from pipelines.portrait.enrol import enrol  # noqa: E402
from pipelines.portrait.lips_and_lids import Patch, trace  # noqa: E402
from pipelines.portrait.mouth import SHAPES  # noqa: E402
from pipelines.portrait.pose import head_pose  # noqa: E402
from pipelines.portrait.render import draw_rgb, shape_weights  # noqa: E402
from pipelines.portrait.rules import FIELDS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
CAST = Path(__file__).parents[2] / "cast"


def photo(name: str) -> bytes:
    if name == "astronaut":
        picture = Image.fromarray(np.asarray(data.astronaut()))
    else:
        picture = Image.open(CAST / f"{name.removeprefix('grey ')}.png")
    out = io.BytesIO()
    picture.convert("L" if name.startswith("grey") else "RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def identities() -> dict[str, IdentityFeatures]:
    names = ("amara", "walter", "mei", "astronaut", "grey amara")
    return {name: enrol(photo(name), name) for name in names}


@pytest.fixture(scope="module")
def faces(identities: dict[str, IdentityFeatures]) -> dict[str, Baked]:
    return {
        name: bake(identity, (512, 512), filling((512, 512)))
        for name, identity in identities.items()
    }


def motion(**values: float) -> torch.Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row


def opening(baked: Baked, **values: float) -> Patch:
    row = motion(**values)
    pose = head_pose(row.tolist(), baked.face)
    return trace(baked.mouth, shape_weights(row), pose, baked.placement)[0]


def fields(face: Face, layer: str) -> tuple[Array, Mask, float]:
    """Fields of the layer around the mouth [K, 4, h, w], where the layer lies [h, w], the step."""
    step = 0.006  # face units: about two pixels
    x, y = np.meshgrid(np.arange(-0.42, 0.42, step), np.arange(-0.45, 0.55, step))
    x, y = x.astype(np.float32), y.astype(np.float32)
    found = basis(face, x.ravel(), y.ravel(), layer, "auto").reshape(-1, 4, *x.shape)
    rim = face.mouth
    own = y < rim.upper_at(x) if layer == "upper" else y > rim.lower_at(x)
    return found, own, step


def least_area(field: Array, own: Mask, step: float) -> float:
    """What is left of the area of the layer where it shrinks most; below 0 it folds over."""
    (dx_y, dx_x), (dy_y, dy_x) = (np.gradient(field[i], step) for i in (0, 1))
    inside = own[1:-1, 1:-1] & own[2:, 1:-1] & own[:-2, 1:-1]
    area = (1 + dx_x) * (1 + dy_y) - dx_y * dy_x
    return float(area[1:-1, 1:-1][inside].min())


EXTREMES = {
    "wide": {"jawOpen": 1.0, "mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0},
    "round": {"jawOpen": 0.4, "mouthFunnel": 1.0, "mouthPucker": 1.0},
    "spread": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "mouthSmileLeft": 1.0,
               "mouthSmileRight": 1.0, "jawOpen": 0.5},
    "pressed": {"jawOpen": 0.3, "mouthClose": 0.3, "mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "tucked": {"jawOpen": 0.1, "mouthRollLower": 1.0, "mouthUpperUpLeft": 0.5,
               "mouthUpperUpRight": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("layer", ["upper", "lower"])
def test_no_shape_folds_the_skin(faces: dict[str, Baked], layer: str) -> None:
    for name in ("amara", "walter", "mei", "astronaut"):
        found, own, step = fields(faces[name].face, layer)
        for shape in SHAPES:
            if shape == "mouthClose":  # undoes jawOpen, and is never without it
                continue
            area = least_area(found[FIELDS.index(shape)], own, step)
            assert area > 0.05, (name, shape, area)
        for extreme, values in EXTREMES.items():
            weights = shape_weights(motion(**values))[0]
            area = least_area(np.tensordot(weights, found, 1), own, step)
            assert area > 0.0, (name, extreme, area)


def columns(patch: Patch) -> tuple[int, int]:
    """How many columns of the mouth's patch show what is behind the lips, and their middle."""
    bare = np.flatnonzero((patch.cover < 0.5).any(axis=0))
    return (len(bare), int(bare.mean())) if len(bare) else (0, patch.cover.shape[1] // 2)


@pytest.mark.parametrize("name", ["amara", "walter", "astronaut"])
def test_lips_part_in_the_middle_first(faces: dict[str, Baked], name: str) -> None:
    baked = faces[name]
    wide = 2 * baked.face.mouth.half_width * baked.face.unit * baked.placement.side / 2  # pixels
    assert columns(opening(baked))[0] == 0
    little, _ = columns(opening(baked, jawOpen=0.08))
    much, _ = columns(opening(baked, jawOpen=0.4))
    assert 0.25 * wide < little < 0.80 * wide  # held together towards the corners
    assert much > little + 0.1 * wide


def test_gaps_are_those_that_motion_was_calibrated_on(faces: dict[str, Baked]) -> None:
    """`reading` is what the motion network's targets came from: its rms error is 0.003. One face
    may differ from the mean of three by twice the most that was seen, 0.006; a single reading by
    0.009 more, which is how far a mesh jumps between two openings of one face."""
    for name in ("amara", "mei"):
        errors = []
        for jaw in (0.20, 0.30, 0.45, 0.55):
            read = lip_gap(find_face(draw_rgb(faces[name], motion(jawOpen=jaw)).numpy()).points)
            errors.append(read - float(gap_of(np.array(jaw))))
        assert abs(np.mean(errors)) < 0.008, (name, errors)
        assert np.abs(errors).max() < 0.021, (name, errors)


def test_a_grey_photo_keeps_a_grey_mouth(faces: dict[str, Baked]) -> None:
    frame = draw_rgb(faces["grey amara"], motion(jawOpen=0.8)).numpy().astype(int)
    colour = draw_rgb(faces["amara"], motion(jawOpen=0.8)).numpy().astype(int)
    assert np.ptp(frame, axis=2).max() <= 3  # rounding, each channel by itself
    assert np.ptp(colour, axis=2).max() > 60


@pytest.mark.parametrize("name", ["amara", "walter", "astronaut"])
def test_light_falls_into_an_open_mouth(faces: dict[str, Baked], name: str) -> None:
    """Nothing in it is black, and a wide opening lets more in than a narrow one."""
    levels = {}
    for jaw in (0.25, 0.7):
        patch = opening(faces[name], jawOpen=jaw)
        frame = draw_rgb(faces[name], motion(jawOpen=jaw)).float().mean(2)[patch.box]
        inside = frame[patch.cover < 0.01]
        levels[jaw] = inside.quantile(0.05)
        assert inside.min() > 6  # of 255; pure black is 0
        assert inside.max() > 2.5 * inside.min()  # teeth stand out
    middle = patch.cover.shape[1] // 2
    column = frame[:, middle][patch.cover[:, middle] < 0.01]
    third = len(column) // 3
    assert column[:third].max() > 1.3 * column[third : 2 * third].min()  # upper teeth
    assert column[2 * third :].max() > 1.3 * column[third : 2 * third].min()  # lower teeth


def test_lips_keep_their_dark_line_only_while_they_touch(faces: dict[str, Baked]) -> None:
    """Their edge is as bright as the lip further out (0.6 of it at least) once they have parted."""
    baked = faces["amara"]
    patch = opening(baked, jawOpen=0.4)
    frame = draw_rgb(baked, motion(jawOpen=0.4)).float().mean(2)[patch.box]
    middle = patch.cover.shape[1] // 2
    lower = patch.inside[1, :, middle]
    edge = frame[:, middle][(lower > 0.5) & (lower < 2.5)].min()
    further = frame[:, middle][(lower > 4) & (lower < 8)].mean()
    assert edge > 0.6 * further
