"""Held-out speech, gap curves in files, and the tables that come of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lips.curves import Source, energy, load, save
from benchmarks.lips.held_out import Said, left_out, real_mouths, speakers_of
from benchmarks.lips.instruments import from_motion
from benchmarks.lips.leave_out import AFTER, BEFORE, GAIN, rows, unheard, without
from benchmarks.lips.leave_out import table as leave_out_table
from benchmarks.lips.recorded import (
    ALL,
    LOUDNESS,
    PHONES,
    against_mouths,
    against_phones,
    mouths_table,
    references,
)
from benchmarks.lips.sounds import Clip
from benchmarks.lips.steps import HeldOut, Step, mean_row
from benchmarks.lips.steps import table as steps_table
from tests.support.said import TEXT, phones_of, sound, untrained
from training.motion.articulation import ArticulationConfig, articulate
from training.speech.phones import RATE_HZ, Phone
from training.speech.recordings import Clip as Recording
from training.speech.recordings import Recordings

SPEAKERS = ("s1", "s1", "s1", "s2", "s3")


def mouths(noise: float = 0.004) -> list[Said]:
    """Clips whose real lips are the reference mouth and a little chance."""
    found = []
    for n, speaker in enumerate(SPEAKERS):
        phones = phones_of(TEXT, each_s=0.1 + 0.01 * n)
        clip = Clip(sound(phones[-1].end_s, n), phones)
        chance = np.random.default_rng(n).normal(0.0, noise, clip.frames)
        found.append(
            Said(f"{speaker}_{n}", speaker, clip, articulate(phones, clip.frames) + chance)
        )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two filmed people and forty others, one of whom cannot be used."""
    recordings = Recordings(tmp_path_factory.mktemp("recordings"))
    phones = (Phone("SIL", 0.0, 0.5), Phone("AA", 0.5, 1.5))
    samples = (sound(1.6)[: round(1.502 * RATE_HZ)] * 32_767).astype(np.int16)
    for name in ("s1_a", "s2_b"):
        gap = np.linspace(0.0, 0.05, 40, dtype=np.float32)
        gap[3] = np.nan
        recordings.add(Recording("grid", name, "a", phones, curves=True), samples=samples, gap=gap)
    for n in range(40):
        recordings.add(Recording("libri", f"{n}-1", "a", phones), samples=samples)
    recordings.add(Recording("libri", "99-1", "a", (), left_out="no words"))
    return recordings.folder


def test_real_lips_decide_how_long_a_clip_is(folder: Path) -> None:
    found = real_mouths(folder)
    assert speakers_of(found) == ["s1", "s2"]
    for one in found:
        assert one.real is not None
        assert one.clip.frames == len(one.real) == 40
        assert one.clip.samples.dtype == np.float32
        assert np.isnan(one.real[3])
        assert not one.clip.samples[round(1.502 * RATE_HZ) :].any()  # silence fills it up
        assert np.abs(one.clip.samples).max() <= 1.0


def test_those_left_out_are_some_speakers_whom_nobody_filmed(folder: Path) -> None:
    found = left_out(folder)
    assert 1 <= len(found) <= 10
    assert all(one.real is None and one.clip.frames == 38 for one in found)
    assert not set(speakers_of(found)) & {"s1", "s2", "99"}


def test_curves_come_back_as_they_were_kept(tmp_path: Path) -> None:
    said = mouths()
    curves = references(said)[PHONES]
    path = tmp_path / "kept.json"
    save(path, curves, model="reference")
    for name, curve in load(path).items():
        np.testing.assert_allclose(curve, curves[name], atol=5.1e-5)
    source = Source.of(str(path))
    assert str(source) == "kept"
    assert list(source.curves(said[1:2], from_motion)) == [said[1].name]
    with pytest.raises(ValueError, match=r"no frames of other"):
        source.curves([replace(said[0], name="other")], from_motion)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("runs/a", Source(Path("runs/a"))),
        ("@old", Source(checkout=Path("old"))),
        ("runs/a@old", Source(Path("runs/a"), Path("old"))),
        ("old.json", Source(kept=Path("old.json"))),
    ],
)
def test_a_source_is_weights_a_checkout_or_a_file(text: str, source: Source) -> None:
    assert Source.of(text) == source


def test_energy_is_high_where_the_sound_is() -> None:
    samples = np.zeros(10 * 640, np.float32)
    samples[3 * 640 : 4 * 640] = 0.1
    found = energy(samples)
    assert found.argmax() == 3
    assert np.isfinite(found).all()


def test_perfect_phones_follow_these_mouths_best_and_each_speaker_weighs_the_same() -> None:
    said = mouths()
    found = against_mouths(said, references(said))
    r = found[PHONES]["r"]
    assert r[ALL]["mean"] > 0.9 > found[LOUDNESS]["r"][ALL]["mean"]
    own = [r[speaker]["mean"] for speaker in ("s1", "s2", "s3")]
    assert r[ALL]["mean"] == pytest.approx(np.mean(own), abs=2e-4)
    assert r["s2"]["low"] is None
    assert r["s1"]["low"] <= r["s1"]["mean"] <= r["s1"]["high"]
    assert found[PHONES]["closures"] == 1.0
    lines = mouths_table(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [PHONES, LOUDNESS, "their own lips"]


def test_phones_of_a_speaker_may_go_through_a_fit_of_ones_own() -> None:
    said = mouths()
    wide = ArticulationConfig(targets={**ArticulationConfig().targets, "AA": (0.2, 1.0)})
    found = references(said, {"s2": wide})[PHONES]
    usual = references(said)[PHONES]
    differ = [name for name in found if not np.array_equal(found[name], usual[name])]
    assert differ == ["s2_3"]


def test_speakers_left_out_are_said_to_have_gained_what_they_gained(tmp_path: Path) -> None:
    said = mouths()
    before = {one.name: 0.5 for one in said}
    after = {one.name: 0.6 + 0.01 * n for n, one in enumerate(said)}
    found = rows(said, {BEFORE: before, AFTER: after})
    assert found["s2"][GAIN].mean == pytest.approx(0.13)
    assert (found["s2"][GAIN].low, found["s2"][GAIN].count) == (None, 1)
    assert found["s1"][GAIN].low == pytest.approx(0.1)
    assert found[ALL][GAIN].mean == pytest.approx((0.11 + 0.13 + 0.14) / 3)
    assert "| s2 | 1 | 0.500 | 0.630 | 0.130 |" in leave_out_table(found).splitlines()
    untrained(tmp_path / "without_s1" / "model.safetensors")
    with pytest.raises(ValueError, match="nothing made without s2"):
        unheard(said, [str(tmp_path / "without_{speaker}")])
    with pytest.raises(ValueError, match="must hold"):
        without(str(tmp_path), "s1")


def test_each_speaker_is_said_by_the_run_that_lacks_that_speaker(tmp_path: Path) -> None:
    said = [one for one in mouths() if one.speaker != "s3"]
    for speaker in ("s1", "s2"):
        untrained(tmp_path / f"without_{speaker}" / "model.safetensors")
    found = unheard(said, [str(tmp_path / "without_{speaker}")] * 2)
    assert list(found) == [one.name for one in said]
    assert all(-1.0 <= r <= 1.0 for r in found.values())


def test_a_step_is_the_mean_of_its_runs(tmp_path: Path) -> None:
    said = mouths()
    held_out = HeldOut(said[:1], said[1:3], said)
    runs = []
    for n, noise in enumerate((0.0, 0.02)):
        path = tmp_path / f"{n}.json"
        chance = np.random.default_rng(n)
        reference = references(said)[PHONES]
        save(path, {k: v + chance.normal(0.0, noise, len(v)) for k, v in reference.items()})
        runs.append(held_out.row(Source(kept=path).curves(held_out.everything, from_motion)))
    row = mean_row(runs)
    assert runs[0]["synthetic_r"] == pytest.approx(1.0, abs=1e-3)
    assert row["real_r"] == pytest.approx((runs[0]["real_r"] + runs[1]["real_r"]) / 2)  # type: ignore[operator]
    assert row["spread"] == pytest.approx(runs[0]["real_r"] - runs[1]["real_r"])  # type: ignore[operator]
    lines = steps_table({"both": row, PHONES: held_out.real(references(said)[PHONES])}).splitlines()
    assert lines[0].startswith("| step | r, synthetic |")
    assert lines[3].startswith(f"| {PHONES} | - | - |")
    assert len({line.count("|") for line in lines}) == 1


def test_steps_are_named_with_their_runs_and_checkout() -> None:
    found = Step.of("old targets=runs/a,runs/b@/trees/old")
    assert found.name == "old targets"
    assert found.runs == (
        Source(Path("runs/a"), Path("/trees/old")),
        Source(Path("runs/b"), Path("/trees/old")),
    )
    for wrong in ("runs/a", "=runs/a", "name="):
        with pytest.raises(ValueError, match="a step is"):
            Step.of(wrong)


def test_speakers_weigh_the_same_against_phones_too() -> None:
    said = mouths()
    found = against_phones(said, references(said)[PHONES])
    assert found["r_over_speakers"]["mean"] == pytest.approx(1.0)
    assert found["speakers"] == 3
