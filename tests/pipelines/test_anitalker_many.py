"""Many faces of the `anitalker` pipeline drawn at once, as a graph does: each as it is alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from kernels import reference_flow_warp, reference_paste, reference_squares
from kernels.dispatch import interpreted
from pipelines import weights
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.config import AniTalkerOptions
from pipelines.anitalker.paste_batched import PasteTables
from pipelines.anitalker.render import AniTalkerRenderer
from pipelines.anitalker.render_batched import BatchedAniTalker
from pipelines.anitalker.system import SYSTEM
from pipelines.anitalker.weights import load_renderer
from pipelines.batch import Batch, frame_bytes
from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import framed, sizes_for
from pipelines.pipeline import Material, QuietProgress, Size
from pipelines.rungs import PHOTO_RUNGS, Rungs
from tests.support.small import TINY, write_weights
from tests.support.static_steps import check_step

OPTIONS = AniTalkerOptions()
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:2]
SLOTS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder: Path = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        patch.setattr(weights, "shipped_weights_dir", lambda: folder / "shipped")
        yield folder


@pytest.fixture(scope="module")
def faces(folder: Path) -> list[IdentityFeatures]:
    return [SYSTEM.enrol(Material(photo=p), OPTIONS, QuietProgress(folder)) for p in CAST]


def network() -> BatchedNetwork:
    return BatchedNetwork(load_renderer(OPTIONS.renderer_weights), SLOTS)


def codes(count: int, seed: int = 0, most: float = 1.5) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return (torch.rand(count, TINY.motion_dim, generator=chance) * 2.0 - 1.0) * most


def one_by_one(
    faces: list[IdentityFeatures], size: Size, motion: torch.Tensor
) -> list[torch.Tensor]:
    """What the renderer of a CPU draws, uint8 [bytes] of each slot."""
    renderer = AniTalkerRenderer(network(), [size])
    batch = Batch.of(SLOTS, [size], renderer.motion_dim)
    for slot, face in enumerate(faces):
        renderer.set_identity(slot, face, [size])
    batch.size[:] = size
    active = torch.ones(SLOTS, dtype=torch.bool)
    renderer.step(motion, renderer.init_state(SLOTS), active, range(len(faces)), batch)
    return [torch.from_numpy(batch.planes[slot].copy()) for slot in range(len(faces))]


def shown(faces: list[IdentityFeatures], size: Size, rungs: Rungs = PHOTO_RUNGS):
    renderer = BatchedAniTalker(network(), rungs)
    for slot, face in enumerate(faces):
        renderer.prepare(face, size)
        renderer.set_identity(slot, face, [size])
    return renderer


def told(renderer: BatchedAniTalker, motion: torch.Tensor, state=None, active=None):
    state = renderer.init_state(SLOTS) if state is None else state
    every = torch.ones(SLOTS, dtype=torch.bool)
    nothing = torch.zeros(SLOTS, 640), torch.zeros(SLOTS, dtype=torch.bool)
    renderer.advance(motion, *nothing, state, every if active is None else active)
    return state


@torch.inference_mode()
def drawn(renderer: BatchedAniTalker, size: Size, rows: list[int], state) -> torch.Tensor:
    planes = torch.full((len(rows), frame_bytes(size)), 7, dtype=torch.uint8)
    renderer.draw(size, torch.tensor(rows), state, planes)
    return planes


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    apart = (found.int() - expected.int()).abs().float()
    assert float(apart.mean()) <= 0.5
    assert int(apart.max()) <= 3


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (720, 720)], ids=str)
@pytest.mark.parametrize("frame", ["square", "photo", "16:9"])
def test_a_batch_shows_what_is_shown_one_by_one(
    faces: list[IdentityFeatures], frame: str, size: Size
) -> None:
    rung = SYSTEM.sizes.index(size)
    shown_faces = [framed(face, frame) for face in faces]
    size = sizes_for(SYSTEM, shown_faces[0])[rung]
    shown_faces = [face for face in shown_faces if size in sizes_for(SYSTEM, face)]
    motion = codes(SLOTS, rung)
    expected = one_by_one(shown_faces, size, motion)
    renderer = shown(shown_faces, size)
    state = told(renderer, motion)
    found = drawn(renderer, size, list(range(len(shown_faces))), state)
    for a, b in zip(found, expected, strict=True):
        assert_alike(a, b)
    assert (found[0].int() - renderer_still(renderer, size).int()).abs().max() > 20  # it moved


def renderer_still(renderer: BatchedAniTalker, size: Size) -> torch.Tensor:
    planes = torch.zeros(frame_bytes(size), dtype=torch.uint8)
    renderer.still(size, 0, planes)
    return planes


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_composed_in_any_way_shows_the_same(
    faces: list[IdentityFeatures], seed: int
) -> None:
    size = (256, 256)
    renderer = shown([*faces, faces[0]], size)
    state = told(renderer, codes(SLOTS, seed))
    alone = {slot: drawn(renderer, size, [slot], state)[0] for slot in range(SLOTS)}
    for rows in ([2, 0, 1], [1, 1, 1, 0], [2, 2], [0, 1]):
        for slot, picture in zip(rows, drawn(renderer, size, rows, state), strict=True):
            assert int((picture.int() - alone[slot].int()).abs().max()) <= 1


def test_a_slot_that_rests_keeps_its_picture(faces: list[IdentityFeatures]) -> None:
    size = (256, 256)
    renderer = shown(faces, size)
    state = told(renderer, codes(SLOTS, 1))
    before = drawn(renderer, size, [0, 1], state)
    told(renderer, codes(SLOTS, 2), state, torch.tensor([True, False, True]))
    after = drawn(renderer, size, [0, 1], state)
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])


def test_a_slot_without_a_face_harms_no_other(faces: list[IdentityFeatures]) -> None:
    size = (256, 256)
    renderer = shown(faces, size)
    state = told(renderer, codes(SLOTS, 1))
    with_it = drawn(renderer, size, [0, 2, 1], state)
    without = drawn(renderer, size, [0, 1], state)
    assert int((with_it[::2].int() - without.int()).abs().max()) <= 1


def test_another_face_changes_its_slot_alone(faces: list[IdentityFeatures]) -> None:
    size = (256, 256)
    renderer = shown(faces, size)
    state = told(renderer, codes(SLOTS, 1))
    before = drawn(renderer, size, [0, 1], state)
    renderer.set_identity(1, faces[0], [size])
    after = drawn(renderer, size, [0, 1], state)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    fresh = shown([faces[0]] * 2, size)
    assert_alike(after[1], drawn(fresh, size, [1], state)[0])


def test_a_face_that_was_prepared_is_only_copied(
    faces: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set between two steps, which all slots wait for."""
    size = (256, 256)
    renderer = shown(faces[:1], size)
    renderer.prepare(faces[1], size)
    monkeypatch.setattr("pipelines.anitalker.paste_batched.back", None)
    renderer.set_identity(1, faces[1], [size])
    expected = one_by_one(faces, size, codes(SLOTS, 1))
    found = drawn(renderer, size, [0, 1], told(renderer, codes(SLOTS, 1)))
    for a, b in zip(found, expected, strict=True):
        assert_alike(a, b)


def test_at_rest_and_before_any_sound_it_is_the_photo(faces: list[IdentityFeatures]) -> None:
    size = (256, 256)
    renderer = shown(faces, size)
    rest = faces[1].tensors["code"].expand(SLOTS, -1)
    found = drawn(renderer, size, [1], told(renderer, rest))[0]
    planes = torch.zeros_like(found)
    renderer.still(size, 1, planes)
    assert int((found.int() - planes.int()).abs().max()) <= 3


def test_details_of_a_square_that_is_too_large_are_kept_coarser(
    faces: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (256, 256)
    expected = drawn(shown(faces, size), size, [0], told(shown(faces, size), codes(SLOTS, 1)))
    monkeypatch.setattr("pipelines.anitalker.paste_batched._MOST", 0.9)
    renderer = shown(faces, size, Rungs.of([[size]]))
    found = drawn(renderer, size, [0], told(renderer, codes(SLOTS, 1)))
    side, kept = renderer.tables.make(size).places[0, 2:]
    assert kept < side
    assert 0.0 < float((found.int() - expected.int()).abs().float().mean()) < 1.0


def test_pictures_of_one_rung_share_a_table() -> None:
    tables = PasteTables(1, 8, PHOTO_RUNGS, torch.device("cpu"))
    assert tables.make((256, 256)) is tables.make((640, 360)) is tables.make((144, 256))
    assert tables.make((512, 512)) is tables.make((848, 480)) is tables.make((288, 512))
    assert tables.make((720, 720)) is not tables.make((512, 512))
    with pytest.raises(ValueError, match="fit into none"):
        tables.make((1280, 722))


def test_rungs_hold_every_size_of_a_photo_apart() -> None:
    from pipelines.photo.framing import FRAMES, PHOTO, _fitted

    for width in np.geomspace(0.3, 3.0, 23):
        sizes = [_fitted(2000.0 * width, 2000.0, box) for box in FRAMES[PHOTO].sizes]
        assert [PHOTO_RUNGS.find(size) for size in sizes] == [0, 1, 2]


def test_a_graph_can_capture_both_halves_of_a_step(faces: list[IdentityFeatures]) -> None:
    size = (256, 256)
    renderer = shown(faces, size)
    state = renderer.init_state(SLOTS)
    motion, active = codes(SLOTS), torch.ones(SLOTS, dtype=torch.bool)
    check_step(renderer.advance, motion, torch.zeros(SLOTS, 640), active, state, active)
    planes = torch.zeros(2, frame_bytes(size), dtype=torch.uint8)
    check_step(renderer.draw, size, torch.tensor([1, 0]), state, planes)


def test_a_frame_through_all_kernels_is_that_of_their_twins(
    faces: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="kernels are in the Triton language")
    size = (64, 64)
    renderer = shown(faces, size, Rungs.of([[size]]))
    state = told(renderer, codes(SLOTS, 3))
    expected = drawn(renderer, size, [1, 0], state)

    def unwelcome(*_: object) -> None:
        raise AssertionError("a kernel has its twin run in its place")

    for module, names in (
        (
            reference_flow_warp,
            ("demodulate", "smooth_demodulate", "flow_head", "warp_blend", "warp_colours"),
        ),
        (reference_squares, ("shown_squares",)),
        (reference_paste, ("paste_back",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, unwelcome)
    with interpreted():
        found = drawn(renderer, size, [1, 0], state)
    assert int((found.int() - expected.int()).abs().max()) <= 1
