"""The avatars that benchmarks watch, enrolled for any pipeline."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import choose_size
from pipelines.pipeline import Material, QuietProgress, Size, System

CAST = Path(__file__).parents[1] / "cast"


def find_photo(avatar: str) -> Path:
    """One of the cast by name, or an image file."""
    cast = CAST / f"{avatar}.png"
    path = cast if cast.exists() else Path(avatar)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in CAST.glob("*.png")))
        raise SystemExit(f"no avatar {avatar!r}: give an image, or one of the cast: {names}")
    return path


def enrolled(system: System, photo: Path, options: Any = None) -> IdentityFeatures:
    """The identity of a photo."""
    options = system.Options() if options is None else options
    with tempfile.TemporaryDirectory() as folder:
        return system.enrol(Material(photo=photo), options, QuietProgress(Path(folder)))


def size_of(system: System, height: int | None) -> Size:
    """The system's pictures of so many lines; its default ones for None. SystemExit names those
    that there are."""
    try:
        return choose_size(system, height)
    except ValueError as error:
        raise SystemExit(str(error)) from error
