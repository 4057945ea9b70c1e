"""Recorded speech: read once, speakers on one side of the split, real lips on their own frames."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from training.speech.corpus import build, rebuild_targets
from training.speech.corpus_config import CorpusConfig
from training.speech.corpus_recorded import RecordedVoices
from training.speech.corpus_store import Split
from training.speech.corpus_stretches import (
    FRAMES,
    HOP,
    LENGTH_S,
    SAMPLES,
    StretchConfig,
    lay_out,
)
from training.speech.phones import RATE_HZ, Phone, Utterance
from training.speech.recordings import Clip, Known, Recordings, add_source, decode, speaker_of
from training.speech.synthesis import HELD_OUT_VOICES, missing, synthesise

TEXTS = {"anna-1": "Put the map on the table.", "anna-2": "Chapter 12.", "bob_1": "Bob is home."}
NO_CURVES: Mapping[str, NDArray[Any]] = {}


def write_sound(path: Path, samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le" if path.suffix == ".wav" else "flac", rate_hz)
        pcm = np.round(samples * 32_767.0).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
        frame.sample_rate = rate_hz
        container.mux([*stream.encode(frame), *stream.encode(None)])


def noise(frames: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).normal(0.0, 2_000.0, frames * HOP).astype(np.int16)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pocketsphinx")
    lack = missing("flite:slt")
    if lack is not None:
        pytest.skip(lack)
    folder = tmp_path_factory.mktemp("clips")
    for name, text in TEXTS.items():
        write_sound(folder / f"{name}.flac", synthesise(text, "flite:slt").samples)
    write_sound(folder / "eve-1.wav", np.zeros(RATE_HZ // 2, np.float32))
    (folder / "torn.flac").write_bytes(b"fLaC and no more")
    (folder / "notes.txt").write_text("no sound")
    return folder


def test_clips_are_read_with_words_phones_and_curves(clips: Path, tmp_path: Path) -> None:
    gap = np.linspace(0.0, 0.05, 30, dtype=np.float32)
    told = [["SIL", 0.0, 0.2, "<sil>"], ["B", 0.2, 0.3, "bob"], ["AA", 0.3, 0.5, "bob"]]
    words = dict(TEXTS, torn="torn") | {"eve-1": "many words that nobody ever said"}
    known = Known(words, {"bob_1": told}, {"bob_1/aperture": gap, "bob_1/width": gap + 1.0})
    recordings = Recordings(tmp_path)
    fates = add_source(recordings, "voices", clips, known, progress=False)
    assert fates["usable"] == 3
    assert fates.total() == 5
    assert fates["not a sound"] == 1
    found = {clip.name: clip for clip in Recordings(tmp_path).usable()}
    assert set(found) == set(TEXTS)
    assert {clip.speaker for clip in found.values()} == {"anna", "bob"}
    labels = [p.label for p in found["bob_1"].phones]
    assert labels == ["SIL", "B", "AA", "SIL"]  # as told
    assert len(found["anna-2"].phones) > 10  # from its words, the number too
    arrays = recordings.arrays(found["bob_1"])
    assert np.array_equal(arrays["gap"], gap)
    assert found["bob_1"].length_s == pytest.approx(len(arrays["samples"]) / RATE_HZ)
    assert set(recordings.arrays(found["anna-1"])) == {"samples"}


def test_a_stopped_run_goes_on(clips: Path, tmp_path: Path) -> None:
    known = Known(TEXTS, {}, NO_CURVES)
    whole = Recordings(tmp_path / "whole")
    add_source(whole, "voices", clips, known, progress=False)
    stopped = tmp_path / "stopped"
    first, second = list(whole.clips.values())[:2]
    part = Recordings(stopped)
    part.add(Clip(first.source, first.name, "kept as it was", first.phones), samples=noise(25))
    with (stopped / "clips.jsonl").open("a", encoding="utf-8") as file:
        file.write(second.to_json()[:40] + "\n")  # torn
    again = Recordings(stopped)
    add_source(again, "voices", clips, known, progress=False)
    there = Recordings(stopped).clips
    assert set(there) == set(whole.clips)
    assert there[first.source, first.name].text == "kept as it was"
    for key, clip in there.items():
        if key != (first.source, first.name):
            assert clip.to_json() == whole.clips[key].to_json()
    lines = (stopped / "clips.jsonl").read_text().splitlines()
    add_source(Recordings(stopped), "voices", clips, known, progress=False)
    assert (stopped / "clips.jsonl").read_text().splitlines() == lines


def test_a_tar_holds_clips_as_a_folder_does(clips: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "clips.tar", "w") as tar:
        for path in sorted(clips.iterdir(), reverse=True):
            tar.add(path, f"some/where/{path.name}")
    known = Known(TEXTS, {}, NO_CURVES)
    both = []
    for place in (clips, tmp_path / "clips.tar"):
        recordings = Recordings(tmp_path / place.stem)
        add_source(recordings, "voices", place, known, progress=False)
        both.append([clip.to_json() for clip in recordings.clips.values()])
    assert both[0] == both[1]


def test_any_rate_becomes_ours(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(44_100) / 44_100.0)
    write_sound(tmp_path / "tone.wav", tone.astype(np.float32), 44_100)
    samples = decode((tmp_path / "tone.wav").read_bytes())
    assert abs(len(samples) - RATE_HZ) <= 32
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(int(spectrum.argmax()) * RATE_HZ / len(samples) - 440.0) < 2.0
    for data in (b"", b"no sound at all"):
        with pytest.raises(ValueError, match="not a sound"):
            decode(data)


def test_what_is_known_is_read(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(
        json.dumps({"a": "hello", "b": ["by", -0.1], "c": ["slip", -2.0]})
    )
    (tmp_path / "phones.json").write_text(
        json.dumps({"d": [["SIL", 0, 1, "<sil>"], ["AH", 1, 2, "a(2)"], ["B", 2, 3, "bee"]]})
    )
    np.savez(tmp_path / "curves.npz", **{"a/aperture": np.ones(3), "a/fps": 25.0})
    known = Known.read(tmp_path / "words.json", tmp_path / "phones.json", tmp_path / "curves.npz")
    assert [known.text(name) for name in "abcd"] == ["hello", "by", "", "a bee"]
    assert set(known.curve_arrays("a")) == {"gap"}
    np.savez(tmp_path / "curves.npz", **{"a/aperture": np.ones(3), "a/fps": 30.0})
    with pytest.raises(ValueError, match="25 fps"):
        Known.read(None, None, tmp_path / "curves.npz")
    assert [speaker_of(name) for name in ("103-1240-0000", "s1_bbaf3s", "anna")] == [
        "103", "s1", "anna",
    ]  # fmt: skip


def test_lips_stay_on_the_frames_of_their_voice() -> None:
    chance = np.random.default_rng(3)
    gaps = [chance.uniform(0.01, 0.05, 40).astype(np.float32) for _ in range(3)]

    def say(chance: np.random.Generator) -> Utterance:
        gap = gaps[int(chance.integers(3))]  # each frame is as loud as the lips are open
        pulse = np.tile(np.where(np.arange(HOP) % 2, 1.0, -1.0), len(gap)).astype(np.float32)
        phones = (Phone("AA", 0.0, len(gap) / 25.0),)
        return Utterance(np.repeat(gap, HOP) * pulse, phones, "", "grid:s1", gap)

    for seed, amid in ((0, 0.0), (1, 1.0), (2, 1.0)):
        config = StretchConfig(amid_share=amid, effort_db=(0.0, 0.0))
        stretch = lay_out(say, "en", np.random.default_rng(seed), config, listening=False)
        assert stretch.gap.shape == (FRAMES,)
        level = np.abs(stretch.samples.reshape(FRAMES, HOP)).mean(1)
        seen = np.isfinite(stretch.gap)
        assert 200 < seen.sum() < FRAMES
        assert seen[0] == (amid == 1.0)
        assert np.array_equal(seen, level > 0.0)  # unknown exactly where nobody speaks
        edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
        for start, end in edges.reshape(-1, 2):
            ratio = level[start:end] / stretch.gap[start:end]
            assert ratio == pytest.approx(ratio[0], rel=1e-3)


def store(folder: Path, speakers: int, curves: tuple[str, ...] = ("s1", "s2")) -> Path:
    """Two clips of 2 s for each of some speakers, and of some more whose lips are known."""
    recordings = Recordings(folder)
    for n in range(speakers):
        for take in range(2):
            phones = (Phone("SIL", 0.0, 0.2), Phone("AA", 0.2, 2.0))
            recordings.add(Clip("books", f"{n}-{take}", "ah", phones), samples=noise(50, n))
    for name in curves:
        gap = np.linspace(0.0, 0.05, 50, dtype=np.float32)
        clip = Clip("grid", f"{name}_a", "ah", (Phone("AA", 0.0, 2.0),), curves=True)
        recordings.add(clip, samples=noise(50), gap=gap, width=gap)
    return folder


def test_held_out_are_speakers_a_tenth_and_those_named(tmp_path: Path) -> None:
    people = RecordedVoices(store(tmp_path / "many", 200))
    assert 10 <= len(people.held_out) <= 32
    assert set(people.held_out) | set(people.training) == set(people.clips)
    assert not set(people.held_out) & set(people.training)
    assert {"grid:s1", "grid:s2"} <= set(people.training)  # real lips are few
    fewer = RecordedVoices(store(tmp_path / "fewer", 60))
    assert set(fewer.held_out) == set(people.held_out) & set(fewer.clips)
    without = RecordedVoices(tmp_path / "many", ("s1", "3"))
    assert set(without.held_out) == {*people.held_out, "grid:s1", "books:3"}
    with pytest.raises(ValueError, match="nobody is called s9"):
        RecordedVoices(tmp_path / "many", ("s9",))
    with pytest.raises(ValueError, match="all speakers"):
        RecordedVoices(store(tmp_path / "one", 0, ("s1",)), ("s1",))
    with pytest.raises(ValueError, match="no recordings"):
        RecordedVoices(tmp_path / "empty")


def test_a_stretch_holds_every_clip_of_one_speaker(tmp_path: Path) -> None:
    people = RecordedVoices(store(tmp_path, 3))
    stretch = people.stretch("books:1", np.random.default_rng(0), StretchConfig(), listening=False)
    assert stretch.voice == "books:1"
    assert stretch.samples.shape == (SAMPLES,)
    assert len(stretch.texts) > 5


def test_only_who_was_not_filmed_is_made_larger_or_smaller(tmp_path: Path) -> None:
    people = RecordedVoices(store(tmp_path, 3))

    def vowel_s(voice: str, speed: float) -> float:
        stretch = people.stretch(
            voice, np.random.default_rng(0), StretchConfig(), listening=False, speed=speed
        )
        return float(np.median([p.length_s for p in stretch.phones if p.label == "AA"]))

    assert vowel_s("books:1", 1.2) == pytest.approx(1.8 / 1.2, rel=0.01)
    assert vowel_s("grid:s1", 1.2) == pytest.approx(vowel_s("grid:s1", 1.0), rel=0.001)


def test_every_speaker_is_heard_as_often_as_there_is_speech_of_them(tmp_path: Path) -> None:
    people = RecordedVoices(store(tmp_path, 12))
    chance = np.random.default_rng(0)
    drawn = Counter(people.draw(n, chance, StretchConfig()).voice for n in range(60))
    assert set(drawn) == set(people.training)
    books = [count for voice, count in drawn.items() if voice.startswith("books")]
    assert max(books) - min(books) <= 2
    assert min(drawn["grid:s1"], drawn["grid:s2"]) > max(books)  # 2 s, three times, against 4 s


def test_a_corpus_of_recordings(tmp_path: Path) -> None:
    for voice in ("espeak:en", *HELD_OUT_VOICES):
        if missing(voice):
            pytest.skip(str(missing(voice)))
    config = CorpusConfig(
        hours=3 * LENGTH_S / 3_600,
        validation=2,
        recordings=str(store(tmp_path / "recordings", 3, ("s1", "s2", "s3"))),
        hold_out=("2", "s1"),
    )
    out = tmp_path / "corpus"
    build(out, config, jobs=1)
    meta = json.loads((out / "meta.json").read_text())
    assert set(meta["splits"]) == {"train", "validation"}
    train, validation = Split(out / "train"), Split(out / "validation")
    assert {line.voice for line in validation.lines()} == {"books:2", "grid:s1"}
    for split in (train, validation):
        assert split.missing() == []
        for line in split.lines():
            assert (split is train) == (line.speaker not in {"2", "s1"})
            seen = np.isfinite(split.arrays["gap"][line.index])
            assert seen.any() == line.voice.startswith("grid")
        assert np.isfinite(split.arrays["features"]).all()
    assert np.abs(train.arrays["style"]).max() <= 2.0
    before = np.array(train.arrays["targets"])
    train.write(0, targets=np.zeros_like(before[0]))
    rebuild_targets(out, jobs=1)
    assert np.array_equal(train.arrays["targets"], before)
    with pytest.raises(ValueError, match="without"):
        build(out, CorpusConfig(hours=config.hours, recordings=config.recordings), jobs=1)
