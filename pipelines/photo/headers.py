"""What a picture file says of itself before anything of it is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from pipelines.photo.errors import EnrolmentError
from pipelines.photo.heif import HeifFile

ImageType = Literal["jpeg", "png", "webp", "gif", "heif"]
KINDS = "JPEG, PNG, WebP, HEIC, AVIF or GIF"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


@dataclass(frozen=True)
class Header:
    """Size in pixels as stored, and what the decoder must hold at once, in bytes."""

    width: int
    height: int
    held: int


def sniff(photo: bytes) -> ImageType:
    """Tell the image type from the first 64 bytes, whatever name or content type it came with.

    Raises:
        EnrolmentError: it is none that is taken; the message says what to do.
    """
    if photo.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if photo.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return "webp"
    if photo.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if photo[4:8] == b"ftyp":
        brands = [photo[at : at + 4] for at in (8, *range(16, 64, 4))]
        if any(brand in _HEIF_BRANDS for brand in brands):
            return "heif"
        raise EnrolmentError(
            "unsupported_type", f"This is a video, not a photo. Use a {KINDS} photo."
        )
    known = {b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF", b"8BPS": "PSD"}
    for magic, name in known.items():
        if photo.startswith(magic):
            raise EnrolmentError(
                "unsupported_type", f"This is a {name} file. Save it as one of {KINDS}."
            )
    raise EnrolmentError("not_an_image", f"This is not an image. Use a {KINDS} photo.")


def read_header(photo: bytes, kind: ImageType) -> Header:
    """Read what `photo` says of itself.

    Raises:
        EnrolmentError: it is damaged, or of a rare kind that is not taken.
    """
    readers = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif, "heif": _heif}
    name = "HEIC or AVIF" if kind == "heif" else kind.upper()
    try:
        header = readers[kind](photo)
    except (struct.error, IndexError, KeyError, ValueError, RecursionError) as error:
        if isinstance(error, EnrolmentError):
            raise
        raise EnrolmentError(
            "not_an_image",
            f"The {name} header is cut short or damaged. Open the picture in any program and save "
            "it anew as a JPEG.",
        ) from error
    if header.width < 1 or header.height < 1:
        raise EnrolmentError(
            "not_an_image", f"The {name} header gives no picture size. Save it anew as a JPEG."
        )
    return header


def _png(photo: bytes) -> Header:
    width, height, depth, colour = struct.unpack_from(">IIBB", photo, 16)
    grey16 = 2 if depth == 16 else 1  # Pillow keeps four bytes of every coloured pixel
    return Header(width, height, width * height * {0: grey16, 3: 1}.get(colour, 4))


def _gif(photo: bytes) -> Header:
    width, height = struct.unpack_from("<HH", photo, 6)
    return Header(width, height, width * height * 4)


def _heif(photo: bytes) -> Header:
    file = HeifFile(photo)
    return Header(*file.size, file.frame_bytes)


def _jpeg(photo: bytes) -> Header:
    """JPEGs that send all their colours more than once (progressive ones) are held as coefficients
    of two bytes until the last scan; of others only some rows."""
    at = 2
    width = height = coefficients = colours = 0
    progressive = False
    while True:
        marker, length = struct.unpack_from(">HH", photo, at)
        if marker >> 8 != 0xFF:
            raise EnrolmentError(
                "not_an_image", "The JPEG header is damaged. Save the picture anew as a JPEG."
            )
        code = marker & 0xFF
        if code == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from(">HH", photo, at + 5)
            progressive = code not in (0xC0, 0xC1)
            coefficients = 2 * width * height * _samples(photo, at + 9) // 4
            colours = photo[at + 9]
        elif code == 0xDA:  # start of scan
            held = coefficients if progressive or photo[at + 4] < colours else 0
            return Header(width, height, held)
        at += 2 + max(length, 2)


def _samples(photo: bytes, at: int) -> int:
    """Quarters of a sample for every pixel, over all colours."""
    factors = [photo[at + 2 + 3 * n] for n in range(photo[at])]
    most = max(f >> 4 for f in factors) * max(f & 15 for f in factors)
    return sum(4 * (f >> 4) * (f & 15) // most for f in factors)


def _webp(photo: bytes) -> Header:
    chunk = photo[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(photo[24:27], "little") + 1
        height = int.from_bytes(photo[27:30], "little") + 1
        if len(photo) < 30:
            raise IndexError
        return Header(width, height, 4 * width * height)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", photo, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return Header(width, height, 4 * width * height)
    width, height = struct.unpack_from("<HH", photo, 26)
    width, height = width & 0x3FFF, height & 0x3FFF
    return Header(width, height, width * height * 3 // 2)
