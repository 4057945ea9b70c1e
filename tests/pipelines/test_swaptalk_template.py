"""The clip that an avatar lives in: steady squares, turns that nobody sees, frames kept encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.avatars import enrolled, find_photo
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.geometry import Array
from pipelines.photo.video.kept import STRETCH, channels, cropped, keep, resized
from pipelines.pipeline import FPS, QuietProgress
from pipelines.portrait.system import SYSTEM as PORTRAIT
from pipelines.swaptalk import template as templates
from pipelines.swaptalk.loop import (
    LONGEST,
    PAUSE,
    SHORTEST,
    USUAL,
    Loop,
    choose_stretch,
    find_idle,
    make_loop,
    turn_steps,
)
from pipelines.swaptalk.player import Player
from pipelines.swaptalk.square import corners, cut, steady_squares
from pipelines.swaptalk.template import kept_size
from tests.support.squares import jitter

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def mesh() -> np.ndarray:
    """Of one of the cast, float64 [478, 3] in pixels of a picture of 512."""
    landmarks: Array = enrolled(PORTRAIT, find_photo("amara")).arrays["landmarks"]
    return (landmarks.astype(np.float64) + np.array([1.0, 1.0, 0.0])) * 256.0


def turning(points: np.ndarray, frames: int) -> np.ndarray:
    """The mesh of a head that looks left and right, nods and sways: [frames, 478, 3]."""
    middle, rows = points.mean(0), []
    for time in np.arange(frames) / FPS:
        yaw, pitch = np.radians(8.0 * np.sin(3.1 * time)), np.radians(3.0 * np.sin(4.4 * time))
        across = np.array(
            [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        )
        down = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        sway = np.array([10.0 * np.sin(2.0 * time), 4.0 * np.cos(1.5 * time), 0.0])
        rows.append((points - middle) @ (across @ down).T + middle + sway)
    return np.stack(rows)


def quiet(folder: Path) -> QuietProgress:
    return QuietProgress(folder)


# Squares


def test_a_square_follows_the_head_without_the_noise_of_its_landmarks() -> None:
    clean = turning(mesh(), 75)
    noisy = clean + np.random.default_rng(0).normal(0.0, 0.5, clean.shape)
    closed = np.zeros(len(clean))
    still, steady = steady_squares(clean, closed).places, steady_squares(noisy, closed).places
    alone = np.concatenate([steady_squares(each[None], closed[:1]).places for each in noisy])
    assert jitter(steady) < 0.2 * jitter(alone)
    assert jitter(steady) < 0.001  # of the square's side
    side = np.linalg.norm(corners(still)[0, 1] - corners(still)[0, 0])
    assert np.abs(corners(steady) - corners(still)).max() < 0.01 * side
    assert np.ptp(corners(steady)[:, 0, 0]) > 0.05 * side  # it does follow


def test_speech_does_not_move_the_square() -> None:
    points = mesh()
    spoken = np.repeat(points[None], 50, 0)
    jaw = [17, 84, 314, 87, 14, 317, 152, 148, 377, 181, 405]
    opening = 0.5 - 0.5 * np.cos(np.arange(50))
    spoken[:, jaw, 1] += 25.0 * opening[:, None]
    places = steady_squares(spoken, opening).places
    assert np.abs(places - places[0]).max() < 1e-6


def test_a_square_is_cut_where_it_lies() -> None:
    """Of a picture whose colours say where they are; also where pixels must be put together."""
    size, side = 240, 16
    line = (torch.arange(size) + 0.5) / size
    picture = torch.stack([line.expand(size, size), line[:, None].expand(size, size)])
    place = np.array([[60.0, -12.0, 120.0], [12.0, 60.0, 110.0]])
    found = cut(picture, place, side).numpy() * size
    middles = (np.arange(side) + 0.5) * 2.0 / side - 1.0
    u, v = np.meshgrid(middles, middles)
    wanted = np.einsum("ij,jhw->ihw", place, np.stack([u, v, np.ones_like(u)]))
    assert np.abs(found - wanted).max() < 0.05  # pixels


# The loop


def swaying(frames: int, period: int) -> np.ndarray:
    """How far apart any two frames are of a head that goes left and right: [n, n]."""
    x = np.sin(2.0 * np.pi * np.arange(frames) / period)
    apart = np.abs(x[:, None] - x)
    return apart * (USUAL / np.median(np.abs(np.diff(x))))


def walk(loop: Loop, speech: np.ndarray, position: int = 0) -> list[int]:
    """The frames that are shown while somebody speaks where it says so."""
    shown, quiet = [], 0
    for spoken in speech:
        shown.append(loop.frame(position))
        quiet = 0 if spoken else quiet + 1
        position = int(loop.after[int(quiet >= PAUSE), position])
    return shown


def test_a_loop_goes_there_and_back() -> None:
    always = np.ones(9, bool)
    assert walk(make_loop(None, swaying(4, 9)), always) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert walk(make_loop(slice(2, 4), swaying(4, 9)), always) == [2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert walk(make_loop(None, np.zeros((1, 1))), always[:3]) == [0, 0, 0]


def test_while_nobody_speaks_the_idle_part_plays() -> None:
    idle = slice(120, 170)
    loop = make_loop(idle, swaying(240, 97))
    speech = np.zeros(900, bool)
    speech[150:400] = speech[700:704] = True
    shown = np.array(walk(loop, speech))
    inside = (shown >= idle.start) & (shown < idle.stop)
    assert inside[:150].all()
    assert (np.abs(np.diff(shown[150:400])) == 1).all()  # speaking is there and back
    assert (~inside[150 + idle.stop - idle.start : 400]).mean() > 0.5
    assert inside[480:700].all()  # three seconds after the last word at the latest
    assert inside[700 + PAUSE + 10 :].all()
    assert len(set(shown[480:700])) == idle.stop - idle.start


def test_a_leap_is_made_where_nobody_sees_it() -> None:
    apart = swaying(240, 97)
    loop = make_loop(slice(120, 170), apart)
    leaps = 0
    for position in range(len(loop.frames)):
        spoken, silent = (int(after[position]) for after in loop.after)
        step = apart[loop.frame(spoken), loop.frame(silent)]
        assert step <= 2.0 * USUAL  # of what is shown from what would have been
        leaps += abs(loop.frame(position) - loop.frame(silent)) > 1
    assert leaps > 100
    strange = apart + 50.0 * (np.arange(240)[:, None] // 120 != np.arange(240) // 120)
    kept = make_loop(slice(120, 170), strange)
    for position in range(len(kept.frames)):
        if kept.frame(position) < 119:  # nothing there is like the idle part
            assert abs(kept.frame(int(kept.after[1, position])) - kept.frame(position)) == 1
    shown = walk(kept, np.zeros(300, bool), int(np.flatnonzero(kept.frames == 40)[0]))
    assert 120 <= shown[-1] < 170


def test_what_comes_is_known_ahead() -> None:
    loop = make_loop(slice(120, 170), swaying(240, 97))
    shown = walk(loop, np.zeros(60, bool), 90)
    position, quiet = 90, 0
    for _ in range(5):
        quiet += 1
        position = int(loop.after[int(quiet >= PAUSE), position])
    assert list(loop.ahead(position, quiet, 40)) == shown[6:46]


def test_the_idle_part_is_where_the_lips_stay_closed() -> None:
    chance = np.random.default_rng(2)
    gap = 0.002 + 0.06 * np.abs(np.sin(np.arange(250) * 0.9))
    gap[100:190] = 0.002 + chance.uniform(0.0, 0.004, 90)
    gap[140] = 0.006
    idle = find_idle(gap, chance.uniform(0.5, 3.0, 249))
    assert idle is not None
    assert 105 <= idle.start < 140 < idle.stop <= 185
    assert idle.stop - idle.start >= SHORTEST
    assert find_idle(gap[:120], np.ones(119)) is None
    assert find_idle(np.zeros(80), np.ones(79)) == slice(0, 80)


def test_turns_lie_where_little_moves() -> None:
    chance = np.random.default_rng(1)
    for count in (40, 60, 170, 290, 700):
        steps = chance.uniform(0.5, 3.0, count - 1)
        stretch = choose_stretch(np.ones(count, bool), steps, np.zeros(count))
        assert stretch is not None
        assert SHORTEST <= stretch.stop - stretch.start <= LONGEST
        assert 0 <= stretch.start < stretch.stop <= count
        turns = turn_steps(steps[stretch.start : stretch.stop - 1])
        assert turns < (1.0 if count > 60 else 2.0)


def test_the_stretch_lies_where_the_face_is_seen_and_the_mouth_is_shut() -> None:
    steps, gap = np.ones(899), np.full(900, 0.05)
    seen = np.ones(900, bool)
    seen[450] = False
    gap[475:880] = 0.0
    stretch = choose_stretch(seen, steps, gap)
    assert stretch is not None
    assert stretch.start > 450
    assert gap[stretch].mean() < 0.01
    assert choose_stretch(np.arange(900) % SHORTEST > 0, steps, gap) is None


def test_of_a_long_video_the_stretch_is_one_of_speech_and_of_silence() -> None:
    gap = 0.05 * np.abs(np.sin(np.arange(1400) * 0.9))
    gap[600:] = 0.0  # he listens for half a minute
    stretch = choose_stretch(np.ones(1400, bool), np.ones(1399), gap)
    assert stretch is not None
    assert stretch.start < 500
    assert find_idle(gap[stretch], np.ones(stretch.stop - stretch.start - 1)) is not None


# Kept frames


def grating(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """I420 pictures that tell their number by their lightness."""
    x = np.arange(width) * 0.2
    rows = []
    for n in range(count):
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = (60 + 6 * n + 10 * np.sin(x)).astype(np.uint8)
        rows.append(planes)
    return rows


def test_kept_frames_come_in_any_order_of_stretches() -> None:
    pictures = grating(2 * STRETCH + 3)
    clip = keep(iter(pictures), (96, 64))
    assert clip.count == len(pictures)
    for number in (2, 0, 1):
        for n, found in enumerate(clip.stretch(number), STRETCH * number):
            assert np.abs(found.astype(int) - pictures[n]).mean() < 1.5


def test_a_damaged_clip_is_noticed() -> None:
    clip = keep(iter(grating(STRETCH)), (96, 64))
    cut_off = type(clip)(clip.data[:40], np.array([0, 40]), clip.count, clip.size)
    with pytest.raises(ValueError, match="damaged"):
        cut_off.stretch(0)


def test_a_player_shows_the_loop_wherever_it_is_asked() -> None:
    pictures = grating(2 * STRETCH + 3)
    player = Player(keep(iter(pictures), (96, 64)))
    for number in [*range(19), 7, 8, 0, 18, 17]:
        wanted = pictures[number]
        found = player.frame(number, [number, (number + STRETCH) % 19])
        assert abs(float(found[:64].mean()) - wanted[:64].mean()) < 1.5
        assert len(player._held) <= 2
        assert (number + STRETCH) % 19 // STRETCH in player._held


def test_a_box_of_a_frame_is_that_of_all_its_planes() -> None:
    planes = np.random.default_rng(0).integers(0, 255, (96, 64), np.uint8)
    box = cropped(planes, 10, 6, (20, 30))
    for (whole, step), (part, _) in zip(
        channels(planes, (64, 64)), channels(box, (30, 20)), strict=True
    ):
        assert (part == whole[6 // step : 36 // step, 10 // step : 30 // step]).all()
    assert resized(planes, (64, 64)) is planes
    assert resized(planes, (32, 32)).shape == (48, 32)


@pytest.mark.parametrize(
    ("size", "kept"),
    [((1920, 1080), (1280, 720)), ((1080, 1920), (720, 1280)), ((641, 361), (640, 360))],
)
def test_frames_are_kept_even_and_no_larger_than_720_lines(
    size: tuple[int, int], kept: tuple[int, int]
) -> None:
    assert kept_size(*size) == kept


def test_what_would_take_too_much_memory_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip = keep(iter(grating(9)), (96, 64))
    templates.check_memory(clip)
    monkeypatch.setattr(templates, "MOST_RESIDENT", 1024 * 100)
    with pytest.raises(EnrolmentError, match=r"take .* MiB of memory; at most 0 MiB") as caught:
        templates.check_memory(clip)
    assert caught.value.code == "video_too_large"


def test_a_template_of_720_lines_stays_within_its_memory() -> None:
    """Of noise, which is the worst there is."""
    width, height = kept_size(1920, 1080)
    chance = np.random.default_rng(0)
    shape = (height * 3 // 2, width)
    worst = keep(
        (chance.integers(60, 180, shape, np.uint8) for _ in range(STRETCH)), (width, height)
    )
    usual = keep((resized(p, (width, height)) for p in grating(STRETCH)), (width, height))
    per_frame = usual.nbytes / STRETCH
    whole = templates.resident_bytes(usual) + (LONGEST - STRETCH) * per_frame
    assert whole < templates.MOST_RESIDENT
    assert worst.nbytes > usual.nbytes
