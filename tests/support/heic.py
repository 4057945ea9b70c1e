"""HEIC files, written for tests with the encoder that PyAV brings along, if it does."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np

CAN_WRITE = "libx265" in av.codec.codecs_available


def heic(
    picture: np.ndarray, *, turns: int = 0, mirrored: bool = False, icc: bytes = b"", tile: int = 0
) -> bytes:
    """`picture`, uint8 [H, W, 3], to be shown turned by so many quarters counter-clockwise, then
    mirrored if wanted; of square tiles with sides of `tile` pixels, or whole."""
    height, width = picture.shape[:2]
    side = (tile, tile) if tile else (width, height)
    rows, columns = -(-height // side[1]), -(-width // side[0])
    padded = np.zeros((rows * side[1], columns * side[0], 3), np.uint8)
    padded[:height, :width] = picture
    coded = [
        _hevc(padded[y : y + side[1], x : x + side[0]])
        for y in range(0, len(padded), side[1])
        for x in range(0, padded.shape[1], side[0])
    ]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height) if tile else b""
    items = [(b"hvc1", data) for _, data in coded] + ([(b"grid", grid)] if tile else [])
    properties = [_box(b"hvcC", coded[0][0]), _full(b"ispe", struct.pack(">II", *side))]
    properties += [_full(b"ispe", struct.pack(">II", width, height)), _box(b"irot", bytes([turns]))]
    properties += [_box(b"imir", b"\1"), _box(b"colr", b"prof" + icc)]
    shown = [3, 4, *([5] if mirrored else []), *([6] if icc else [])]
    used = [[1, 2]] * len(coded) + [shown] if tile else [[1, *shown]]
    meta = _meta(items, properties, used, len(coded) if tile else 0)
    ftyp = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + _box(b"mdat", b"".join(data for _, data in items))


def _hevc(picture: np.ndarray) -> tuple[bytes, bytes]:
    """Set-up (`hvcC`) and coded picture, each unit with its length before it."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height = picture.shape[1], picture.shape[0]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "x265-params": "log-level=none:info=0:crf=12"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    coded = b"".join(bytes(p) for p in (*encoder.encode(frame), *encoder.encode(None)))
    units = [unit.rstrip(b"\0") for unit in coded.split(b"\0\0\1") if unit.strip(b"\0")]
    kinds = [unit[0] >> 1 & 63 for unit in units]
    sets = [(kind, unit) for kind, unit in zip(kinds, units, strict=True) if kind in (32, 33, 34)]
    setup = b"\1" + bytes(15) + bytes([0xFD, 0xF8, 0xF8, 0, 0, 3, len(sets)])
    for kind, unit in sets:
        setup += struct.pack(">BHH", kind, 1, len(unit)) + unit
    shown = [unit for kind, unit in zip(kinds, units, strict=True) if kind < 32]
    return setup, b"".join(struct.pack(">I", len(unit)) + unit for unit in shown)


def _meta(items, properties, used, tiles):  # type: ignore[no-untyped-def]
    """The box `meta`, by where the data begins."""

    def written(start: int) -> bytes:
        kinds, places, at = b"", b"", start
        for n, (kind, data) in enumerate(items):
            kinds += _full(b"infe", struct.pack(">HH4sB", n + 1, 0, kind, 0), version=2)
            places += struct.pack(">HHHII", n + 1, 0, 1, at, len(data))
            at += len(data)
        table = b"".join(
            struct.pack(">HB", n + 1, len(which)) + bytes(which) for n, which in enumerate(used)
        )
        count = len(items)
        boxes = [
            _full(b"hdlr", struct.pack(">I4s", 0, b"pict") + bytes(13)),
            _full(b"pitm", struct.pack(">H", count)),
            _full(b"iinf", struct.pack(">H", count) + kinds),
            _full(b"iloc", b"\x44\x00" + struct.pack(">H", count) + places),
            _box(
                b"iprp",
                _box(b"ipco", b"".join(properties))
                + _full(b"ipma", struct.pack(">I", count) + table),
            ),
        ]
        if tiles:
            ids = struct.pack(f">HH{tiles}H", count, tiles, *range(1, tiles + 1))
            boxes.append(_full(b"iref", _box(b"dimg", ids)))
        return _full(b"meta", b"".join(boxes))

    return written


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24) + body)
