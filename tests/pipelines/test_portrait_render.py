"""What the renderer promises, on the public-domain portrait of scikit-image."""

from __future__ import annotations

import io
import math
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
from pipelines.identity import IdentityFeatures, IdentityStore  # noqa: E402
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.portrait.bake import bake  # noqa: E402
from pipelines.portrait.enrol import enrol  # noqa: E402
from pipelines.portrait.render import PortraitRenderer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def motion(**values: float) -> Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row[None]


def features(pixels: np.ndarray) -> IdentityFeatures:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return enrol(buffer.getvalue())


@pytest.fixture(scope="module")
def identity() -> IdentityFeatures:
    return features(np.asarray(data.astronaut()))


@pytest.fixture(scope="module")
def mirrored() -> IdentityFeatures:
    return features(np.asarray(data.astronaut())[:, ::-1].copy())


@pytest.fixture(scope="module")
def renderer(identity: IdentityFeatures) -> PortraitRenderer:
    renderer = PortraitRenderer(1)
    renderer.set_identity(0, identity)
    return renderer


def drawn(renderer: PortraitRenderer, **values: float) -> np.ndarray:
    return np.asarray(renderer.render_rgb(motion(**values), [0])[0].numpy()).astype(np.float64)


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


def test_zero_motion_is_the_photo(renderer: PortraitRenderer, identity: IdentityFeatures) -> None:
    frame = drawn(renderer)
    photo = identity.arrays["canvas"].astype(np.float64)
    wrong = (frame - photo) ** 2
    rows, columns = mouth_box(identity, margin=60)  # its smile is closed, cheeks and chin follow
    wrong[rows, columns] = 0.0
    assert 10 * math.log10(255**2 / wrong.mean()) > 38


def test_the_background_is_still(renderer: PortraitRenderer, identity: IdentityFeatures) -> None:
    rest = drawn(renderer)
    moved = drawn(
        renderer, headYaw=12, headPitch=8, headRoll=-8, jawOpen=1, headX=0.1, eyeBlinkLeft=1
    )
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


def test_lips_are_closed_at_rest_and_part_with_the_jaw(renderer: PortraitRenderer) -> None:
    gaps = [lip_gap(drawn(renderer, jawOpen=j)) for j in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert gaps[0] < 0.006  # though the photo smiles with teeth
    assert all(b > a for a, b in pairwise(gaps))
    assert np.corrcoef(gaps, [0.0, 0.25, 0.5, 0.75, 1.0])[0, 1] > 0.97
    assert 0.14 < gaps[-1] < 0.21


def test_the_lips_close_while_the_jaw_is_open(renderer: PortraitRenderer) -> None:
    assert lip_gap(drawn(renderer, jawOpen=0.5, mouthClose=0.5)) < 0.006
    pressed = {"mouthPressLeft": 0.6, "mouthPressRight": 0.6}
    assert lip_gap(drawn(renderer, **pressed)) < 0.006


@pytest.mark.parametrize("name", ["mouthPressLeft", "mouthRollUpper", "mouthRollLower"])
def test_lips_that_roll_in_leave_the_eyes_alone(
    renderer: PortraitRenderer, identity: IdentityFeatures, name: str
) -> None:
    rest, moved = drawn(renderer), drawn(renderer, **{name: 1.0})
    points = (identity.arrays["landmarks"][:, :2] + 1) * 256
    eyes = points[[33, 133, 159, 145, 362, 263, 386, 374]]
    (left, top), (right, bottom) = eyes.min(axis=0) - 6, eyes.max(axis=0) + 6
    box = slice(int(top), int(bottom)), slice(int(left), int(right))
    assert np.abs(moved[box] - rest[box]).max() < 8


@pytest.mark.parametrize("name", BLENDSHAPES)
def test_every_blendshape_shows(renderer: PortraitRenderer, name: str) -> None:
    base = {"jawOpen": 0.3} if name in ("tongueOut", "mouthClose") else {}
    rest, moved = drawn(renderer, **base), drawn(renderer, **{**base, name: 1.0})
    assert np.abs(moved - rest).max() > 20


@pytest.mark.parametrize("name", [n for n in BLENDSHAPES if n.endswith("Left")])
def test_left_is_the_subjects_left(
    renderer: PortraitRenderer, identity: IdentityFeatures, name: str
) -> None:
    if name in ("jawLeft", "mouthLeft"):
        return  # these move both sides
    difference = np.abs(drawn(renderer, **{name: 1.0}) - drawn(renderer)).sum(axis=2)
    middle = int((identity.tensors["landmarks"][1, 0] + 1) * 256)
    assert difference[:, middle:].sum() > 1.5 * difference[:, :middle].sum()


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("headYaw", 0, 1), ("headPitch", 1, -1), ("headX", 0, 1), ("headY", 1, 1)],
)
def test_poses_go_the_right_way(
    renderer: PortraitRenderer, name: str, axis: int, sign: int
) -> None:
    amount = 10.0 if name in ("headYaw", "headPitch") else 0.2
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:
        tips = []
        for frame in (drawn(renderer), drawn(renderer, **{name: amount})):
            nose = mesh.process(frame.astype(np.uint8)).multi_face_landmarks[0].landmark[1]
            tips.append((nose.x * 512, nose.y * 512))
    assert sign * (tips[1][axis] - tips[0][axis]) > 5


@pytest.mark.parametrize("name", ["jawOpen", "mouthPucker", "headYaw", "eyeBlinkLeft", "gazeYaw"])
def test_a_tiny_change_of_motion_is_a_tiny_change_of_picture(
    renderer: PortraitRenderer, name: str
) -> None:
    unit = 20.0 if name in ("headYaw", "gazeYaw") else 1.0
    steps = [0.30, 0.31, 0.32, 0.33]
    frames = [drawn(renderer, **{name: unit * s, "headRoll": 2.0}) for s in steps]
    changes = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    assert max(changes) < 0.6
    assert max(changes) < 2.5 * min(changes) + 0.02  # no pops


def test_slots_do_not_mix(identity: IdentityFeatures, mirrored: IdentityFeatures) -> None:
    renderer = PortraitRenderer(3)
    renderer.set_identity(0, identity)
    renderer.set_identity(2, mirrored)
    rows = torch.cat([motion(jawOpen=0.4), motion(headYaw=6.0)])
    both = renderer.render(rows, [2, 0])
    assert both.shape == (2, 768, 512)
    assert torch.equal(both[:1], renderer.render(rows[:1], [2]))
    assert torch.equal(both[1:], renderer.render(rows[1:], [0]))
    renderer.set_identity(2, identity)
    assert torch.equal(renderer.render(rows[1:], [0]), both[1:])


def test_stored_features_render_the_same(
    renderer: PortraitRenderer, identity: IdentityFeatures, tmp_path: Path
) -> None:
    store = IdentityStore(tmp_path)
    store.save(identity)
    loaded = store.load(identity.key)
    assert bake(loaded, 512).face.unit == bake(identity, 512).face.unit
    other = PortraitRenderer(1)
    other.set_identity(0, IdentityFeatures("0" * 64, loaded.arrays, loaded.meta))
    row = motion(jawOpen=0.4, headYaw=5.0, eyeBlinkLeft=0.5)
    assert torch.equal(other.render(row, [0]), renderer.render(row, [0]))


def test_lips_cannot_close_further_than_the_jaw_is_open(renderer: PortraitRenderer) -> None:
    rest = drawn(renderer)
    assert np.array_equal(drawn(renderer, mouthClose=1.0), rest)


def test_a_new_identity_shows_at_the_next_render(
    identity: IdentityFeatures, mirrored: IdentityFeatures
) -> None:
    renderer = PortraitRenderer(1)
    renderer.set_identity(0, identity)
    before = renderer.render(motion(), [0])
    renderer.set_identity(0, mirrored)
    after = renderer.render(motion(), [0])
    assert not torch.equal(before, after)
    renderer.set_identity(0, identity)
    assert torch.equal(renderer.render(motion(), [0]), before)


def test_i420_is_the_rgb_converted(renderer: PortraitRenderer) -> None:
    row = motion(jawOpen=0.4, headYaw=5.0)
    rgb = renderer.render_rgb(row, [0]).permute(0, 3, 1, 2).float() / 255
    difference = renderer.render(row, [0]).int() - rgb_to_i420(rgb.contiguous()).int()
    assert difference.abs().max() <= 1


def test_the_small_size_shows_the_same_picture(
    renderer: PortraitRenderer, identity: IdentityFeatures
) -> None:
    small = PortraitRenderer(1, size=256)
    small.set_identity(0, identity)
    row = {"jawOpen": 0.5, "headYaw": 6.0, "eyeBlinkLeft": 0.5}
    little = drawn(small, **row)
    large = drawn(renderer, **row).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert little.shape == (256, 256, 3)
    assert np.abs(little - large).mean() < 2.0


@pytest.mark.parametrize("extreme", [1.0, -1.0])
def test_extreme_motion_stays_a_picture(renderer: PortraitRenderer, extreme: float) -> None:
    row = torch.full((1, MOTION_DIM), extreme)
    row[0, MOTION_INDEX["headYaw"] :] = 15 * extreme
    row[0, MOTION_INDEX["headX"] : MOTION_INDEX["headZ"] + 1] = 0.3 * extreme
    frame = renderer.render_rgb(row, [0])
    assert frame.shape == (1, 512, 512, 3)
    assert frame.float().std() > 20


def test_wrong_calls_say_what_is_wrong(identity: IdentityFeatures) -> None:
    with pytest.raises(ValueError, match="size"):
        PortraitRenderer(1, size=300)
    renderer = PortraitRenderer(1)
    with pytest.raises(ValueError, match="no identity"):
        renderer.render(motion(), [0])
    with pytest.raises(ValueError, match="slot"):
        renderer.set_identity(1, identity)
    renderer.set_identity(0, identity)
    with pytest.raises(ValueError, match="motion must be"):
        renderer.render(torch.zeros(2, MOTION_DIM), [0])
