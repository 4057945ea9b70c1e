"""The batched renderer of `portrait` against the one of a CPU, on the drawn cast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

mediapipe = pytest.importorskip("mediapipe")

from kernels import reference_flow, reference_portrait  # noqa: E402
from kernels.dispatch import interpreted  # noqa: E402
from pipelines.identity import IdentityFeatures  # noqa: E402
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.photo.crop import MAX_FACE_SHARE  # noqa: E402
from pipelines.photo.framing import PHOTO, WIDE, framed, sizes_for  # noqa: E402
from pipelines.photo.placement import Placement  # noqa: E402
from pipelines.pipeline import Size  # noqa: E402
from pipelines.portrait import draw_tensors, room  # noqa: E402
from pipelines.portrait.bake import CACHE  # noqa: E402
from pipelines.portrait.batched import BatchedPortrait  # noqa: E402
from pipelines.portrait.enrol import enrol  # noqa: E402
from pipelines.portrait.flow import invert  # noqa: E402
from pipelines.portrait.render import draw_i420, planned  # noqa: E402
from pipelines.portrait.system import SYSTEM  # noqa: E402
from tests.support.static_steps import check_step  # noqa: E402

CAST = Path(__file__).resolve().parents[2] / "cast"
SMALL = (256, 256)
CPU = torch.device("cpu")


def motion(**values: float) -> Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row


MOTIONS = {
    "rest": motion(),
    "jaw": motion(jawOpen=0.8, tongueOut=0.25, mouthStretchLeft=0.3, jawLeft=0.2),
    "funnel": motion(jawOpen=0.3, mouthFunnel=0.8, browInnerUp=0.6),
    "pressed": motion(jawOpen=0.3, mouthClose=0.3, mouthRollLower=0.6, mouthPressLeft=0.5),
    "blink": motion(eyeBlinkLeft=1.0, eyeBlinkRight=1.0),
    "wink": motion(eyeBlinkRight=0.7, gazeYaw=14.0, mouthSmileLeft=0.7),
    "gaze": motion(gazeYaw=-20.0, gazePitch=12.0, eyeWideLeft=0.4),
    "lowered": motion(gazePitch=-14.0, headPitch=9.0),
    "raised": motion(gazePitch=14.0, browInnerUp=0.8, mouthSmileLeft=0.6, mouthSmileRight=0.6),
    "turned": motion(headYaw=18.0, headPitch=-8.0, headRoll=6.0, headX=0.03, jawOpen=0.4),
    "near": motion(headZ=0.1, headY=-0.04, headYaw=-12.0, mouthPucker=0.7, eyeBlinkLeft=0.3),
    "aside": motion(headYaw=-20.0, headPitch=10.0, headRoll=-9.0, jawOpen=0.6, eyeBlinkRight=0.5),
}


@pytest.fixture(scope="module")
def faces() -> list[IdentityFeatures]:
    return [enrolled(name) for name in ("amara", "henrik", "arjun", "noor")]


def enrolled(name: str) -> IdentityFeatures:
    return enrol((CAST / f"{name}.png").read_bytes(), name)


@pytest.fixture(scope="module")
def renderer(faces: list[IdentityFeatures]) -> BatchedPortrait:
    """Three slots, of which the middle one has no face."""
    made = BatchedPortrait(3, [SMALL])
    for slot, identity in ((0, faces[0]), (2, faces[1])):
        made.set_identity(slot, identity, [SMALL])
    return made


def alone(identity: IdentityFeatures, row: Tensor, size: Size) -> Tensor:
    """Planes [bytes] of a batch of one."""
    made = BatchedPortrait(1, [size])
    made.set_identity(0, identity, [size])
    return drawn(made, [0], row[None], size)[0]


def drawn(made: BatchedPortrait, slots: list[int], rows: Tensor, size: Size = SMALL) -> Tensor:
    """Planes [n, bytes] of `slots`, of which slot i moves as `rows[i]`."""
    state = made.init_state(made.slots)
    every = torch.ones(made.slots, dtype=torch.bool)
    made.advance(rows, torch.zeros(made.slots, 640), every, state, every)
    planes = torch.zeros(len(slots), size[0] * size[1] * 3 // 2, dtype=torch.uint8)
    with torch.inference_mode():
        made.draw(size, torch.tensor(slots), state, planes)
    return planes


def on_a_cpu(identity: IdentityFeatures, row: Tensor, size: Size = SMALL) -> Tensor:
    planes = torch.zeros(1, size[1] * 3 // 2, size[0], dtype=torch.uint8)
    draw_i420(CACHE.get(identity, size, CPU), row, planes)
    return planes.flatten()


def by_tensors(identity: IdentityFeatures, row: Tensor, size: Size = SMALL) -> Tensor:
    baked = CACHE.get(identity, size, CPU)
    planes = torch.zeros(1, size[1] * 3 // 2, size[0], dtype=torch.uint8)
    with torch.inference_mode():
        draw_tensors.draw_i420(baked, planned(baked, row), planes)
    return planes.flatten()


def differences(a: Tensor, b: Tensor) -> Tensor:
    return (a.int() - b.int()).abs()


def agrees(planes: Tensor, identity: IdentityFeatures, row: Tensor, size: Size) -> None:
    """Within the bound of what a CPU draws.

    OpenCV reads pictures at 1/32 of a pixel and rounds to bytes after each of its steps.
    """
    off = differences(planes, on_a_cpu(identity, row, size))
    assert off.float().mean() <= 0.5
    assert off.max() <= 3


@pytest.mark.parametrize("name", MOTIONS)
def test_a_batch_is_drawn_as_each_face_is_alone(
    name: str, faces: list[IdentityFeatures], renderer: BatchedPortrait
) -> None:
    rows = MOTIONS[name].repeat(3, 1)
    for planes, identity in zip(drawn(renderer, [0, 2], rows), faces, strict=False):
        agrees(planes, identity, MOTIONS[name], SMALL)


@pytest.mark.parametrize("name", ["lowered", "raised", "aside"])
def test_other_faces_agree_too(name: str, faces: list[IdentityFeatures]) -> None:
    for identity in faces[2:]:
        agrees(alone(identity, MOTIONS[name], SMALL), identity, MOTIONS[name], SMALL)


@pytest.mark.parametrize("name", MOTIONS)
def test_nothing_differs_by_more_than_a_step_from_what_tensors_draw(
    name: str, faces: list[IdentityFeatures], renderer: BatchedPortrait
) -> None:
    planes = drawn(renderer, [0], MOTIONS[name].repeat(3, 1))[0]
    off = differences(planes, by_tensors(faces[0], MOTIONS[name]))
    assert off.max() <= 1
    assert off.float().mean() <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turned", "aside", "blink", "raised"])
@pytest.mark.parametrize("lines", [512, 720])
def test_larger_frames_agree_too(lines: int, name: str, faces: list[IdentityFeatures]) -> None:
    for identity in faces:
        agrees(
            alone(identity, MOTIONS[name], (lines, lines)), identity, MOTIONS[name], (lines,) * 2
        )


@pytest.mark.slow
@pytest.mark.parametrize("face", sorted(path.stem for path in CAST.glob("*.png")))
def test_all_of_the_cast_agree(face: str) -> None:
    identity = enrolled(face)
    for row in MOTIONS.values():
        agrees(alone(identity, row, SMALL), identity, row, SMALL)


def test_lattices_are_followed_back_alike() -> None:
    """To a few thousandths of a pixel: read at 1/32 of a cell, they would differ by a hundredth of
    a cell, of 12 pixels in a frame of 720 lines."""
    rows, columns = 9, 13
    chance = np.random.default_rng(0)
    moves, carried = chance.normal(0.0, 0.15, (2, 2, 3, rows, columns)).astype(np.float32)
    at = np.meshgrid(np.linspace(0.1, columns - 1.1, 17), np.linspace(0.1, rows - 1.1, 11))
    points = np.stack(at)[:, None].repeat(3, axis=1).astype(np.float32)
    ours = invert(moves, carried, points, points, 4)
    flat = [
        torch.from_numpy(held.swapaxes(0, 1).reshape(3, 2, -1)) for held in (moves, points, carried)
    ]
    shape = torch.tensor([[rows, columns]]).repeat(3, 1)
    theirs = reference_flow.invert(flat[0], shape, flat[1], flat[1], flat[2], 4)
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a.swapaxes(0, 1).reshape(3, 2, -1), b.numpy(), atol=2e-4)


@pytest.mark.parametrize("name", [WIDE, PHOTO])
def test_frames_that_show_more_than_the_square(name: str, faces: list[IdentityFeatures]) -> None:
    """In a table that was not foreseen, of two faces, one of which then leaves."""
    made = BatchedPortrait(3, [SMALL])
    shown = [framed(identity, name) for identity in faces[:2]]
    size = sizes_for(SYSTEM, shown[0])[0]
    row = MOTIONS["turned"]
    for slot, identity in ((2, shown[0]), (0, shown[1])):
        made.set_identity(slot, identity, [size])
    both = drawn(made, [0, 2], row.repeat(3, 1), size)
    agrees(both[1], shown[0], row, size)
    agrees(both[0], shown[1], row, size)
    made.set_identity(0, faces[1], [SMALL])
    assert torch.equal(drawn(made, [2], row.repeat(3, 1), size)[0], both[1])
    made.set_identity(2, faces[1], [SMALL])
    if size != SMALL:
        with pytest.raises(ValueError, match="no face was prepared"):
            drawn(made, [2], row.repeat(3, 1), size)


def test_a_picture_does_not_depend_on_who_else_is_drawn(renderer: BatchedPortrait) -> None:
    rows = torch.stack([MOTIONS["near"], MOTIONS["jaw"], MOTIONS["turned"]])
    many = drawn(renderer, [2, 1, 0, 2], rows)
    few = drawn(renderer, [0, 2], rows)
    assert torch.equal(many[2], few[0])
    assert torch.equal(many[0], few[1])
    assert torch.equal(many[3], few[1]), "a slot may come more than once"


def test_slots_that_do_not_advance_keep_their_frame(renderer: BatchedPortrait) -> None:
    state = renderer.init_state(3)
    every, some = torch.ones(3, dtype=torch.bool), torch.tensor([True, False, False])
    hops = torch.zeros(3, 640)
    renderer.advance(MOTIONS["jaw"].repeat(3, 1), hops, every, state, every)
    renderer.advance(MOTIONS["blink"].repeat(3, 1), hops, every, state, some)
    assert torch.equal(state.motion[0], MOTIONS["blink"])
    assert torch.equal(state.motion[1:], MOTIONS["jaw"].repeat(2, 1))
    state.reset(some)
    assert not state.motion[0].any()


def test_before_any_sound_a_face_is_at_rest(renderer: BatchedPortrait) -> None:
    planes = torch.zeros(SMALL[0] * SMALL[1] * 3 // 2, dtype=torch.uint8)
    renderer.still(SMALL, 2, planes)
    rest = drawn(renderer, [2], torch.zeros(3, MOTION_DIM))
    assert torch.equal(planes, rest[0])


def test_a_face_that_is_too_large_is_refused(
    faces: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_LATTICES", (800, 400))
    made = BatchedPortrait(1, [SMALL])
    for give in (made.prepare, lambda face, size: made.set_identity(0, face, [size])):
        with pytest.raises(ValueError, match="fills too much of the picture"):
            give(faces[0], SMALL)


def test_room_is_made_for_faces_as_large_as_enrolment_leaves_them() -> None:
    assert room.MOST_SHARE == MAX_FACE_SHARE
    canvases = (Placement(0, 0, side) for side in range(2, 1440, 2))
    nodes = max(-(-placed.side // placed.step) + 1 for placed in canvases)
    assert room.largest(SMALL).nodes[0] >= nodes**2


def test_a_whole_frame_goes_through_the_kernels(
    faces: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    size = (48, 48)
    made = BatchedPortrait(1, [size])
    made.set_identity(0, faces[0], [size])
    row = MOTIONS["turned"][None]
    planes = drawn(made, [0], row, size)
    monkeypatch.delattr(reference_flow, "invert")
    monkeypatch.delattr(reference_portrait, "portrait_frame")
    with interpreted():
        by_kernels = drawn(made, [0], row, size)
    assert differences(planes, by_kernels).max() <= 1


def test_it_is_drawn_without_what_enrols_faces() -> None:
    """On a bare machine with a GPU there are PyTorch, Triton and numpy."""
    program = (
        "import sys; import pipelines.portrait.batched; "
        "print([n for n in ('cv2', 'mediapipe', 'PIL', 'av', 'scipy') if n in sys.modules])"
    )
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_step_waits_for_the_device(renderer: BatchedPortrait) -> None:
    state = renderer.init_state(3)
    on, rows = torch.ones(3, dtype=torch.bool), torch.tensor([2])
    planes = torch.zeros(1, SMALL[0] * SMALL[1] * 3 // 2, dtype=torch.uint8)
    moved, hops = MOTIONS["turned"].repeat(3, 1), torch.zeros(3, 640)
    check_step(lambda *given: renderer.advance(*given[:3], state, given[3]), moved, hops, on, on)
    check_step(lambda *given: renderer.draw(SMALL, given[0], state, given[1]), rows, planes)
