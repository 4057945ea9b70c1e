"""Faces baked beforehand: rows that `set_identity` writes, read from a file on a bare machine.

Of a few faces the rows of a renderer's tables (`pipelines.slot_tables`) go into the file; on the
card they are repeated over all slots; no photo, detector or OpenCV is needed there.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipelines.pipeline import Size
from pipelines.slot_tables import tensors_within

_HALVED = 4096  # numbers of a row; shorter float32 rows stay as they are


class Rows(NamedTuple):
    """What faces have in a table: [faces, k, ...], the first of the `each` rows of a slot; the
    others hold zeros."""

    each: int
    held: Tensor


def rows_of(renderer: Any, bare: Any, tables: Mapping[str, int]) -> dict[str, Rows]:
    """What faces wrote into the tables of a renderer, which is `bare` but for them; large float32
    rows as float16 where all numbers fit."""
    held, before = dict(tensors_within(renderer)), dict(tensors_within(bare))
    return {
        path: Rows(each, _kept(held[path].detach().cpu(), each))
        for path, each in tables.items()
        if not torch.equal(held[path], before[path])
    }


def _kept(table: Tensor, each: int) -> Tensor:
    rows = table.view(-1, each, *table.shape[1:])
    used = rows.flatten(2).any(2).any(0) if rows.dim() > 2 else rows.any(0)
    rows = rows[:, : int(used.nonzero()[-1]) + 1 if each > 1 and bool(used.any()) else each]
    if rows.dtype is not torch.float32 or rows[0].numel() < _HALVED:
        return rows.contiguous()
    half = rows.half()
    return (half if bool(half.isfinite().all()) else rows).contiguous()


@dataclass(frozen=True)
class Baked:
    """Rows of so many faces, by the way to their table, of a renderer of these sizes."""

    faces: int
    sizes: tuple[Size, ...]
    rows: Mapping[str, Rows]


def fill(renderer: Any, baked: Baked) -> int:
    """Repeat the faces over a renderer's tables; returns the bytes that each takes.

    Raises:
        ValueError: they are of another renderer.
    """
    held = dict(tensors_within(renderer))
    missing = sorted(baked.rows.keys() - held.keys())
    if missing:
        raise ValueError(f"baked by another release: nothing is called {', '.join(missing)}")
    total = 0
    for path, (each, rows) in baked.rows.items():
        table = held[path]
        count, left = divmod(table.shape[0], each)
        if left or table.shape[1:] != rows.shape[2:]:
            raise ValueError(f"{path} is {list(table.shape)}, baked {list(rows.shape)} of {each}")
        into = table.view(count, each, *table.shape[1:])
        given = rows.to(table.device, table.dtype)
        for face in range(baked.faces):
            into[face :: baked.faces, : rows.shape[1]] = given[face]
        total += table.nbytes // count
    return total


def write(path: Path, pipelines: Mapping[str, Baked]) -> None:
    """Keep faces of some pipelines in a safetensors file, packed where it is called *.gz."""
    tensors: dict[str, Tensor] = {}
    for name, baked in pipelines.items():
        tensors[f"{name}:faces"] = torch.tensor(baked.faces)
        tensors[f"{name}:sizes"] = torch.tensor(baked.sizes)
        tensors |= {f"{name}/{each}/{way}": held for way, (each, held) in baked.rows.items()}
    data = save(tensors)
    path.write_bytes(gzip.compress(data, 6) if path.suffix == ".gz" else data)


def read(path: Path, pipeline: str) -> Baked:
    """The faces of one pipeline.

    Raises:
        ValueError: the file has none.
    """
    data = path.read_bytes()
    found = load(gzip.decompress(data) if path.suffix == ".gz" else data)
    faces = found.pop(f"{pipeline}:faces", None)
    if faces is None:
        raise ValueError(f"{path} holds no faces of {pipeline}")
    sizes = tuple((width, height) for width, height in found[f"{pipeline}:sizes"].tolist())
    rows: dict[str, Rows] = {}
    for name, held in found.items():
        of, _, rest = name.partition("/")
        if of == pipeline:
            each, _, way = rest.partition("/")
            rows[way] = Rows(int(each), held)
    return Baked(int(faces), sizes, rows)
