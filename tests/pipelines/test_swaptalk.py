"""The `swaptalk` system on clips that our own renderer draws, with tiny random networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe")

from PIL import Image

from benchmarks.avatars import find_photo
from pipelines.batch import Batch
from pipelines.clip import play
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.curves import lip_gap
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.follow import FaceFollower
from pipelines.photo.framing import PHOTO, WIDE, framed, sizes_for
from pipelines.photo.video.kept import resized, to_rgb
from pipelines.pipeline import (
    FPS,
    HOP_SAMPLES,
    EnrolmentCancelled,
    Material,
    NeedsWeights,
    Pipeline,
    QuietProgress,
    Size,
)
from pipelines.registry import find_system
from pipelines.swaptalk import drawn
from pipelines.swaptalk.enrol import enrol, reference_frame
from pipelines.swaptalk.faces import ROWS, Faces
from pipelines.swaptalk.loop import PAUSE, make_loop
from pipelines.swaptalk.player import View
from pipelines.swaptalk.render import SwapTalkRenderer
from pipelines.swaptalk.square import steady_squares
from pipelines.swaptalk.system import SYSTEM
from pipelines.swaptalk.template import Template
from tests.support.echo_faces import EchoFaces
from tests.support.squares import jitter
from tests.support.tiny_swaptalk import TINY, write_weights
from tests.support.videos import SIZE, drawn_clip, write_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("swaptalk")


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    """Somebody who speaks and moves the head, in a frame that is wider than high."""
    beside = np.full((SIZE, 100, 3), (90, 120, 100), np.uint8)
    pictures = [np.concatenate([beside, picture, beside], 1) for picture in drawn_clip().pictures]
    return write_clip(folder / "clip.mp4", pictures, drawn_clip().sound)


@pytest.fixture(scope="module", autouse=True)
def weights(folder: Path) -> Iterator[None]:
    write_weights(folder / "weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder / "weights"))
        yield


@pytest.fixture(scope="module")
def echo(video: Path, folder: Path) -> IdentityFeatures:
    """Enrolled for networks that give the most closed mouth of the clip."""
    return enrol(Material(video=video), EchoFaces(), "e" * 64, QuietProgress(made(folder / "echo")))


@pytest.fixture(scope="module")
def tiny(video: Path, folder: Path) -> IdentityFeatures:
    """Enrolled as users do."""
    progress = QuietProgress(made(folder / "tiny"))
    return SYSTEM.enrol(Material(video=video), TINY, progress)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# The template


def test_the_square_is_steady_and_the_loop_turns_where_little_moves(echo: IdentityFeatures) -> None:
    template = Template.of(echo.arrays)
    assert len(template) >= 2 * FPS
    assert jitter(template.places) < 0.002
    assert float(echo.meta["turn"]) < 1.0
    assert template.gap.max() > 0.05  # the mouth of the video does open
    assert template.gap[reference_frame(template)] < 0.01


def test_the_tracked_squares_tremble_less_than_the_landmarks(
    echo: IdentityFeatures, folder: Path
) -> None:
    points = np.load(folder / "echo" / "track.npz")["points"].astype(float)
    alone = [steady_squares(each[None], np.zeros(1)).places for each in points]
    assert jitter(Template.of(echo.arrays).places) < 0.25 * jitter(np.concatenate(alone))


def test_an_enrolment_goes_on_where_it_was_stopped(
    video: Path, folder: Path, tiny: IdentityFeatures
) -> None:
    class Stopping(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            if share > 0.8:
                raise EnrolmentCancelled

    stopped = made(folder / "stopped")
    with pytest.raises(EnrolmentCancelled):
        SYSTEM.enrol(Material(video=video), TINY, Stopping(stopped))
    kept = {path: path.stat().st_mtime_ns for path in stopped.iterdir()}
    assert {"track.npz", "maps-000.npy"} <= {path.name for path in kept}
    found = SYSTEM.enrol(Material(video=video), TINY, QuietProgress(stopped))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert found.key == tiny.key
    assert found.arrays.keys() == tiny.arrays.keys()
    for name, array in tiny.arrays.items():
        assert np.array_equal(found.arrays[name], array), name


def test_a_video_is_refused_in_words(folder: Path) -> None:
    pictures = [np.full((SIZE, SIZE, 3), 128, np.uint8)] * 60
    blank = write_clip(folder / "blank.mp4", pictures)
    with pytest.raises(EnrolmentError, match=r"No face is seen at 0\.0 s") as caught:
        enrol(Material(video=blank), EchoFaces(), "e" * 64, QuietProgress(made(folder / "blank")))
    assert caught.value.code == "no_face"


def test_more_than_a_minute_is_refused_in_words(folder: Path) -> None:
    pictures = [np.full((64, 64, 3), 128, np.uint8)] * 63
    long = write_clip(folder / "long.mp4", pictures, times_s=list(range(63)))
    with pytest.raises(EnrolmentError, match="at most 60 s") as caught:
        enrol(Material(video=long), EchoFaces(), "e" * 64, QuietProgress(made(folder / "long")))
    assert caught.value.code == "video_too_long"


@pytest.fixture(scope="module")
def upright(folder: Path) -> IdentityFeatures:
    """Of a telephone held upright, at 50 frames a second: stored lying on its side, with a note
    that it is to be turned."""
    tall = [
        np.pad(picture, ((60, 60), (0, 0), (0, 0)), "edge") for picture in drawn_clip().pictures
    ]
    turned = [np.rot90(picture, -1).copy() for picture in (*tall, *tall[::-1])]
    times = [n / 50 for n in range(len(turned))]
    clip = write_clip(folder / "upright.mp4", turned, times_s=times, rotation=90)
    progress = QuietProgress(made(folder / "upright"))
    return enrol(Material(video=clip), EchoFaces(), "d" * 64, progress)


def test_a_telephone_held_upright_at_50_frames_a_second_is_taken(upright: IdentityFeatures) -> None:
    template = Template.of(upright.arrays)
    assert template.clip.size == (256, 376)
    assert 37 <= len(template) <= len(drawn_clip().pictures)
    across, down = template.places[:, 0, 0], template.places[:, 1, 0]
    assert (across > 3.0 * np.abs(down)).all()  # the face is upright


def test_a_photo_moves_by_itself_its_mouth_at_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "FRAMES", 45)
    photo = made(folder / "photo") / "small.png"
    Image.open(find_photo("freya")).convert("RGB").resize((300, 300)).save(photo)
    found = enrol(Material(photo=photo), EchoFaces(), "e" * 64, QuietProgress(photo.parent))
    template = Template.of(found.arrays)
    assert 37 <= len(template) <= 45
    assert jitter(template.places) < 0.002
    assert np.ptp(template.places[:, :, 2], axis=0).max() > 0.3  # pixels: the head does move
    assert template.gap.max() < 0.02
    shown = framed(found, PHOTO)
    assert sizes_for(SYSTEM, shown) == ((256, 256), (512, 512), (720, 720))
    pictures = list(pasted(EchoFaces(), shown, (256, 256)))
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_another_face_is_put_into_every_frame_and_nothing_else(
    video: Path, folder: Path, tiny: IdentityFeatures
) -> None:
    source = find_photo("henrik")
    material = Material(video=video, source=source, consent="I am Henrik.")
    assert SYSTEM.key(material, TINY) != tiny.key
    found = SYSTEM.enrol(material, TINY, QuietProgress(made(folder / "swapped")))
    assert found.key == SYSTEM.key(material, TINY)
    before, after = Template.of(tiny.arrays), Template.of(found.arrays)
    assert np.array_equal(before.places, after.places)
    frames = zip(before.clip.pictures(), after.clip.pictures(), strict=True)
    width, height = before.clip.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    for place, (own, other) in zip(before.places, frames, strict=True):
        change = np.abs(own[:height].astype(int) - other[:height])
        offset = np.stack([x - place[0, 2], y - place[1, 2]])
        u, v = np.einsum("ij,jhw->ihw", np.linalg.inv(place[:, :2]), offset)
        assert change[(np.abs(u) < 0.3) & (np.abs(v) < 0.3)].mean() > 4.0
        assert change[(np.abs(u) > 1.05) | (np.abs(v) > 1.05)].mean() < 1.0  # encoded anew


def test_a_swap_without_its_weights_is_refused_in_words(video: Path) -> None:
    material = Material(video=video, source=video)
    with pytest.raises(ValueError, match="not installed: none-such"):
        SYSTEM.key(material, SYSTEM.Options(swap_weights="none-such"))


# Pasting


def pasted(faces: Faces, identity: IdentityFeatures, size: Size) -> Iterator[np.ndarray]:
    """The pictures of the loop there, mouth shut, I420, while the head speaks."""
    renderer = SwapTalkRenderer(faces, 1, [size])
    renderer.set_identity(0, identity, [size])
    batch = Batch.of(1, (size,), MOTION_DIM)
    batch.size[:] = size
    batch.speech[:] = True
    state, one = renderer.init_state(1), torch.ones(1, dtype=torch.bool)
    for _ in range(len(identity.arrays["gap"])):
        renderer.step(torch.zeros(1, MOTION_DIM), state, one, [0], batch)
        yield batch.picture(0).copy()


def test_nothing_changes_outside_the_mask(echo: IdentityFeatures) -> None:
    """Not by a bit, in the frame as kept; in 720 lines no more than scaling does."""
    template = Template.of(echo.arrays)
    wide = framed(echo, PHOTO)
    kept = list(template.clip.pictures())
    height = template.clip.size[1]
    shown = list(pasted(EchoFaces(light=0.3), wide, template.clip.size))
    for number in range(0, len(template), 9):
        changed = shown[number][:height] != kept[number][:height]
        inside = _lower_square(template.places[number], template.clip.size)
        assert changed.any()
        assert not (changed & ~inside).any()
        edge = inside & ~_lower_square(template.places[number] @ _CORE, template.clip.size)
        assert np.abs(shown[number][:height].astype(int) - kept[number][:height])[edge].mean() < 3.0


_CORE = np.array([[0.93, 0.0, 0.0], [0.0, 0.93, 0.03], [0.0, 0.0, 1.0]])


def _lower_square(place: np.ndarray, size: Size) -> np.ndarray:
    """Which pixels lie in the lower half of a square, bool [H, W], and those beside them, with
    which they share their colour."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    offset = np.stack([x - place[0, 2], y - place[1, 2]])
    u, v = np.einsum("ij,jhw->ihw", np.linalg.inv(place[:, :2]), offset)
    near = 2.0 / float(np.hypot(*place[:, 0]))
    return (np.abs(u) < 1.0 + near) & (v > -near) & (v < 1.0 + near)


def test_a_frame_of_720_lines_is_the_video_around_the_mask(echo: IdentityFeatures) -> None:
    identity = framed(echo, PHOTO)
    template = Template.of(echo.arrays)
    size = sizes_for(SYSTEM, identity)[-1]
    assert size[0] == 1280
    [first, *_] = pasted(EchoFaces(light=0.3), identity, size)
    [other, *_] = pasted(EchoFaces(own=True), identity, size)
    scale = np.array(size) / template.clip.size
    place = template.places[0] * scale[:, None]
    outside = ~_lower_square(place, size)
    rows = slice(0, size[1])
    difference = np.abs(first[rows].astype(int) - other[rows].astype(int))
    assert difference[outside].mean() < 1.0  # of 255
    assert difference[outside].max() == 0


def test_a_wide_video_fills_16_to_9(echo: IdentityFeatures) -> None:
    template, size = Template.of(echo.arrays), (640, 360)
    [first, *_] = pasted(EchoFaces(own=True), framed(echo, WIDE), size)
    kept = resized(template.clip.stretch(0)[0], (642, 360))
    assert np.abs(first[:360].astype(int) - kept[:360, :640])[:150].mean() < 4.0


def test_an_upright_video_goes_on_beside_itself_in_16_to_9(upright: IdentityFeatures) -> None:
    identity, size = framed(upright, WIDE), sizes_for(SYSTEM, framed(upright, WIDE))[0]
    assert size == (640, 360)
    template, view = Template.of(upright.arrays), View.of(identity, size)
    middles = view.places(template.places, template.clip.size)[:, :, 2]
    assert np.abs(middles[:, 0] - 320).max() < 40
    assert (middles[:, 1] > 100).all()
    assert (middles[:, 1] < 260).all()
    assert view.left < -80  # there is something beside
    assert view.whole[0] - view.left < 640 - 80
    pictures = np.stack([p[:360].astype(int) for p in pasted(EchoFaces(), identity, size)])
    change = np.abs(np.diff(pictures, axis=0)).max(axis=(0, 1))
    inside = np.arange(640) + view.left
    shown = (inside >= 0) & (inside < view.whole[0])
    assert (change[~shown] == 0).all()
    assert (change[200:440] > 0).all()
    across = np.abs(np.diff(pictures[0], axis=1)).mean(0)
    edges = [-view.left - 1, view.whole[0] - view.left - 1]
    assert across[edges].max() < 2.0 * np.median(across) + 1.0  # no seam


def test_the_mouth_is_shut_in_silence_where_the_template_speaks(echo: IdentityFeatures) -> None:
    template = Template.of(echo.arrays)
    with FaceFollower() as follower:
        gaps = []
        for picture in pasted(EchoFaces(), echo, (256, 256)):
            points = follower.read(to_rgb(picture))
            assert points is not None
            gaps.append(lip_gap(points))
    assert template.gap.max() > 0.05
    assert max(gaps) < 0.015


# Idle and speaking


def test_where_the_loop_is_depends_on_who_speaks(echo: IdentityFeatures) -> None:
    """Frames are those that `loop` says, in each slot by itself, at once or after a pause."""
    loop = make_loop(slice(10, 50), np.full((len(Template.of(echo.arrays)),) * 2, 9.0))
    arrays = echo.arrays | {"loop": np.stack([loop.frames, *loop.after])}
    identity = framed(replace(echo, key="f" * 64, arrays=arrays), PHOTO)
    size = Template.of(echo.arrays).clip.size
    kept = list(Template.of(echo.arrays).clip.pictures())
    renderer = SwapTalkRenderer(EchoFaces(), 2, [size])
    for slot in range(2):
        renderer.set_identity(slot, identity, [size])
    batch = Batch.of(2, (size,), MOTION_DIM)
    batch.size[:] = size
    state, motion = renderer.init_state(2), torch.zeros(2, MOTION_DIM)
    shown: list[list[int]] = [[], []]
    for step in range(130):
        batch.speech[:] = [step < 60, False]
        active = torch.tensor([True, step % 3 > 0])
        draw = [slot for slot in range(2) if active[slot] and step % 5 == 0]
        numbers = [loop.frame(int(position)) for position in state.position]
        renderer.step(motion, state, active, draw, batch)
        for slot in range(2):
            if active[slot]:
                shown[slot].append(numbers[slot])
            if slot in draw:
                assert (batch.picture(slot)[:20] == kept[numbers[slot]][:20]).all()
    assert max(shown[0][:60]) > 50
    assert set(shown[0][110:]) <= set(range(10, 50))
    assert shown[1] == [10, *loop.ahead(0, PAUSE, len(shown[1]) - 1)]


# The system


def test_without_weights_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    options = SYSTEM.Options(vqgan_weights="no-space", lips_weights="none-such")
    system = find_system("swaptalk")
    assert isinstance(system, NeedsWeights)
    assert "not installed: no-space and none-such" in system.missing(options)
    for ask in (
        lambda: system.key(Material(video=tmp_path), options),
        lambda: system.enrol(Material(video=tmp_path), options, QuietProgress(tmp_path)),
        lambda: system.build(1, options, "cpu"),
    ):
        with pytest.raises(ValueError, match="needs weights that are not installed"):
            ask()


def test_with_weights_nothing_is_missing(video: Path, tiny: IdentityFeatures) -> None:
    assert SYSTEM.missing(TINY) == ""
    assert tiny.key == SYSTEM.key(Material(video=video), TINY)
    assert tiny.preview.shape == (512, 512, 3)
    assert any(name.startswith(ROWS) for name in tiny.arrays)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="margin"):
        SYSTEM.Options(margin=1.0)
    with pytest.raises(ValueError, match="empty"):
        SYSTEM.Options(lips_weights="")


SOUND = drawn_clip().sound[: 30 * HOP_SAMPLES]
SMALL: Size = (256, 256)


@pytest.fixture(scope="module")
def pipeline(tiny: IdentityFeatures) -> Pipeline:
    built = SYSTEM.build(2, TINY, "cpu")
    for slot in range(2):
        built.set_identity(slot, tiny, SMALL)
    return built


def test_a_clip_plays_and_starts_over_the_same(pipeline: Pipeline) -> None:
    first, second = ([s.picture.copy() for s in play(pipeline, SOUND, SMALL)] for _ in range(2))
    assert len(first) == 30
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((a != b).any() for a, b in pairwise(first))


def test_a_picture_that_is_not_drawn_leaves_the_others_in_their_places(pipeline: Pipeline) -> None:
    """The loop goes on with the sound, and a mouth holds on to codes of what was shown only."""
    every = [s.picture.copy() for s in play(pipeline, SOUND, SMALL)]
    some = [None if s.picture is None else s.picture.copy()
            for s in play(pipeline, SOUND, SMALL, draw=range(0, 30, 3))]  # fmt: skip
    for n, (a, b) in enumerate(zip(every, some, strict=True)):
        assert (b is None) == (n % 3 > 0)
        if b is not None:
            assert np.abs(a.astype(int) - b).mean() < 1.0


def test_a_slot_that_rests_is_untouched(pipeline: Pipeline) -> None:
    batch = Batch.of(2, (SMALL,), pipeline.motion_dim)
    batch.size[:] = SMALL
    pipeline.reset(0, 0)
    pipeline.reset(1, 0)
    batch.active[:] = batch.draw[:] = True
    pipeline.step(batch)
    assert (batch.planes[0] == batch.planes[1]).all()
    batch.active[1] = batch.draw[1] = False
    batch.hops[0] = SOUND[:HOP_SAMPLES]
    for _ in range(4):
        pipeline.step(batch)
    batch.active[:] = batch.draw[:] = [False, True]
    pipeline.step(batch)
    behind = batch.planes[1].copy()
    pipeline.reset(0, 0)
    batch.hops[:] = 0.0
    batch.active[:] = batch.draw[:] = [True, False]
    pipeline.step(batch)
    pipeline.step(batch)
    assert (batch.planes[0] == behind).all()


def test_at_first_it_shows_the_template(pipeline: Pipeline, tiny: IdentityFeatures) -> None:
    batch = Batch.of(2, (SMALL,), pipeline.motion_dim)
    batch.size[:] = SMALL
    pipeline.still(1, batch)
    whole = to_rgb(batch.picture(1)).astype(int)
    preview = tiny.preview.reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(whole - preview)[:100].mean() < 3.0  # above the mouth
