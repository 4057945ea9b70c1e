import numpy as np
import torch

from pipelines.motion.hearing import LOWEST
from training.motion.variation import Variation


def _vary(rows: torch.Tensor, seed: int) -> torch.Tensor:
    return Variation(np.random.default_rng(seed))(rows)


def _formant(band: int, count: int = 400) -> torch.Tensor:
    bands = torch.arange(80.0)
    row = 2.5 * torch.exp(-(((bands - band) / 4.0) ** 2)) - 1.5
    return row.expand(count, 8, 80).clone()


def test_it_is_reproducible_by_seed_and_finite() -> None:
    rows = torch.randn(64, 12, 80) - 1.0
    assert torch.equal(_vary(rows, 1), _vary(rows, 1))
    assert not torch.equal(_vary(rows, 1), _vary(rows, 2))
    varied = _vary(torch.full((64, 12, 80), LOWEST), 3)
    assert varied.isfinite().all()
    assert varied.min() >= LOWEST


def test_windows_are_varied_apart_and_rows_of_one_alike() -> None:
    varied = _vary(_formant(30, 8), 4)
    assert (varied[0] - varied[1]).abs().max() > 0.05
    seen = varied[0][(varied[0] > LOWEST).any(1)]  # without hidden rows
    torch.testing.assert_close(seen, seen[:1].expand_as(seen))


def test_a_formant_moves_to_either_side_but_not_far() -> None:
    varied = _vary(_formant(40), 5)[:, 0]
    visible = varied.max(1).values > -0.5
    peaks = varied[visible].argmax(1)
    assert visible.float().mean() > 0.7
    assert (peaks < 38).float().mean() > 0.2
    assert (peaks > 42).float().mean() > 0.2
    assert ((peaks - 40).abs() <= 12).float().mean() > 0.95
