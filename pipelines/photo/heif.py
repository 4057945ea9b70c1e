"""HEIC and AVIF: their container is read here, their pictures are decoded by FFmpeg through PyAV.

PyAV is there for the media anyway; its decoders of HEVC and AV1 are FFmpeg's own and dav1d, so that
no further library (pillow-heif, with a second x265) is needed. Only one tile is held at full size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

MAX_FRAME_BYTES = 180_000_000  # of one picture as the decoder holds it
MAX_TILES = 1024
_CODECS = {"hvc1": ("hevc", "hvcC"), "av01": ("libdav1d", "av1C")}
_SLACK = 128  # pixels that a coded picture may be larger than it is shown, on each axis


@dataclass
class _Item:
    """One picture, or the list of tiles of one."""

    kind: str = ""
    places: list[tuple[int, int]] = field(default_factory=list)  # offset, length
    in_idat: bool = False
    properties: list[tuple[str, memoryview]] = field(default_factory=list)  # in order of use
    parts: list[int] = field(default_factory=list)  # ids of tiles

    def get(self, name: str) -> memoryview | None:
        """The first property of that name."""
        return next((body for kind, body in self.properties if kind == name), None)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before it is turned."""
        body = self.get("ispe")
        if body is None:
            raise ValueError("the picture has no size")
        width, height = struct.unpack_from(">II", body, 4)
        return width, height


class HeifFile:
    """The main picture of a HEIC or AVIF file.

    Raises:
        ValueError, struct.error, IndexError, KeyError: it is damaged, or of a kind not known.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._items: dict[int, _Item] = {}
        self._idat = memoryview(b"")
        self._main = 0
        meta = next((body for kind, body in _boxes(self._data) if kind == "meta"), None)
        if meta is None:
            raise ValueError("there is no picture in it")
        for kind, body in _boxes(meta[4:]):
            self._read(kind, body)
        self._item = self._items[self._main]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored, before it is turned."""
        return self._item.size

    @property
    def frame_bytes(self) -> int:
        """What its decoder will hold, at least: of one tile, or of the whole picture."""
        tile = self._items[self._item.parts[0]] if self._item.kind == "grid" else self._item
        width, height = tile.size
        return int(width * height * _bytes_per_pixel(tile))

    @property
    def icc(self) -> bytes | None:
        """Its colour profile, if it has one."""
        for kind, body in self._item.properties:
            if kind == "colr" and bytes(body[:4]) in (b"prof", b"rICC"):
                return bytes(body[4:])
        return None

    def pixels(self, side: int) -> Image.Image:
        """The picture as RGB, upright by its own properties; reduced, but hardly below `side`."""
        picture = self._grid(side) if self._item.kind == "grid" else self._whole(self._item, side)
        for kind, body in self._item.properties:
            if kind == "irot":
                picture = picture.rotate(90 * (body[0] & 3), expand=True)
            elif kind == "imir":
                flips = (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)
                picture = picture.transpose(flips[body[0] & 1])
        return picture

    def _whole(self, item: _Item, side: int) -> Image.Image:
        width, height = item.size
        scale = min(1.0, side / max(width, height))
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        return decode_frame(*self._coded(item), item.size, shown)

    def _grid(self, side: int) -> Image.Image:
        """Join the tiles of a picture, each reduced by the same power of two as it comes."""
        body = self._content(self._item)
        rows, columns = body[2] + 1, body[3] + 1
        width, height = struct.unpack_from(">II" if body[1] & 1 else ">HH", body, 4)
        tiles = self._item.parts
        if len(tiles) != rows * columns or rows * columns > MAX_TILES:
            raise ValueError("its tiles are not all there")
        tile_width, tile_height = self._items[tiles[0]].size
        whole = columns * tile_width < width or rows * tile_height < height
        if whole or (width, height) != self.size:
            raise ValueError("its tiles do not fill it")
        step = 1
        while max(width, height) >= 2 * step * side and not (tile_width | tile_height) % (2 * step):
            step *= 2
        shown = (tile_width // step, tile_height // step)
        picture = Image.new("RGB", (-(-width // step), -(-height // step)))
        if picture.width * picture.height * 4 > MAX_FRAME_BYTES:
            raise ValueError("its tiles have odd sizes")
        for n, tile_id in enumerate(tiles):
            tile = self._items[tile_id]
            if tile.size != (tile_width, tile_height):
                raise ValueError("its tiles differ in size")
            drawn = decode_frame(*self._coded(tile), tile.size, shown)
            picture.paste(drawn, (n % columns * shown[0], n // columns * shown[1]))
        return picture

    def _coded(self, item: _Item) -> tuple[str, bytes, bytes]:
        """Codec, its set-up, and the picture."""
        if item.kind not in _CODECS:
            raise ValueError(f"its pictures are coded as {item.kind!r}, which is not known")
        codec, box = _CODECS[item.kind]
        return codec, bytes(item.get(box) or b""), bytes(self._content(item))

    def _content(self, item: _Item) -> bytes:
        source = self._idat if item.in_idat else self._data
        return b"".join(source[at : at + length if length else None] for at, length in item.places)

    # The boxes of `meta`: ISO/IEC 14496-12, 23008-12

    def _read(self, kind: str, body: memoryview) -> None:
        readers: dict[str, Callable[[memoryview], None]] = {
            "pitm": self._read_main,
            "iinf": self._read_kinds,
            "iloc": self._read_places,
            "iprp": self._read_properties,
            "iref": self._read_references,
        }
        if kind == "idat":
            self._idat = body
        elif kind in readers:
            readers[kind](body)

    def _at(self, item_id: int) -> _Item:
        return self._items.setdefault(item_id, _Item())

    def _read_main(self, body: memoryview) -> None:
        (self._main,) = struct.unpack_from(">I" if body[0] else ">H", body, 4)

    def _read_kinds(self, body: memoryview) -> None:
        for kind, entry in _boxes(body[8 if body[0] else 6 :]):
            if kind == "infe" and entry[0] >= 2:
                wide = entry[0] > 2
                (item_id,) = struct.unpack_from(">I" if wide else ">H", entry, 4)
                at = 10 if wide else 8
                self._at(item_id).kind = bytes(entry[at : at + 4]).decode("latin-1")

    def _read_places(self, body: memoryview) -> None:
        version, fields = body[0], _Fields(body, 4)
        sizes = fields.take(1) << 8 | fields.take(1)
        offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        for _ in range(fields.take(4 if version == 2 else 2)):
            item = self._at(fields.take(4 if version == 2 else 2))
            item.in_idat = version > 0 and fields.take(2) & 15 == 1
            fields.take(2)
            start = fields.take(base)
            for _ in range(fields.take(2)):
                if version > 0:
                    fields.take(index)
                at = start + fields.take(offset)
                item.places.append((at, fields.take(length)))

    def _read_properties(self, body: memoryview) -> None:
        found = dict(_boxes(body))
        shared = list(_boxes(found["ipco"]))
        table = found["ipma"]
        version, wide = table[0], table[3] & 1
        fields = _Fields(table, 4)
        for _ in range(fields.take(4)):
            item = self._at(fields.take(4 if version else 2))
            for _ in range(fields.take(1)):
                which = fields.take(2) & 0x7FFF if wide else fields.take(1) & 0x7F
                if which:
                    item.properties.append(shared[which - 1])

    def _read_references(self, body: memoryview) -> None:
        width = 4 if body[0] else 2
        for kind, entry in _boxes(body[4:]):
            fields = _Fields(entry, 0)
            item = self._at(fields.take(width))
            parts = [fields.take(width) for _ in range(fields.take(2))]
            if kind == "dimg":
                item.parts = parts


class _Fields:
    """Big-endian numbers one after another."""

    def __init__(self, body: memoryview, at: int) -> None:
        self._body, self._at = body, at

    def take(self, size: int) -> int:
        """The next number, of `size` bytes."""
        if self._at + size > len(self._body):
            raise ValueError("it is cut short")
        self._at += size
        return int.from_bytes(self._body[self._at - size : self._at], "big")


def _boxes(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = size or len(data) - at
        if size < head:
            raise ValueError("a box is damaged")
        yield kind.decode("latin-1"), data[at + head : at + size]
        at += size


def _bytes_per_pixel(item: _Item) -> float:
    """Of the decoded frame, by the codec's set-up; 8 bits in 4:2:0 take 1.5."""
    if item.kind == "hvc1" and (body := item.get("hvcC")) is not None:
        samples, deep = (1.0, 1.5, 2.0, 3.0)[body[16] & 3], body[17] & 7 > 0
    elif item.kind == "av01" and (body := item.get("av1C")) is not None:
        grey, half_x, half_y = (body[2] >> shift & 1 for shift in (4, 3, 2))
        samples, deep = 1.0 if grey else 1 + 2 / ((1 + half_x) * (1 + half_y)), body[2] >> 6 & 1 > 0
    else:
        raise ValueError(f"its pictures are coded as {item.kind!r}, which is not known")
    return samples * (2 if deep else 1)


def decode_frame(
    codec: str, setup: bytes, coded: bytes, size: tuple[int, int], shown: tuple[int, int]
) -> Image.Image:
    """Decode one picture of `size` with FFmpeg, to RGB of size `shown`.

    Raises:
        ValueError: it is damaged, or larger than `size` says.
    """
    import av

    most = (size[0] + _SLACK) * (size[1] + _SLACK)
    try:
        decoder: Any = av.CodecContext.create(codec, "r")
        decoder.thread_count = 1  # each further one would hold pictures of its own
        decoder.options = {"max_pixels": str(most)}
        decoder.extradata = setup or None
        frames = decoder.decode(av.Packet(coded)) or decoder.decode(None)
        if not frames:
            raise ValueError("no picture comes out of it")
        frame = frames[0]
        if frame.width * frame.height > most:
            raise ValueError("it is larger than it says")
        turned = frame.reformat(*shown, "rgb24", interpolation="AREA", dst_color_range="JPEG")
        return Image.fromarray(np.asarray(turned.to_ndarray()))
    except (av.FFmpegError, MemoryError) as error:
        raise ValueError(str(error)) from error
