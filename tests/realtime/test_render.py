"""`vivavoce render` and the command line: the clip, its file, and what is said of mistakes."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.service.signals import write_wav
from benchmarks.sound_files import write_sound
from pipelines.avatar import AvatarPipeline
from realtime.avatar_stream import AvatarStream
from realtime.cli import main
from realtime.clock import VirtualClock
from realtime.media import VOICE_SAMPLES, Picture, Voice
from realtime.render import LocalSlot, RenderJob, load_identity
from realtime.sources.file import FileSource
from tests.support.damage import damage
from tests.support.sounds import SPEECH

SOUND = SPEECH[20_000 : 20_000 + VOICE_SAMPLES * 20 + 500]


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


@pytest.fixture
def here(job, tmp_path):
    """The job, with its output in a folder of its own."""
    return dataclasses.replace(job, out=tmp_path / "out.mp4")


@pytest.fixture(scope="module")
def identity(job):
    return load_identity(job)


def drawn(identity, chunks, seed=3):
    """The planes of all frames and the whole voice."""
    pipeline = AvatarPipeline(size=256, seed=seed)
    pipeline.set_identity(0, identity)
    source = FileSource([chunk.reshape(-1, 1) for chunk in chunks])
    planes, voice = [], []

    async def play():
        stream = AvatarStream(source, LocalSlot(pipeline, 256), VirtualClock())
        items = stream.subscribe(Voice, Picture)
        stream.start()
        await asyncio.gather(stream.run(), take(items))

    async def take(items):
        async for item in items:
            if isinstance(item, Picture):
                planes.append(item.image.to_ndarray().tobytes())
            else:
                voice.append(item.pcm)

    asyncio.run(play())
    return planes, np.concatenate(voice)


@settings(max_examples=3)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=20))
def test_frames_are_the_same_bytes_whatever_the_chunking(identity, lengths):
    cuts = np.cumsum(lengths)
    expected, voice = drawn(identity, [SOUND])
    got, voice_ = drawn(identity, np.split(SOUND, cuts[cuts < len(SOUND)]))
    assert len(expected) == 21
    assert got == expected
    assert np.array_equal(voice, voice_)
    assert np.array_equal(voice[: len(SOUND)], SOUND)


def test_another_seed_moves_otherwise(identity):
    assert drawn(identity, [SOUND], 3)[0] != drawn(identity, [SOUND], 4)[0]


def arguments(job, *more, **changes):
    values = {"avatar": job.avatar, "audio": job.audio, "out": job.out} | changes
    words = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return ["render", *words, "--size", "256", "--data-dir", str(job.data_dir), *more]


def complaint_of(capsys):
    """The one line in which a command says what is wrong."""
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("vivavoce render: ")
    return said[-1]


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def sound_of(path):
    with av.open(str(path)) as clip:
        parts = [frame.to_ndarray() for frame in clip.decode(audio=0)]
    return np.concatenate(parts, axis=1)


def test_renders_a_clip_with_sound(here):
    stats = here.out.with_suffix(".json")
    assert main(arguments(here, stats=stats)) == 0
    with av.open(str(here.out)) as clip:
        assert clip.streams.video[0].frames == 21
        assert (clip.streams.video[0].width, clip.streams.video[0].average_rate) == (256, 25)
        assert len(clip.streams.audio) == 1
        assert "AI-generated" in clip.metadata["comment"]
    summary = json.loads(stats.read_text())
    assert summary["frames"] == 21
    assert summary["step_ms"]["p50"] > 0
    assert summary["warnings"] == []
    assert set(files_in(here.out.parent)) == {"out.mp4", "out.json"}


def test_the_clip_keeps_the_sound_it_was_given(here, tmp_path):
    both = np.stack([SOUND, -SOUND], axis=1)
    audio = write_sound(tmp_path / "both.flac", both, "flac")
    assert main(arguments(here, audio=audio)) == 0
    left, right = sound_of(here.out)[:, : len(SOUND)]
    for channel, given_ in ((left, SOUND), (right, -SOUND)):
        error = channel - given_ / 32768
        assert np.std(error) < 0.03 * np.std(given_ / 32768)


def test_says_what_is_odd_about_the_sound(here, tmp_path, caplog):
    both = np.stack([SOUND, np.zeros_like(SOUND)], axis=1)
    stats = tmp_path / "stats.json"
    audio = write_sound(tmp_path / "half.wav", both, "pcm_s16le")
    assert main(arguments(here, audio=audio, stats=stats)) == 0
    (warning,) = json.loads(stats.read_text())["warnings"]
    assert "the right channel is silent" in warning
    assert warning in caplog.messages


def test_a_damaged_file_is_rendered_with_a_word(here, tmp_path, caplog):
    audio = damage(write_sound(tmp_path / "in.mp3", SPEECH[:96_000], "mp3"), 0.6, 400)
    assert main(arguments(here, audio=audio)) == 0
    assert any("could not be decoded" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"avatar": "nobody"}, "no avatar is called 'nobody'"),
        ({"avatar": "nofile.jpg"}, "--avatar nofile.jpg: no such file"),
        ({"avatar": "photos/anna"}, "--avatar photos/anna: no such file"),
        ({"avatar": "."}, "--avatar . is a folder"),
        ({"avatar": __file__}, ""),
        ({"audio": "/nowhere.wav"}, "no such file"),
        ({"audio": "."}, "no such file"),
        ({"audio": __file__}, "give a WAV"),
        ({"out": "."}, "--out . is a folder"),
        ({"out": "/nowhere/out.mp4"}, "no such folder: /nowhere"),
        ({"out": "/proc/out.mp4"}, "cannot write into the folder"),
        ({"out": "/dev/null"}, "no regular file"),
        ({"stats": "."}, "--stats . is a folder"),
        ({"stats": "/nowhere/stats.json"}, "no such folder"),
        ({"stats": "/proc/stats.json"}, "cannot write into the folder"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(here, change, complaint, capsys):
    assert main(arguments(here, **change)) == 1
    assert complaint in complaint_of(capsys)
    assert files_in(here.out.parent) == {}


def test_bad_paths_are_named_before_any_work(here, capsys, monkeypatch):
    monkeypatch.setattr("realtime.render.survey", lambda path: pytest.fail("began to work"))
    for change in ({"out": "/nowhere/out.mp4"}, {"stats": "."}, {"stats": here.out}):
        assert main(arguments(here, **change)) == 1


def test_usage_errors_have_a_status_of_their_own(here):
    with pytest.raises(SystemExit) as stop:
        main(arguments(here, "--size", "17"))
    assert stop.value.code == 2


def test_an_existing_file_is_replaced_only_by_force(here, capsys):
    here.out.write_bytes(b"precious")
    assert main(arguments(here)) == 1
    assert "add --force" in complaint_of(capsys)
    assert files_in(here.out.parent) == {"out.mp4": b"precious"}
    assert main(arguments(here, "--force")) == 0
    assert b"ftyp" in here.out.read_bytes()[:16]
    assert set(files_in(here.out.parent)) == {"out.mp4"}


def same_path(audio, folder):
    return audio


def other_spelling(audio, folder):
    return audio.parent / ".." / audio.parent.name / audio.name


def symbolic_link(audio, folder):
    (folder / "link.mp4").symlink_to(audio)
    return folder / "link.mp4"


def hard_link(audio, folder):
    os.link(audio, folder / "link.mp4")
    return folder / "link.mp4"


@pytest.mark.parametrize("name", [same_path, other_spelling, symbolic_link, hard_link])
@pytest.mark.parametrize("option", ["out", "stats"])
def test_the_sound_is_never_overwritten(here, tmp_path, name, option, capsys):
    audio = tmp_path / "mine.wav"
    audio.write_bytes(here.audio.read_bytes())
    target = name(audio, tmp_path)
    before = files_in(tmp_path)
    assert main(arguments(here, "--force", audio=audio, **{option: target})) == 1
    assert "is the same file as --audio" in complaint_of(capsys)
    assert files_in(tmp_path) == before


def test_the_clip_and_its_stats_are_two_files(here, capsys):
    assert main(arguments(here, stats=here.out)) == 1
    assert "is the same file as --out" in complaint_of(capsys)


def test_a_link_to_the_old_clip_stays_a_link(here, tmp_path):
    real = tmp_path / "real.mp4"
    real.write_bytes(b"old")
    here.out.symlink_to(real)
    assert main(arguments(here, "--force")) == 0
    assert here.out.is_symlink()
    assert b"ftyp" in real.read_bytes()[:16]


def test_an_error_on_the_way_leaves_the_old_file(here, capsys, monkeypatch):
    here.out.write_bytes(b"old")
    monkeypatch.setattr("realtime.sinks.mp4.Mp4Sink.close", failing_close)
    assert main(arguments(here, "--force")) == 1
    assert complaint_of(capsys) == "vivavoce render: the disk is full"
    assert files_in(here.out.parent) == {"out.mp4": b"old"}


def failing_close(sink):
    raise ValueError("the disk is full")


def test_an_interruption_leaves_the_old_file_and_no_half_one(here, tmp_path):
    audio = write_wav(tmp_path / "long.wav", np.tile(SPEECH, 40) / np.float32(32768))
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "out.mp4").write_bytes(b"old")
    command = arguments(here, "--force", audio=audio, out=folder / "out.mp4")
    with subprocess.Popen(
        [sys.executable, "-m", "realtime.cli", *command],
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        said = b""
        while not re.search(rb"[1-9]\d*/3000 ", said):  # frames drawn, of the progress bar
            said += os.read(process.stderr.fileno(), 4096) or pytest.fail(said.decode())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    last = said.decode().strip().splitlines()[-1]
    assert last.startswith("vivavoce render: interrupted")
    assert "Traceback" not in said.decode()
    assert files_in(folder) == {"out.mp4": b"old"}


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
