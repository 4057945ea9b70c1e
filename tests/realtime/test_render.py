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
from realtime.avatar_stream import AvatarStream
from realtime.cli import main
from realtime.clock import VirtualClock
from realtime.config import shipped_cast_dir
from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.media import VOICE_SAMPLES, Picture, Voice
from realtime.render import RenderJob, find_identity
from realtime.sources.file import FileSource
from tests.support.damage import damage
from tests.support.plugins import installed
from tests.support.sounds import SPEECH
from tests.support.toy import write_video

SOUND = SPEECH[20_000 : 20_000 + VOICE_SAMPLES * 20 + 500]


@pytest.fixture(scope="module")
def job(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    return RenderJob(
        avatar=sorted(p.stem for p in config.cast_dir.glob("*.png"))[0],
        audio=write_wav(folder / "in.wav", SOUND / np.float32(32768)),
        out=folder / "out.mp4",
        config=config,
    )


@pytest.fixture
def here(job, tmp_path):
    """The job, with its output in a folder of its own."""
    return dataclasses.replace(job, out=tmp_path / "out.mp4")


@pytest.fixture(scope="module")
def drawn(job):
    """A function that draws chunks of sound: the planes of all frames, and the whole voice."""
    identities = job.config.data_dir / "identities"
    key = asyncio.run(find_identity(job.avatar, job.config))
    engine = LocalEngine("portrait", job.config.options_of("portrait"), identities)

    async def play(chunks, seed):
        source = FileSource([chunk.reshape(-1, 1) for chunk in chunks])
        handle = await engine.open(StreamRequest("portrait", key, (256, 256), seed=seed))
        stream = AvatarStream(source, handle, VirtualClock())
        pictures, voices = stream.subscribe(Picture), stream.subscribe(Voice)
        stream.start()
        readers = everything(pictures), everything(voices)
        _, planes, voice = await asyncio.gather(stream.run(), *readers)
        await handle.close()
        planes = [picture.image.to_ndarray().tobytes() for picture in planes]
        return planes, np.concatenate([piece.pcm for piece in voice])

    return lambda chunks, seed=3: asyncio.run(play(chunks, seed))


async def everything(items):
    return [item async for item in items]


@settings(max_examples=3)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=20))
def test_frames_are_the_same_bytes_whatever_the_chunking(drawn, lengths):
    cuts = np.cumsum(lengths)
    expected, voice = drawn([SOUND])
    got, voice_ = drawn(np.split(SOUND, cuts[cuts < len(SOUND)]))
    assert len(expected) == 21
    assert got == expected
    assert np.array_equal(voice, voice_)
    assert np.array_equal(voice[: len(SOUND)], SOUND)


def test_another_seed_moves_otherwise(drawn):
    assert drawn([SOUND], 3)[0] != drawn([SOUND], 4)[0]


def arguments(job, *more, **changes):
    values = {"avatar": job.avatar, "audio": job.audio, "out": job.out} | changes
    values = {"size": 256} | values
    words = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return ["render", *words, "--data-dir", str(job.config.data_dir), *more]


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
    assert summary["backend"] == "onnxruntime", "its graph ships"
    assert set(files_in(here.out.parent)) == {"out.mp4", "out.json"}


@pytest.mark.parametrize(
    ("frame", "size", "shape"),
    [("16:9", 720, (1280, 720)), ("16:9", 256, (640, 360)), ("photo", 512, (512, 512))],
)
def test_renders_other_frames(here, frame, size, shape):
    assert main(arguments(here, frame=frame, size=size)) == 0
    with av.open(str(here.out)) as clip:
        first, *_, last = [picture.to_ndarray(format="rgb24") for picture in clip.decode(video=0)]
    assert first.shape == (*shape[::-1], 3)
    assert np.abs(first.astype(int) - last)[:, shape[0] // 2].max() > 30, "the face moves"


def test_an_unknown_frame_is_refused_in_words(here, capsys):
    assert main(arguments(here, frame="round")) == 1
    said = "frame = 'round': the pipeline 'portrait' draws square, photo, 16:9"
    assert said in complaint_of(capsys)


def test_the_back_end_is_chosen_by_rule_or_by_name_and_said(here, capsys):
    clips = {}
    for backend in ("auto", "onnxruntime", "torch"):
        assert main(arguments(here, "--force", backend=backend)) == 0
        assert capsys.readouterr().out.endswith(
            f", motion by {'onnxruntime' if backend == 'auto' else backend}\n"
        )
        clips[backend] = here.out.read_bytes()
    assert clips["auto"] == clips["onnxruntime"]


def test_a_photo_is_enrolled_on_the_way_and_its_features_kept(here, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes((shipped_cast_dir() / "mei.png").read_bytes())
    data = tmp_path / "data"
    command = [*arguments(here, avatar=photo, audio=here.audio), "--force"]
    command[command.index("--data-dir") + 1] = str(data)
    assert main(command) == 0
    (kept,) = data.joinpath("identities").glob("*.safetensors")
    made = kept.stat().st_mtime_ns
    clip = here.out.read_bytes()
    assert main(command) == 0
    assert kept.stat().st_mtime_ns == made
    kept.write_bytes(kept.read_bytes()[:-100])  # damaged: made anew
    assert main(command) == 0
    assert here.out.read_bytes() == clip
    assert not list(data.glob("avatars/*"))


def test_a_pipeline_of_another_distribution_renders_its_video(here, tmp_path):
    video = write_video(tmp_path / "video.mkv")
    command = arguments(here, avatar=video, pipeline="toy", set="tint=20", size="180")
    with installed("toy_pipeline"):
        assert main(command) == 0
    with av.open(str(here.out)) as clip:
        pictures = [frame.to_ndarray() for frame in clip.decode(video=0)]
    assert len(pictures) == 21
    assert pictures[0].shape == (270, 320)
    lightness = [np.median(planes[:180, :200]) for planes in pictures]
    assert np.diff(lightness[:8]) == pytest.approx(8, abs=2)  # the video plays
    assert np.median(pictures[0][180:225]) == pytest.approx(148, abs=4)  # tinted


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
        ({"out": "x" * 300}, "File name too long"),
        ({"size": "17"}, "draws 256x256, 512x512"),
        ({"set": "wings=2"}, "unknown option"),
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


@pytest.mark.parametrize("seed", ["many", "", "9" * 20, "1.5"])
def test_usage_errors_have_a_status_of_their_own(here, seed):
    with pytest.raises(SystemExit) as stop:
        main(arguments(here, "--seed", seed))
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
