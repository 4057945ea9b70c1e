"""The `anitalker` pipeline from photo to frame: what moves, what stays, and whose face it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from kernels.reference_squares import at_rest, sureness
from pipelines import weights
from pipelines.anitalker.batched import Squares
from pipelines.anitalker.config import AniTalkerOptions
from pipelines.anitalker.crop import AROUND, GRID, SIDE, in_photo, square_on_canvas, surroundings
from pipelines.anitalker.paste import BACKINGS, Backing, back, blended, paste
from pipelines.anitalker.system import SYSTEM
from pipelines.batch import Batch
from pipelines.composed import ComposedPipeline
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.photo.crop import CANVAS, Crop
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.framing import framed, place, sizes_for
from pipelines.pipeline import HOP_SAMPLES, Material, QuietProgress
from pipelines.portrait.system import SYSTEM as PORTRAIT
from tests.support.small import TINY, write_weights

OPTIONS = AniTalkerOptions()
SIZES = [height for _, height in SYSTEM.sizes]
WHOLE = [size for size in SIZES if GRID * size % (2 * CANVAS) == 0]
"""Those that squares lie in without being moved by a part of a pixel."""
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder: Path = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        patch.setattr(weights, "shipped_weights_dir", lambda: folder / "shipped")
        (folder / "shipped").mkdir()
        motion = Path(__file__).parents[2] / "weights" / "portrait-motion.safetensors"
        (folder / "shipped" / motion.name).symlink_to(motion)
        yield folder


def enrolled(photo: Path, folder: Path) -> IdentityFeatures:
    return SYSTEM.enrol(Material(photo=photo), OPTIONS, QuietProgress(folder))


@pytest.fixture(scope="module")
def faces(folder: Path) -> list[IdentityFeatures]:
    return [enrolled(photo, folder) for photo in CAST]


def anything(seed: int = 0) -> Squares:
    """What no renderer would draw."""
    chance = torch.Generator().manual_seed(seed)
    shape = (1, 6, TINY.size, TINY.size)
    picture, look, mask = torch.rand(shape, generator=chance).split([3, 2, 1], 1)
    return Squares(picture * 2.0 - 1.0, look * 2.0 - 1.0, mask)


def test_the_square_holds_the_head_on_whole_pixels() -> None:
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[10, :2], landmarks[152, :2] = (0.02, -0.51), (0.02, 0.37)
    square = square_on_canvas(landmarks)
    assert WHOLE == [256, 512]
    for size in WHOLE:
        wide = surroundings(square)
        for value in (square.left, square.top, square.side, wide.left, wide.top, wide.side):
            assert value * size / CANVAS % 2 == 0
    assert square.side == pytest.approx(SIDE * 0.88 / 2 * CANVAS, rel=0.05)
    assert square.left + square.side / 2 == pytest.approx(0.51 * CANVAS, abs=GRID)
    forehead, chin = (0.49 / 2 * CANVAS - square.top), (1.37 / 2 * CANVAS - square.top)
    assert 0.15 < forehead / square.side < 0.3
    assert 0.7 < chin / square.side < 0.85


def test_the_square_of_the_canvas_is_cut_from_the_photo() -> None:
    canvas = Crop(100.0, 50.0, 1024.0)
    assert in_photo(Crop(0.0, 0.0, 512.0), canvas) == canvas
    assert in_photo(Crop(-8.0, 16.0, 256.0), canvas) == Crop(84.0, 82.0, 512.0)


def test_enrolment_finds_everything_once(folder: Path) -> None:
    face = enrolled(CAST[0], folder)
    assert face.key == SYSTEM.key(Material(photo=CAST[0]), OPTIONS)
    assert face.tensors["canvas"].shape == (704, 704, 3)  # as many as the picture has there
    assert face.tensors["code"].shape == (TINY.motion_dim,)
    assert face.tensors["start"].shape == (TINY.latent_dim,)
    assert face.tensors["mask"].float().mean() > 10


def test_features_survive_the_disk(faces: list[IdentityFeatures], tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    store.save(faces[0])
    held = store.load(faces[0].key)
    assert held.meta == faces[0].meta
    for name, tensor in faces[0].tensors.items():
        assert torch.equal(held.tensors[name], tensor), name


def test_other_weights_and_other_systems_have_other_keys(folder: Path) -> None:
    photo = Material(photo=CAST[0])
    keys = {SYSTEM.key(photo, OPTIONS), PORTRAIT.key(photo, PORTRAIT.Options())}
    write_weights(folder / "other", seed=1)
    path = folder / "other" / "anitalker-renderer.safetensors"
    path.rename(folder / "other-renderer.safetensors")
    keys.add(SYSTEM.key(photo, AniTalkerOptions(renderer_weights="other-renderer")))
    assert len(keys) == 3


def test_a_picture_without_a_face_is_turned_away(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "plain.png")
    with pytest.raises(EnrolmentError, match="No face") as caught:
        enrolled(tmp_path / "plain.png", folder)
    assert caught.value.code == "no_face"


@pytest.mark.parametrize("size", WHOLE)
def test_outside_the_mask_the_photo_stays(faces: list[IdentityFeatures], size: int) -> None:
    backing = back(faces[0], (size, size), CPU)
    whole = torch.zeros(1, 3, size, size)
    rows = slice(backing.top, backing.top + backing.mask.shape[2])
    columns = slice(backing.left, backing.left + backing.mask.shape[3])
    changed = (blended(anything(0), backing) - blended(anything(1), backing)).abs()
    whole[:, :, rows, columns] = changed
    mask = faces[0].tensors["mask"].float() / 255.0
    at = torch.nn.functional.interpolate(mask[None, None], (size, size), mode="area")
    assert float(whole.amax(1)[at[:, 0] == 0.0].max()) == 0.0
    assert float(whole.amax(1)[at[:, 0] > 0.95].mean()) > 0.1
    assert 0.1 < float((at > 0.5).float().mean()) < 0.6


def test_the_mask_has_no_edge(faces: list[IdentityFeatures]) -> None:
    for face in faces:
        mask = face.tensors["mask"].float() / 255.0
        assert float((mask[1:] - mask[:-1]).abs().max()) < 0.15
        assert float((mask[:, 1:] - mask[:, :-1]).abs().max()) < 0.15
        wide = surroundings(Crop(*face.tensors["square"].tolist()))
        left, top, side = int(wide.left), int(wide.top), int(wide.side)
        inside = torch.zeros(CANVAS, CANVAS, dtype=torch.bool)
        inside[max(top, 0) : top + side, max(left, 0) : left + side] = True
        assert float(mask[~inside].max() if (~inside).any() else 0.0) == 0.0


@pytest.mark.parametrize("size", SIZES)
def test_at_rest_the_frame_is_the_photo(
    faces: list[IdentityFeatures], size: int, folder: Path
) -> None:
    """Whatever an untrained network draws."""
    played = Played(faces[:1], size)
    renderer, batch = played.pipeline.renderer, played.batch
    code, active = faces[0].tensors["code"][None], torch.tensor([True])
    renderer.step(code, renderer.init_state(1), active, [0], batch)
    off = batch.picture(0).astype(int) - back(faces[0], (size, size), CPU).i420.numpy()
    assert np.abs(off).max() <= 2
    played.pipeline.still(0, batch)
    assert np.array_equal(batch.picture(0), back(faces[0], (size, size), CPU).i420)


@pytest.mark.parametrize("frame", ["photo", "16:9"])
def test_other_frames_are_pasted_into_their_surroundings(
    faces: list[IdentityFeatures], frame: str
) -> None:
    face = framed(faces[0], frame)
    for size in sizes_for(SYSTEM, face):
        backing, placed = back(face, size, CPU), place(face, size)
        assert backing.i420.shape == (size[1] * 3 // 2, size[0])
        columns = placed.visible(size)[1]
        assert backing.left >= columns.start
        assert backing.left + backing.mask.shape[3] <= columns.stop
        planes = torch.zeros(1, *backing.i420.shape, dtype=torch.uint8)
        paste(resting(faces[0]), backing, planes)
        assert (planes[0].int() - backing.i420.int()).abs().max() <= 2  # at rest it is the photo
        paste(anything(0), backing, planes)
        assert (planes[0].int() - backing.i420.int()).abs().max() > 40


def resting(face: IdentityFeatures) -> Squares:
    return Squares(*(face.tensors[name][None].float() for name in ("rest", "look", "shown")))


def test_detail_goes_where_the_skin_goes(faces: list[IdentityFeatures]) -> None:
    backing = back(faces[0], (512, 512), CPU)
    rest = resting(faces[0])
    still = blended(rest, backing)
    shift = 8  # pixels of the frame, to the left in the source
    looks = rest.looks.clone()
    looks[:, 0] -= 2.0 * shift / (backing.side * AROUND / (AROUND + 2))
    moved = blended(rest._replace(looks=looks), backing)
    fine = [x - torch.nn.functional.avg_pool2d(x, 31, 1, 15) for x in (still, moved)]
    inside = backing.mask[..., shift:] == 1.0
    same = ((fine[1][..., shift:] - fine[0][..., :-shift]).abs() * inside).sum()
    other = ((fine[1][..., shift:] - fine[0][..., shift:]).abs() * inside).sum()
    assert float(same) < 0.5 * float(other)


def sure(drawn: Squares, moved: torch.Tensor, backing: Backing) -> torch.Tensor:
    """How sure it is that a square shows what was there at rest."""
    before = at_rest(moved, backing.resting[:, 2:])
    return sureness(drawn.pictures, drawn.masks, moved, before)


def test_detail_stays_away_from_what_was_not_there(faces: list[IdentityFeatures]) -> None:
    backing = back(faces[0], (512, 512), CPU)
    rest = resting(faces[0])
    still = torch.zeros_like(rest.looks)
    assert float(sure(rest, still, backing).min()) > 0.99
    other = rest._replace(pictures=-rest.pictures.sign())
    hidden = rest._replace(masks=torch.zeros_like(rest.masks))
    for strange in (other, hidden):
        assert float(sure(strange, still, backing).mean()) < 0.05
    torn = still.clone()
    torn[:, 0, :, ::2] += 0.1  # neighbours look a twentieth of the square apart
    assert float(sure(rest, torn, backing).mean()) < 0.05


def test_the_correction_moves_with_the_head(faces: list[IdentityFeatures]) -> None:
    """Were it to stay, dark hair would leave a light patch on the wall that it moves away from."""
    backing = back(faces[0], (512, 512), CPU)
    rest = resting(faces[0])
    wrong = torch.zeros_like(backing.wrong)
    half = wrong.shape[-1] // 2
    wrong[..., :half] = 0.5
    backing = replace(backing, wrong=wrong, detail=torch.zeros_like(backing.detail))
    none = replace(backing, wrong=torch.zeros_like(wrong))
    looks = rest.looks.clone()
    looks[:, 0] -= 0.2
    moved = rest._replace(looks=looks)
    added = (blended(moved, backing) - blended(moved, none)).mean((0, 1, 2))
    still = (blended(rest, backing) - blended(rest, none)).mean((0, 1, 2))
    reach = int((added > 0.01).nonzero().max()) - int((still > 0.01).nonzero().max())
    shift = 0.1 * backing.side * AROUND / (AROUND + 2)
    assert 0.7 * shift < reach < 1.4 * shift  # its edge is soft, and the mask no rectangle


class Played:
    """A pipeline whose slots show these faces."""

    def __init__(self, faces: list[IdentityFeatures], size: int = 256, seed: int = 3) -> None:
        pipeline = SYSTEM.build(len(faces), OPTIONS, "cpu")
        assert isinstance(pipeline, ComposedPipeline)
        self.pipeline = pipeline
        self.batch = Batch.of(len(faces), SYSTEM.sizes, pipeline.motion_dim)
        for slot, face in enumerate(faces):
            self.show(slot, face, size)
            pipeline.reset(slot, seed)

    def show(self, slot: int, face: IdentityFeatures, size: int = 256) -> None:
        self.pipeline.set_identity(slot, face, (size, size))
        self.batch.size[slot] = size

    def hear(self, count: int, first: int = 0) -> list[list[np.ndarray]]:
        """The pictures of all slots in each of so many steps."""
        random = np.random.default_rng(first)
        frames = []
        for _ in range(count):
            self.batch.hops[:] = random.normal(0.0, 0.1, HOP_SAMPLES)
            self.batch.speech[:] = self.batch.active[:] = self.batch.draw[:] = True
            self.pipeline.step(self.batch)
            frames.append([self.batch.picture(slot).copy() for slot in range(self.batch.slots)])
        return frames


def farthest(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("size", SIZES)
def test_faces_in_one_batch_are_drawn_as_alone(
    faces: list[IdentityFeatures], size: int, folder: Path
) -> None:
    together = Played(faces, size).hear(6)
    for slot, face in enumerate(faces):
        alone = Played([face], size).hear(6)
        for a, b in zip(together, alone, strict=True):
            assert farthest(a[slot], b[0]) <= 1


def test_slots_of_different_sizes_share_the_network(
    faces: list[IdentityFeatures], folder: Path
) -> None:
    played = Played(faces)
    played.show(1, faces[1], 512)
    frames = played.hear(3)[-1]
    assert [frame.shape for frame in frames] == [(384, 256), (768, 512)]
    alone = Played(faces[:1]).hear(3)[-1][0]
    assert farthest(frames[0], alone) <= 1


def test_smaller_pictures_need_no_preparation(
    faces: list[IdentityFeatures], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load all slots become smaller at once, and none may wait for it."""

    def unwelcome(*_: object) -> None:
        raise AssertionError("a face is prepared in a step")

    pipeline = SYSTEM.build(1, OPTIONS, "cpu")
    pipeline.prepare(faces[0], (512, 512))
    monkeypatch.setattr(BACKINGS, "make", unwelcome)
    pipeline.set_identity(0, faces[0], (512, 512))
    monkeypatch.setattr(BACKINGS, "get", unwelcome)  # other faces may have taken its place
    batch = Batch.of(1, SYSTEM.sizes, pipeline.motion_dim)
    batch.active[:] = batch.draw[:] = True
    for size in (512, 256, 512):
        batch.size[:] = size
        pipeline.step(batch)
        assert batch.picture(0).std() > 10


def test_another_face_in_mid_stream_changes_nothing_else(
    faces: list[IdentityFeatures], folder: Path
) -> None:
    switched, stayed, reference = (
        Played(shown) for shown in ([faces[0]] * 2, [faces[0]] * 2, faces)
    )
    for played in (switched, stayed, reference):
        played.hear(5)
    switched.show(1, faces[1])
    for a, b, c in zip(*(p.hear(4, first=1) for p in (switched, stayed, reference)), strict=True):
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], c[1])  # as if it had always been so
        assert not np.array_equal(a[1], b[1])


def test_a_slot_without_a_face_cannot_be_drawn(faces: list[IdentityFeatures], folder: Path) -> None:
    pipeline = SYSTEM.build(2, OPTIONS, "cpu")
    pipeline.set_identity(0, faces[0], (256, 256))
    batch = Batch.of(2, SYSTEM.sizes, pipeline.motion_dim)
    batch.size[:] = 256
    batch.active[:] = batch.draw[:] = True
    with pytest.raises(ValueError, match="slot 1 has no identity"):
        pipeline.step(batch)


def test_missing_weights_are_named_with_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match=r"lacks weights: no weights called 'anitalker-renderer'"):
        SYSTEM.key(Material(photo=CAST[0]), OPTIONS)
    with pytest.raises(ValueError, match=r"--set renderer_weights=NAME"):
        SYSTEM.build(1, OPTIONS, "cpu")


def test_a_published_renderer_wants_published_motion(folder: Path) -> None:
    write_weights(folder / "published", kind="anitalker-stage1")
    path = folder / "published" / "anitalker-renderer.safetensors"
    path.rename(folder / "theirs.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        SYSTEM.build(1, AniTalkerOptions(renderer_weights="theirs"), "cpu")
