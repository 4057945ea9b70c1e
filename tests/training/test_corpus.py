"""The corpus of speech: whole, resumable, reproducible, its held-out voices kept apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from training.speech.corpus import build, rebuild_targets
from training.speech.corpus_config import CorpusConfig
from training.speech.corpus_store import LABEL_LIST, ROWS, Line, Split, phone_rows
from training.speech.corpus_stretches import (
    FRAMES,
    LENGTH_S,
    SAMPLES,
    StretchConfig,
    cover,
    draw_stretch,
    draw_voice,
)
from training.speech.lexicon_languages import HELD_OUT_LANGUAGES
from training.speech.phones import Phone
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, TRAINING_VOICES, missing

SMALL = CorpusConfig(
    hours=2 * LENGTH_S / 3_600,
    validation=2,
    languages=1,
    stretches=StretchConfig(voices={"english": 1.0}, speechless_share=0.0),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for voice in ("espeak:en", *HELD_OUT_VOICES):
        if missing(voice):
            pytest.skip(str(missing(voice)))
    out = tmp_path_factory.mktemp("corpus")
    build(out, SMALL, jobs=1)
    return out


def test_a_small_corpus_is_whole(corpus: Path) -> None:
    meta = json.loads((corpus / "meta.json").read_text())
    assert tuple(meta["labels"]) == LABEL_LIST
    assert meta["splits"]["train"]["stretches"] == 2
    for name, count in (("train", 2), ("validation", 2), ("languages", 1)):
        split = Split(corpus / name)
        assert len(split) == count
        assert split.missing() == []
        assert split.arrays["features"].shape == (count, ROWS, 80)
        assert np.isfinite(split.arrays["features"]).all()
        assert np.isfinite(split.arrays["targets"]).all()
        assert split.arrays["targets"].shape == (count, FRAMES, 45)
        assert np.isnan(split.arrays["gap"]).all()  # nobody's lips were seen
        assert split.arrays["style"].any() == (name == "train")
        for line in split.lines():
            assert line.speech_s > 3.0
            assert np.array_equal(phone_rows(line.phones), split.arrays["phones"][line.index])


def test_features_and_phones_are_in_step(corpus: Path) -> None:
    split = Split(corpus / "validation")
    spoken = (split.arrays["phones"][0] != LABEL_LIST.index("SIL")).astype(float)
    power = np.exp(split.arrays["features"][0].astype(float)).sum(1)
    level = np.maximum(10.0 * np.log10(power), -60.0)
    level, spoken = level - level.mean(), spoken - spoken.mean()
    scores = [level[20 + k : ROWS - 20 + k] @ spoken[20:-20] for k in range(-20, 21)]
    assert abs(int(np.argmax(scores)) - 20) <= 3  # 30 ms


def test_a_stopped_run_goes_on_and_comes_to_the_same(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(corpus, copy)
    stopped = Split(copy / "train")
    stopped.write(1, features=np.ones((ROWS, 80), np.float16), clean=np.ones(SAMPLES, np.int16))
    stopped.arrays["done"][1] = False

    with (copy / "train" / "stretches.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"index": 1, "voice": "esp\n')  # torn
    assert [line.index for line in stopped.lines()] == [0]
    build(copy, SMALL, jobs=2)
    again, whole = Split(copy / "train"), Split(corpus / "train")
    assert again.missing() == []
    for name in ("features", "speech", "phones", "targets", "clean", "style"):
        assert np.array_equal(again.arrays[name], whole.arrays[name]), name
    assert sorted(line.to_json() for line in again.lines()) == sorted(
        line.to_json() for line in whole.lines()
    )


def test_targets_can_be_computed_again(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(corpus, copy)
    open_memmap(copy / "train" / "targets.npy", mode="r+")[:] = 0.0
    for name in ("gap", "style"):  # of before there were any
        (copy / "train" / f"{name}.npy").unlink()
    rebuild_targets(copy, jobs=1)
    again, whole = Split(copy / "train"), Split(corpus / "train")
    assert np.array_equal(again.arrays["targets"], whole.arrays["targets"])
    assert np.array_equal(again.arrays["style"], whole.arrays["style"])
    assert np.isnan(again.arrays["gap"]).all()


def test_another_corpus_is_not_written_into_this_one(corpus: Path) -> None:
    with pytest.raises(ValueError, match="seed 0"):
        build(corpus, CorpusConfig(hours=SMALL.hours, seed=1), jobs=1)
    with pytest.raises(ValueError, match="holds 2 stretches, not 3"):
        Split.create(corpus / "train", 3)


def test_held_out_voices_sentences_and_languages_stay_out(corpus: Path) -> None:
    chance = np.random.default_rng(0)
    drawn = [draw_voice(chance, StretchConfig()) for _ in range(3_000)]
    voices = {voice for voice, _ in drawn}
    assert len(voices) > 300
    assert not voices & set(HELD_OUT_VOICES)
    assert not any("awb" in voice or "ked" in voice for voice in voices)
    assert {voice for voice in voices if not voice.startswith("espeak")} <= set(TRAINING_VOICES)
    languages = {language for _, language in drawn}
    assert not languages & set(HELD_OUT_LANGUAGES)
    assert len(languages) >= 9
    for line in Split(corpus / "validation").lines():
        assert line.voice in HELD_OUT_VOICES
        assert set(line.texts) <= set(HELD_OUT)
    for line in Split(corpus / "train").lines():
        assert not set(line.texts) & set(HELD_OUT)
    assert {line.language for line in Split(corpus / "languages").lines()} <= set(
        HELD_OUT_LANGUAGES
    )


def test_some_stretches_are_silent() -> None:
    stretch = draw_stretch(np.random.default_rng(0), StretchConfig(speechless_share=1.0))
    assert not stretch.samples.any()
    assert stretch.samples.shape == (SAMPLES,)
    assert stretch.phones == (Phone("SIL", 0.0, 30.0),)


def test_phones_cover_the_stretch_without_gaps() -> None:
    phones = [Phone("AA", -0.5, 0.2), Phone("SIL", 0.2, 0.3), Phone("P", 1.0, 1.1)]
    covered = cover([*phones, Phone("IY", 29.9, 30.4), Phone("S", 30.4, 30.6)])
    assert covered == (
        Phone("AA", 0.0, 0.2), Phone("SIL", 0.2, 1.0), Phone("P", 1.0, 1.1),
        Phone("SIL", 1.1, 29.9), Phone("IY", 29.9, 30.0),
    )  # fmt: skip
    rows = phone_rows(covered)
    assert rows.shape == (ROWS,)
    assert [LABEL_LIST[rows[n]] for n in (0, 19, 20, 99, 100, 109, 110, 2_999)] == [
        "AA", "AA", "SIL", "SIL", "P", "P", "SIL", "IY",
    ]  # fmt: skip


def test_a_line_reads_back_as_written() -> None:
    line = Line(3, "espeak:fr+f2", "fr", ("été, où?",), (Phone("SIL", 0.0, 30.0),))
    assert Line.from_json(line.to_json()) == line
