"""Where codes begin, and what becomes of those that nothing is near to."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.swaptalk.vqgan.quantise import NearestQuantiser

_ROUNDS = 8  # of k-means; later ones move little
_FADE = 0.99  # of the count of uses, per step: a memory of a hundred steps
_DEAD = 0.05  # of the uses that a code would have if all had the same


@torch.no_grad()
def k_means(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Centres [count, D] of vectors [N, D]; those of no vector go to a random one.

    Raises:
        ValueError: fewer vectors than centres.
    """
    if len(vectors) < count:
        raise ValueError(f"{count} codes want at least as many vectors, got {len(vectors)}")
    centres = vectors[torch.randperm(len(vectors), generator=generator)[:count]].clone()
    for _ in range(_ROUNDS):
        nearest = torch.cat(
            [torch.cdist(part, centres).argmin(1) for part in torch.split(vectors, 8192)]
        )
        uses = torch.bincount(nearest, minlength=count).to(vectors)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        centres = sums / uses.clamp_min(1.0)[:, None]
        empty = (uses == 0).nonzero().flatten()
        chosen = torch.randint(len(vectors), (len(empty),), generator=generator)
        centres[empty] = vectors[chosen]
    return centres


class Uses:
    """How often the codes of a book are used, of late."""

    def __init__(self, codes: int, device: torch.device) -> None:
        """codes: of all parts together."""
        self.share = torch.full((codes,), 1.0 / codes, device=device)

    def note(self, indices: Tensor) -> None:
        """Count the codes of a step, int64 of any shape."""
        found = torch.bincount(indices.flatten(), minlength=len(self.share))
        self.share.lerp_(found / indices.numel(), 1.0 - _FADE)

    def dead(self) -> Tensor:
        """Which are hardly used, bool [codes]."""
        return self.share < _DEAD / len(self.share)

    def perplexity(self) -> float:
        """How many codes would be as uncertain if all were used alike."""
        share = self.share / self.share.sum()
        return float((-share * share.clamp_min(1e-12).log()).sum().exp())

    @torch.no_grad()
    def revive(self, book: NearestQuantiser, z: Tensor, generator: torch.Generator) -> Tensor:
        """Put dead codes where some of the maps' vectors are; which those were, int64 [K].

        z: [B, D, h, w].
        """
        vectors = book.parted(z).flatten(0, 2)  # [N, parts, D / parts]
        dead = self.dead().nonzero().flatten()[: len(vectors)]
        chosen = torch.randperm(len(vectors), generator=generator)[: len(dead)]
        found = vectors[chosen.to(vectors.device), dead // book.codes]
        book.embedding.weight[dead] = found.to(book.embedding.weight)
        self.share[dead] = 1.0 / len(self.share)
        return dead
