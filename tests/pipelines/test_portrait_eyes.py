"""Lids, gaze and tight crops, on drawn people and the portrait of scikit-image."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

mediapipe = pytest.importorskip("mediapipe")
data = pytest.importorskip("skimage.data")

from pipelines.identity import IdentityFeatures  # noqa: E402
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.photo.curves import lid_opening  # noqa: E402
from pipelines.photo.detect import find_face, find_meshes  # noqa: E402
from pipelines.photo.geometry import (  # noqa: E402
    LOWER_LID,
    SIDES,
    UPPER_LID,
    Rim,
    measure,
    single,
)
from pipelines.photo.placement import filling  # noqa: E402
from pipelines.portrait.bake import Baked, bake  # noqa: E402
from pipelines.portrait.closed_lid import _lifted  # noqa: E402
from pipelines.portrait.enrol import describe  # noqa: E402
from pipelines.portrait.eye_rims import find_eye_rims  # noqa: E402
from pipelines.portrait.eyeball import paint_eyeballs  # noqa: E402
from pipelines.portrait.render import draw_rgb, shape_weights  # noqa: E402
from pipelines.portrait.rules import SUNK  # noqa: E402
from training.faces import draw_portrait  # noqa: E402
from training.faces.sampling import random_params  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PEOPLE = (-1, 3, 11)  # -1 is the photo, the others are drawn


@cache
def person(seed: int, grey: bool = False) -> tuple[IdentityFeatures, Baked]:
    photo = np.asarray(data.astronaut()) if seed < 0 else draw_portrait(random_params(seed), 512)
    if grey:
        photo = photo.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    identity = describe(photo, find_face(photo), "0" * 64)
    return identity, bake(identity, (512, 512), filling((512, 512)))


def motion(**values: float) -> torch.Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row


def drawn(baked: Baked, **values: float) -> np.ndarray:
    return np.asarray(draw_rgb(baked, motion(**values)).numpy())


def lids(frame: np.ndarray) -> float:
    return lid_opening(find_meshes(frame, most=1)[0].points)


def eye_box(identity: IdentityFeatures) -> tuple[slice, slice]:
    points = (identity.arrays["landmarks"][:, :2] + 1) * 256
    eyes = points[[33, 133, 159, 145, 362, 263, 386, 374]]
    (left, top), (right, bottom) = eyes.min(axis=0), eyes.max(axis=0)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


@pytest.mark.parametrize("grey", [False, True], ids=["colours", "black and white"])
@pytest.mark.parametrize("seed", PEOPLE)
def test_lids_close_for_an_observer(seed: int, grey: bool) -> None:
    _, baked = person(seed, grey)
    rest = lids(drawn(baked))
    half = lids(drawn(baked, eyeBlinkLeft=0.5, eyeBlinkRight=0.5))
    closed = lids(drawn(baked, eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    assert closed < half < rest
    assert closed <= 0.35 * rest, "what the mesh reads on photos of closed eyes"


@pytest.mark.parametrize("seed", PEOPLE)
def test_a_closed_lid_goes_over_into_the_skin_above_it_without_an_outline(seed: int) -> None:
    identity, baked = person(seed)
    closed = drawn(baked, eyeBlinkLeft=1.0, eyeBlinkRight=1.0).astype(float).mean(axis=2)
    points = (identity.arrays["landmarks"][:, :2] + 1) * 256
    for top, low in ((159, 145), (386, 374)):
        x, gap = round(points[top, 0]), points[low, 1] - points[top, 1]
        rows = slice(round(points[top, 1] - 0.5 * gap), round(points[top, 1] + 0.5 * gap))
        down = closed[rows, x - 2 : x + 3].mean(axis=1)
        # lashes left over above the lid would be half as bright as the skin; a crease is not
        assert down.min() > 0.75 * np.median(down)


def test_upper_lids_rise_with_the_gaze_unless_they_are_shut() -> None:
    up = {"gazePitch": 15.0}
    wide = [BLENDSHAPES.index(f"eyeWide{side}") for side in ("Right", "Left")]
    weights = [
        shape_weights(motion(**values).tolist())[0, wide].tolist()
        for values in (up, {"gazePitch": -15.0}, up | {"eyeBlinkRight": 1.0, "eyeBlinkLeft": 1.0})
    ]
    assert weights == [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
    still = up | {"eyeWideRight": -0.5, "eyeWideLeft": -0.5}  # takes it back
    baked = person(3)[1]
    assert lids(drawn(baked, **up)) > lids(drawn(baked, **still))


@pytest.mark.parametrize("seed", PEOPLE)
def test_eyes_taken_apart_add_up_to_the_photo(seed: int) -> None:
    identity, baked = person(seed)
    box = eye_box(identity)
    wrong = np.abs(drawn(baked)[box].astype(float) - identity.arrays["canvas"][box])
    # rims are redrawn with soft edges, a pixel or two wide: 1.2 on the photo, 3.6 on drawn lids
    assert wrong.mean() < 4.5
    assert np.quantile(wrong, 0.7) < 1.0, "the eye itself is the photo's"


def test_the_catch_light_stays_while_the_iris_moves() -> None:
    for seed in PEOPLE:
        light = person(seed)[1].eyeballs[4:6, ..., :3].float().amax(dim=-1)
        if light.max() > 40:
            break
    else:
        pytest.fail("somebody's eyes mirror a light")
    corners = person(seed)[1].eye_corners
    eye = int(light.flatten(1).amax(dim=1).argmax())
    at = divmod(int(light[eye].argmax()), light.shape[-1])
    row, column = at[0] + corners[eye][1], at[1] + corners[eye][0]
    around = slice(row - 4, row + 5), slice(column - 4, column + 5)
    for yaw in (0.0, 4.0, -4.0):  # the light stays on an iris that moves a quarter of its width
        near = drawn(person(seed)[1], gazeYaw=yaw)[around].mean(axis=2)
        brightest = np.unravel_index(near.argmax(), near.shape)
        assert np.hypot(brightest[0] - 4, brightest[1] - 4) <= 2.0


def test_a_tight_crop_is_completed_without_stripes() -> None:
    photo = np.asarray(data.astronaut())
    points = find_face(photo).points[:, :2]
    (left, top), (right, bottom) = points.min(axis=0) - 4, points.max(axis=0) + 4
    tight = np.ascontiguousarray(photo[int(top) : int(bottom), int(left) : int(right)])
    face = find_face(tight)
    identity = describe(tight, face, "0" * 64)
    canvas = identity.arrays["canvas"].astype(float)
    matte = identity.arrays["matte"]
    assert (matte[-1] > 127).mean() > 0.6, "neck and shoulders reach the edge"
    across = np.abs(np.diff(canvas[-20:].mean(axis=(0, 2))))
    assert np.quantile(across, 0.95) < 6.0, "no stripe has an edge down here"


def test_rims_are_bent_to_the_lids_that_a_mesh_misses() -> None:
    identity, _ = person(-1)
    picture = torch.from_numpy(identity.arrays["canvas"].copy()).permute(2, 0, 1).float() / 255.0
    landmarks = identity.arrays["landmarks"]
    true = find_eye_rims(measure(landmarks), picture).numpy()
    missed = landmarks.copy()
    for side in SIDES:
        top = list(UPPER_LID[side])[1:-1]
        missed[top, 1] -= 0.2 * (landmarks[list(LOWER_LID[side])[1:-1], 1] - landmarks[top, 1])
    found = find_eye_rims(measure(missed), picture).numpy()
    for n, side in enumerate(SIDES):
        wrong = np.abs(measure(missed).eyes[side].upper - true[n, 1])[10:-10]
        assert np.abs(found[n, 1] - true[n, 1])[10:-10].mean() < 0.6 * wrong.mean()


@pytest.mark.parametrize("seed", PEOPLE)
def test_no_iris_is_left_in_the_white_under_it(seed: int) -> None:
    eyeballs = person(seed)[1].eyeballs.float()
    for white, iris in zip(eyeballs[0:2, ..., :3].mean(-1), eyeballs[2:4], strict=True):
        under, shown = iris[..., 3] > 250, iris[..., :3].mean(-1)
        assert under.any()
        assert white[under].quantile(0.02) > 1.3 * shown[under].median()
        assert white[under].std() < 12.0, "no outline either"


def test_a_lid_that_sinks_a_little_is_the_photos_own() -> None:
    _, baked = person(-1)
    sunk = shape_weights(motion(gazePitch=-3.0).tolist())[0]
    wanted = [BLENDSHAPES.index(f"eyeBlink{side}") for side in ("Right", "Left")]
    assert [round(float(sunk[n]), 2) for n in wanted] == [0.06, 0.06]
    closed = shape_weights(motion(eyeBlinkRight=1.0, eyeBlinkLeft=1.0).tolist())[0, wanted]
    assert closed.max() <= SUNK, "the rest of the way is the painted lid's"
    rest, looked = (lids(drawn(baked, gazePitch=pitch)) for pitch in (0.0, -12.0))
    assert looked < 0.95 * rest


@pytest.mark.parametrize("seed", [3, 11])
def test_the_lid_of_an_eye_wide_open_is_not_cut_off_in_a_line(seed: int) -> None:
    """It has faded out by the top of its picture, however far above the eye it would reach."""
    identity, baked = person(seed)
    face = baked.face
    raised = {}
    for side, rim in face.eyes.items():
        u = (rim.x - rim.middle) / rim.half_width
        up = (1.05 * rim.half_width - rim.gap) * (1.0 - u**2)
        raised[side] = Rim(rim.x, single(rim.upper - up), rim.lower)
    picture = identity.tensors["canvas"].permute(2, 0, 1).float() / 255.0
    wide_open = replace(face, eyes=raised)
    for _, top in paint_eyeballs(wide_open, picture).corners:
        picture[:, top : top + 12] *= 0.6  # make-up there, for a lid to cover
    lids = paint_eyeballs(wide_open, picture).pictures[6:]
    assert lids[:, 3].amax() > 0.9  # its share, of all of it
    assert lids[:, 3, 0].amax() < 0.05  # 1.0 and 0.57 before


def test_both_eyes_close_alike() -> None:
    for seed in PEOPLE:
        frame = drawn(person(seed)[1], eyeBlinkLeft=0.5, eyeBlinkRight=0.5)
        rest = find_meshes(drawn(person(seed)[1]), most=1)[0].points
        half = find_meshes(frame, most=1)[0].points
        left = [
            np.linalg.norm(half[up] - half[low]) / np.linalg.norm(rest[up] - rest[low])
            for up, low in ((159, 145), (386, 374))
        ]
        assert abs(left[0] - left[1]) < 0.25


def test_a_lid_out_of_a_grey_socket_has_the_hue_of_the_face() -> None:
    face = torch.tensor([0.80, 0.55, 0.45])
    socket = torch.tensor([0.45, 0.40, 0.38])[:, None, None].expand(3, 20, 20)
    below = np.broadcast_to(np.linspace(-10.0, 9.0, 20, dtype=np.float32)[:, None], (20, 20))
    gap, room = np.full((20, 20), 20.0, np.float32), np.full((20, 20), 8.0, np.float32)
    lid = (socket * _lifted(socket, face, below, gap, room))[:, -1, 0]
    assert 0.43 < float(lid.mean()) < 0.59  # lighter, not as light as the face
    assert float(lid[0] / lid[2]) == pytest.approx(0.80 / 0.45, rel=0.08)
