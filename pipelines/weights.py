"""Trained weights: where they are, what they hold, and the import of published checkpoints."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open


def weights_dirs() -> list[Path]:
    """Folders that are looked through, in order."""
    return [Path(__file__).parent.parent / "weights"]


def list_weights() -> list[str]:
    """Names of the installed weights files, without suffix."""
    return sorted(path.stem for folder in weights_dirs() for path in folder.glob("*.safetensors"))


def describe_weights(name: str) -> str:
    """Metadata and size of one weights file, as text.

    Raises:
        ValueError: there is no such file, or it is not a safetensors file.
    """
    for folder in weights_dirs():
        path = folder / f"{name}.safetensors"
        if path.exists():
            break
    else:
        known = ", ".join(list_weights()) or "none"
        raise ValueError(f"no weights called {name!r}; installed: {known}")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            count = len(list(file.keys()))
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    lines = [f"{name}: {count} tensors, {path.stat().st_size / 1e6:.1f} MB"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in sorted(metadata.items())])


def import_checkpoint(path: Path, name: str) -> str:
    """Bring a published checkpoint into our format.

    Raises:
        ValueError: always, for now: no pipeline of this release takes published weights.
    """
    raise ValueError(
        f"cannot import {path} as {name!r}: no pipeline of this release takes published weights"
    )
