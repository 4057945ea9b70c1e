"""Which generated portraits are for validation alone, and all that show the same.

An index of such portraits is a CSV with at least the columns of `POSE_COLUMNS` and `file`. File
names are the prompt, its words joined by dashes, and a number: variants of one prompt share all but
the number. The same picture comes under several numbers and prompts too; its pose then agrees to a
hundredth. `benchmarks.faces.choose` chose `validation.csv`, rows of that index.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VALIDATION = Path(__file__).with_name("validation.csv")
POSE_COLUMNS = ("face_height_px", "yaw_deg", "pitch_deg", "roll_deg")
POSE_TOLERANCE = 0.0101  # pixels and degrees: a hundredth, and what rounding adds

Row = Mapping[str, str]


def read_index(path: Path = VALIDATION) -> list[Row]:
    """Rows of an index, by default those held out for validation; ValueError for another table."""
    with path.open(newline="", encoding="utf-8") as file:
        rows: list[Row] = list(csv.DictReader(file))
    missing = {"file", *POSE_COLUMNS} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{path.name} is no index of portraits: it lacks {sorted(missing)}")
    return rows


def prompt_of(file: str) -> str:
    """The words of a file name, without its number, case or punctuation."""
    stem = Path(file).stem.casefold()
    return "-".join(re.findall(r"[a-z0-9]+", re.sub(r"-\d+$", "", stem)))


def pose_of(row: Row) -> NDArray[np.float64]:
    """[4], in the order of `POSE_COLUMNS`."""
    return np.array([float(row[name]) for name in POSE_COLUMNS])


def may_train(rows: Sequence[Row], validation: Sequence[Row] | None = None) -> list[Row]:
    """The rows of an index that share neither prompt nor pose with a portrait held out."""
    validation = read_index() if validation is None else validation
    prompts = {prompt_of(row["file"]) for row in validation}
    poses = np.array([pose_of(row) for row in validation]).reshape(-1, len(POSE_COLUMNS))

    def shown(row: Row) -> bool:
        near = np.abs(poses - pose_of(row)) < POSE_TOLERANCE
        return prompt_of(row["file"]) in prompts or bool(near.all(1).any())

    return [row for row in rows if not shown(row)]
