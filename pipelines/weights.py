"""Trained weights: where they are and what they say of themselves. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipelines.pipeline import file_digest


class CheckpointError(ValueError):
    """A weights file that is not what it should be."""


def shipped_weights_dir() -> Path:
    """Weights that come with the program: in a checkout beside the packages, else inside one."""
    root = Path(__file__).parent
    installed = root / "_weights"
    return installed if installed.is_dir() else root.parent / "weights"


def user_weights_dir() -> Path:
    """Where imports go: $VIVAVOCE_WEIGHTS, else `weights` in the data folder of the server."""
    if "VIVAVOCE_WEIGHTS" in os.environ:
        return Path(os.environ["VIVAVOCE_WEIGHTS"])
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    data = os.environ.get("VIVAVOCE_DATA") or str(Path(base) / "vivavoce")
    return Path(data) / "weights"


def weights_dirs() -> list[Path]:
    """Folders that are looked through, in order."""
    return [shipped_weights_dir(), user_weights_dir()]


def list_weights() -> list[str]:
    """Names of the installed weights files, without suffix; shipped ones first."""
    names = [path.stem for d in weights_dirs() for path in sorted(d.glob("*.safetensors"))]
    return list(dict.fromkeys(names))


def find_weights(name: str) -> Path:
    """The file of that name.

    Raises:
        ValueError: there is none.
    """
    for folder in weights_dirs():
        path = folder / f"{name}.safetensors"
        if name and Path(name).name == name and path.is_file():
            return path
    known = ", ".join(list_weights()) or "none"
    raise ValueError(f"no weights called {name!r}; installed: {known}")


def weights_digest(name: str) -> str:
    """SHA-256 of the weights file of that name, hexadecimal; ValueError where there is none."""
    path = find_weights(name)
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@cache
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """Of the file as it was then."""
    return file_digest(path)


def read_metadata(path: Path) -> dict[str, str]:
    """What a weights file says of itself; our importer writes `kind`, `source_sha256` and more.

    Raises:
        ValueError: not a safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def read_shapes(path: Path) -> dict[str, Sequence[int]]:
    """Names and shapes of the tensors in a weights file."""
    with safe_open(path, "np") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118


def describe_weights(name: str) -> str:
    """Metadata and size of one weights file, as text.

    Raises:
        ValueError: there is no such file, or it is not a safetensors file.
    """
    path = find_weights(name)
    metadata = read_metadata(path)
    count = len(read_shapes(path))
    lines = [f"{name}: {count} tensors, {path.stat().st_size / 1e6:.1f} MB"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in sorted(metadata.items())])
