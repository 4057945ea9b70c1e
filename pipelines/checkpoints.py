"""Reading tensors out of files that strangers wrote, and holding them to what was expected.

Nothing of a file is executed: PyTorch archives go through the weights-only unpickler, safetensors
hold no code. Every complaint names the file, what was found and what was wanted.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipelines.weights import CheckpointError, find_weights, read_metadata

_NAMED = 4  # offending keys that a complaint spells out

# How files of PyTorch 0.2 to 1.5 begin, among them most that were published before 2020: with a
# pickle of the format's number.
_BEFORE_1_6 = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."

# What the archive readers and the unpickler raise on bytes that make no sense.
_NONSENSE = (
    RuntimeError, EOFError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError,
    AssertionError, struct.error,
)  # fmt: skip


class _Unread(dict[object, object]):
    """Stands for an object of a training program, which is let go unread."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None:
        pass


# What PyTorch Lightning keeps beside the weights: progress, best scores, options. The unpickler is
# given a class without behaviour in the place of theirs.
_BESIDE: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Unread, name)
    for name in (
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "_codecs.encode",
    )
]


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, by key, and where they came from."""

    path: Path
    tensors: Mapping[str, Tensor]

    def sha256(self) -> str:
        """Digest of the whole file, in hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_checkpoint(path: Path) -> Checkpoint:
    """A flat dict of tensors from a `.safetensors` file or a PyTorch archive, on the CPU.

    Of a training state, a dict with a `state_dict`, it is that; the rest is let go.

    Raises:
        CheckpointError: cut short, damaged, holding code, or not a flat dict of tensors.
        OSError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with torch.serialization.safe_globals(_BESIDE):
        content = _safetensors(path) if path.suffix == ".safetensors" else _archive(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds {_kind(content)}, not a dict of tensors")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: not a flat dict of tensors: {key!r} is {_kind(value)}")
    return Checkpoint(path, content)


def load_weights(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, on the CPU, and metadata of one weights file.

    Raises:
        ValueError: there is no such file, or it is not a safetensors file.
    """
    path = find_weights(name)
    metadata = read_metadata(path)
    return load_file(path), metadata


def in_single(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is kept in half precision, in single."""
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Hold `found` to the keys, shapes and types of `wanted`, whose values do not matter.

    Raises:
        CheckpointError: keys missing or too many, another shape or type, a layout other than plain,
            or values that are not finite. `what` opens the message.
    """
    missing = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    faults = [f"lacks {_several(missing)}"] if missing else []
    faults += [f"has {_several(extra)}, which does not belong there"] if extra else []
    if not faults:
        faults = [fault for key in wanted for fault in _faults(key, found[key], wanted[key])]
    if faults:
        rest = f" (and {len(faults) - _NAMED} more)" if len(faults) > _NAMED else ""
        raise CheckpointError(f"{what}: {'; '.join(faults[:_NAMED])}{rest}")


def _faults(key: str, found: Tensor, wanted: Tensor) -> list[str]:
    if found.layout is not torch.strided or found.is_quantized:
        return [f"{key} is not stored as plain numbers"]
    if found.shape != wanted.shape:
        return [f"{key} has shape {list(found.shape)}, expected {list(wanted.shape)}"]
    if found.dtype != wanted.dtype:
        return [f"{key} is {_name(found.dtype)}, expected {_name(wanted.dtype)}"]
    if found.dtype.is_floating_point and not bool(found.isfinite().all()):
        return [f"{key} holds values that are not finite"]
    return []


def _safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def _archive(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(len(_BEFORE_1_6))
    if start.startswith(b"PK\x03\x04"):
        _check_sums(path)
    elif start != _BEFORE_1_6:
        raise CheckpointError(f"{path}: neither safetensors nor a PyTorch archive (0.2 or later)")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, for it holds more than tensors: {_reason(error)}"
        ) from error
    except _NONSENSE as error:
        raise CheckpointError(f"{path}: damaged ({_first_line(error)}); fetch it again") from error


def _check_sums(path: Path) -> None:
    """Of an archive of PyTorch 1.6 or later; earlier ones have none."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(item.compress_type for item in archive.infolist())
            damaged = None if packed else archive.testzip()
    except (zipfile.BadZipFile, OSError, *_NONSENSE) as error:
        raise CheckpointError(
            f"{path}: cut short or damaged ({_first_line(error)}); fetch it again"
        ) from error
    if packed:  # PyTorch stores as is; a small file must not unfold into a huge one
        raise CheckpointError(f"{path}: holds compressed entries, which PyTorch never writes")
    if damaged:  # PyTorch itself would not notice
        raise CheckpointError(f"{path}: damaged (checksum of {damaged}); fetch it again")


def _reason(error: pickle.UnpicklingError) -> str:
    """The sentence that says what was refused, without PyTorch's advice on how to run it anyway."""
    lines = [line.strip() for line in str(error).splitlines()]
    marked = [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
    return (marked or lines or ["unsafe pickle"])[0].removeprefix("WeightsUnpickler error: ")[:200]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _several(keys: list[str]) -> str:
    rest = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + rest


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
