"""Swap, lip sync and the latent sync expert: what may depend on what, and what a frame costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.swaptalk.config import (
    SMALL_LIPS,
    EarConfig,
    ExpertConfig,
    LatentConfig,
    LipConfig,
    SwapConfig,
)
from pipelines.swaptalk.expert import SyncExpert, sync_loss
from pipelines.swaptalk.latents import LatentScale, lower, upper
from pipelines.swaptalk.lips import LipSync, Prepared, Warped
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.warp import FaceWarp, moved

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")

LATENT = LatentConfig(dim=6, rows=8, columns=12)
SWAP = SwapConfig(latent=LATENT, width=16, heads=2, layers=2, hidden=24, classes=3)
LIPS = LipConfig(
    latent=LATENT, ear=EarConfig(width=8), warp_widths=(8, 8, 12), widths=(8, 12, 16), heads=2
)
EXPERT = ExpertConfig(latent=LATENT, widths=(8, 8, 12), embedding=10)


def _maps(count: int, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    size = (count, LATENT.dim, LATENT.rows, LATENT.columns)
    return torch.randn(size, generator=chance, dtype=torch.float64)


def _motion(count: int, seed: int = 1) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    size = (count, LIPS.ear.tokens, MOTION_DIM)
    return torch.rand(size, generator=chance, dtype=torch.float64)


def _halves(count: int) -> Tensor:
    """Five lower halves in a row, for each of `count` rows."""
    half = lower(_maps(5 * count, 4))
    return half.reshape(count, 5, *half.shape[1:])


def _shaken(kind: Callable[[Config], Network], config: Config) -> Network:
    """The same weights in every run, no layer silent, and a scale that is not the unit one.

    In double precision, so that what is equal is so on every machine's rounding.
    """
    torch.manual_seed(2)
    network = kind(config).double()
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    for part in network.modules():
        if isinstance(part, LatentScale):
            part.fit(0.2 + 1.3 * torch.randn(64, LATENT.dim, 2, 2, dtype=torch.float64))
    network.eval().requires_grad_(False)
    return network


@pytest.fixture(scope="module")
def lips() -> LipSync:
    return _shaken(LipSync, LIPS)


@pytest.fixture(scope="module")
def swap() -> Swap:
    return _shaken(Swap, SWAP)


@pytest.fixture(scope="module")
def expert() -> SyncExpert:
    return _shaken(SyncExpert, EXPERT)


def test_what_is_cached_per_template_gives_what_the_whole_gives(lips: LipSync) -> None:
    template, motion, order = _maps(3), _motion(5), [0, 1, 2, 1, 0]
    reference = template[2:].expand(3, -1, -1, -1)
    cached = lips.prepare(lips.warp_reference(upper(template), reference))
    for frame, heard in zip(order, motion, strict=True):
        row = slice(frame, frame + 1)
        held = Prepared(*(part[row] for part in cached))
        said = lips.speak(held, lips.listen(heard[None]))
        whole = lips(template[row], reference[row], heard[None])
        torch.testing.assert_close(lower(whole), said, atol=1e-5, rtol=1e-5)
        assert torch.equal(upper(whole), upper(template[row]))


def test_rows_of_a_batch_do_not_see_each_other(
    lips: LipSync, swap: Swap, expert: SyncExpert
) -> None:
    one, two, motion = _maps(5), _maps(5, 3), _motion(5)
    halves = _halves(5)
    order = torch.tensor([3, 0, 4, 2, 1])
    for network, parts in (
        (lips, (one, two, motion)), (swap, (one, two)), (expert.cosine, (halves, motion)),
    ):  # fmt: skip
        together = network(*parts)
        turned = network(*(part[order] for part in parts))
        torch.testing.assert_close(turned, together[order], atol=1e-5, rtol=1e-5)
        alone = network(*(part[2:3] for part in parts))
        torch.testing.assert_close(alone, together[2:3], atol=1e-5, rtol=1e-5)


def test_before_training_nothing_moves_and_the_mouth_is_the_references() -> None:
    target, reference = _maps(2), _maps(2, 5)
    _, offsets = FaceWarp(LIPS.latent.dim, LIPS.warp_widths).double()(
        upper(target), upper(reference)
    )
    assert float(offsets.detach().abs().max()) == 0.0
    made = LipSync(LIPS).double()(target, reference, _motion(2))
    torch.testing.assert_close(lower(made), lower(reference), atol=1e-5, rtol=0.0)


def test_offsets_are_cells_and_end_at_the_border() -> None:
    maps = _maps(1)
    offsets = torch.zeros(1, 2, LATENT.rows, LATENT.columns)
    offsets[:, 0] = 2.0
    shifted = moved(maps, offsets)
    torch.testing.assert_close(shifted[..., :-2], maps[..., 2:], atol=1e-5, rtol=0.0)
    torch.testing.assert_close(shifted[..., -1], maps[..., -1], atol=1e-5, rtol=0.0)
    offsets[:, 0], offsets[:, 1] = 0.0, -1.5
    shifted = moved(maps, offsets)
    between = (maps[..., :-2, :] + maps[..., 1:-1, :]) / 2
    torch.testing.assert_close(shifted[..., 2:, :], between, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(shifted[..., 0, :], maps[..., 0, :], atol=1e-5, rtol=0.0)


def test_the_targets_mouth_cannot_leak_not_even_through_the_swap(lips: LipSync, swap: Swap) -> None:
    target = _maps(2).requires_grad_()
    source, reference = _maps(2, 6), _maps(2, 7)
    worn = swap(source, target)
    made = lips(worn, swap(source, reference), _motion(2))
    (gradient,) = torch.autograd.grad(made.square().sum(), target)
    assert float(lower(gradient).abs().max()) == 0.0
    assert float(upper(gradient).abs().min()) > 0.0


def test_lips_follow_the_mouths_motion_and_nothing_else_of_it(lips: LipSync) -> None:
    target, reference, motion = _maps(1), _maps(1, 5), _motion(1)
    made = lips(target, reference, motion)
    for name in ("headYaw", "headY", "gazePitch", "eyeBlinkLeft", "browInnerUp"):
        other = motion.clone()
        other[:, :, MOTION_INDEX[name]] += 1.0
        assert torch.equal(lips(target, reference, other), made), name
    for frame in range(LIPS.ear.tokens):
        other = motion.clone()
        other[:, frame, MOTION_INDEX["jawOpen"]] += 0.5
        assert float((lips(target, reference, other) - made).abs().max()) > 1e-4, frame


def test_a_swap_asks_all_of_the_source_and_of_the_target_a_cell_and_the_pose(swap: Swap) -> None:
    source, target = _maps(1).requires_grad_(), _maps(1, 5).requires_grad_()
    made = swap(source, target)
    half = LATENT.rows // 2
    of_source, of_target = torch.autograd.grad(made[0, :, half, 4].square().sum(), (source, target))
    seen = of_source.abs().amax(1)[0] > 0.0
    assert bool(seen[:half].all())  # lower cells may be moved out of the square
    assert float(seen[half:].float().mean()) > 0.5
    below = of_target.abs().amax(1)[0, half:]
    assert float(below[0, 4]) > 0.0
    below[0, 4] = 0.0
    assert float(below.max()) == 0.0  # the pose is read from the upper half alone


def test_cells_may_be_told_what_they_show(swap: Swap) -> None:
    source, target = _maps(2), _maps(2, 5)
    classes = torch.zeros(2, LATENT.rows, LATENT.columns, dtype=torch.int64)
    plain = swap(source, target)
    assert torch.equal(swap(source, target, classes, classes), plain)
    classes[0, 1, 1] = 2
    assert not torch.equal(swap(source, target, classes)[0], plain[0])
    assert torch.equal(swap(source, target, classes)[1], plain[1])


def test_a_scale_goes_in_and_out() -> None:
    maps = 40.0 + 1e-3 * _maps(4)
    scale = LatentScale(LATENT.dim)
    scale.fit(maps)
    entered = scale.enter(maps)
    assert float(entered.mean((0, 2, 3)).abs().max()) < 1e-2
    assert float((entered.std((0, 2, 3)) - 1.0).abs().max()) < 1e-2
    torch.testing.assert_close(scale.leave(entered), maps)


def test_an_ear_for_mel_reads_windows_in_order() -> None:
    heard = nn.Sequential(nn.Flatten(), nn.Linear(80 * 16, 512))
    ear = replace(LIPS.ear, hears="mel")
    network = _shaken(partial(LipSync, encoder=heard), replace(LIPS, ear=ear))
    windows = torch.randn(2, 5, 1, 80, 16, dtype=torch.float64)
    made = network(_maps(2), _maps(2, 5), windows)
    assert made.shape == _maps(2).shape
    assert not torch.equal(made, network(_maps(2), _maps(2, 5), windows.flip(1)))


def test_embeddings_of_the_expert_are_units_and_the_loss_knows_what_fits(
    expert: SyncExpert,
) -> None:
    halves, motion = _halves(4), _motion(4)
    for embedded in (expert.embed_lips(halves), expert.embed_sound(motion)):
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(4))
        assert float(embedded.min()) >= 0.0
    cosine, fits = torch.tensor([0.0, 1.0, 0.9]), torch.tensor([False, True, True])
    assert 0.0 < float(sync_loss(cosine, fits)) < 0.1
    assert 1.0 < float(sync_loss(cosine, ~fits)) < 10.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LipSync(LIPS)(_maps(1)[:, :4], _maps(1), _motion(1)), r"latents \[B, 6, 8, 12\]"),
        (
            lambda: LipSync(LIPS).double()(_maps(1), _maps(1), _motion(1)[:, :3]),
            r"motion \[B, 5, 45\]",
        ),
        (lambda: Swap(SWAP)(_maps(1), _maps(1)[:, :, :4]), r"latents \[B, 6, 8, 12\]"),
        (lambda: SyncExpert(EXPERT).embed_lips(lower(_maps(5))[None, :4]), "lower halves"),
        (lambda: LipSync(replace(LIPS, ear=EarConfig(hears="mel"))), "audio encoder"),
        (lambda: SyncExpert(replace(EXPERT, hears="mel")), "audio encoder"),
        (lambda: LatentConfig(rows=12), "halved twice"),
        (lambda: EarConfig(ahead=5), "ahead"),
    ],
)
def test_what_does_not_fit_gets_words(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=words):
        call()


def test_our_lips_cost_under_0_3_gflop_a_frame_beside_what_is_cached() -> None:
    network = LipSync(SMALL_LIPS).eval()
    half, turn = torch.zeros(1, SMALL_LIPS.latent.dim, 8, 16), torch.zeros(1, 48, 8, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as prepared:
        cached = network.prepare(Warped(half, turn))
    with torch.no_grad(), FlopCounterMode(display=False) as spoken:
        network.speak(cached, network.listen(torch.zeros(1, SMALL_LIPS.ear.tokens, MOTION_DIM)))
    assert prepared.get_total_flops() > 0.2 * spoken.get_total_flops()
    assert spoken.get_total_flops() < 0.3e9
