"""Uploaded bytes to pixels in sRGB, with every limit checked before anything is decoded.

The limits keep a decoder below 250 MB: a JPEG is decoded reduced, others are reduced strip by strip
from the one copy that their decoder makes.
"""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from pipelines.photo.errors import EnrolmentError
from pipelines.photo.headers import Header, ImageType, read_header, sniff
from pipelines.photo.heif import HeifFile, decode_frame

MAX_BYTES = 30_000_000
MAX_JPEG_PIXELS = 100_000_000
MAX_PIXELS = 50_000_000
MAX_SIDE = 16384
MAX_HELD_BYTES = 202_000_000  # by a decoder: 50 megapixels of four bytes
MAX_SCANS = 100  # of a JPEG; each is work over all of the picture
WORK_SIDE = 2048  # pixels; larger photos are reduced to this, more does not help the portrait,
_LONG_SIDE = 4 * WORK_SIDE  # but for panoramas, which stay half of it high while this is enough
_EMPTY = 6.0  # grey levels, deviation: an animation fades in from less
_MOST_SKIPPED, _MOST_SKIPPED_PIXELS = 24, 60_000_000  # of an animation before its first picture
_PILLOW_WEBP_PIXELS = 16_000_000  # its decoder holds three copies of a WebP, FFmpeg's one
_BACKDROP = (232, 234, 238)  # behind transparent parts
_STRIP = 128  # rows of the reduced picture at a time

Image8 = npt.NDArray[np.uint8]


def decode(photo: bytes) -> Image8:
    """Decode a photo of any kind that `sniff` knows into RGB pixels uint8 [H, W, 3] in sRGB, as its
    file says it is upright, at most `WORK_SIDE` wide and high, or as `long_side` says; of several
    pictures the first, or the first that is not empty.

    Raises:
        EnrolmentError: it cannot be read, or is too large; the message says what to do.
    """
    if len(photo) > MAX_BYTES:
        raise EnrolmentError(
            "image_too_large",
            f"The file has {len(photo) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are "
            "accepted. Save it as a JPEG or make it smaller.",
        )
    kind = sniff(photo)
    header = read_header(photo, kind)
    _check(photo, kind, header)
    try:
        return _pixels(photo, kind, header)
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error) as error:
        if isinstance(error, EnrolmentError):
            raise
        raise EnrolmentError(
            "not_an_image",
            f"The {_named(kind)} file is damaged and cannot be read: {error}. Send the original, "
            "or open it in any program and save it anew as a JPEG.",
        ) from error


def long_side(width: int, height: int) -> int:
    """Pixels along the longer side of what a picture of that size is reduced to.

    A panorama of 16:1, made 2048 wide, left a face of 500 pixels 65.
    """
    short, long = sorted((width, height))
    scale = max(WORK_SIDE / long, min(WORK_SIDE / 2 / short, _LONG_SIDE / long))
    return max(1, round(long * min(1.0, scale)))


def clean(photo: bytes) -> bytes:
    """Return the same picture as a JPEG of our own: upright, as large as `decode` leaves it, no
    metadata."""
    return as_jpeg(decode(photo))


def as_jpeg(pixels: Image8) -> bytes:
    """`pixels`, uint8 [H, W, 3], as a JPEG of high quality."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _named(kind: ImageType) -> str:
    return {"heif": "HEIC or AVIF", "webp": "WebP"}.get(kind, kind.upper())


def _check(photo: bytes, kind: ImageType, header: Header) -> None:
    pixels = header.width * header.height
    most = MAX_JPEG_PIXELS if kind == "jpeg" else MAX_PIXELS
    if pixels > most or max(header.width, header.height) > MAX_SIDE:
        raise EnrolmentError(
            "image_too_large",
            f"The picture is {header.width} x {header.height} pixels; at most {most / 1e6:.0f} "
            f"million are accepted of a {_named(kind)} file, {MAX_SIDE} on a side. Make it smaller"
            + ("." if kind == "jpeg" else ", or save it as a JPEG."),
        )
    if header.held > MAX_HELD_BYTES:
        raise EnrolmentError(
            "image_too_large",
            f"The picture of {pixels / 1e6:.0f} million pixels is stored in a way that takes too "
            "much memory to read. Save it as an ordinary JPEG (not a progressive one), or make it "
            "smaller.",
        )
    if kind == "jpeg" and photo.count(b"\xff\xda") > MAX_SCANS:
        raise EnrolmentError(
            "image_too_large",
            "The JPEG is stored in too many passes. Save it as an ordinary JPEG.",
        )


def _pixels(photo: bytes, kind: ImageType, header: Header) -> Image8:
    profile: bytes | None
    side = long_side(header.width, header.height)
    if kind == "heif":
        file = HeifFile(photo)
        image, profile, orientation = file.pixels(side), file.icc, 1
    elif kind == "webp" and header.width * header.height > _PILLOW_WEBP_PIXELS:
        image, profile, orientation = _large_webp(photo, header, side), None, 1
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limits here are below Pillow's, and exact
            opened = Image.open(io.BytesIO(photo), formats=[kind])
            if opened.width * opened.height > header.width * header.height:
                raise ValueError("it is larger than it says")
            opened.draft("RGB", (WORK_SIDE, WORK_SIDE))
            profile = opened.info.get("icc_profile")
            _load(opened)
            orientation = _orientation(opened)
        image = _reduced(opened, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    image = _flat(_in_srgb(image, profile))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _load(image: Image.Image) -> None:
    """Decode a file's first picture, or of an animation the first that shows something."""
    image.load()
    count = int(getattr(image, "n_frames", 1)) if image.format in ("GIF", "PNG", "WEBP") else 1
    most = min(count, _MOST_SKIPPED, _MOST_SKIPPED_PIXELS // (image.width * image.height))
    for n in (*range(1, most), 0):
        if most < 2 or not _is_empty(image):
            return
        image.seek(n)
        image.load()


def _is_empty(image: Image.Image) -> bool:
    small = image.convert("RGBA").resize((64, 64), Image.Resampling.BOX)
    return float(np.asarray(_flat(small).convert("L")).std()) < _EMPTY


def _orientation(image: Image.Image) -> int:
    """As EXIF has it; 1 where that is damaged."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):
        return 1


def _large_webp(photo: bytes, header: Header, side: int) -> Image.Image:
    if photo[12:16] == b"VP8X" and photo[20] & 2:
        raise EnrolmentError(
            "image_too_large", "The animated WebP is too large. Save one picture of it as a JPEG."
        )
    size = (header.width, header.height)
    scale = min(1.0, side / max(size))
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    return decode_frame("webp", b"", photo, size, shown)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """`image` in a mode of 8 bits, reduced to hardly more than `side`, strip by strip, so that no
    second copy of all of it is made."""
    step = max(1, int(max(image.size) / (1.5 * side)))
    strips = []
    for top in range(0, image.height, _STRIP * step):
        box = (0, top, image.width, min(image.height, top + _STRIP * step))
        strips.append(_eight_bits(image.crop(box)).reduce(step))
    whole = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for n, strip in enumerate(strips):
        whole.paste(strip, (0, n * _STRIP))
    return whole


def _eight_bits(image: Image.Image) -> Image.Image:
    """In L, RGB, RGBA or CMYK."""
    if image.mode.startswith(("I", "F")):  # 16 bits of grey
        grey = np.asarray(image).astype(np.float32) * (1 / 257)
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours by the file's own profile; one that is damaged or of other colours is left out."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha is not None else image
    converted = None
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                colours,
                own,
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    colours = colours.convert("RGB") if converted is None else converted
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _flat(image: Image.Image) -> Image.Image:
    """On a plain backdrop where it is transparent."""
    if image.mode != "RGBA":
        return image
    backdrop = Image.new("RGBA", image.size, (*_BACKDROP, 255))
    return Image.alpha_composite(backdrop, image).convert("RGB")
