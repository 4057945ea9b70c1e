"""Uploaded bytes: what is refused, and that it is refused before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.photo.decode import MAX_BYTES, decode
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.headers import read_header, sniff


def encoded(
    kind: str, size: tuple[int, int] = (30, 20), mode: str = "RGB", **options: object
) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else (200, 100, 50, 128)[: len(mode)]).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing: an image bomb's first bytes."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk


def code_of(photo: bytes) -> str:
    with pytest.raises(EnrolmentError) as caught:
        decode(photo)
    return caught.value.code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_accepted_types_decode(kind: str) -> None:
    assert decode(encoded(kind)).shape == (20, 30, 3)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}])
def test_webp_header_sizes(options: dict[str, bool]) -> None:
    for mode in ("RGB", "RGBA"):
        header = read_header(encoded("WEBP", (301, 203), mode, **options), "webp")
        assert (header.width, header.height) == (301, 203)


def test_transparency_is_laid_on_a_plain_background() -> None:
    pixels = decode(encoded("PNG", mode="RGBA"))
    assert pixels.shape == (20, 30, 3)
    assert 200 < int(pixels[0, 0, 0]) < 232


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_other_image_types_are_named(kind: str) -> None:
    photo = encoded(kind)
    assert code_of(photo) == "unsupported_type"
    with pytest.raises(EnrolmentError, match=kind):
        decode(photo)


@pytest.mark.parametrize(
    "photo", [b"", b"hello", b"<svg/>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]
)
def test_what_is_no_image(photo: bytes) -> None:
    assert code_of(photo) == "not_an_image"


def test_a_damaged_image() -> None:
    photo = encoded("PNG", (300, 200))
    assert code_of(photo[: len(photo) // 2]) == "not_an_image"


def test_too_many_bytes() -> None:
    assert code_of(b"\xff\xd8\xff" + bytes(MAX_BYTES)) == "image_too_large"


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (20_000, 10)])
def test_an_image_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    assert code_of(png_header(*size)) == "image_too_large"


def test_exif_orientation_is_honoured() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    assert decode(encoded("JPEG", (40, 20), exif=exif)).shape == (40, 20, 3)


def test_large_photos_are_reduced() -> None:
    assert max(decode(encoded("JPEG", (5000, 3000))).shape) <= 2500


@given(
    st.binary(max_size=200),
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0\0\0\x10ftypheic\0\0\0\0"]
    ),
)
def test_garbage_never_does_worse_than_an_enrolment_error(garbage: bytes, magic: bytes) -> None:
    with pytest.raises(EnrolmentError):
        decode(magic + garbage)


@given(st.data())
def test_flipped_bytes_decode_or_are_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "AVIF"]))
    photo = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        photo[data.draw(st.integers(0, len(photo) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(photo))
    except EnrolmentError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


def test_sniffing_goes_by_content() -> None:
    assert sniff(encoded("WEBP")) == "webp"
    assert sniff(b"\0\0\0\x18ftypheic") == "heif"
    with pytest.raises(EnrolmentError, match="video"):
        sniff(b"\0\0\0\x18ftypisom")
