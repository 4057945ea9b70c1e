"""VQGANs of ours: halves, rows, codes that are held on to, weights by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipelines.swaptalk.vqgan.config import PRESETS, SMALL, SMALL_F8, VqganConfig
from pipelines.swaptalk.vqgan.crop import face_square
from pipelines.swaptalk.vqgan.decoder import halos
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.quantise import GumbelQuantiser, NearestQuantiser
from pipelines.swaptalk.vqgan.weights import load_vqgan, metadata_of

TINY = replace(SMALL, size=64, ch=8, codes=16, codes_lower=32, code_dim=4, parts=2)
LOCAL = {
    "f16": TINY,
    "f8": replace(TINY, ch_mult=(1, 2, 4)),
    "deep": replace(TINY, decoder_blocks=3),
    "tall": replace(TINY, size=512, ch_mult=(1, 2), ch=8),  # the cut lies far below the top
}


def built(config: VqganConfig, seed: int = 0) -> Vqgan:
    """A network in which every cell matters and no two codes are alike."""
    torch.manual_seed(seed)
    model = Vqgan(config).eval().requires_grad_(False)
    for book in {model.upper_book, model.lower_book}:
        assert isinstance(book, NearestQuantiser)
        book.embedding.weight.normal_()
    return model


def faces(count: int = 1, size: int = 64) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0


@pytest.mark.parametrize("name", LOCAL)
def test_the_lower_half_alone_is_the_lower_half_of_all(name: str) -> None:
    config = LOCAL[name]
    model = built(config)
    z = torch.randn(2, config.code_dim, config.grid, config.grid // 4)
    whole, lower = model.decode(z), model.decode_lower(z)
    assert whole.shape == (2, 3, config.size, config.size // 4)
    torch.testing.assert_close(lower, whole[:, :, config.size // 2 :], rtol=1e-5, atol=1e-5)


def test_rows_that_reach_below_the_cut_are_counted_exactly() -> None:
    """The first row counted changes the lower half, the one above it does not."""
    config = LOCAL["tall"]
    model = built(config).requires_grad_(False)
    z = torch.randn(1, config.code_dim, config.grid, 2, requires_grad=True)
    half = config.grid // 2
    model.decode(z)[:, :, config.size // 2 :].square().sum().backward()
    assert z.grad is not None
    reached = z.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(reached.min()) == half - halos(config)[0] >= 0


def test_other_decoders_give_the_lower_half_too() -> None:
    config = replace(TINY, local_decoder=False, attention=(32,))
    model = built(config)
    z = torch.randn(1, config.code_dim, 4, 4)
    assert torch.equal(model.decode_lower(z), model.decode(z)[:, :, 32:])


def test_halves_are_coded_apart() -> None:
    """What is seen below changes no vector above, and the other way round."""
    model = built(TINY)
    one, other = faces(2).split(1)
    mixed = torch.cat([one[:, :, :32], other[:, :, 32:]], 2)
    z_one, z_other, z_mixed = (model.encode_halves(x) for x in (one, other, mixed))
    torch.testing.assert_close(z_mixed[:, :, :2], z_one[:, :, :2])
    torch.testing.assert_close(z_mixed[:, :, 2:], z_other[:, :, 2:])
    torch.testing.assert_close(z_mixed[:, :, 2:], model.encode(other[:, :, 32:]))


def test_each_half_has_its_book() -> None:
    model = built(TINY)
    values, indices = model.quantise(model.encode_halves(faces(3)))
    assert (values.shape, indices.shape) == ((3, 4, 4, 4), (3, *TINY.code_shape))
    assert TINY.code_shape == (4, 4, TINY.parts)
    assert torch.equal(model.look_up(indices), values)
    assert torch.equal(model.lower_book.look_up(indices[:, 2:]), values[:, :, 2:])
    assert model.upper_book is not model.lower_book
    alone = built(replace(TINY, codes_lower=0))
    assert alone.upper_book is alone.lower_book
    assert torch.equal(alone.look_up(indices % 16), alone.upper_book.look_up(indices % 16))


def test_codes_are_the_nearest() -> None:
    book = NearestQuantiser(50, 3)
    book.embedding.weight.data.normal_()
    z = torch.randn(2, 3, 4, 5)
    found = book(z).indices
    for b, y, x in ((0, 0, 0), (1, 3, 4), (1, 0, 2)):
        apart = (book.embedding.weight - z[b, :, y, x]).norm(dim=1)
        assert int(found[b, y, x]) == int(apart.argmin())


@pytest.mark.parametrize(
    ("place", "margin", "code"),
    [(0.45, 0.0, 0), (0.55, 0.0, 1), (0.55, 0.4, 0), (0.65, 0.4, 1), (0.45, 0.4, 0)],
)
def test_a_code_is_held_until_another_is_clearly_nearer(
    place: float, margin: float, code: int
) -> None:
    """Two codes at 0 and 1; at 0.55 the squared distances are as 0.67 to 1, at 0.65 as 0.29."""
    book = NearestQuantiser(2, 1).requires_grad_(False)
    book.embedding.weight.data.copy_(torch.tensor([[0.0], [1.0]]))
    z = torch.full((1, 1, 1, 1), place)
    last = torch.zeros(1, 1, 1, dtype=torch.int64)
    values, indices = book(z, last, margin)
    assert int(indices) == code
    assert float(values) == float(code)


def test_the_gumbel_book_takes_the_likeliest_and_holds_on_too() -> None:
    book = GumbelQuantiser(2, 1)
    book.proj.weight.data.copy_(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    book.proj.bias.data.zero_()
    z = torch.tensor([-0.1, 0.1, 0.6]).view(1, 1, 1, 3)
    last = torch.zeros(1, 1, 3, dtype=torch.int64)
    assert book(z).indices.flatten().tolist() == [0, 1, 1]
    assert book(z, last, 0.5).indices.flatten().tolist() == [0, 0, 1]


def test_held_codes_flicker_less() -> None:
    """A still face under noise: with a margin fewer cells change their code."""
    model = built(TINY)
    still = model.encode_halves(faces())
    chance = torch.Generator().manual_seed(3)
    changes = {}
    for margin in (0.0, 0.3):
        last = model.quantise(still).indices
        changes[margin] = 0
        chance.manual_seed(3)
        for _ in range(40):
            z = still + 0.15 * still.std() * torch.randn(still.shape, generator=chance)
            now = model.quantise(z, last, margin).indices
            changes[margin] += int((now != last).sum())
            last = now
    assert changes[0.3] < changes[0.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 72}, "halves of 72 px"),
        ({"ch": 12}, "groups"),
        ({"quantiser": "soft"}, "quantiser must be nearest or gumbel"),
        ({"attention": (32,)}, "a local decoder has no attention"),
    ],
)
def test_configurations_that_cannot_be_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(TINY, **change)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_shape_of_their_names(name: str) -> None:
    config = PRESETS[name]
    factor = {"small": 16, "large": 16}.get(name) or int(name.split("f")[1].split("-")[0])
    assert config.factor == factor
    assert config.grid * config.factor == config.size == 256


def test_small_is_as_small_as_it_says() -> None:
    """The work of a lower half, multiply-add counted as two, within 3 GFLOP for a whole frame."""
    for config in (SMALL, SMALL_F8):
        model = Vqgan(config).eval().requires_grad_(False)
        z = torch.zeros(1, config.code_dim, config.grid, config.grid)
        with FlopCounterMode(display=False) as counter:
            model.decode_lower(z)
        assert counter.get_total_flops() < 1.1e9


def test_weights_of_ours_say_what_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    model = built(TINY)
    path = tmp_path / "mine.safetensors"
    save_file(model.state_dict(), path, metadata_of(TINY))
    again = load_vqgan("mine")
    assert again.config == TINY
    z = model.encode_halves(faces())
    assert torch.equal(again.decode(z), model.decode(z))
    save_file(model.state_dict(), path, {"kind": "swaptalk-vqgan", "config": "{}"})
    with pytest.raises(ValueError, match="lacks encoder"):
        load_vqgan("mine")
    save_file(model.state_dict(), path, {"kind": "swaptalk-vqgan", "config": '{"sizes": 3}'})
    with pytest.raises(ValueError, match="no configuration of a VQGAN"):
        load_vqgan("mine")
    save_file(model.state_dict(), path, {"kind": "other"})
    with pytest.raises(ValueError, match="other, not a VQGAN"):
        load_vqgan("mine")


def test_the_square_of_a_face_follows_it() -> None:
    """Moved, enlarged and turned with the face; halves meet between nose and upper lip."""
    upright = torch.tensor([[[100.0, 160.0], [70.0, 90.0], [130.0, 90.0]]])  # mouth, eyes
    square = face_square(upright)[0]
    centre, right, down = square[:, 2], square[:, 0], square[:, 1]
    assert torch.allclose(centre, torch.tensor([100.0, 90.0 + 0.55 * 69.5]), atol=0.5)
    assert torch.allclose(right, torch.tensor([104.0, 0.0]), atol=0.5)
    assert torch.allclose(down, torch.tensor([0.0, 104.0]), atol=0.5)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    moved = 0.5 * upright @ turn.T + torch.tensor([7.0, 3.0])
    found = face_square(moved)[0]
    assert torch.allclose(found[:, :2], 0.5 * turn @ square[:, :2], atol=1e-4)
    assert torch.allclose(found[:, 2], 0.5 * turn @ centre + torch.tensor([7.0, 3.0]), atol=1e-4)
