"""`vivavoce render` and the command line: bytes do not depend on how the sound was cut."""

import json

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.service.signals import clicks_and_vowels, write_wav
from pipelines.avatar import AvatarPipeline
from realtime.cli import main
from realtime.render import HOP_48K, RenderJob, frames, hops, load_identity

SOUND = (clicks_and_vowels(1) * 20_000).astype(np.int16)[: HOP_48K * 20 + 500]


@pytest.fixture(scope="module")
def job(cast_dir, data_dir, tmp_path_factory):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    folder = tmp_path_factory.mktemp("render")
    return RenderJob(
        avatar=sorted(p.stem for p in cast_dir.glob("*.png"))[0],
        audio=write_wav(folder / "in.wav", SOUND / np.float32(32768)),
        out=folder / "out.mp4",
        data_dir=data_dir,
        cast_dir=cast_dir,
        size=256,
    )


@pytest.fixture(scope="module")
def identity(job):
    return load_identity(job)


def drawn(identity, chunks, seed=3):
    pipeline = AvatarPipeline(size=256, seed=seed)
    pipeline.set_identity(0, identity)
    return list(frames(chunks, pipeline, []))


@given(st.lists(st.integers(0, 5_000), max_size=60))
def test_hops_hold_the_sound_however_it_was_cut(lengths):
    cuts = np.cumsum(lengths)
    cut = list(hops(iter(np.split(SOUND, cuts[cuts < len(SOUND)]))))
    whole = np.concatenate(cut)
    assert {len(hop) for hop in cut} == {HOP_48K}
    assert np.array_equal(whole[: len(SOUND)], SOUND)
    assert not whole[len(SOUND) :].any()


@settings(max_examples=3)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=20))
def test_frames_are_the_same_bytes_whatever_the_chunking(identity, lengths):
    cuts = np.cumsum(lengths)
    expected = drawn(identity, [SOUND])
    got = drawn(identity, np.split(SOUND, cuts[cuts < len(SOUND)]))
    assert len(got) == len(expected) == 21
    for (planes, voice), (planes_, voice_) in zip(got, expected, strict=True):
        assert planes.tobytes() == planes_.tobytes()
        assert voice.tobytes() == voice_.tobytes()


def test_another_seed_moves_otherwise(identity):
    a, b = drawn(identity, [SOUND], 3), drawn(identity, [SOUND], 4)
    assert any(x.tobytes() != y.tobytes() for (x, _), (y, _) in zip(a, b, strict=True))


def arguments(job, **changes):
    values = {"avatar": job.avatar, "audio": job.audio, "out": job.out} | changes
    words = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return ["render", *words, "--size", "256", "--data-dir", str(job.data_dir)]


def test_renders_a_clip_with_sound(job):
    stats = job.out.with_suffix(".json")
    assert main(arguments(job, stats=stats)) == 0
    with av.open(str(job.out)) as clip:
        assert clip.streams.video[0].frames == 21
        assert (clip.streams.video[0].width, clip.streams.video[0].average_rate) == (256, 25)
        assert len(clip.streams.audio) == 1
        assert "AI-generated" in clip.metadata["comment"]
    summary = json.loads(stats.read_text())
    assert summary["frames"] == 21
    assert summary["step_ms"]["p50"] > 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"avatar": "nobody"}, "no avatar is called 'nobody'"),
        ({"audio": "/nowhere.wav"}, "no such file"),
        ({"out": "/nowhere/out.mp4"}, "no such folder"),
        ({"audio": __file__}, "cannot read the sound"),
        ({"avatar": __file__}, ""),
    ],
)
def test_mistakes_end_in_one_line(job, change, complaint, capsys):
    assert main(arguments(job, **change)) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("vivavoce render: ")
    assert complaint in said[-1]


def test_enrol_says_what_is_wrong_with_a_photo(tmp_path, capsys):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"not a photo")
    assert main(["enrol", str(photo), "--data-dir", str(tmp_path / "data")]) == 1
    assert "photo.jpg" in capsys.readouterr().err


def test_weights_commands(tmp_path, capsys):
    assert main(["weights", "list"]) == 0
    assert main(["weights", "info", "nothing"]) == 1
    assert main(["weights", "import", str(tmp_path / "x.ckpt"), "--as", "x"]) == 1
    assert "x.ckpt" in capsys.readouterr().err
