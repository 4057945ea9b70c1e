"""The loop from a server's frames to a camera and a microphone, with devices that write down."""

import os
from dataclasses import dataclass, field

import av
import numpy as np
import pytest

from realtime.camera import device, missing
from realtime.camera.fit import BLACK, Fit
from realtime.camera.run import find_avatar, show
from realtime.camera.sound import NoVoice, hear_microphone, open_voice
from realtime.cli import main
from tests.support.peers import until
from tests.support.sound_programs import install


@dataclass
class Shown:
    """A frame of the server: a picture of one grey, and sound of one level."""

    number: int
    size: tuple[int, int] = (64, 64)

    @property
    def picture(self):
        width, height = self.size
        planes = np.full((height * 3 // 2, width), 100 + self.number, np.uint8)
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")

    @property
    def sound(self):
        return np.full(1920, self.number, np.int16)


@dataclass
class Book:
    """Camera and voice in one, writing down in which order they were given what."""

    name: str = "book"
    written: list = field(default_factory=list)

    def send(self, picture):
        self.written.append(("picture", int(picture[picture.shape[0] // 3, 80]) - 100))

    def write(self, pcm):
        self.written.append(("sound", int(pcm[0])))

    def of(self, kind):
        return [number for what, number in self.written if what == kind]


async def frames(count):
    for number in range(count):
        yield Shown(number)


async def test_picture_and_sound_of_the_same_frame_go_out_together():
    book = Book()
    assert await show(frames(5), book, book, Fit(160, 90), late_pictures=0) == 5
    for n in range(5):
        assert sorted(book.written[2 * n : 2 * n + 2]) == [("picture", n), ("sound", n)]


async def test_pictures_held_back_for_a_slow_cable_are_not_lost():
    book = Book()
    await show(frames(5), book, book, Fit(160, 90), late_pictures=2)
    assert book.of("picture") == book.of("sound") == [0, 1, 2, 3, 4]
    assert book.written.index(("sound", 2)) < book.written.index(("picture", 1))


@pytest.mark.parametrize(
    ("size", "inside"),
    [
        ((512, 512), (slice(0, 720), slice(280, 1000))),
        ((640, 360), (slice(0, 720), slice(0, 1280))),
        ((848, 480), (slice(0, 720), slice(0, 1280))),  # not quite 16:9: no seam is left
        ((480, 640), (slice(0, 720), slice(370, 910))),
        ((1280, 320), (slice(200, 520), slice(0, 1280))),
    ],
)
def test_a_picture_of_any_shape_fills_the_camera_as_far_as_it_goes(size, inside):
    fitted = Fit(1280, 720)(Shown(60, size).picture)
    assert fitted.shape == (1080, 1280)
    luma = fitted[:720]
    assert (abs(luma[inside].astype(int) - 160) <= 2).all()
    outside = np.ones_like(luma, bool)
    outside[inside] = False
    assert (luma[outside] == BLACK).all()
    chroma = fitted[720:].reshape(2, 360, 640)
    y, x = (slice(s.start // 2, s.stop // 2) for s in inside)
    assert (abs(chroma[:, y, x].astype(int) - 160) <= 2).all()


def test_a_camera_of_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="641x360"):
        Fit(641, 360)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--late-pictures", "-1"], "between 0 and 50"),
        (["--late-pictures", "1000000"], "between 0 and 50"),
        (["--token", "a\nb"], "no token"),
        (["--token", "ü"], "no token"),
        (["--size", "9998x9998"], "at most 3840x2160"),
    ],
)
def test_what_no_camera_can_have_is_refused_before_one_is_opened(flags, words, capsys):
    try:
        status = main(["camera", *flags])
    except SystemExit as stop:
        status = stop.code
    assert status in (1, 2)
    assert words in capsys.readouterr().err


def test_loopback_devices_are_found_by_number(tmp_path):
    for name in ("video10", "video2"):
        (tmp_path / name).mkdir()
    assert device.loopbacks(tmp_path) == ["/dev/video2", "/dev/video10"]
    assert device.loopbacks(tmp_path / "none") == []


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_what_is_missing_is_named_for_each_system(system):
    camera = str(missing.no_camera("the driver's words", system))
    assert "nstall" in camera
    assert camera.endswith("(the driver's words)")
    assert "--voice none" in str(missing.no_sound(system=system))
    assert "sounddevice" in str(missing.no_microphone(system=system))
    assert "\n" not in camera


def test_without_a_camera_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(device, "loopbacks", list)
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(missing.Missing, match="no virtual camera here"):
        device.open_camera(1280, 720, 25)
    with pytest.raises(missing.Missing, match="/dev/video-none"):
        device.open_camera(1280, 720, 25, "/dev/video-none")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    heard = np.arange(96_000, dtype="<i2") // 960  # packet n says n
    folder = install(tmp_path / "bin", heard.tobytes())
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


async def test_a_virtual_microphone_says_what_is_written_and_goes_again(programs):
    voice = open_voice()
    asked = (programs / "asked").read_text().splitlines()
    assert asked[0].startswith("load-module module-null-sink sink_name=vivavoce ")
    assert "master=vivavoce.monitor source_name=vivavoce_microphone" in asked[1]
    pcm = np.arange(-960, 960, dtype=np.int16)
    voice.write(pcm)
    played = programs / "played"
    await until(lambda: played.exists() and played.stat().st_size == 2 * len(pcm))
    assert (np.fromfile(played, "<i2") == pcm).all()
    voice.close()
    assert (programs / "asked").read_text().splitlines()[2:] == [
        "unload-module 42",
        "unload-module 41",
    ]


async def test_the_real_microphone_is_heard_without_a_library(programs, monkeypatch):
    monkeypatch.setattr("realtime.camera.sound.importlib.util.find_spec", lambda name: None)
    heard = []
    stop = hear_microphone(None, heard.append)
    await until(lambda: len(heard) >= 4)
    stop()
    assert [int(pcm[0]) for pcm in heard[:4]] == [0, 1, 2, 3]
    assert len(heard[0]) == 960


def test_the_voice_can_be_left_out():
    assert isinstance(open_voice("none"), NoVoice)


async def test_an_avatar_is_found_by_name_or_id():
    class Known:
        async def avatars(self):
            return [{"id": "a1", "name": "Ada"}]

    assert await find_avatar(Known(), "ADA") == await find_avatar(Known(), "a1") == "a1"
    assert await find_avatar(Known(), None) is None
    with pytest.raises(RuntimeError, match="there are: Ada"):
        await find_avatar(Known(), "Bob")
