"""The networks that are measured, from one folder: as they ship, or as trainings leave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.pipeline import file_digest
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.faces import LatentFaces
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import read_vqgan
from pipelines.swaptalk.weights import check_encoder, load_expert, load_lips, load_swap
from pipelines.weights import read_metadata

_PLACES = {
    name: (f"swaptalk-{name}.safetensors", *(f"{run}/model.safetensors" for run in runs))
    for name, runs in {
        "vqgan": ("vqgan", "vq"), "lips": ("lips",), "swap": ("swap",), "expert": ("expert",),
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """Without a swap, or without an expert, their figures are left out."""

    vqgan: Vqgan
    lips: LipSync
    swap: Swap | None
    expert: SyncExpert | None
    about: dict[str, str]  # by name: digest and steps of the file

    def faces(self, margin: float) -> LatentFaces:
        """What draws, with that hysteresis."""
        return LatentFaces(self.vqgan, self.lips, margin, self.swap)


def load_networks(folder: Path) -> Networks:
    """Those of `folder`, NAME.safetensors or RUN/model.safetensors each.

    Raises:
        ValueError: no VQGAN or lips there, not of this kind, or not trained together.
    """
    found = {name: _found(folder, places) for name, places in _PLACES.items()}
    vqgan, lips, swap, expert = (found[name] for name in ("vqgan", "lips", "swap", "expert"))
    if vqgan is None or lips is None:
        absent = [_PLACES[name][0] for name in ("vqgan", "lips") if found[name] is None]
        raise ValueError(f"{folder} lacks {' and '.join(absent)}")
    for each in (lips, swap, expert):
        if each is not None:
            check_encoder(each, vqgan)
    return Networks(
        read_vqgan(vqgan),
        load_lips(lips),
        None if swap is None else load_swap(swap),
        None if expert is None else load_expert(expert),
        {name: stamp(path) for name, path in found.items() if path is not None},
    )


def stamp(path: Path) -> str:
    """Which weights file this is."""
    return f"{file_digest(path)[:16]}, step {read_metadata(path).get('step', 'unknown')}"


def _found(folder: Path, places: tuple[str, ...]) -> Path | None:
    return next((folder / place for place in places if (folder / place).is_file()), None)
