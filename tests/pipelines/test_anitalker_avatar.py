"""The `anitalker` preset from photo to frame: what moves, what stays, and whose face it is."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from pipelines import weights
from pipelines.anitalker.batched import Drawn
from pipelines.anitalker.crop import AROUND, GRID, SIDE, in_photo, square_on_canvas, surroundings
from pipelines.anitalker.paste import BACKINGS, alike, back, blended
from pipelines.avatar import AvatarPipeline
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.parts import Parts, parts_of
from pipelines.photo.crop import CANVAS, Crop
from pipelines.photo.errors import EnrolmentError
from pipelines.presets import HOP_SAMPLES, PRESETS, SIZES, Playing
from tests.support.small import TINY, write_weights

PRESET = PRESETS["anitalker"]
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
        parts_of.cache_clear()
        yield folder
    parts_of.cache_clear()


@pytest.fixture(scope="module")
def parts(folder: Path) -> Parts:
    return parts_of(PRESET)


@pytest.fixture(scope="module")
def faces(parts: Parts) -> list[IdentityFeatures]:
    return [parts.enrol(photo.read_bytes()) for photo in CAST]


def anything(seed: int = 0) -> Drawn:
    """What no renderer would draw."""
    chance = torch.Generator().manual_seed(seed)
    shape = (1, 6, TINY.size, TINY.size)
    picture, look, mask = torch.rand(shape, generator=chance).split([3, 2, 1], 1)
    return Drawn(picture * 2.0 - 1.0, look * 2.0 - 1.0, mask)


def test_the_square_holds_the_head_on_whole_pixels_of_every_size() -> None:
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[10, :2], landmarks[152, :2] = (0.02, -0.51), (0.02, 0.37)
    square = square_on_canvas(landmarks)
    for size in SIZES:
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


def test_enrolment_finds_everything_once_and_quickly(parts: Parts) -> None:
    photo = CAST[0].read_bytes()
    begin = time.monotonic()
    face = parts.enrol(photo)
    assert time.monotonic() - begin < 10.0  # under 2 s on an idle machine; see the benchmark
    assert face.key == parts.identity_key(photo)
    assert face.meta["preset"] == "anitalker"
    assert face.tensors["canvas"].shape == (CANVAS, CANVAS, 3)
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


def test_other_weights_and_other_presets_have_other_keys(parts: Parts, folder: Path) -> None:
    photo = CAST[0].read_bytes()
    keys = {parts.identity_key(photo), parts_of(PRESETS["portrait"]).identity_key(photo)}
    write_weights(folder / "other", seed=1)
    path = folder / "other" / "anitalker-renderer.safetensors"
    path.rename(folder / "other-renderer.safetensors")
    keys.add(parts_of(PRESET.chosen("other-renderer")).identity_key(photo))
    assert len(keys) == 3


def test_a_picture_without_a_face_is_turned_away(parts: Parts) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 300), (90, 120, 90)).save(out, "PNG")
    with pytest.raises(EnrolmentError, match="No face") as caught:
        parts.enrol(out.getvalue())
    assert caught.value.code == "no_face"


@pytest.mark.parametrize("size", SIZES)
def test_outside_the_mask_the_photo_stays(faces: list[IdentityFeatures], size: int) -> None:
    backing = back(faces[0], size, CPU)
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
    pipeline = pipeline_of(faces, size)
    drawn = pipeline._renderer(size).render(faces[0].tensors["code"][None], [0])[0]
    off = (drawn.int() - back(faces[0], size, CPU).i420.int()).abs()
    assert int(off.max()) <= 2


def resting(face: IdentityFeatures) -> Drawn:
    return Drawn(*(face.tensors[name][None].float() for name in ("rest", "look", "shown")))


def test_detail_goes_where_the_skin_goes(faces: list[IdentityFeatures]) -> None:
    backing = back(faces[0], 512, CPU)
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


def test_detail_stays_away_from_what_was_not_there(faces: list[IdentityFeatures]) -> None:
    backing = back(faces[0], 512, CPU)
    rest = resting(faces[0])
    still = torch.zeros_like(rest.looks)
    assert float(alike(rest, still, backing).min()) > 0.99
    other = rest._replace(pictures=-rest.pictures.sign())
    hidden = rest._replace(masks=torch.zeros_like(rest.masks))
    for strange in (other, hidden):
        assert float(alike(strange, still, backing).mean()) < 0.05


def pipeline_of(faces: list[IdentityFeatures], size: int = 256, seed: int = 3) -> AvatarPipeline:
    pipeline = AvatarPipeline("anitalker", slots=len(faces), size=size, seed=seed)
    for slot, face in enumerate(faces):
        pipeline.set_identity(slot, face)
        pipeline.reset(slot, seed)
    return pipeline


def hear(
    pipeline: AvatarPipeline, count: int, active: list[bool], first: int = 0
) -> list[dict[int, Tensor]]:
    chance = torch.Generator().manual_seed(first)
    on = torch.tensor(active)
    sound = torch.randn(count, HOP_SAMPLES, generator=chance) * 0.1
    return [pipeline.step(hop.expand(pipeline.slots, -1), on, on, on).frames for hop in sound]


@pytest.mark.parametrize("size", SIZES)
def test_faces_in_one_batch_are_drawn_as_alone(
    faces: list[IdentityFeatures], size: int, folder: Path
) -> None:
    together = hear(pipeline_of(faces, size), 6, [True, True])
    for slot, face in enumerate(faces):
        alone = hear(pipeline_of([face], size), 6, [True])
        for a, b in zip(together, alone, strict=True):
            assert (a[slot].int() - b[0].int()).abs().max() <= 1


def test_slots_of_different_sizes_share_the_network(
    faces: list[IdentityFeatures], folder: Path
) -> None:
    pipeline = pipeline_of(faces)
    pipeline.set_identity(1, faces[1], 512)
    frames = hear(pipeline, 3, [True, True])[-1]
    assert [frames[slot].shape[1] for slot in (0, 1)] == [256, 512]
    alone = hear(pipeline_of(faces[:1]), 3, [True])[-1][0]
    assert (frames[0].int() - alone.int()).abs().max() <= 1


def test_smaller_pictures_need_no_preparation(
    faces: list[IdentityFeatures], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load all slots become smaller at once, and none may wait for it."""

    def unwelcome(*_: object) -> None:
        raise AssertionError("a face is prepared in a step")

    pipeline = AvatarPipeline("anitalker", slots=1, size=512)
    pipeline.prepare(faces[0], 512)
    monkeypatch.setattr(BACKINGS, "make", unwelcome)
    pipeline.set_identity(0, faces[0])
    monkeypatch.setattr(BACKINGS, "get", unwelcome)  # other faces may have taken its place
    on, sound = torch.ones(1, dtype=torch.bool), torch.zeros(1, HOP_SAMPLES)
    sizes = [pipeline.step(sound, on, on, on, most).frames[0].shape[1] for most in (512, 256, None)]
    assert sizes == [512, 256, 512]


def test_another_face_in_mid_stream_changes_nothing_else(
    faces: list[IdentityFeatures], folder: Path
) -> None:
    switched, stayed = pipeline_of([faces[0]] * 2), pipeline_of([faces[0]] * 2)
    hear(switched, 5, [True, True]), hear(stayed, 5, [True, True])
    switched.set_identity(1, faces[1])
    reference = pipeline_of(faces)
    hear(reference, 5, [True, True])
    for a, b, c in zip(
        *(hear(p, 4, [True, True], first=1) for p in (switched, stayed, reference)), strict=True
    ):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], c[1])  # as if it had always been so
        assert not torch.equal(a[1], b[1])


def test_a_slot_without_a_face_cannot_be_drawn(faces: list[IdentityFeatures], folder: Path) -> None:
    pipeline = AvatarPipeline("anitalker", slots=2, size=256)
    pipeline.set_identity(0, faces[0])
    with pytest.raises(ValueError, match="slot 1 has no identity"):
        hear(pipeline, 1, [True, True])


def test_missing_weights_are_named_with_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    absent = replace(PRESET, summary="without weights")  # another key of the cache
    with pytest.raises(ValueError, match=r"lacks weights: no weights called 'anitalker-renderer'"):
        parts_of(absent)
    with pytest.raises(ValueError, match=r"--renderer-weights NAME --motion-weights NAME"):
        parts_of(absent)


def test_a_published_renderer_wants_published_motion(folder: Path) -> None:
    write_weights(folder / "published", kind="anitalker-stage1")
    path = folder / "published" / "anitalker-renderer.safetensors"
    path.rename(folder / "theirs.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        parts_of(PRESET.chosen("theirs"))


def test_what_is_not_chosen_stays() -> None:
    chosen = PRESET.chosen("mine", precision="bfloat16", playing=Playing(ahead=3))
    assert chosen.chosen() == chosen
    assert chosen.chosen(motion="other") == replace(chosen, motion_weights="other")


def test_the_portrait_renderer_has_no_weights_to_choose() -> None:
    with pytest.raises(ValueError, match="no weights to replace by 'mine'"):
        PRESETS["portrait"].chosen("mine")
