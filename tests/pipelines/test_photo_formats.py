"""Formats, colours and orientations of photos: each gives the right picture, in little memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipelines.photo.decode import WORK_SIDE, decode, long_side
from pipelines.photo.errors import EnrolmentError
from tests.support import heic

ROOT = Path(__file__).parents[2]
needs_hevc = pytest.mark.skipif(not heic.CAN_WRITE, reason="this PyAV has no encoder of HEVC")


@pytest.fixture(scope="module")
def person() -> Image.Image:
    """A drawn person, not square, so that no turn goes unseen."""
    path = sorted((ROOT / "cast").glob("*.png"))[0]
    return Image.open(path).convert("RGB").resize((320, 320)).crop((0, 0, 256, 320))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def assert_shows(photo: bytes, wanted: Image.Image, within: float = 4.0) -> None:
    """Mean difference in grey levels of 255."""
    pixels = decode(photo)
    assert pixels.shape == (wanted.height, wanted.width, 3)
    away = np.abs(pixels.astype(float) - np.asarray(wanted.convert("RGB")).astype(float))
    assert away.mean() < within


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("AVIF", {"quality": 90}),
        ("AVIF", {"quality": 90, "subsampling": "4:4:4"}),
    ],
)
def test_formats(person: Image.Image, kind: str, options: dict[str, object]) -> None:
    assert_shows(saved(person, kind, **options), person)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1", "CMYK"])
def test_modes(person: Image.Image, mode: str) -> None:
    given = person.quantize(256) if mode == "P" else person.convert(mode)
    photo = saved(given, "JPEG", quality=98) if mode == "CMYK" else saved(given, "PNG")
    assert_shows(photo, given.convert("RGB"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_picture(person: Image.Image, kind: str) -> None:
    black = Image.new("RGB", person.size)
    photo = saved(person, kind, save_all=True, append_images=[black, black], duration=100)
    assert_shows(photo, person, within=6.0)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_that_fades_in_the_first_picture_that_shows_something(
    person: Image.Image, kind: str
) -> None:
    white = Image.new("RGB", person.size, "white")
    faint = Image.blend(white, person, 0.02)
    photo = saved(white, kind, save_all=True, append_images=[faint, person, white], duration=100)
    assert_shows(photo, person, within=6.0)
    empty = saved(white, kind, save_all=True, append_images=[faint], duration=100)
    assert_shows(empty, white)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((4000, 3000), 2048), ((4096, 2048), 2048), ((6000, 900), 6000), ((16000, 1000), 8192)],
)
def test_panoramas_keep_their_height(size: tuple[int, int], wanted: int) -> None:
    assert long_side(*size) == long_side(*size[::-1]) == wanted


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_face_in_a_panorama_keeps_its_pixels(person: Image.Image, kind: str) -> None:
    whole = Image.new("RGB", (12 * person.width, person.height), "grey")
    whole.paste(person, (7 * person.width, 0))
    assert_shows(saved(whole, kind, quality=95), whole)


def test_of_several_pictures_in_a_jpeg_the_first(person: Image.Image) -> None:
    small = Image.new("RGB", (64, 80))
    assert_shows(saved(person, "MPO", save_all=True, append_images=[small], quality=95), person)


def test_16_bit_grey(person: Image.Image) -> None:
    grey = person.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert_shows(saved(deep, "PNG"), grey, within=0.6)


def test_16_bit_colour(person: Image.Image) -> None:
    assert_shows(png16(np.asarray(person).astype(np.uint16) * 257), person, within=1.0)


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits for each colour, which Pillow does not write."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


_EXIF = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "MPO"])
def test_exif_orientations(person: Image.Image, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = saved(_EXIF[orientation](person), kind, exif=exif, quality=95)
    assert_shows(photo, person)


@needs_hevc
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_heic_whole_or_in_tiles_however_turned(
    person: Image.Image, turns: int, mirrored: bool
) -> None:
    shown = person.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else person
    stored = np.asarray(shown.rotate(-90 * turns, expand=True))
    for tile in (0, 128):
        photo = heic.heic(stored, turns=turns, mirrored=mirrored, tile=tile)
        assert_shows(photo, person)


@needs_hevc
def test_a_large_heic_is_reduced_tile_by_tile(person: Image.Image) -> None:
    large = person.resize((4096, 5120), Image.Resampling.NEAREST)
    photo = heic.heic(np.asarray(large), tile=1024)
    assert_shows(photo, person.resize((1638, 2048), Image.Resampling.NEAREST), within=5.0)


@needs_hevc
def test_a_heic_whose_picture_is_larger_than_it_says(person: Image.Image) -> None:
    photo = heic.heic(np.asarray(person.resize((1024, 1024))))
    size = struct.pack(">II", 1024, 1024)
    assert code_of(photo.replace(size, struct.pack(">II", 100, 100))) == "not_an_image"


def profile_with(red: tuple[float, float, float], blue: tuple[float, float, float]) -> bytes:
    """The sRGB profile with other primaries for red and blue (in XYZ under D50)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for tag, colour in ((b"rXYZ", red), (b"bXYZ", blue)):
        at = profile.index(tag, 128)
        (offset,) = struct.unpack_from(">I", profile, at + 4)
        struct.pack_into(">3i", profile, offset + 8, *(round(v * 65536) for v in colour))
    return bytes(profile)


P3 = profile_with((0.51512, 0.24120, -0.00105), (0.15710, 0.06657, 0.78407))
WIDE_RED = (205, 60, 45)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_profiles_become_srgb(kind: str) -> None:
    image = Image.new("RGB", (64, 64), WIDE_RED)
    quality = {} if kind == "PNG" else {"quality": 100}
    plain = decode(saved(image, kind, **quality))[32, 32].astype(int)
    shown = decode(saved(image, kind, icc_profile=P3, **quality))[32, 32].astype(int)
    assert shown[0] > plain[0] + 8  # the same numbers mean a stronger red there
    assert shown[1] < plain[1] - 8


@needs_hevc
def test_profiles_of_heic_become_srgb() -> None:
    pixels = np.full((128, 128, 3), WIDE_RED, np.uint8)
    plain = decode(heic.heic(pixels))[64, 64].astype(int)
    shown = decode(heic.heic(pixels, icc=P3))[64, 64].astype(int)
    assert shown[0] > plain[0] + 8


def test_a_damaged_profile_is_left_out(person: Image.Image) -> None:
    assert_shows(saved(person, "JPEG", quality=95, icc_profile=P3[:200]), person)


def test_a_damaged_exif_block_is_left_out(person: Image.Image) -> None:
    assert_shows(saved(person, "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff"), person)


def code_of(photo: bytes) -> str:
    with pytest.raises(EnrolmentError) as caught:
        decode(photo)
    return caught.value.code


def test_progressive_jpegs_that_would_take_much_memory_are_refused_with_the_remedy() -> None:
    photo = bytearray(saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True))
    at = photo.index(b"\xff\xc2")
    struct.pack_into(">HH", photo, at + 5, 10_000, 10_000)
    with pytest.raises(EnrolmentError, match="not a progressive one") as caught:
        decode(bytes(photo))
    assert caught.value.code == "image_too_large"


MEASURE = """
import io, resource, sys
from PIL import Image
from pipelines.photo.decode import decode
from pipelines.photo.errors import EnrolmentError
small = io.BytesIO()
Image.new("RGB", (64, 64)).save(small, sys.argv[2])
decode(small.getvalue())  # what every photo takes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    shape = decode(open(sys.argv[1], "rb").read()).shape
except EnrolmentError as error:
    shape = error.code
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000, shape)
"""


def measured(photo: bytes, kind: str, folder: Path) -> tuple[float, str]:
    """Megabytes that decoding takes in a process of its own, and what came out."""
    path = folder / "photo"
    path.write_bytes(photo)
    command = [sys.executable, "-c", MEASURE, str(path), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    megabytes, outcome = done.stdout.strip().split(" ", 1)
    return float(megabytes), outcome


@pytest.mark.parametrize(
    ("kind", "size", "mode", "options"),
    [
        ("JPEG", (10_000, 10_000), "L", {}),
        ("JPEG", (10_000, 10_000), "L", {"progressive": True}),
        ("JPEG", (8_000, 8_000), "RGB", {"progressive": True}),
        ("PNG", (8_000, 6_200), "RGBA", {"compress_level": 1}),
        ("WEBP", (8_000, 6_200), "RGB", {"method": 0, "quality": 50}),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_the_largest_photos_take_little_memory(
    tmp_path: Path,
    person: Image.Image,
    kind: str,
    size: tuple[int, int],
    mode: str,
    options: dict[str, object],
) -> None:
    large = person.convert(mode).resize(size, Image.Resampling.NEAREST)
    megabytes, outcome = measured(saved(large, kind, **options), kind, tmp_path)
    assert outcome.endswith(", 3)")
    assert str(WORK_SIDE) in outcome
    assert megabytes < 250


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    photo = bytearray(saved(Image.new("RGB", (64, 64)), "PNG"))
    struct.pack_into(">II", photo, 16, 40_000, 40_000)
    megabytes, outcome = measured(bytes(photo), "PNG", tmp_path)
    assert outcome == "image_too_large"
    assert megabytes < 5
