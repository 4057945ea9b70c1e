"""Uploaded bytes to pixels, with every limit checked before anything is decoded."""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pipelines.photo.errors import EnrolmentError

MAX_BYTES = 15_000_000
MAX_PIXELS = 40_000_000
WORK_SIDE = 2048  # pixels; larger photos are reduced to this, more does not help the portrait

ImageType = Literal["jpeg", "png", "webp"]
Image8 = npt.NDArray[np.uint8]


def decode(photo: bytes) -> Image8:
    """Decode a JPEG, PNG or WebP into upright RGB pixels uint8 [H, W, 3], metadata dropped."""
    if len(photo) > MAX_BYTES:
        raise EnrolmentError(
            "image_too_large",
            f"The file has {len(photo) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are "
            "accepted. Save it as a JPEG or make it smaller.",
        )
    kind = sniff(photo)
    width, height = header_size(photo, kind)
    if width * height > MAX_PIXELS or max(width, height) > 16384:
        raise EnrolmentError(
            "image_too_large",
            f"The picture is {width} x {height} pixels; at most {MAX_PIXELS / 1e6:.0f} million "
            "are accepted. Make it smaller.",
        )
    try:
        return _pixels(photo, kind)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise EnrolmentError(
            "not_an_image", f"The {kind.upper()} file is damaged and cannot be read: {error}."
        ) from error


def clean(photo: bytes) -> bytes:
    """Return the same picture as a JPEG of our own: upright, at most `WORK_SIDE`, no metadata."""
    out = io.BytesIO()
    Image.fromarray(decode(photo)).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _pixels(photo: bytes, kind: ImageType) -> Image8:
    image: Image.Image = Image.open(io.BytesIO(photo), formats=[kind])
    image.draft("RGB", (WORK_SIDE, WORK_SIDE))
    image = ImageOps.exif_transpose(image)
    image.thumbnail((WORK_SIDE, WORK_SIDE), Image.Resampling.LANCZOS)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (232, 234, 238, 255)), image)
    return np.asarray(image.convert("RGB"))


def sniff(photo: bytes) -> ImageType:
    """Tell the image type from the first bytes, whatever name or content type it came with."""
    if photo.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if photo.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return "webp"
    known = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}
    for magic, name in known.items():
        if photo.startswith(magic):
            raise EnrolmentError(
                "unsupported_type", f"This is a {name} file. Use a JPEG, PNG or WebP photo."
            )
    if photo[4:8] == b"ftyp":
        raise EnrolmentError(
            "unsupported_type",
            "This is a HEIC, AVIF or video file. Save the photo as JPEG, PNG or WebP.",
        )
    raise EnrolmentError("not_an_image", "This is not an image. Use a JPEG, PNG or WebP photo.")


def header_size(photo: bytes, kind: ImageType) -> tuple[int, int]:
    """Read (width, height) from the header alone."""
    reader = {"jpeg": _jpeg_size, "png": _png_size, "webp": _webp_size}[kind]
    try:
        width, height = reader(photo)
    except (struct.error, IndexError) as error:
        raise EnrolmentError("not_an_image", f"The {kind.upper()} header is cut short.") from error
    if width < 1 or height < 1:
        raise EnrolmentError("not_an_image", f"The {kind.upper()} header gives no picture size.")
    return width, height


def _png_size(photo: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", photo, 16)
    return width, height


def _jpeg_size(photo: bytes) -> tuple[int, int]:
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", photo, at)
        if marker >> 8 != 0xFF:
            raise EnrolmentError("not_an_image", "The JPEG header is damaged.")
        code = marker & 0xFF
        if code == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from(">HH", photo, at + 5)
            return width, height
        else:
            at += 2 + max(length, 2)


def _webp_size(photo: bytes) -> tuple[int, int]:
    chunk = photo[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(photo[24:27], "little") + 1
        height = int.from_bytes(photo[27:30], "little") + 1
        if len(photo) < 30:
            raise IndexError
        return width, height
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", photo, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", photo, 26)
    return width & 0x3FFF, height & 0x3FFF
