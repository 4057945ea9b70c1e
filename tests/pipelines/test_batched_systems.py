"""Every system as a GPU is given it: whole, all slots at once, recorded and replayed on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from pipelines import composed_batched, weights
from pipelines.anitalker.system import AniTalkerSystem
from pipelines.batch import Batch
from pipelines.composed_batched import BatchedPipeline
from pipelines.graph import Eager, Graphs
from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import SQUARE, Frame, foreseen_sizes
from pipelines.pipeline import HOP_SAMPLES, Material, Pipeline, QuietProgress, Size
from pipelines.portrait.system import PortraitSystem
from pipelines.swaptalk.system import SwapTalkSystem
from pipelines.tape import Tape
from tests.support.small import write_weights
from tests.support.static_steps import check_step
from tests.support.tiny_swaptalk import TINY, tiny_faces
from tests.support.tiny_swaptalk import write_weights as write_swaptalk_weights
from tests.support.tiny_template import tiny_identity
from tests.support.vowels import babble

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:2]
SIZE: Size = (256, 256)
SLOTS = 3
SOUND = babble(4)[: 14 * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)


FRAMES = {SQUARE: Frame((SIZE,), SIZE)}
"""Each size has graphs of its own, which take long to record."""


class Portrait(PortraitSystem):
    sizes, frames = (SIZE,), FRAMES


class AniTalker(AniTalkerSystem):
    sizes, frames = (SIZE,), FRAMES


class SwapTalk(SwapTalkSystem):
    sizes, frames = (SIZE,), FRAMES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Small weights instead of what ships, but for the motion."""
    motion = weights.find_weights("portrait-motion")
    (tmp_path / motion.name).symlink_to(motion)
    write_weights(tmp_path)
    write_swaptalk_weights(tmp_path)
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "shipped_weights_dir", lambda: tmp_path / "shipped")
    captured: dict[str, Graphs] = {"cpu": Tape(), "meta": Eager()}
    monkeypatch.setattr(composed_batched, "graphs_of", lambda device: captured[str(device)])
    return tmp_path


def enrolled(system: Any, options: Any, folder: Path) -> list[IdentityFeatures]:
    return [system.enrol(Material(photo=p), options, QuietProgress(folder)) for p in CAST]


def set_up(pipeline: Pipeline, faces: list[IdentityFeatures]) -> Batch:
    """Two slots with a face each; the third has none."""
    for slot, face in enumerate(faces):
        pipeline.prepare(face, SIZE)
        pipeline.set_identity(slot, face, SIZE)
        pipeline.reset(slot, seed=slot + 1)
    batch = Batch.of(SLOTS, (SIZE,), pipeline.motion_dim)
    batch.size[:] = SIZE
    return batch


def hear(batch: Batch, n: int) -> None:
    """The first speaks and is cut off once, the second pauses now and then."""
    batch.hops[:2] = SOUND[n], SOUND[-n]
    batch.speech[:2] = True
    batch.active[:2] = True, n % 4 != 1
    batch.clear[:2] = n == 11, False
    batch.draw[:2] = n in (7, 8, 12), n == 8


def assert_alike(ours: BatchedPipeline, theirs: Pipeline, faces: list[IdentityFeatures]) -> None:
    batches = set_up(ours, faces), set_up(theirs, faces)
    compared = 0
    for n in range(len(SOUND)):
        if n == 8:
            for pipeline in (ours, theirs):
                pipeline.set_identity(1, faces[0], SIZE)
        for pipeline, batch in zip((ours, theirs), batches, strict=True):
            hear(batch, n)
            pipeline.step(batch)
        on = batches[0].active
        assert np.allclose(batches[0].motion[on], batches[1].motion[on], atol=1e-3)
        for slot in np.flatnonzero(batches[0].drawn):
            apart = np.abs(batches[0].picture(slot).astype(int) - batches[1].picture(slot))
            assert apart.mean() <= 0.5
            assert apart.max() <= 3
            compared += 1
    assert compared == 4
    moved = np.abs(batches[0].picture(0).astype(int) - stills(ours, batches[0]))
    assert moved.max() > 20


def stills(pipeline: Pipeline, batch: Batch) -> np.ndarray:
    held = batch.picture(0).copy()
    pipeline.still(0, batch)
    still, batch.picture(0)[:] = batch.picture(0).astype(int), held
    return still


def assert_capturable(system: Any, options: Any) -> None:
    """Built as on a card, whose memory is not the host's, but without values."""
    pipeline = system.build_batched(SLOTS, options, "meta")
    check_step(pipeline._advance, device="meta")
    check_step(pipeline._draw_into, SIZE, pipeline._planes_of(SIZE, SLOTS), device="meta")


def test_portrait(folder: Path) -> None:
    system = Portrait()
    options = system.Options()
    ours = system.build_batched(SLOTS, options, "cpu")
    ours.use_backend("torch")
    theirs = system.build(SLOTS, options, "cpu")
    theirs.use_backend("torch")
    faces = enrolled(system, options, folder)
    assert_alike(ours, theirs, faces)
    assert_capturable(system, options)


def test_anitalker(folder: Path) -> None:
    system = AniTalker()
    options = system.Options(motion_weights="anitalker-motion")
    faces = enrolled(system, options, folder)
    ours, theirs = (make(SLOTS, options, "cpu") for make in (system.build_batched, system.build))
    assert_alike(ours, theirs, faces)
    assert_capturable(system, options)


def test_swaptalk(folder: Path) -> None:
    system = SwapTalk()
    of = tiny_faces()
    faces = [tiny_identity(of, 8 + 3 * n, (192, 160), 90.0, seed=n) for n in range(2)]
    ours, theirs = (make(SLOTS, TINY, "cpu") for make in (system.build_batched, system.build))
    assert_alike(ours, theirs, faces)
    assert_capturable(system, TINY)


def test_graphs_are_for_all_frames_but_the_photo_s_own() -> None:
    sizes = foreseen_sizes(PortraitSystem())
    assert {(256, 256), (720, 720), (640, 360), (1280, 720)} <= set(sizes)
    assert (910, 512) not in sizes
    assert foreseen_sizes(Portrait()) == (SIZE,)
