"""Trained weights: where they are, what they hold, and the import of published checkpoints."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.anitalker import import_generator as checkpoints_stage2
from pipelines.anitalker import import_renderer as checkpoints_stage1
from pipelines.checkpoints import Checkpoint, CheckpointError, read_checkpoint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Kind:
    """One sort of published file that can be imported.

    name: what the metadata call it. says: for people. recognises: whether a file is meant to be of
    this sort. convert: its tensors under our names and further metadata, or `CheckpointError`.
    """

    name: str
    says: str
    recognises: Callable[[Checkpoint], bool]
    convert: Callable[[Checkpoint], tuple[dict[str, Tensor], dict[str, str]]]


KINDS = (
    Kind(
        checkpoints_stage1.KIND,
        "AniTalker's renderer (stage1.ckpt)",
        checkpoints_stage1.recognises,
        checkpoints_stage1.convert,
    ),
    Kind(
        checkpoints_stage2.KIND,
        "AniTalker's motion generators (stage2_*.ckpt)",
        checkpoints_stage2.recognises,
        checkpoints_stage2.convert,
    ),
)


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


def read_metadata(path: Path) -> dict[str, str]:
    """What a weights file says of itself; our importer writes `kind`, `source_sha256` and more.

    Raises:
        ValueError: not a safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def load_weights(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, on the CPU, and metadata of one weights file.

    Raises:
        ValueError: there is no such file, or it is not a safetensors file.
    """
    path = find_weights(name)
    metadata = read_metadata(path)
    return load_file(path), metadata


def describe_weights(name: str) -> str:
    """Metadata and size of one weights file, as text.

    Raises:
        ValueError: there is no such file, or it is not a safetensors file.
    """
    path = find_weights(name)
    metadata = read_metadata(path)
    with safe_open(path, "pt") as file:
        count = len(list(file.keys()))
    lines = [f"{name}: {count} tensors, {path.stat().st_size / 1e6:.1f} MB"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in sorted(metadata.items())])


def import_checkpoint(path: Path, name: str) -> str:
    """Bring a published checkpoint into our format, as weights called `name`.

    Importing the same file again under the same name does nothing; another file does not replace
    what is there.

    Returns:
        A line that says what was imported, and where it is.

    Raises:
        CheckpointError: not a whole, safe file of a known kind, or not with the tensors it must
            have; a name that cannot be used, or is taken.
        OSError: the file cannot be read, or the weights cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise CheckpointError(
            f"cannot call weights {name!r}: up to 64 letters, digits, '.', '_' and '-'"
        )
    checkpoint = read_checkpoint(path)
    kind = next((kind for kind in KINDS if kind.recognises(checkpoint)), None)
    if kind is None:
        known = "; ".join(kind.says for kind in KINDS)
        raise CheckpointError(f"{path}: of no kind that can be imported. Known: {known}")
    tensors, more = kind.convert(checkpoint)
    metadata = {"kind": kind.name, "source_sha256": checkpoint.sha256(), "source": path.name} | more
    said = ", ".join([kind.name, *more.values()])
    target = user_weights_dir() / f"{name}.safetensors"
    if _taken(name, target, metadata["source_sha256"]):
        return f"{name}: {said}, already at {target}"
    _write(target, tensors, metadata)
    return f"{name}: {said}, {len(tensors)} tensors, at {target}"


def _taken(name: str, target: Path, digest: str) -> bool:
    """Whether the name already stands for that very file.

    Raises:
        CheckpointError: it stands for another.
    """
    if name not in list_weights():
        return False
    path = find_weights(name)
    if path == target and read_metadata(path).get("source_sha256") == digest:
        return True
    raise CheckpointError(
        f"weights called {name!r} exist already ({path}); choose another name"
        + (", or delete that file first" if path == target else "")
    )


def _write(target: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write beside the target and move into place, so that no half file is ever found there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as folder:
        written = Path(folder) / target.name
        save_file(tensors, written, metadata)
        written.replace(target)
