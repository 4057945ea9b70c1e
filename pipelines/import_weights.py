"""Importing published checkpoints of every system as weights of ours."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from pipelines.anitalker import import_generator, import_renderer
from pipelines.anitalker.config import PUBLISHED_GENERATOR, PUBLISHED_RENDERER
from pipelines.checkpoints import Checkpoint, read_checkpoint
from pipelines.swaptalk.vqgan import import_vqgan
from pipelines.swaptalk.vqgan.config import PUBLISHED_VQGAN
from pipelines.swaptalk.wav2lip import import_published as wav2lip
from pipelines.weights import (
    CheckpointError,
    find_weights,
    list_weights,
    read_metadata,
    user_weights_dir,
)

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
        PUBLISHED_RENDERER,
        "AniTalker's renderer (stage1.ckpt)",
        import_renderer.recognises,
        import_renderer.convert,
    ),
    Kind(
        PUBLISHED_GENERATOR,
        "AniTalker's motion generators (stage2_*.ckpt)",
        import_generator.recognises,
        import_generator.convert,
    ),
    Kind(
        wav2lip.KIND,
        "Wav2Lip's generator, lip-sync expert and discriminator (wav2lip*.pth, lipsync_expert.pth, "
        "visual_quality_disc.pth)",
        wav2lip.recognises,
        wav2lip.convert,
    ),
    Kind(
        PUBLISHED_VQGAN,
        "VQGANs of taming-transformers and latent-diffusion (last.ckpt, model.ckpt)",
        import_vqgan.recognises,
        import_vqgan.convert,
    ),
)


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
