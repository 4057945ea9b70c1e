"""What the renderer promises, on the public-domain portrait of scikit-image."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

mediapipe = pytest.importorskip("mediapipe")
data = pytest.importorskip("skimage.data")

from kernels.i420 import rgb_to_i420  # noqa: E402
from pipelines.batch import Batch  # noqa: E402
from pipelines.identity import IdentityFeatures, IdentityStore  # noqa: E402
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.photo.placement import Placement, filling  # noqa: E402
from pipelines.pipeline import Size  # noqa: E402
from pipelines.portrait import draw_tensors  # noqa: E402
from pipelines.portrait.bake import Baked, bake  # noqa: E402
from pipelines.portrait.enrol import enrol  # noqa: E402
from pipelines.portrait.render import (  # noqa: E402
    PortraitRenderer,
    draw_i420,
    draw_rgb,
    planned,
)
from pipelines.portrait.system import SYSTEM  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def motion(**values: float) -> Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row


def features(pixels: np.ndarray) -> IdentityFeatures:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    photo = buffer.getvalue()
    return enrol(photo, hashlib.sha256(photo).hexdigest())


@pytest.fixture(scope="module")
def identity() -> IdentityFeatures:
    return features(np.asarray(data.astronaut()))


@pytest.fixture(scope="module")
def mirrored() -> IdentityFeatures:
    return features(np.asarray(data.astronaut())[:, ::-1].copy())


def baked_at(identity: IdentityFeatures, size: int) -> Baked:
    return bake(identity, (size, size), filling((size, size)))


@pytest.fixture(scope="module")
def baked(identity: IdentityFeatures) -> Baked:
    return baked_at(identity, 512)


def drawn(baked: Baked, **values: float) -> np.ndarray:
    return np.asarray(draw_rgb(baked, motion(**values)).numpy()).astype(np.float64)


def planes(baked: Baked, row: Tensor) -> Tensor:
    width, height = baked.size
    held = torch.zeros(1, height * 3 // 2, width, dtype=torch.uint8)
    draw_i420(baked, row, held)
    return held


def mouth_box(identity: IdentityFeatures, margin: float = 0.0) -> tuple[slice, slice]:
    points = (identity.arrays["landmarks"][:, :2] + 1) * 256
    lips = points[[61, 291, 0, 17]]
    low, high = lips.min(axis=0) - margin, lips.max(axis=0) + margin
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def lip_gap(frame: np.ndarray) -> float:
    """Inner-lip gap over face height, read by the face mesh from pixels."""
    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True
    ) as mesh:
        found = mesh.process(frame.astype(np.uint8)).multi_face_landmarks
    at = [(p.x, p.y) for p in found[0].landmark]
    return math.dist(at[13], at[14]) / math.dist(at[10], at[152])


def test_zero_motion_is_the_photo(baked: Baked, identity: IdentityFeatures) -> None:
    frame = drawn(baked)
    photo = identity.arrays["canvas"].astype(np.float64)
    wrong = (frame - photo) ** 2
    rows, columns = mouth_box(identity, margin=60)  # its smile is closed, cheeks and chin follow
    wrong[rows, columns] = 0.0
    assert 10 * math.log10(255**2 / wrong.mean()) > 38


def test_the_background_is_still(baked: Baked, identity: IdentityFeatures) -> None:
    rest = drawn(baked)
    moved = drawn(baked, headYaw=12, headPitch=8, headRoll=-8, jawOpen=1, headX=0.1, eyeBlinkLeft=1)
    matte = identity.arrays["matte"] > 0
    reach = 60  # pixels that the head travels at most
    near = np.asarray(
        torch.nn.functional.max_pool2d(
            torch.from_numpy(matte.astype(np.float32))[None, None], 2 * reach + 1, 1, reach
        )[0, 0].numpy()
    )
    far = near == 0
    assert far.mean() > 0.05
    assert np.array_equal(rest[far], moved[far])


def test_lips_are_closed_at_rest_and_part_with_the_jaw(baked: Baked) -> None:
    gaps = [lip_gap(drawn(baked, jawOpen=j)) for j in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert gaps[0] < 0.006  # though the photo smiles with teeth
    assert all(b > a for a, b in pairwise(gaps))
    assert np.corrcoef(gaps, [0.0, 0.25, 0.5, 0.75, 1.0])[0, 1] > 0.97
    assert 0.14 < gaps[-1] < 0.21


def test_the_lips_close_while_the_jaw_is_open(baked: Baked) -> None:
    assert lip_gap(drawn(baked, jawOpen=0.5, mouthClose=0.5)) < 0.006
    pressed = {"mouthPressLeft": 0.6, "mouthPressRight": 0.6}
    assert lip_gap(drawn(baked, **pressed)) < 0.006


@pytest.mark.parametrize("name", ["mouthPressLeft", "mouthRollUpper", "mouthRollLower"])
def test_lips_that_roll_in_leave_the_eyes_alone(
    baked: Baked, identity: IdentityFeatures, name: str
) -> None:
    rest, moved = drawn(baked), drawn(baked, **{name: 1.0})
    points = (identity.arrays["landmarks"][:, :2] + 1) * 256
    eyes = points[[33, 133, 159, 145, 362, 263, 386, 374]]
    (left, top), (right, bottom) = eyes.min(axis=0) - 6, eyes.max(axis=0) + 6
    box = slice(int(top), int(bottom)), slice(int(left), int(right))
    assert np.abs(moved[box] - rest[box]).max() < 8


@pytest.mark.parametrize("name", BLENDSHAPES)
def test_every_blendshape_shows(baked: Baked, name: str) -> None:
    base = {"jawOpen": 0.3} if name in ("tongueOut", "mouthClose") else {}
    rest, moved = drawn(baked, **base), drawn(baked, **{**base, name: 1.0})
    assert np.abs(moved - rest).max() > 20


@pytest.mark.parametrize("name", [n for n in BLENDSHAPES if n.endswith("Left")])
def test_left_is_the_subjects_left(baked: Baked, identity: IdentityFeatures, name: str) -> None:
    if name in ("jawLeft", "mouthLeft"):
        return  # these move both sides
    difference = np.abs(drawn(baked, **{name: 1.0}) - drawn(baked)).sum(axis=2)
    middle = int((identity.tensors["landmarks"][1, 0] + 1) * 256)
    assert difference[:, middle:].sum() > 1.5 * difference[:, :middle].sum()


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("headYaw", 0, 1), ("headPitch", 1, -1), ("headX", 0, 1), ("headY", 1, 1)],
)
def test_poses_go_the_right_way(baked: Baked, name: str, axis: int, sign: int) -> None:
    amount = 10.0 if name in ("headYaw", "headPitch") else 0.2
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:
        tips = []
        for frame in (drawn(baked), drawn(baked, **{name: amount})):
            nose = mesh.process(frame.astype(np.uint8)).multi_face_landmarks[0].landmark[1]
            tips.append((nose.x * 512, nose.y * 512))
    assert sign * (tips[1][axis] - tips[0][axis]) > 5


@pytest.mark.parametrize("name", ["jawOpen", "mouthPucker", "headYaw", "eyeBlinkLeft", "gazeYaw"])
def test_a_tiny_change_of_motion_is_a_tiny_change_of_picture(baked: Baked, name: str) -> None:
    unit = 20.0 if name in ("headYaw", "gazeYaw") else 1.0
    steps = [0.30, 0.31, 0.32, 0.33]
    frames = [drawn(baked, **{name: unit * s, "headRoll": 2.0}) for s in steps]
    changes = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    assert max(changes) < 0.6
    assert max(changes) < 2.5 * min(changes) + 0.02  # no pops


def test_stored_features_render_the_same(
    baked: Baked, identity: IdentityFeatures, tmp_path: Path
) -> None:
    store = IdentityStore(tmp_path)
    store.save(identity)
    loaded = store.load(identity.key)
    assert baked_at(loaded, 512).face.unit == baked_at(identity, 512).face.unit
    row = motion(jawOpen=0.4, headYaw=5.0, eyeBlinkLeft=0.5)
    assert torch.equal(planes(baked_at(loaded, 512), row), planes(baked, row))


def test_lips_cannot_close_further_than_the_jaw_is_open(baked: Baked) -> None:
    rest = drawn(baked)
    assert np.array_equal(drawn(baked, mouthClose=1.0), rest)


def test_i420_is_the_rgb_converted(baked: Baked) -> None:
    row = motion(jawOpen=0.4, headYaw=5.0)
    rgb = draw_rgb(baked, row)[None].permute(0, 3, 1, 2).float() / 255
    difference = planes(baked, row).int() - rgb_to_i420(rgb.contiguous()).int()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("size", [256, 512])
def test_bytes_are_drawn_as_tensors_are(identity: IdentityFeatures, size: int) -> None:
    """What a CPU draws agrees with the definition, to less than half a step in the mean."""
    baked = baked_at(identity, size)
    chance = np.random.default_rng(size)
    for _ in range(12):
        row = torch.from_numpy(chance.uniform(0.0, 0.7, MOTION_DIM).astype(np.float32))
        row *= torch.from_numpy(chance.random(MOTION_DIM) < 0.3)
        row[MOTION_INDEX["headYaw"] : MOTION_INDEX["headX"]] = torch.from_numpy(
            chance.normal(0.0, 6.0, 3).astype(np.float32)
        )
        with torch.inference_mode():
            frame = planned(baked, row)
            right = draw_tensors.draw_rgb(baked, frame).float()
            wrong = (draw_rgb(baked, row).float() - right).abs().amax(2)[None, None]
            assert wrong.mean() <= 0.5
            assert torch.nn.functional.avg_pool2d(wrong, 8).max() <= 3.0  # of 255
            held = torch.zeros(1, size * 3 // 2, size, dtype=torch.uint8)
            draw_tensors.draw_i420(baked, frame, held)
            assert (planes(baked, row).float() - held.float()).abs().mean() <= 0.5


def test_a_shut_mouth_takes_a_smaller_patch_that_looks_the_same(baked: Baked) -> None:
    whole = replace(baked, mouth=replace(baked.mouth, below=None))
    shares = []
    for jaw in (0.0, 0.4, 1.0):
        row = motion(jawOpen=jaw, headRoll=5.0)
        cut, uncut = (planned(each, row).patches[0] for each in (baked, whole))
        shares.append(cut.cover.size / uncut.cover.size)
        kept = cut.cover.shape[0]
        assert uncut.cover[kept:].min(initial=1.0) == 1.0  # nothing but skin is cut off
        wrong = (draw_rgb(baked, row).float() - draw_rgb(whole, row).float()).abs().amax(2)
        assert wrong.mean() < 0.05
        assert torch.nn.functional.avg_pool2d(wrong[None, None], 8).max() <= 3.0  # of 255
    assert shares[0] < 0.65
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("size", "placement"),
    [
        ((720, 720), Placement(0, 0, 720)),
        ((300, 300), Placement(0, 0, 300)),
        ((640, 360), Placement(180, 40, 300)),
        ((640, 360), Placement(130, -30, 420)),
        ((200, 240), Placement(-60, 20, 360)),
    ],
    ids=str,
)
def test_a_canvas_is_drawn_where_it_is_placed(
    identity: IdentityFeatures, size: Size, placement: Placement
) -> None:
    row = motion(jawOpen=0.6, headYaw=5.0, eyeBlinkLeft=0.7, browInnerUp=0.5)
    placed, alone = bake(identity, size, placement), baked_at(identity, placement.side)
    frame, rest = draw_rgb(placed, row).int(), draw_rgb(alone, row).int()
    here, there = placed.visible, canvas_part(placed)
    difference = (frame[here] - rest[there]).abs().float()
    assert difference.mean() < 0.2  # lattices begin elsewhere, so that bytes differ a little
    assert difference.max() < 40
    outside = torch.ones(frame.shape[:2], dtype=torch.bool)
    outside[here] = False
    assert torch.equal(frame[outside], placed.behind[outside].int())
    with torch.inference_mode():
        right = draw_tensors.draw_rgb(placed, planned(placed, row)).int()
    assert (frame - right).abs().float().mean() <= 0.5
    rgb = frame.permute(2, 0, 1)[None].float() / 255
    assert (planes(placed, row).int() - rgb_to_i420(rgb.contiguous()).int()).abs().max() <= 2


def canvas_part(baked: Baked) -> tuple[slice, slice]:
    """What is visible of the canvas, in the canvas."""
    rows, columns = baked.visible
    left, top = baked.placement.left, baked.placement.top
    return slice(rows.start - top, rows.stop - top), slice(
        columns.start - left, columns.stop - left
    )


def test_a_person_is_continued_where_the_edge_of_the_photo_cuts_it(
    baked: Baked, identity: IdentityFeatures
) -> None:
    margin = baked.margin
    alpha = baked.person[..., 3].numpy()
    matte = identity.arrays["matte"]
    assert np.array_equal(alpha[margin:-margin, margin:-margin], matte)
    below, beside = alpha[-margin:, margin:-margin], alpha[margin:-margin, :margin]
    assert (below[0] == 255).sum() > 0.9 * (matte[-1] == 255).sum()
    near = np.convolve(matte[:, 0] > 0, np.ones(2 * margin + 1), "same") > 0
    assert not beside[~near].any()


def test_a_placement_is_even_and_in_the_frame(identity: IdentityFeatures) -> None:
    with pytest.raises(ValueError, match="even"):
        Placement(1, 0, 256)
    with pytest.raises(ValueError, match="outside"):
        bake(identity, (256, 256), Placement(256, 0, 256))


def test_the_small_size_shows_the_same_picture(baked: Baked, identity: IdentityFeatures) -> None:
    small = baked_at(identity, 256)
    row = {"jawOpen": 0.5, "headYaw": 6.0, "eyeBlinkLeft": 0.5}
    little = drawn(small, **row)
    large = drawn(baked, **row).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert little.shape == (256, 256, 3)
    assert np.abs(little - large).mean() < 2.0


@pytest.mark.parametrize("extreme", [1.0, -1.0])
def test_extreme_motion_stays_a_picture(baked: Baked, extreme: float) -> None:
    row = torch.full((MOTION_DIM,), extreme)
    row[MOTION_INDEX["headYaw"] :] = 15 * extreme
    row[MOTION_INDEX["headX"] : MOTION_INDEX["headZ"] + 1] = 0.3 * extreme
    frame = draw_rgb(baked, row)
    assert frame.shape == (512, 512, 3)
    assert frame.float().std() > 20


def test_the_renderer_draws_each_slot_into_its_row(
    identity: IdentityFeatures, mirrored: IdentityFeatures, baked: Baked
) -> None:
    renderer, batch = PortraitRenderer(3, SYSTEM.sizes), Batch.of(3, SYSTEM.sizes, MOTION_DIM)
    renderer.set_identity(0, identity, SYSTEM.sizes)
    renderer.set_identity(2, mirrored, SYSTEM.sizes)
    rows = torch.stack([motion(jawOpen=0.4), motion(), motion(headYaw=6.0)])
    batch.size[:] = (512, 512), (512, 512), (256, 256)
    active = torch.tensor([True, False, True])
    renderer.step(rows, renderer.init_state(3), active, [2, 0], batch)
    assert np.array_equal(batch.picture(0), planes(baked, rows[0])[0])
    assert np.array_equal(batch.picture(2), planes(baked_at(mirrored, 256), rows[2])[0])
    assert not batch.planes[1].any()
    renderer.still(0, batch)
    assert np.array_equal(batch.picture(0), planes(baked, motion())[0])
    renderer.set_identity(0, mirrored, SYSTEM.sizes)
    renderer.still(0, batch)
    assert np.array_equal(batch.picture(0), planes(baked_at(mirrored, 512), motion())[0])


def test_wrong_calls_say_what_is_wrong(identity: IdentityFeatures, baked: Baked) -> None:
    renderer, batch = PortraitRenderer(1, SYSTEM.sizes), Batch.of(1, SYSTEM.sizes, MOTION_DIM)
    batch.size[:] = 512
    with pytest.raises(ValueError, match="no identity"):
        renderer.still(0, batch)
    renderer.set_identity(0, identity, SYSTEM.sizes[:1])
    with pytest.raises(ValueError, match="not prepared for 512 x 512"):
        renderer.still(0, batch)
    with pytest.raises(ValueError, match="square"):
        renderer.prepare(identity, (320, 180))
    with pytest.raises(ValueError, match="motion must be"):
        draw_rgb(baked, torch.zeros(1, MOTION_DIM))
