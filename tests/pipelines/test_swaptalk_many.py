"""Many faces of the `swaptalk` pipeline drawn at once, as a graph does: each as it is alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import reference_codes, reference_norm_swish, reference_paste_lower
from kernels.dispatch import interpreted
from pipelines.batch import Batch, frame_bytes
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.framing import PHOTO, framed
from pipelines.pipeline import HOP_SAMPLES, Releases, Size
from pipelines.rungs import Rungs
from pipelines.swaptalk.clip_tables import template_bytes
from pipelines.swaptalk.faces import Faces, LatentFaces
from pipelines.swaptalk.loop import PAUSE
from pipelines.swaptalk.paste import Face, correction
from pipelines.swaptalk.paste_batched import Corrections
from pipelines.swaptalk.render import SwapTalkRenderer
from pipelines.swaptalk.render_batched import BatchedSwapTalk, ShownLoopState
from pipelines.swaptalk.wav2lip.faces import Wav2LipFaces
from pipelines.swaptalk.wav2lip.generator import Wav2Lip
from tests.support.static_steps import check_step
from tests.support.tiny_swaptalk import TINY_VQGAN, tiny_faces, tiny_networks
from tests.support.tiny_template import tiny_identity

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SLOTS = 3
SIZE: Size = (96, 96)
RUNGS = Rungs.of([[SIZE]])
FACES = tiny_faces(margin=0.2)
EVERY = torch.ones(SLOTS, dtype=torch.bool)


@pytest.fixture(scope="module")
def identities() -> list[IdentityFeatures]:
    """Of several lengths, and sizes of the face: 64 drawn pixels are 15 of the frame, or 60."""
    sizes = (((192, 160), 60.0), ((128, 128), 120.0), ((192, 160), 24.0))
    return [
        tiny_identity(FACES, 8 + 3 * n, size, side, seed=n) for n, (size, side) in enumerate(sizes)
    ]


class Played:
    """A renderer that shows identities, and its state."""

    def __init__(
        self,
        identities: list[IdentityFeatures],
        size: Size = SIZE,
        templates: int | None = None,
        faces: Faces = FACES,
    ) -> None:
        self.size = size
        rungs = Rungs.of([[size]])
        self.renderer = BatchedSwapTalk(
            faces, SLOTS, "cpu", templates=templates or len(identities), rungs=rungs
        )
        for slot, identity in enumerate(identities):
            self.renderer.prepare(identity, size)
            self.renderer.set_identity(slot, identity, [size])
        self.state = self.renderer.init_state(SLOTS)

    def hear(
        self,
        motion: Tensor,
        speech: Tensor,
        active: Tensor = EVERY,
        hops: Tensor | None = None,
    ) -> None:
        hops = torch.zeros(SLOTS, HOP_SAMPLES) if hops is None else hops
        self.renderer.advance(motion, hops, speech, self.state, active)

    @torch.inference_mode()
    def draw(self, rows: list[int], state: ShownLoopState | None = None) -> Tensor:
        planes = torch.full((len(rows), frame_bytes(self.size)), 7, dtype=torch.uint8)
        self.renderer.draw(self.size, torch.tensor(rows), state or self.state, planes)
        return planes


class Alone:
    """The renderer of a CPU, with the same."""

    def __init__(
        self, identities: list[IdentityFeatures], size: Size = SIZE, faces: Faces = FACES
    ) -> None:
        self.renderer = SwapTalkRenderer(faces, SLOTS, [size])
        for slot, identity in enumerate(identities):
            self.renderer.set_identity(slot, identity, [size])
        self.state = self.renderer.init_state(SLOTS)
        self.batch = Batch.of(SLOTS, [size], MOTION_DIM)
        self.batch.size[:] = size

    def show(
        self, motion: Tensor, speech: Tensor, active: Tensor, slots: list[int]
    ) -> list[Tensor]:
        self.batch.speech[:] = speech.numpy()
        self.renderer.step(motion, self.state, active, slots, self.batch)
        return [torch.from_numpy(self.batch.planes[slot].copy()) for slot in slots]


def motions(count: int, seed: int = 0) -> list[Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return [torch.rand(SLOTS, MOTION_DIM, generator=chance) for _ in range(count)]


def assert_alike(found: Tensor, expected: Tensor) -> None:
    apart = (found.int() - expected.int()).abs().float()
    assert float(apart.mean()) <= 0.5
    assert int(apart.max()) <= 3


@pytest.mark.parametrize("size", [(96, 96), (256, 256), (512, 512), (720, 720)], ids=str)
@pytest.mark.parametrize("frame", ["square", PHOTO])
def test_a_batch_shows_what_is_shown_one_by_one(
    identities: list[IdentityFeatures], frame: str, size: Size
) -> None:
    shown = [framed(identity, frame) for identity in identities]
    together, alone = Played(shown, size), Alone(shown, size)
    speech = torch.tensor([True, False, True])
    moved = []
    for step, motion in enumerate(motions(3 if size[0] > 256 else 12)):
        active = torch.tensor([True, step % 3 > 0, True])
        slots = [slot for slot in range(SLOTS) if active[slot] and (step + slot) % 2]
        together.hear(motion, speech, active)
        expected = alone.show(motion, speech, active, slots)
        if not slots:
            continue
        for a, b in zip(together.draw(slots), expected, strict=True):
            assert_alike(a, b)
        moved += [picture[: size[0] * size[1]].float() for picture in expected if 0 in slots]
    assert torch.equal(together.state.codes, alone.state.codes)
    assert torch.equal(together.state.position, alone.state.position)
    assert len(moved) < 2 or float((moved[0] - moved[-1]).abs().mean()) > 0.1


def test_the_loop_goes_on_as_one_by_one(identities: list[IdentityFeatures]) -> None:
    """Speaking, and silent for so long that it goes to where the person is silent too."""
    together, alone = Played(identities), Alone(identities)
    for step, motion in enumerate(motions(PAUSE + 12)):
        speech = torch.tensor([step < 5, step > 8, False])
        active = torch.tensor([True, True, step % 2 == 0])
        before = together.state.position.clone()
        together.hear(motion, speech, active)
        alone.show(motion, speech, active, [])
        assert torch.equal(together.state.position, alone.state.position)
        assert torch.equal(together.state.quiet, alone.state.quiet)
        assert torch.equal(together.state.heard, alone.state.heard)
        assert torch.equal(together.state.shown[active], before[active])


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_composed_in_any_way_shows_the_same(
    identities: list[IdentityFeatures], seed: int
) -> None:
    played = Played(identities)
    for motion in motions(2, seed):
        played.hear(motion, EVERY)
    alone = {}
    for rows in ([0], [1], [2], [2, 0, 1], [1, 1, 1, 0], [2, 2]):
        state = played.renderer.init_state(SLOTS)
        for name, value in vars(played.state).items():
            if isinstance(value, Tensor):
                getattr(state, name).copy_(value)
        for slot, picture in zip(rows, played.draw(rows, state), strict=True):
            alone.setdefault(slot, picture)
            assert int((picture.int() - alone[slot].int()).abs().max()) <= 1
        undrawn = [slot for slot in range(SLOTS) if slot not in rows]
        assert torch.equal(state.codes[undrawn], played.state.codes[undrawn])
        assert bool((state.codes[rows] >= 0).all())


def test_a_slot_without_a_template_harms_no_other(identities: list[IdentityFeatures]) -> None:
    played = Played(identities[:2])
    played.hear(motions(1)[0], EVERY)
    with_it = played.draw([0, 2, 1])
    fresh = Played(identities[:2])
    fresh.hear(motions(1)[0], EVERY)
    assert int((with_it[::2].int() - fresh.draw([0, 1]).int()).abs().max()) <= 1


def test_at_first_it_shows_the_template(identities: list[IdentityFeatures]) -> None:
    played, alone = Played(identities), Alone(identities)
    for slot in range(SLOTS):
        alone.renderer.still(slot, alone.batch)
        planes = torch.zeros(frame_bytes(SIZE), dtype=torch.uint8)
        played.renderer.still(SIZE, slot, planes)
        assert_alike(planes, torch.from_numpy(alone.batch.planes[slot]))
    assert bool((played.state.codes == -1).all())


def test_templates_are_shared_kept_and_make_room(identities: list[IdentityFeatures]) -> None:
    first, second, third = identities
    played = Played([first, first], templates=2)
    tables = played.renderer.tables
    assert tables.row[:2].tolist() == [0, 0]
    played.renderer.set_identity(1, second, [SIZE])
    played.renderer.set_identity(2, first, [SIZE])
    assert tables.row.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="2 templates are shown"):
        played.renderer.set_identity(0, third, [SIZE])  # slot 2 shows the first still
    played.renderer.set_identity(0, second, [SIZE])
    played.renderer.set_identity(2, third, [SIZE])  # in the place of the first
    assert tables.row.tolist() == [1, 1, 0]
    played.hear(motions(1)[0], EVERY)
    expected = Alone([second, second, third])
    shown = expected.show(motions(1)[0], EVERY, EVERY, [0, 1, 2])
    for a, b in zip(played.draw([0, 1, 2]), shown, strict=True):
        assert_alike(a, b)


def test_a_slot_that_nobody_watches_makes_room(identities: list[IdentityFeatures]) -> None:
    first, second, third = identities
    played = Played([first, second], templates=2)
    assert isinstance(played.renderer, Releases)
    played.renderer.release(0)
    played.renderer.release(0)  # once more is no harm
    played.renderer.set_identity(0, first, [SIZE])  # it was still there
    played.renderer.release(0)
    played.renderer.prepare(third, SIZE)
    played.renderer.set_identity(2, third, [SIZE])
    assert played.renderer.tables.row.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="2 templates are shown"):
        played.renderer.set_identity(0, first, [SIZE])


def test_a_template_that_is_held_is_not_decoded_again(
    identities: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(identities[:1])

    def unwelcome(*_: object) -> None:
        raise AssertionError("a template is decoded again")

    monkeypatch.setattr(played.renderer.tables, "_decode", unwelcome)
    played.renderer.prepare(identities[0], SIZE)
    played.renderer.set_identity(1, identities[0], [SIZE])


def test_a_template_is_in_its_row_before_a_slot_shows_it(
    identities: list[IdentityFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(identities[:1], templates=2)
    tables = played.renderer.tables
    played.renderer.prepare(identities[1], SIZE)
    monkeypatch.setattr(tables, "_decode", None)
    monkeypatch.setattr(tables, "_write", None)
    played.renderer.prepare(identities[1], SIZE)
    played.renderer.set_identity(1, identities[1], [SIZE])
    assert tables.row.tolist() == [0, 1, 0]
    played.renderer.prepare(identities[2], SIZE)  # no row is free: nothing is done
    with pytest.raises(ValueError, match="2 templates are shown"):
        played.renderer.set_identity(2, identities[2], [SIZE])
    played.hear(motions(1)[0], EVERY)
    expected = Alone(identities[:2]).show(motions(1)[0], EVERY, EVERY, [0, 1])
    for a, b in zip(played.draw([0, 1]), expected, strict=True):
        assert_alike(a, b)


def test_what_a_template_takes_is_known_before() -> None:
    rungs = Rungs.of([[(32, 32), (48, 48)], [(64, 32), (96, 48)]])
    tables = BatchedSwapTalk(FACES, SLOTS, "cpu", templates=2, rungs=rungs).tables
    held = [tables.frames, tables.after, tables.masks, tables.around, *tables.latents.values()]
    for size in ((32, 32), (96, 48)):
        clips = tables.clips(size)
        held += [clips.planes, clips.places, clips.boxes]
    expected = 2 * template_bytes(FACES, rungs, torch.device("cpu"))
    assert sum(table.nbytes for table in held) == expected


def test_a_template_that_is_too_long_is_refused(identities: list[IdentityFeatures]) -> None:
    played = Played(identities[:1], templates=2)
    masks = np.zeros((301, 32, 64), np.uint8)
    long = replace(identities[1], arrays=identities[1].arrays | {"masks": masks})
    for _ in range(2):  # and leaves its row to others
        with pytest.raises(ValueError, match="at most 300"):
            played.renderer.set_identity(1, long, [SIZE])
    played.renderer.set_identity(1, identities[1], [SIZE])


@pytest.mark.parametrize("kind", ["rim", "even", "none", "all"])
def test_corrections_are_those_of_each_alone(kind: str) -> None:
    chance = torch.Generator().manual_seed(3)
    masks = torch.rand(3, 32, 64, generator=chance)
    if kind == "even":
        masks = (masks * 8.0).round() / 8.0
    elif kind == "none":
        masks = masks.round()
    elif kind == "all":
        masks.fill_(0.5)
    lower = torch.rand(3, 3, 64, 128, generator=chance)
    around = torch.rand(3, 3, 32, 64, generator=chance) * 0.2 + lower[:, :, ::2, ::2] * 0.8
    found = Corrections(torch.device("cpu"))(lower, around, masks)
    for n in range(3):
        mean = torch.nn.functional.adaptive_avg_pool2d(lower[n], (32, 64))
        expected = correction(mean, Face(np.zeros((2, 3)), masks[n], around[n]))
        torch.testing.assert_close(found[n], expected, atol=1e-5, rtol=1e-4)
    assert bool(found.any()) == (kind != "none")


def test_a_graph_can_capture_both_halves_of_a_step(identities: list[IdentityFeatures]) -> None:
    assert_captured(Played(identities))


def assert_captured(played: Played) -> None:
    every = EVERY.clone()
    inputs = motions(1)[0], torch.zeros(SLOTS, HOP_SAMPLES), every, played.state, every
    check_step(played.renderer.advance, *inputs)
    planes = torch.zeros(2, frame_bytes(SIZE), dtype=torch.uint8)
    check_step(played.renderer.draw, SIZE, torch.tensor([1, 0]), played.state, planes)


def test_lips_that_hear_for_themselves_are_drawn_alike() -> None:
    torch.manual_seed(0)
    faces = Wav2LipFaces(Wav2Lip(2).eval().requires_grad_(False))
    identities = [tiny_identity(faces, 8 + n, seed=10 + n) for n in range(2)]
    played, alone = Played(identities, faces=faces), Alone(identities, faces=faces)
    chance = torch.Generator().manual_seed(1)
    speech = torch.tensor([True, False, True])
    for _ in range(8):
        hops = torch.randn(SLOTS, HOP_SAMPLES, generator=chance) * 0.1
        played.hear(torch.zeros(SLOTS, MOTION_DIM), speech, hops=hops)
        alone.batch.hops[:] = hops.numpy()
        expected = alone.show(torch.zeros(SLOTS, MOTION_DIM), speech, EVERY, [0, 1])
        for a, b in zip(played.draw([0, 1]), expected, strict=True):
            assert_alike(a, b)
    assert_captured(played)


@pytest.mark.parametrize("local", [True, False], ids=["ours", "published"])
def test_a_frame_through_all_kernels_is_that_of_their_twins(
    local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="kernels are in the Triton language")
    config = replace(TINY_VQGAN, local_decoder=local)
    faces = LatentFaces(*(e.requires_grad_(False) for e in tiny_networks(0, config)), 0.2)
    played = Played([tiny_identity(faces, 8, seed=20 + n) for n in range(2)], faces=faces)
    for motion in motions(2):
        played.hear(motion, EVERY)
    fresh = played.state.codes.clone()
    expected = played.draw([1, 0])
    codes = played.state.codes.clone()
    played.state.codes.copy_(fresh)
    called = []
    for module, names in (
        (reference_codes, ("nearest_codes",)),
        (reference_norm_swish, ("group_norm_swish", "pixel_norm_swish")),
        (reference_paste_lower, ("paste_lower",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_, name=name: called.append(name))
    with interpreted():
        found = played.draw([1, 0])
    assert called == []  # no kernel has its twin run in its place
    same = (played.state.codes == codes).float().mean()
    assert float(same) > 0.99  # a code may lie as near as another
    apart = (found.int() - expected.int()).abs()
    assert int(apart.max()) <= 1 or float(same) < 1.0
    assert float(apart.float().mean()) < 0.1
