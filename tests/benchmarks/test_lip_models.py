"""Motion of many sounds together, of weights by their path, here and in another process."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lips.cuts import closing_ms, cut_frames, figures
from benchmarks.lips.held_out import Said
from benchmarks.lips.models import motions
from benchmarks.lips.sounds import Clip
from benchmarks.weights_by_path import named
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM
from pipelines.weights import find_weights
from tests.support.said import TEXT, phones_of, sound, untrained

CHECKOUT = Path(__file__).parents[2]
MOUTH = slice(0, BLENDSHAPES.index("tongueOut") + 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run") / "model.safetensors").parent


def test_a_sound_moves_alike_alone_and_among_others(run: Path) -> None:
    sounds = {"long": sound(2.0), "short": sound(1.2, seed=1)}
    together = motions(sounds, run)
    assert {name: one.shape for name, one in together.items()} == {
        "long": (50, MOTION_DIM), "short": (30, MOTION_DIM),
    }  # fmt: skip
    for name, heard in sounds.items():
        np.testing.assert_allclose(motions({name: heard}, run)[name], together[name], atol=1e-4)


def test_another_checkout_gives_what_its_code_gives(run: Path) -> None:
    sounds = {"a": sound(0.8)}
    here = motions(sounds, run, cuts={"a": 10})
    there = motions(sounds, run, checkout=CHECKOUT, cuts={"a": 10})
    np.testing.assert_allclose(there["a"], here["a"], atol=5e-3)  # written in float16


def test_a_cut_changes_nothing_before_it_and_closes_the_lips_after(run: Path) -> None:
    sounds = {"whole": sound(2.0), "cut": sound(2.0)}
    found = motions(sounds, run, cuts={"cut": 25})
    np.testing.assert_allclose(found["cut"][:25], found["whole"][:25], atol=1e-5)
    assert np.abs(found["cut"][25:] - found["whole"][25:])[:, MOUTH].max() > 0.01
    assert np.abs(found["cut"][35:, MOUTH]).max() < 1e-3


def test_weights_have_a_name_while_they_are_measured(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", "/somewhere/else")
    (run / "model.onnx").write_bytes(b"graph")
    with named(run) as name:
        path = find_weights(name)
        assert path.resolve() == (run / "model.safetensors").resolve()
        assert path.with_suffix(".onnx").read_bytes() == b"graph"
    assert os.environ["VIVAVOCE_WEIGHTS"] == "/somewhere/else"
    (run / "model.onnx").unlink()
    with pytest.raises(ValueError, match="not a file"), named(run / "nothing"):
        pass


def gap(open_until: int, frames: int = 60) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.where(np.arange(frames) < open_until, 0.05, 0.0)


@pytest.mark.parametrize(
    ("curve", "ms"),
    [
        (gap(30), 20.0),  # the first frame after the cut is closed: 20 ms to its middle
        (gap(34), 180.0),
        (gap(60), np.inf),  # open to the end
        (gap(20), None),  # not open when cut
        (np.where(np.arange(60) == 40, 0.05, gap(31)), 460.0),  # opens once more
    ],
)
def test_closing_counts_to_where_the_lips_stay_closed(curve: object, ms: float | None) -> None:
    found = closing_ms(np.asarray(curve), 30)
    assert found == (None if ms is None else pytest.approx(ms))


def test_share_of_cuts_in_time() -> None:
    found = figures([(gap(30), 30), (gap(34), 30), (gap(35), 30), (gap(20), 30)])
    assert found["count"] == 3
    assert found["in_time"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["latest"] == 220.0
    with pytest.raises(ValueError, match="no lips were open"):
        figures([(gap(20), 30)])


def test_cuts_are_in_open_vowels() -> None:
    phones = phones_of(TEXT)
    clip = Clip(sound(phones[-1].end_s), phones)
    frames = cut_frames(Said("a", "b", clip), most=3)
    assert 1 <= len(frames) <= 3
    for frame in frames:
        here = next(p for p in phones if p.start_s <= frame / 25 < p.end_s)
        assert here.label in {"AA", "AE", "AY"}
